"""Pay for each gain of information about the state: r_int ∝ I(h_t; z^s_t) - I(h_{t-1}; z^s_t) (Nguyen et al., 2024)."""

import math
from collections.abc import Callable, Mapping
from typing import ClassVar, Self

import torch
from ml_collections import ConfigDict
from torch import Tensor

from buffers.batch import EpisodeBatch
from policies.auxiliary.state_prediction import StatePrediction
from policies.extensions import IntrinsicReward
from policies.models.trunk import Trunk
from utils.errors import UserError, choose_name
from utils.reads import ANY, Reads

BONUS_TARGETS = ("common", "own_step", "potential", "foreseen", "best")


class InformationGain(IntrinsicReward):
    """How much the error of predicting the state falls over a step.

    `bonus_target` says what the history before the step is held against: `common`, the state after the step, as is the
    history after it (the paper); `own_step`, the state before it (the released code); `potential`, own step with the
    error after the step discounted, which makes it potential-based shaping (Ng et al., 1999); `foreseen`, the state
    after the step, which a second predictor foresees from the history before it and the action, so that a motion whose
    outcome is known pays nothing; `best`, the least error of the episode so far, so that only what was never known as
    well is paid, and an episode all in all by what it came to know, however it moves. There an error by `share` is cut
    at 1, that of knowing nothing, and a step that truly ends the episode is paid nothing: in stage 2 no state after one
    was embedded with a target, so that its error cannot be compared with those before.
    """

    under_vmap = True
    reads: ClassVar[Reads] = {"bonus_target": ANY}

    def __init__(
        self,
        errors: Callable[[Tensor, Tensor], Tensor],
        bonus_target: str,
        discount: float,
        nothing: float = math.inf,
    ):
        """An information gain by a measure of its own.

        Args:
            errors: of predictions (…, X) of states (…, Z), (…).
            bonus_target: one of `BONUS_TARGETS`.
            discount: γ of the family, which `potential` reads.
            nothing: the error of who knows nothing, above which none counts in `best`.
        """
        super().__init__()
        self.errors, self.bonus_target, self.discount, self.nothing = errors, bonus_target, discount, nothing

    @classmethod
    def build(cls, trunk: Trunk, settings: ConfigDict) -> Self:
        """Pays for what the auxiliary loss `state_prediction` predicts better, in that loss's own measure."""
        flag = "--config_rl.intrinsic.information_gain.bonus_target"
        bonus_target = choose_name(BONUS_TARGETS, settings.bonus_target, flag)
        predictor = trunk.auxiliary.get("state_prediction")
        if not isinstance(predictor, StatePrediction):
            raise UserError("--config_rl.intrinsic.use: information_gain needs auxiliary.use=('state_prediction',)")
        if bonus_target == "foreseen":
            predictor.look_ahead(trunk.spec.action_dim)
        nothing = 1.0 if predictor.error == "share" else math.inf
        return cls(predictor.errors, bonus_target, trunk.config.rl.discount, nothing)

    def reward(self, views: Mapping[str, Tensor], batch: EpisodeBatch) -> Tensor:
        """The unweighted bonus of each step: R = T+1 rows (R, B, ·) -> (T, B)."""
        prediction, target = views["predicted_state"].detach(), views["state_target"]
        after_TB = self.errors(prediction[1:], target[1:])
        if self.bonus_target == "foreseen":
            return self.errors(views["foreseen_state"].detach()[1:], target[1:]) - after_TB
        if self.bonus_target == "common":
            return self.errors(prediction[:-1], target[1:]) - after_TB
        before_TB = self.errors(prediction[:-1], target[:-1])
        if self.bonus_target == "best":
            after_TB = after_TB.masked_fill(batch.discount == 0, torch.inf)
            least_RB = torch.cat([before_TB[:1], after_TB]).clamp(max=self.nothing).cummin(0).values
            return least_RB[:-1] - least_RB[1:]
        if self.bonus_target == "potential":
            return before_TB - self.discount * batch.discount * after_TB
        return before_TB - after_TB
