"""The policy must do what the expert did, on the expert's episodes in the replay."""

from collections.abc import Mapping
from typing import Self

import torch.nn.functional as F
from ml_collections import ConfigDict
from torch import Tensor

from buffers.batch import EpisodeBatch
from policies.parts import AuxiliaryLoss, Parts, transition_rows
from torchkit.distributions import mode_tanh_gaussian


class BehaviourCloning(AuxiliaryLoss):
    """Squared distance of a continuous action from the policy's greedy one, cross-entropy of a discrete one.

    It reads the view `policy`, the acting head's output.
    """

    of_actor = True

    def __init__(self, discrete: bool, weight: float):
        super().__init__()
        self.discrete, self.loss_weight = discrete, weight

    @classmethod
    def build(cls, parts: Parts, settings: ConfigDict) -> Self:
        return cls(parts.spec.discrete, settings.weight)

    def loss(self, views: Mapping[str, Tensor], batch: EpisodeBatch) -> Tensor:
        output = views["policy"][:-1]
        if self.discrete:
            return transition_rows(F.cross_entropy(output.movedim(-1, 1), batch.action, reduction="none"))
        return transition_rows((mode_tanh_gaussian(output) - batch.action).square().sum(-1))

    def mask(self, batch: EpisodeBatch) -> Tensor:
        """Only the expert's transitions count."""
        return transition_rows(batch.mask * batch.expert)
