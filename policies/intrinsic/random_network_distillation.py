"""Pay for observations that a network cannot tell yet (random network distillation, Burda et al., ICLR 2019).

A fixed random network embeds the observation; another one learns to do the same on all that is replayed. What it gets
wrong is new. The bonus is a share: the squared error over the variance of the fixed network's outputs, so that it does
not depend on their scale.

Dimension key: T steps, B batch, O observation, Z embedding.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar, Self

import torch
from ml_collections import ConfigDict
from torch import Tensor

from buffers.batch import EpisodeBatch
from policies.extensions import IntrinsicReward
from policies.losses import masked_mean
from policies.models.trunk import Trunk
from torchkit.fast.adam import Adam
from torchkit.networks import mlp
from torchkit.normalise import RunningMoments
from utils.reads import POSITIVE, WIDTH, Reads


class RandomNetworkDistillation(IntrinsicReward):
    """The share of a random embedding's variance that its predictor still gets wrong, of the row after each step."""

    reads: ClassVar[Reads] = {**dict.fromkeys(("hidden_dims", "out_dim"), WIDTH), "lr": POSITIVE}

    def __init__(self, obs_dim: int, hidden_dims: tuple[int, ...], out_dim: int, lr: float):
        super().__init__()
        self.target = mlp(obs_dim, hidden_dims, out_dim, out_bound=None).requires_grad_(False)
        self.predictor = mlp(obs_dim, hidden_dims, out_dim, out_bound=None)
        self.lr, self.seen = lr, RunningMoments(out_dim)  # of what is to be told

    @classmethod
    def build(cls, trunk: Trunk, settings: ConfigDict) -> Self:
        return cls(trunk.spec.obs_dim, settings.hidden_dims, settings.out_dim, settings.lr)

    @cached_property
    def adam(self) -> Adam:
        """Of the predictor; made where the agent is."""
        return Adam(self.predictor.parameters(), self.lr)

    def optimisers(self) -> dict[str, Adam]:
        return {"predictor": self.adam}

    def error(self, batch: EpisodeBatch) -> tuple[Tensor, Tensor]:
        """The squared error of every row (T+1, B), and what was to be told, (T+1, B, Z)."""
        target = batch.obs.through(self.target)
        return (batch.obs.through(self.predictor) - target).square().sum(-1), target

    def reward(self, views: Mapping[str, Tensor], batch: EpisodeBatch) -> Tensor:
        """0 until there is something to measure by."""
        error = self.error(batch)[0]
        share_TB = error[1:] / self.seen.variance.sum().to(error.dtype).clamp(min=1e-6)
        return torch.where(self.seen.count > 0, share_TB, 0.0)

    def learn(self, batch: EpisodeBatch) -> dict[str, Tensor]:
        """A step of the predictor on all rows, which count in the mean and variance of what is to be told."""
        error, target = self.error(batch)
        loss = masked_mean(error, batch.row_mask)
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        self.seen.show(target[batch.row_mask > 0])
        return {"loss": loss.detach()}
