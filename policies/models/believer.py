"""The Believer (Wang et al., ICML 2023): a policy that reads samples of the state's embedding given its history.

A conditional VAE is taught what z_state may be, given what has been observed. Its decoder turns noise into samples of
z_state; an MLP of each, averaged, is the view `belief`. What of this acts reads observations alone; the posterior,
which reads z_state, stays with the training.

Dimension key: T steps, B batch, N envs, K samples, C context, X embedding of the state, Z latent, F features.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import torch
from ml_collections import ConfigDict
from torch import Tensor, nn

from buffers.batch import PublicBatch
from policies.models.encoders import build_memory, encoder_config
from policies.models.on_disk import load_module, save_module
from policies.models.sources import Sources
from policies.models.views import Fold, Inputs, Views
from torchkit.cvae import ConditionalGaussian, elbo
from torchkit.networks import ACTIVATION, Encoder, EncoderConfig, mlp
from torchkit.sequence import Carry, Memory
from utils.config import json_tuples, to_dict
from utils.errors import UserError, at_least_one, choose_name

KIND = "believer"
BLOCK = 64  # contexts: with 30 samples each a hidden layer of 256 is 2 MB

MemoryMaker = Callable[[ConfigDict, int], Memory]  # of a memory's settings, for inputs of a width


@dataclass(frozen=True)
class BelieverConfig:
    """All that is needed to rebuild a belief model (stored beside its weights).

    `memory` has the fields `memory` and `kwargs` of a file of configs/seq; `x_dim` is the width X of z_state. The
    context has the last of `context_dims`.
    """

    obs_encoder: EncoderConfig
    memory: dict[str, Any]
    context_dims: tuple[int, ...]
    x_dim: int
    latent_dim: int
    hidden_dims: tuple[int, ...]
    min_std: float

    def to_json(self) -> dict[str, Any]:
        """Plain values for a json file."""
        return {"in_dim": self.obs_encoder.in_dim, **asdict(self)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "BelieverConfig":
        """The inverse of `to_json`; lists become tuples."""
        sizes: dict[str, Any] = {key: json_tuples(value) for key, value in values.items() if key != "in_dim"}
        return cls(**sizes | {"obs_encoder": EncoderConfig.from_json(values["obs_encoder"])})


class HistoryModel(nn.Module):
    """From observations to a context (…, C), and from a context to samples of z_state: all of it that acts."""

    def __init__(self, config: BelieverConfig, make_memory: MemoryMaker):
        super().__init__()
        self.config = config
        self.obs_encoder = Encoder(config.obs_encoder)
        width = config.obs_encoder.out_dim
        self.memory = make_memory(ConfigDict(config.memory), width)
        *hidden_dims, context_dim = config.context_dims
        self.context = mlp(self.memory.out_dim + width, hidden_dims, context_dim, out_bound=None)
        self.noise_dim = config.latent_dim + config.x_dim
        sizes = (config.latent_dim, context_dim, config.hidden_dims, config.x_dim)
        self.decoder = ConditionalGaussian(*sizes, config.min_std)

    def forward(self, batch: PublicBatch, carry: Carry | None = None) -> Tensor:
        """The context of every row (T+1, B, C); 0 on padding."""
        obs = batch.obs.through(self.obs_encoder)
        history = self.memory.encode(obs) if carry is None else self.memory(obs, batch.start, carry)[0]
        return batch.on_real_rows(self.context, torch.cat([history, obs], dim=-1))

    def step(self, now: Inputs, carry: Carry | None) -> tuple[Tensor, Carry]:
        """The context (N, C) of one step, and the memory's carry."""
        obs_NF = self.obs_encoder(now.obs_NO)
        history_1NH, carry = self.memory(obs_NF[None], now.start_N[None], carry)
        return self.context(torch.cat([history_1NH[0], obs_NF], dim=-1)), carry

    def samples(self, context: Tensor, noise: Tensor) -> Tensor:
        """K samples of z_state a context, from its own context alone: (…, C), noise (…, K, Z + X) -> (…, K, X)."""
        z, of_x = noise.split([self.config.latent_dim, self.config.x_dim], dim=-1)
        return self.decoder(z, context[..., None, :]).at(of_x)


class Believer(nn.Module):
    """The conditional VAE of z_state given the history: `history` acts, `posterior` reads z_state, to train."""

    def __init__(self, config: BelieverConfig, make_memory: MemoryMaker):
        super().__init__()
        self.history = HistoryModel(config, make_memory)
        sizes = (config.x_dim, config.context_dims[-1], config.hidden_dims, config.latent_dim)
        self.posterior = ConditionalGaussian(*sizes, config.min_std)

    def elbo(self, context: Tensor, z_state: Tensor, noise: Tensor) -> Tensor:
        """The evidence bound of z_state (…, X) given contexts (…, C), by noise (…, Z): (…)."""
        return elbo(self.posterior, self.history.decoder, z_state, context, noise)


def believer_config(config_repr: ConfigDict, obs_dim: int, image_shape: tuple[int, ...] | None) -> BelieverConfig:
    """The sizes that a config of kind `believer` asks for.

    Raises:
        UserError: the config is of another kind.
    """
    if config_repr.get("kind") != KIND:
        raise UserError(f"--config_repr: one with kind = {KIND} is needed, such as configs/repr/believer_vector.py")
    belief = config_repr.belief
    return BelieverConfig(
        obs_encoder=encoder_config(belief, obs_dim, image_shape),
        memory={"memory": belief.memory, "kwargs": to_dict(belief.kwargs)},
        context_dims=tuple(belief.context_dims),
        x_dim=config_repr.embedding_dim,
        latent_dim=belief.latent_dim,
        hidden_dims=tuple(belief.hidden_dims),
        min_std=belief.min_std,
    )


def save_believer(folder: Path, believer: Believer, extra: Mapping[str, Any]) -> None:
    """Writes `believer.safetensors` and `believer.json`."""
    save_module(folder, KIND, KIND, believer.history.config.to_json(), believer, extra)


def load_believer(path: str, obs_dim: int, make_memory: MemoryMaker, flag: str, env_id: str | None = None) -> Believer:
    """Reads what `save_believer` wrote; errors are those of `load_module`."""

    def build(sizes: dict[str, Any]) -> Believer:
        return Believer(BelieverConfig.from_json(sizes), make_memory)

    return load_module(path, KIND, KIND, build, obs_dim, flag, env_id)


def believer_of(sources: Sources) -> Believer:
    """The Believer that `config.rl.believer` says, a new one at each call."""

    def make_memory(config: ConfigDict, width: int) -> Memory:
        return build_memory(config, width, sources.spec.max_episode_steps + 1)

    spec, source, flag = sources.spec, sources.config.rl.believer, "--obs_embedder_dir"
    if KIND in sources.kept:
        return Believer(sources.kept[KIND], make_memory)
    if choose_name(("pretrained", "scratch"), source, "--config_rl.believer") == "scratch":
        config = believer_config(sources.repr_config("believer"), spec.obs_dim, spec.obs_image_shape)
        return Believer(config, make_memory)
    path = sources.embedder_path(flag, "believer=pretrained", "scratch")
    return load_believer(path, spec.obs_dim, make_memory, flag, spec.env_id)


class Belief(Fold):
    """The view `belief` (…, F): the mean over K samples of an MLP of each, then another MLP.

    The samples carry no gradient: these MLPs learn to act, the history model learns by the evidence bound alone. For
    that it publishes the view `belief_context`. In training mode every row draws its own noise. In evaluation mode the
    noise is a buffer, the same for all rows, so that an action depends on the history alone and not on who else acts.
    """

    trained_by = "belief_elbo"
    kept_as = KIND

    def __init__(self, model: HistoryModel, num_samples: int, sample_dims: tuple[int, ...], out_dim: int):
        super().__init__()
        self.model, self.out_dim = model, out_dim
        width = sample_dims[-1]
        self.of_sample = nn.Sequential(*mlp(model.config.x_dim, sample_dims[:-1], width, out_bound=None), ACTIVATION())
        self.of_mean = mlp(width, (width,), out_dim, out_bound=None)
        rng = torch.Generator().manual_seed(0)
        noise_KF = torch.randn(num_samples, model.noise_dim, generator=rng)
        self.noise = nn.Buffer(noise_KF)

    @classmethod
    def build(cls, sources: Sources, training_only: dict[str, nn.Module]) -> Self:
        """The part of the Believer that acts, and networks of its samples; all of it is `training_only["believer"]`."""
        sizes = sources.config.rl.belief
        at_least_one({f"--config_rl.belief.{name}": sizes[name] for name in ("samples", "sample_dims", "out_dim")})
        if not sizes.sample_dims:
            raise UserError("--config_rl.belief.sample_dims=(): at least one layer is needed")
        training_only[KIND] = believer = believer_of(sources)
        return cls(believer.history, sizes.samples, sizes.sample_dims, sizes.out_dim)

    def to_json(self) -> dict[str, Any]:
        return self.model.config.to_json()

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> BelieverConfig:
        return BelieverConfig.from_json(values)

    def initial_carry(self, batch_size: int) -> Carry:
        return self.model.memory.initial_carry(batch_size)

    @torch.no_grad()
    def samples(self, context: Tensor) -> Tensor:
        """Samples of z_state (…, K, X) for contexts (…, C)."""
        if not self.training:
            return self.model.samples(context, self.noise)
        return self.model.samples(context, torch.randn(*context.shape[:-1], *self.noise.shape, device=context.device))

    def feature(self, samples: Tensor) -> Tensor:
        """The view (…, F) of samples (…, K, X)."""
        return self.of_mean(self.of_sample(samples).mean(dim=-2))

    def _of_many(self, context: Tensor) -> Tensor:
        """The view of contexts (…, C); on a CPU so few at a time that its cache holds the decoder's work."""
        rows = context.flatten(0, -2)
        blocks = rows.split(BLOCK) if rows.device.type == "cpu" else (rows,)
        samples = torch.cat([self.samples(block) for block in blocks])
        return self.feature(samples.view(*context.shape[:-1], *samples.shape[1:]))

    def forward(self, batch: PublicBatch, carry: Carry | None = None) -> Views:
        context = self.model(batch, carry)
        return {"belief": batch.on_real_rows(self._of_many, context), "belief_context": context}

    def carry_after(self, batch: PublicBatch, carry: Carry | None) -> Carry:
        return self.model.memory(batch.obs.through(self.model.obs_encoder), batch.start, carry)[1]

    def step(self, now: Inputs, carry: Carry | None) -> tuple[Tensor, Carry]:
        context_NC, carry = self.model.step(now, carry)
        return self.feature(self.samples(context_NC)), carry
