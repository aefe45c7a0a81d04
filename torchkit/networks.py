"""Feed-forward networks: MLP, encoders of vectors and images. Knows nothing of RL, files or envs."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from torchkit.fast.dense import FEW, WORK, dense, is_fast
from torchkit.moments import Moments
from torchkit.reading import Reading
from utils.config import json_tuples

ACTIVATION = nn.ReLU


def init_linear(layer: nn.Linear, bound: float | None = None) -> nn.Linear:
    """Uniform weights within `bound` (default 1/√out, as in the published encoders) and biases of 0.1."""
    bound = layer.out_features**-0.5 if bound is None else bound
    nn.init.uniform_(layer.weight, -bound, bound)
    nn.init.constant_(layer.bias, 0.1)
    return layer


def init_conv(layer: nn.Conv2d) -> nn.Conv2d:
    """Xavier-uniform weights and zero biases."""
    nn.init.xavier_uniform_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


class StandardisedConv2d(nn.Conv2d):
    """An unpadded convolution of (x - centre) / spread, which are given for each input channel.

    Scaled are its own weights, so that networks which standardise in different ways can share an image.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel: int,
        stride: int,
        centre: Sequence[float],
        spread: Sequence[float],
    ):
        super().__init__(in_channels, channels, kernel, stride)
        self.register_buffer("centre", torch.tensor(centre)[:, None, None], persistent=False)
        self.register_buffer("spread", torch.tensor(spread)[:, None, None], persistent=False)
        self.centre: Tensor
        self.spread: Tensor

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight / self.spread
        assert self.bias is not None
        return F.conv2d(x, weight, self.bias - (weight * self.centre).sum((1, 2, 3)), self.stride)


class DropRows(_DropoutNd):
    """Whole rows (…, D) become 0 while it trains, each with probability `p`, and the others stay as they are."""

    def forward(self, x: Tensor) -> Tensor:
        return x * (torch.rand_like(x[..., :1]) >= self.p) if self.training else x


class Entries(nn.Module):
    """Some entries of a vector: (…, D) -> (…, len(entries))."""

    def __init__(self, entries: Sequence[int]):
        super().__init__()
        self.register_buffer("entries", torch.tensor(entries), persistent=False)
        self.entries: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return x.index_select(-1, self.entries)


class Sums(nn.Module):
    """Sums of entries of a vector: (…, D) -> (…, len(groups)).

    Args:
        groups: the entries of each sum.
        dim: D.
    """

    def __init__(self, groups: Sequence[Sequence[int]], dim: int):
        super().__init__()
        weight_DG = torch.zeros(dim, len(groups))
        for number, entries in enumerate(groups):
            weight_DG[entries, number] = 1.0
        self.register_buffer("weight_DG", weight_DG, persistent=False)
        self.weight_DG: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight_DG


class MLP(nn.Sequential):
    """Linear layers with ReLU between them, and at the end where it is the last: (…, in_dim) -> (…, out_dim).

    `fast` permits `torchkit.fast.dense` for many rows; under `vmap` it must not.
    """

    fast = True

    def forward(self, x: Tensor) -> Tensor:
        return self.of_rows(x) if self.is_fast(x) else super().forward(x)

    def is_fast(self, x: Tensor) -> bool:
        """Whether rows like these are taken by `of_rows`."""
        return self.fast and is_fast(x, self.fewest)

    @cached_property
    def fewest(self) -> int:
        """Rows from which on `of_rows` pays."""
        per_row = sum(layer.weight.numel() for layer in self if isinstance(layer, nn.Linear))
        return max(FEW, WORK // max(1, per_row))

    def of_rows(self, x: Tensor, rows: Tensor | None = None, shared: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """The outputs on some rows, or with inputs of which there are few; see `torchkit.fast.dense.dense`."""
        layers = [(layer.weight, layer.bias) for layer in self if isinstance(layer, nn.Linear)]
        return dense(x, layers, rows, shared, rectified=isinstance(self[-1], ACTIVATION))


def mlp(in_dim: int, hidden_dims: Sequence[int], out_dim: int, out_bound: float | None = 3e-3) -> MLP:
    """Linear-ReLU layers and a linear output whose weights start within `out_bound`: (…, in_dim) -> (…, out_dim)."""
    layers: list[nn.Module] = []
    for hidden_dim in hidden_dims:
        layers += [init_linear(nn.Linear(in_dim, hidden_dim)), ACTIVATION()]
        in_dim = hidden_dim
    output = init_linear(nn.Linear(in_dim, out_dim), out_bound)
    if out_bound is not None:
        nn.init.uniform_(output.bias, -out_bound, out_bound)
    return MLP(*layers, output)


@dataclass(frozen=True)
class EncoderConfig:
    """All that is needed to rebuild an encoder (stored beside its weights).

    `image_shape` is (channels, height, width) of an input that arrives flat, or None for a plain vector, which goes
    through `hidden_dims`; an image goes through one convolution (valid padding, ReLU, max-pool where `pools` > 1) an
    entry of `channels`. What the first of them reads is told by `torchkit.reading.Reading`, of which `centre`, `spread`
    and the fields after them are. With `norm` the embedding of an image goes through LayerNorm and ReLU at last.
    """

    in_dim: int
    out_dim: int
    hidden_dims: tuple[int, ...] = ()
    image_shape: tuple[int, ...] | None = None
    channels: tuple[int, ...] = ()
    kernels: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    pools: tuple[int, ...] = ()
    centre: tuple[float, ...] = ()
    spread: tuple[float, ...] = ()
    shrink: int = 1
    largest: tuple[int, ...] = ()
    median: tuple[int, ...] = ()
    clip: tuple[float, ...] = ()
    norm: bool = False

    @property
    def reading(self) -> Reading | None:
        """What is read of an image, but for a scale that the first convolution has in its weights; None of a vector."""
        if self.image_shape is None:
            return None
        scale = (self.centre, self.spread) if self.scaled_before else ((), ())
        return Reading(self.image_shape, self.shrink, self.largest, self.median, *scale, self.clip)

    @property
    def scaled_before(self) -> bool:
        """Whether images are brought to scale before the first convolution, as what is clipped must be."""
        return bool(self.clip)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a json file."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "EncoderConfig":
        """The inverse of `to_json`; lists become tuples."""
        return cls(**json_tuples(values))


class Encoder(nn.Module):
    """A first block and the rest: (…, in_dim) -> (…, out_dim), linear in its last layer unless that is normed.

    The first block's activation is the "local" feature of Deep InfoMax (Hjelm et al., 2019); `make_rest` builds a
    second, independent tail on it.
    """

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.config = config
        self.out_dim = config.out_dim
        self.layout = torch.channels_last  # of images
        self.reading = config.reading
        self.first = self._blocks(slice(0, 1))
        self.rest = self.make_rest()

    def make_rest(self) -> nn.Sequential:
        """A fresh copy of all blocks but the first: first-block activation -> (…, out_dim)."""
        config = self.config
        if self.reading is None:
            width = config.hidden_dims[-1] if config.hidden_dims else config.in_dim
            return nn.Sequential(*self._blocks(slice(1, None)), init_linear(nn.Linear(width, config.out_dim)))
        convs = self._blocks(slice(1, None))
        with torch.no_grad():
            flat = convs(self.first(torch.zeros(1, *self.reading.shape))).numel()
        normed = [nn.LayerNorm(config.out_dim), ACTIVATION()] if config.norm else []
        return nn.Sequential(*convs, nn.Flatten(), init_linear(nn.Linear(flat, config.out_dim)), *normed)

    def _blocks(self, which: slice) -> nn.Sequential:
        config, layers = self.config, nn.Sequential()
        if self.reading is None:
            for a, b in list(zip((config.in_dim, *config.hidden_dims), config.hidden_dims, strict=False))[which]:
                layers.extend([init_linear(nn.Linear(a, b)), ACTIVATION()])
            return layers
        in_channels = (self.reading.shape[0], *config.channels)
        table = zip(in_channels, config.channels, config.kernels, config.strides, config.pools, strict=False)
        for layer, (a, b, kernel, stride, pool) in list(enumerate(table))[which]:
            if layer == 0 and config.centre and not config.scaled_before:
                conv: nn.Conv2d = StandardisedConv2d(a, b, kernel, stride, config.centre, config.spread)
            else:
                conv = nn.Conv2d(a, b, kernel, stride)
            layers.append(init_conv(conv))
            if pool > 1:
                layers.append(nn.MaxPool2d(pool))  # before the ReLU: the same values from a quarter of the work
            layers.append(ACTIVATION(inplace=True))  # what it overwrites no gradient needs
        return layers

    def prepare(self, x: Tensor) -> Tensor:
        """A flat batch (B, in_dim) as the first block reads it fastest; encoders of one `reading` can share it."""
        if self.reading is None:
            return x
        return self.reading(x.view(-1, *self.reading.image_shape)).contiguous(memory_format=self.layout)

    def local(self, x: Tensor) -> Tensor:
        """The first block's activation of a flat batch (B, in_dim), still in image form for images."""
        return self.first(self.prepare(x))

    @torch.no_grad()
    def standardised(self, moments: Moments) -> "Encoder":
        """A copy whose embedding has mean 0 and mean squared norm 1 where this one's has the given moments.

        An affine map of the last layer, so nothing that the embedding tells is lost; but distances and angles between
        embeddings no longer hang on a common offset and scale, which no loss of stage 2 determines.
        """
        copied = copy.deepcopy(self)
        last = copied.rest[-1]
        assert isinstance(last, nn.Linear)
        last.weight.div_(moments.rms)
        last.bias.sub_(moments.mean_Z.to(last.bias.device)).div_(moments.rms)
        return copied

    def forward(self, x: Tensor) -> Tensor:
        is_prepared = x.dim() == 2 if self.reading is None else x.shape[1:] == self.reading.shape
        if is_prepared:
            return self.rest(self.first(x))
        lead = x.shape[:-1]
        return self.rest(self.local(x.reshape(-1, x.shape[-1]))).view(*lead, self.out_dim)


def misfit(module: nn.Module, tensors: Mapping[str, Tensor]) -> str | None:
    """The first difference in names and shapes between a module and the tensors meant for it; None where they fit."""
    there, given = ({k: tuple(v.shape) for k, v in state.items()} for state in (module.state_dict(), tensors))
    for key in sorted(there.keys() | given.keys()):
        if there.get(key) != given.get(key):
            return f"{key}: {given.get(key, 'nothing')} in the file, {there.get(key, 'nothing')} by the config"
    return None
