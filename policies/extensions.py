"""What auxiliary losses and intrinsic rewards offer to an agent, and what they may ask of the rest of it when built.

An agent has one set of them for each network that remembers: one for a DQN, two where actor and critic keep memories of
their own.

Dimension key: T steps, B batch. A batch has T+1 rows: the one after the last action counts.
"""

from collections.abc import Mapping
from typing import Protocol, Self

import torch
from ml_collections import ConfigDict
from torch import Tensor, nn

from buffers.batch import EpisodeBatch
from envs.base import EnvSpec
from policies.losses import masked_mean
from policies.models.believer import Believer
from torchkit.actions import Actions
from torchkit.moments import Moments
from torchkit.sequence import Memory


class AuxiliaryLoss(nn.Module):
    """A further loss on the views of a batch; its own parameters learn with the agent's.

    `loss_weight` is its share in the total. What an intrinsic reward must learn is an auxiliary loss, too: the reward
    reads the view that the loss publishes by `extend`.
    """

    loss_weight: float = 1.0
    of_actor = False  # reads the view `policy`, which an actor alone has

    @classmethod
    def build(cls, parts: "Parts", settings: ConfigDict) -> Self:
        """The loss that `settings` ask for, `config_rl.auxiliary.<name>`."""
        raise NotImplementedError

    def extend(self, views: dict[str, Tensor], batch: EpisodeBatch) -> None:
        """Adds views (T+1, B, F) that the loss or others read; its networks run here, in the precision of an update."""

    def loss(self, views: Mapping[str, Tensor], batch: EpisodeBatch) -> Tensor:
        """The loss of each row (T+1, B), unweighted; what stands where `mask` is 0 is not read."""
        raise NotImplementedError

    def mask(self, batch: EpisodeBatch) -> Tensor:
        """1 where there is a loss, (T+1, B), over which its mean is taken: all rows, unless a part says otherwise."""
        return batch.row_mask

    def after_step(self, tau: float) -> None:
        """Called after each step of the optimiser, with the rate of the target networks."""

    @property
    def unmeasured(self) -> tuple[str, ...]:
        """Views of the state whose moments it must be told before it learns."""
        return ()

    def measure(self, moments: Mapping[str, Moments]) -> None:
        """Takes over the moments of the views that were `unmeasured`."""


def transition_rows(value_TB: Tensor) -> Tensor:
    """What is known of transitions (T, B) as rows (T+1, B); the last row has none."""
    return torch.cat([value_TB, torch.zeros_like(value_TB[:1])])


class IntrinsicReward:
    """A bonus for each step, computed anew whenever the step is replayed; its weight is `settings.weight`."""

    @classmethod
    def build(cls, parts: "Parts", settings: ConfigDict) -> Self:
        """The reward that `settings` ask for, `config_rl.intrinsic.<name>`; auxiliary losses are there already."""
        raise NotImplementedError

    def reward(self, views: Mapping[str, Tensor], batch: EpisodeBatch) -> Tensor:
        """The unweighted bonus of each step (T, B); called without gradients."""
        raise NotImplementedError


class PartSet(nn.Module):
    """The auxiliary losses and weighted intrinsic rewards of one network, by name."""

    def __init__(
        self,
        auxiliary: Mapping[str, AuxiliaryLoss] | None = None,
        intrinsic: Mapping[str, tuple[IntrinsicReward, float]] | None = None,
    ):
        super().__init__()
        self._losses, self.intrinsic = dict(auxiliary or {}), dict(intrinsic or {})
        self.auxiliary = nn.ModuleDict(self._losses)

    def extend(self, views: dict[str, Tensor], batch: EpisodeBatch) -> None:
        """Adds the views that the losses publish."""
        for part in self._losses.values():
            part.extend(views, batch)

    def losses(self, views: Mapping[str, Tensor], batch: EpisodeBatch) -> dict[str, tuple[Tensor, float]]:
        """The mean of each loss and its weight."""
        return {
            name: (masked_mean(part.loss(views, batch), part.mask(batch)), part.loss_weight)
            for name, part in self._losses.items()
        }

    def total(
        self, views: Mapping[str, Tensor], batch: EpisodeBatch, metrics: dict[str, Tensor], prefix: str = ""
    ) -> Tensor:
        """The weighted sum of the losses, each logged as `loss/<prefix><name>`."""
        total = torch.zeros((), device=batch.mask.device)
        for name, (loss, weight) in self.losses(views, batch).items():
            metrics[f"loss/{prefix}{name}"] = loss.detach()
            total = total + weight * loss
        return total

    @torch.no_grad()
    def row_losses(self, views: Mapping[str, Tensor], batch: EpisodeBatch) -> dict[str, Tensor]:
        """Each loss of each row (T+1, B), unweighted; NaN where there is none."""
        return {
            name: part.loss(views, batch).where(part.mask(batch) > 0, torch.nan) for name, part in self._losses.items()
        }

    @torch.no_grad()
    def bonuses(self, views: Mapping[str, Tensor], batch: EpisodeBatch) -> dict[str, tuple[Tensor, float]]:
        """Each intrinsic reward (T, B), unweighted, and its weight."""
        return {name: (part.reward(views, batch), weight) for name, (part, weight) in self.intrinsic.items()}

    @torch.no_grad()
    def bonus(
        self, views: Mapping[str, Tensor], batch: EpisodeBatch, metrics: dict[str, Tensor], share: float = 1.0
    ) -> Tensor:
        """`share` of the weighted sum of the intrinsic rewards (T, B), each logged in full as `bonus/<name>`."""
        total_TB = torch.zeros_like(batch.reward)
        for name, (bonus_TB, weight) in self.bonuses(views, batch).items():
            metrics[f"bonus/{name}"] = masked_mean(bonus_TB, batch.mask)
            metrics[f"bonus/{name}_abs"] = masked_mean(bonus_TB.abs(), batch.mask)
            total_TB = total_TB + share * weight * bonus_TB
        return total_TB

    @property
    def unmeasured(self) -> set[str]:
        """Views of the state whose moments the losses must be told before they learn."""
        return {view for part in self._losses.values() for view in part.unmeasured}

    def measure(self, moments: Mapping[str, Moments]) -> None:
        """Tells those losses that wait for moments of views of the state."""
        for part in self._losses.values():
            if part.unmeasured:
                part.measure(moments)

    def after_step(self, tau: float) -> None:
        """Lets target networks that parts own follow."""
        for part in self._losses.values():
            part.after_step(tau)


class Parts(Protocol):
    """What a part may ask of the network that it becomes part of; `policies.models.trunk.Trunk` answers."""

    spec: EnvSpec
    config: ConfigDict
    auxiliary: Mapping[str, nn.Module]
    actions: Actions  # what the policy's outputs mean

    @property
    def memory(self) -> Memory:
        """The memory behind `history`."""

    @property
    def believer(self) -> Believer:
        """The conditional VAE behind `belief`, its posterior included."""

    def width(self, view: str) -> int:
        """The number of features F of a view (T+1, B, F); to ask for it is to have it computed, if it can be."""

    def moments(self, view: str) -> Moments | None:
        """Mean and covariance of a frozen view of the state over the domain's states, where they are known."""
