"""The policy must do what the expert did, on the expert's episodes in the replay."""

from collections.abc import Mapping
from typing import ClassVar, Self

from ml_collections import ConfigDict
from torch import Tensor

from buffers.batch import EpisodeBatch
from policies.extensions import AuxiliaryLoss, transition_rows
from policies.models.trunk import Trunk
from torchkit.actions import Distribution


class BehaviourCloning(AuxiliaryLoss):
    """The distance of the policy from the expert's actions, by what its outputs mean.

    It reads the view `of`, which is `policy`, the acting head's output.
    """

    of_actor = of_expert = True
    of: ClassVar[str] = "policy"

    def __init__(self, actions: Distribution, weight: float):
        super().__init__()
        self.actions, self.loss_weight = actions, weight

    @classmethod
    def build(cls, trunk: Trunk, settings: ConfigDict) -> Self:
        assert isinstance(trunk.actions, Distribution), "it is a loss of an actor"
        return cls(trunk.actions, settings.weight)

    def loss(self, views: Mapping[str, Tensor], batch: EpisodeBatch) -> Tensor:
        return transition_rows(self.actions.distance(views[self.of][:-1], batch.action))

    def mask(self, batch: EpisodeBatch) -> Tensor:
        """Only the expert's transitions count."""
        return transition_rows(batch.mask * batch.expert)
