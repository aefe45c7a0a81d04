"""What the policy sees must tell the expert's next actions, not only the present one (Zhao et al., RSS 2023).

Nothing acts by them: a memory that is to foresee them must keep what a plan is made of.
"""

from collections.abc import Mapping
from typing import ClassVar, Self

import torch
from ml_collections import ConfigDict
from torch import Tensor

from buffers.batch import EpisodeBatch
from policies.auxiliary.behaviour_cloning import BehaviourCloning
from policies.extensions import transition_rows
from policies.models.heads import Head
from policies.models.trunk import Trunk
from torchkit.actions import Distribution
from utils.reads import WIDTH, Reads


class ActionChunk(BehaviourCloning):
    """How far `steps` foreseen actions are from the expert's, on average over those that the episode still has.

    It adds the view `action_chunk` (T+1, B, K·X), outputs of K actions.
    """

    of: ClassVar[str] = "action_chunk"
    reads: ClassVar[Reads] = {"steps": WIDTH}

    def __init__(self, head: Head, actions: Distribution, steps: int, weight: float, fit: str = "distance"):
        super().__init__(actions, weight, fit)
        self.head, self.steps = head, steps

    @classmethod
    def build(cls, trunk: Trunk, settings: ConfigDict) -> Self:
        actions, inputs = trunk.actions, tuple(trunk.config.rl.policy_inputs)
        assert isinstance(actions, Distribution), "it is a loss of an actor"
        width = settings.steps * actions.out_dim(trunk.spec.action_dim)
        head = trunk.head(inputs, width, out_bound=actions.first_bound)
        return cls(head, actions, settings.steps, settings.weight, settings.fit)

    def extend(self, views: dict[str, Tensor], batch: EpisodeBatch) -> None:
        views[self.of] = self.head(views, batch)

    def loss(self, views: Mapping[str, Tensor], batch: EpisodeBatch) -> Tensor:
        T, steps = len(batch.mask), min(self.steps, len(batch.mask))
        output_TBKX = views[self.of][:-1].unflatten(-1, (self.steps, -1))
        # of the k-th action after each row: the errors, and 1 where the episode still has it
        error, there = torch.zeros_like(batch.mask), torch.zeros_like(batch.mask)
        for k in range(steps):
            wrong = self.error(output_TBKX[: T - k, :, k], batch.action[k:])
            error[: T - k] = error[: T - k] + (wrong * batch.mask[k:])
            there[: T - k] += batch.mask[k:]
        return transition_rows(error / there.clamp(min=1.0))
