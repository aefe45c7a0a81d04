"""The latent must tell what is to come: the state, the observation or both, rewards and ends, and be foreseen itself.

-ELBO of a recurrent state-space model (Hafner et al., Nature 2025). That its decoder may tell the training-time
information in place of the observation, while the posterior reads observations alone, is the informed world model
(Lambrechts, Bolland & Ernst, RLC 2024). This loss alone trains the view `latent`.
"""

from collections.abc import Mapping
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from ml_collections import ConfigDict
from torch import Tensor, nn

from buffers.batch import EpisodeBatch
from envs.base import Categories
from policies.extensions import AuxiliaryLoss
from policies.losses import balanced_kl, masked_mean
from policies.models.trunk import Trunk
from torchkit.networks import mlp
from torchkit.two_hot import TwoHot, symlog
from utils.errors import choose
from utils.reads import ANY, FROM_ZERO, WIDTH, Range, Reads

DECODED = {"obs": ("obs",), "info": ("state",), "both": ("obs", "state")}  # views of rows by the name of the switch


class Decoder(nn.Module):
    """Tells a view (…, D) from a latent (…, F): logits of its categories, and the symlog of its other entries."""

    def __init__(self, in_dim: int, hidden_dims: tuple[int, ...], dim: int, categories: Categories):
        super().__init__()
        self.net, self.categories = mlp(in_dim, hidden_dims, dim, out_bound=None), categories
        plain_D = torch.ones(dim, dtype=torch.bool)
        for first, number in categories:
            plain_D[first : first + number] = False
        self.register_buffer("plain", plain_D.nonzero().flatten(), persistent=False)
        self.plain: Tensor

    def error(self, output: Tensor, target: Tensor) -> Tensor:
        """The cross-entropy of each category and the squared error of each other entry, summed: (…, D) -> (…).

        A category of which no entry is 1, as before a first observation, costs nothing.
        """
        error = (output[..., self.plain] - symlog(target[..., self.plain])).square().sum(-1)
        for first, number in self.categories:
            part = slice(first, first + number)
            error = error - (target[..., part] * output[..., part].log_softmax(-1)).sum(-1)
        return error


class WorldModel(AuxiliaryLoss):
    """Decoders of a latent (…, F), and heads of the reward that led to it and of whether the episode goes on."""

    reads: ClassVar[Reads] = {
        "decode": ANY,
        "hidden_dims": WIDTH,
        "bins": Range(lambda x: x >= 3, "at least 3"),
        **dict.fromkeys(("free_nats", "dynamics", "representation"), FROM_ZERO),
    }

    def __init__(self, width: int, decoders: Mapping[str, Decoder], settings: ConfigDict):
        super().__init__()
        self.settings, self.loss_weight = settings, settings.weight
        self.decoders, self._decoders = nn.ModuleDict(decoders), dict(decoders)  # the same, with their types
        self.two_hot = TwoHot(settings.bins)
        self.reward_net = mlp(width, settings.hidden_dims, settings.bins, out_bound=0.0)
        self.continuation_net = mlp(width, settings.hidden_dims, 1)
        self._told: dict[str, Tensor] = {}

    @classmethod
    def build(cls, trunk: Trunk, settings: ConfigDict) -> Self:
        """The loss of the trunk's latent, decoding what `settings.decode` says."""
        width, spec = trunk.width("latent"), trunk.spec
        sizes = {"obs": (spec.obs_dim, spec.obs_categories), "state": (spec.state_dim, spec.state_categories)}
        views = choose(DECODED, settings.decode, "--config_rl.auxiliary.world_model.decode")
        return cls(width, {view: Decoder(width, settings.hidden_dims, *sizes[view]) for view in views}, settings)

    def reward(self, latent: Tensor) -> Tensor:
        """The expected reward (…) of the step that led to a latent (…, F)."""
        return self.two_hot.mean(self.two_hot.shares(self.reward_net(latent)))

    def continuation(self, latent: Tensor) -> Tensor:
        """The probability (…) that the episode goes on from a latent (…, F)."""
        return self.continuation_net(latent).float().squeeze(-1).sigmoid()

    def loss(self, views: Mapping[str, Tensor], batch: EpisodeBatch) -> Tensor:
        latent, settings, real = views["latent_states"], self.settings, batch.mask > 0
        found: dict[str, Tensor] = {
            name: decoder.error(batch.on_real_rows(decoder.net, latent).float(), getattr(batch, name).full())
            for name, decoder in self._decoders.items()
        }
        found["kl"] = balanced_kl(
            views["latent_posterior"],
            views["latent_prior"],
            settings.free_nats,
            settings.dynamics,
            settings.representation,
        )
        logits = batch.on_real_rows(self.reward_net, latent)[1:]
        paid = batch.reward.where(real, 0.0)[..., None]
        reward = self.two_hot.loss(logits, self.two_hot.shares(logits), paid)[..., 0]
        goes_on = F.binary_cross_entropy_with_logits(
            batch.on_real_rows(self.continuation_net, latent)[1:].float().squeeze(-1),
            batch.discount.where(real, 0.0),
            reduction="none",
        )
        for name, error_TB in (("reward", reward), ("continuation", goes_on)):
            found[name] = torch.cat([torch.zeros_like(error_TB[:1]), error_TB])  # of the row that the step led to
        self._told = {name: masked_mean(error.detach(), batch.row_mask) for name, error in found.items()}
        return torch.stack(list(found.values())).sum(0)

    def learn(self, batch: EpisodeBatch) -> dict[str, Tensor]:
        """Tells the parts of the loss of the update that was just made."""
        return self._told
