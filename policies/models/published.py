"""Weights of the public code of Nguyen et al. (CoRL 2024, hai-h-nguyen/mi-asym-pomdp) under the names of this program.

Its files are state dicts saved by torch and say nothing of what they are: sizes come from the shapes of their tensors,
and what no shape tells (an image's sides, strides, pools) from the domain and from tables. Only tensors are ever read;
a file that would have to run code is refused.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from ml_collections import ConfigDict
from torch import Tensor, nn

from envs.base import EnvSpec
from torchkit.networks import Encoder, EncoderConfig, misfit
from utils.errors import UserError

SUFFIX = ".pt"
ENCODERS = ("s_encoder", "o_encoder")
LAYERS = (  # strides and pools of the published image encoders: CarFlag-2D, Sphinx, the robots
    ((1, 1, 1), (2, 2, 1)),
    ((1, 1, 1), (1, 2, 1)),
    ((4, 4, 1), (1, 1, 1)),
)
POLICY = {  # layers of the acting part
    "observ_embedder.fc": "public.folds.history.obs_embedder.0",
    "action_embedder.fc": "public.folds.history.action_embedder.0",
    "seq_model.transformer.ln_f": "public.folds.history.memory.norm",
}
BLOCK = {  # layers of a transformer block; those whose weights are stored (in, out) are in TRANSPOSED
    "ln_1": "norm_1",
    "attn.c_attn": "qkv",
    "attn.c_proj": "project",
    "ln_2": "norm_2",
    "mlp.c_fc": "mlp.0",
    "mlp.c_proj": "mlp.2",
}
TRANSPOSED = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
BLOCK_LAYER = re.compile(r"seq_model\.transformer\.h\.(\d+)\.(.+)")
HEAD_LAYER = re.compile(r"qf\.(?:fc(\d+)|last_fc)")
LEFT_OUT = re.compile(r"state_embedder\.|recon\.|.*\.attn\.(bias|masked_bias)$")  # of the state; a constant mask


def encoder_file(path: Path, name: str) -> Path | None:
    """The published encoder that `path` means, itself or `name.pt` in a folder; None where it means one of ours."""
    if not path.is_dir():
        return path if path.suffix == SUFFIX else None
    file = path / f"{name}{SUFFIX}"
    return file if file.is_file() and not (path / f"{name}.json").exists() else None


def load_encoder(
    file: Path, name: str, in_dim: int, flag: str, image_shape: tuple[int, ...] | None, config_repr: ConfigDict | None
) -> Encoder:
    """Rebuilds a published encoder, on the CPU. From which domain it comes is not to be seen from it.

    Args:
        file: a state dict with layers `blocks.fc0.0` … or `blocks.conv0.0` …, and `blocks.embedder.embedder`.
        name: `s_encoder` or `o_encoder`; a file with the name of the other is refused.
        in_dim: the size of the view that it is to embed.
        flag: how the user named the file, for errors.
        image_shape: of the view; None takes a square image where the file has convolutions.
        config_repr: strides and pools to try before those of the published encoders; None for none.

    Raises:
        UserError: it is missing, holds more than tensors, is no such encoder, or made for inputs of another size.
    """
    if file.stem in ENCODERS and file.stem != name:
        raise UserError(f"{flag}: {file} is {file.stem!r}, not {name!r}")
    return encoder_of(read_tensors(file, flag), in_dim, f"{flag}: {file}", image_shape, config_repr)


def encoder_of(
    tensors: Mapping[str, Tensor],
    in_dim: int,
    what: str,
    image_shape: tuple[int, ...] | None = None,
    config_repr: ConfigDict | None = None,
) -> Encoder:
    """The encoder of a published state dict; arguments as for `load_encoder`, `what` begins the errors."""
    kind = "conv" if "blocks.conv0.0.weight" in tensors else "fc"
    count = sum(bool(re.fullmatch(rf"blocks\.{kind}\d+\.0\.weight", key)) for key in tensors)
    layers = [*(f"blocks.{kind}{i}.0" for i in range(count)), "blocks.embedder.embedder"]
    keys = [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]
    if set(keys) != set(tensors):
        odd = min(set(keys) ^ set(tensors))
        raise UserError(f"{what} is no published encoder ({odd} is {'missing' if odd in keys else 'unknown'})")
    weights = [tensors[key] for key in keys[::2]]
    if [w.ndim for w in weights] != [4 if kind == "conv" else 2] * count + [2] or any(0 in w.shape for w in weights):
        raise UserError(f"{what} is no published encoder (its weights have other axes, or none)")
    for config in candidates(weights, in_dim, what, image_shape, config_repr):
        try:
            encoder = Encoder(config)
        except RuntimeError:  # these layers leave nothing of the image
            continue
        ours = dict(zip(encoder.state_dict(), (tensors[key] for key in keys), strict=True))
        if misfit(encoder, ours) is None:
            encoder.load_state_dict(ours)
            return encoder
    seen = f"{in_dim} numbers" if image_shape is None else f"an image of {image_shape}"
    raise UserError(f"{what}: its layers do not fit {seen}; --config_repr may name other strides and pools")


def candidates(
    weights: list[Tensor], in_dim: int, what: str, image_shape: tuple[int, ...] | None, config_repr: ConfigDict | None
) -> Iterator[EncoderConfig]:
    """The encoders that weights of these shapes may belong to, the likeliest first."""
    *blocks, last = (tuple(w.shape) for w in weights)
    if not blocks or len(blocks[0]) == 2:
        size = (*blocks, last)[0][1]
        if size != in_dim:
            raise UserError(f"{what} embeds {size} numbers, the domain has {in_dim}")
        yield EncoderConfig(in_dim, last[0], tuple(shape[0] for shape in blocks))
        return
    planes = blocks[0][1]
    if image_shape is None:
        side = round((in_dim / planes) ** 0.5)
        image_shape = (planes, side, side)
    if image_shape[0] != planes or in_dim != planes * image_shape[1] * image_shape[2]:
        raise UserError(f"{what} embeds images of {planes} planes, the domain has {in_dim} numbers, {image_shape}")
    channels, kernels = tuple(shape[0] for shape in blocks), tuple(shape[2] for shape in blocks)
    table = LAYERS if config_repr is None else ((config_repr.encoder.strides, config_repr.encoder.pools), *LAYERS)
    for strides, pools in table:
        if len(strides) == len(pools) == len(blocks):
            layers = (channels, kernels, tuple(strides), tuple(pools))
            yield EncoderConfig(in_dim, last[0], (), tuple(image_shape), *layers)


def policy_tensors(file: Path, spec: EnvSpec) -> tuple[EncoderConfig, dict[str, Tensor]]:
    """What acts in a published DQN agent with a transformer: its observation embedder's sizes, and weights.

    The state's embedder, the predictor of it and the target networks stay in the file.

    Raises:
        UserError: it is missing, holds more than tensors, is no such agent, or one of a domain of other sizes.
    """
    flag = "--policy_dir"
    prefix = "critic."
    critic = {k.removeprefix(prefix): v for k, v in read_tensors(file, flag).items() if k.startswith(prefix)}
    critic = {key: value for key, value in critic.items() if not LEFT_OUT.match(key)}
    sizes = [critic.get(f"{name}_embedder.fc.weight") for name in ("observ", "action")]
    if any(weight is None or weight.ndim != 2 for weight in sizes):
        raise UserError(f"{flag}: {file} is no published DQN agent")
    obs_dim, action_dim = (weight.shape[1] for weight in sizes if weight is not None)
    if (obs_dim, action_dim) != (spec.obs_dim, spec.action_dim):
        raise UserError(
            f"{flag}: a policy for {obs_dim} observations and {action_dim} actions; "
            f"{spec.env_id} has {spec.obs_dim} and {spec.action_dim}"
        )
    own = "current_observ_embedder."
    z_obs = encoder_of(
        {key.removeprefix(own): value for key, value in critic.items() if key.startswith(own)},
        spec.obs_dim,
        f"{flag}: the observation embedder in {file}",
        spec.obs_image_shape,
    )
    tensors = {f"public.shortcuts.z_obs.{key}": value for key, value in z_obs.state_dict().items()}
    hidden = sum(bool(re.fullmatch(r"qf\.fc\d+\.weight", key)) for key in critic)
    for key, value in critic.items():
        if not key.startswith(own):
            name, transposed = policy_name(key, hidden)
            tensors[name] = value.t() if transposed and value.ndim == 2 else value
    return z_obs.config, tensors


def policy_name(key: str, hidden: int) -> tuple[str, bool]:
    """Our name of a published tensor (its own where it has none), and whether the tensor is stored (in, out).

    Args:
        key: without the network's prefix.
        hidden: the number of the head's hidden layers.
    """
    layer, _, part = key.rpartition(".")
    if block := BLOCK_LAYER.fullmatch(layer):
        name = f"public.folds.history.memory._registered.{block[1]}.{BLOCK.get(block[2], block[2])}.{part}"
        return name, part == "weight" and block[2] in TRANSPOSED
    if head := HEAD_LAYER.fullmatch(layer):
        index = hidden if head[1] is None else int(head[1])
        return f"head.net.{2 * index}.{part}", False  # a ReLU after each hidden layer
    return f"{POLICY.get(layer, layer)}.{part}", False


def fill_policy(policy: nn.Module, tensors: Mapping[str, Tensor], file: Path) -> None:
    """Puts the tensors into a policy that was built from configs.

    Raises:
        UserError: the configs are not those of the policy.
    """
    wrong = misfit(policy, tensors)
    if wrong is not None:
        raise UserError(
            f"--policy_dir: {file} does not fit --config_rl and --config_seq ({wrong}); the published policy is one "
            f"of configs/rl/dqn.py:mi and configs/seq/gpt.py"
        )
    policy.load_state_dict(tensors)


def read_tensors(file: Path, flag: str) -> dict[str, Tensor]:
    """A state dict on the CPU.

    Raises:
        UserError: no file, or one that holds anything but named tensors; no code in it is run.
    """
    if not file.is_file():
        raise UserError(f"{flag}: no file {file}")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a malformed pickle fails in whatever way its bytes happen to ask for
        raise UserError(
            f"{flag}: {file} cannot be read as tensors alone ({type(error).__name__}); one that holds more is refused"
        ) from error
    if not isinstance(content, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    ):
        raise UserError(f"{flag}: {file} is no state dict of tensors")
    return content
