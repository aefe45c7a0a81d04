"""What auxiliary losses and intrinsic rewards offer to an agent, and what they may ask of the rest of it when built.

Dimension key: T steps, B batch. A batch has T+1 rows: the one after the last action counts.
"""

from collections.abc import Mapping
from typing import Protocol, Self

from ml_collections import ConfigDict
from torch import Tensor, nn

from buffers.batch import EpisodeBatch
from envs.base import EnvSpec
from utils.errors import choose


class AuxiliaryLoss(nn.Module):
    """A further loss on the views of a batch; its own parameters learn with the agent's.

    `loss_weight` is its share in the total. What an intrinsic reward must learn is an auxiliary loss, too: the reward
    reads the view that the loss publishes by `extend`.
    """

    loss_weight: float = 1.0

    @classmethod
    def build(cls, parts: "Parts", settings: ConfigDict) -> Self:
        """The loss that `settings` ask for, `config_rl.auxiliary.<name>`."""
        raise NotImplementedError

    def extend(self, views: dict[str, Tensor], batch: EpisodeBatch) -> None:
        """Adds views (T+1, B, F) that others read as well; nothing if it has none to give."""

    def loss(self, views: Mapping[str, Tensor], batch: EpisodeBatch) -> Tensor:
        """The loss of each row (T+1, B), unweighted; what stands on padding is not read."""
        raise NotImplementedError


class IntrinsicReward:
    """A bonus for each step, computed anew whenever the step is replayed; its weight is `settings.weight`."""

    @classmethod
    def build(cls, parts: "Parts", settings: ConfigDict) -> Self:
        """The reward that `settings` ask for, `config_rl.intrinsic.<name>`; auxiliary losses are there already."""
        raise NotImplementedError

    def reward(self, views: Mapping[str, Tensor], batch: EpisodeBatch) -> Tensor:
        """The unweighted bonus of each step (T, B); called without gradients."""
        raise NotImplementedError


class Parts(Protocol):
    """What a part may ask of the agent that it becomes part of; `policies.build.Builder` answers."""

    spec: EnvSpec
    config: ConfigDict
    auxiliary: dict[str, AuxiliaryLoss]

    def width(self, view: str) -> int:
        """The number of features F of a view (T+1, B, F); to ask for it is to have it computed, if it can be."""


def choose_name(names: tuple[str, ...], name: str, what: str) -> str:
    """Returns `name` if it is one of `names`, else raises a `UserError`."""
    return choose({n: n for n in names}, name, what)
