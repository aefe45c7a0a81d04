"""The policy must do what the expert did, on the expert's episodes in the replay."""

from collections.abc import Callable, Mapping
from typing import ClassVar, Self

from ml_collections import ConfigDict
from torch import Tensor

from buffers.batch import EpisodeBatch
from policies.extensions import AuxiliaryLoss, transition_rows
from policies.models.trunk import Trunk
from torchkit.actions import Distribution
from utils.errors import choose_name
from utils.reads import ANY, Reads


def fit_of(actions: Distribution, fit: str) -> Callable[[Tensor, Tensor], Tensor]:
    """How far outputs (…, X) are from actions (…) by a name: distance, or likelihood."""
    choose_name(("distance", "likelihood"), fit, "--config_rl.auxiliary: fit")
    return actions.distance if fit == "distance" else actions.surprise


class BehaviourCloning(AuxiliaryLoss):
    """How far the policy is from the expert's actions, by what its outputs mean.

    By `fit` that is the distance of the best action, or the likelihood, by which what is drawn narrows, too. It reads
    the view `of`, which is `policy`, the acting head's output.
    """

    of_actor = of_expert = True
    of: ClassVar[str] = "policy"
    reads: ClassVar[Reads] = {"fit": ANY}

    def __init__(self, actions: Distribution, weight: float, fit: str = "distance"):
        super().__init__()
        self.loss_weight, self.error = weight, fit_of(actions, fit)

    @classmethod
    def build(cls, trunk: Trunk, settings: ConfigDict) -> Self:
        assert isinstance(trunk.actions, Distribution), "it is a loss of an actor"
        return cls(trunk.actions, settings.weight, settings.fit)

    def loss(self, views: Mapping[str, Tensor], batch: EpisodeBatch) -> Tensor:
        return transition_rows(self.error(views[self.of][:-1], batch.action))

    def mask(self, batch: EpisodeBatch) -> Tensor:
        """Only the expert's transitions count."""
        return transition_rows(batch.mask * batch.expert)
