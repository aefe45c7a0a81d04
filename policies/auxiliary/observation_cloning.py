"""A head that sees the present observation alone must do what the expert did.

Who is told the previous action can copy it, which is nearly right at most steps, and never learn to read the
observation (the copycat problem: de Haan, Jayaraman & Levine, NeurIPS 2019). This head cannot; it acts nowhere.
"""

from typing import ClassVar, Self

from ml_collections import ConfigDict
from torch import Tensor

from buffers.batch import EpisodeBatch
from policies.auxiliary.behaviour_cloning import BehaviourCloning
from policies.models.heads import Head
from policies.models.trunk import Trunk
from torchkit.actions import Distribution


class ObservationCloning(BehaviourCloning):
    """Behaviour cloning by a head of its own, on the view `observation`.

    It adds the view `policy_of_observation` (T+1, B, X), its output.
    """

    of: ClassVar[str] = "policy_of_observation"

    def __init__(self, head: Head, actions: Distribution, weight: float, fit: str = "distance"):
        super().__init__(actions, weight, fit)
        self.head = head

    @classmethod
    def build(cls, trunk: Trunk, settings: ConfigDict) -> Self:
        actions = trunk.actions
        assert isinstance(actions, Distribution), "it is a loss of an actor"
        width = actions.out_dim(trunk.spec.action_dim)
        head = trunk.head(("observation",), width, out_bound=actions.first_bound)
        return cls(head, actions, settings.weight, settings.fit)

    def extend(self, views: dict[str, Tensor], batch: EpisodeBatch) -> None:
        views[self.of] = self.head(views, batch)
