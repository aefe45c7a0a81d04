"""Pay for what a teacher's follower gains: r̃_t = γ V_F(h_{t+1}) - V_F(h_t) (ELF, Walsman et al., ICLR 2023).

Potential-based shaping (Ng, Harada & Russell, 1999): what is best stays best, whatever V_F is. Its unit is reward's.
"""

from collections.abc import Mapping
from typing import Self

from ml_collections import ConfigDict
from torch import Tensor

from buffers.batch import EpisodeBatch
from policies.auxiliary.follower import Follower
from policies.extensions import IntrinsicReward
from policies.models.trunk import Trunk
from utils.errors import UserError


class FollowerValue(IntrinsicReward):
    """How much more it is worth to follow from now on than it was a step before; with weight 1 the paper's."""

    def __init__(self, discount: float):
        super().__init__()
        self.discount = discount

    @classmethod
    def build(cls, trunk: Trunk, settings: ConfigDict) -> Self:
        if not isinstance(trunk.auxiliary.get("follower"), Follower):
            raise UserError("--config_rl.intrinsic.use: follower_value needs auxiliary.use=('follower',)")
        return cls(trunk.config.rl.discount)

    def reward(self, views: Mapping[str, Tensor], batch: EpisodeBatch) -> Tensor:
        """The unweighted bonus of each step: (T+1, B, 1) -> (T, B)."""
        value_TB = views["follower_value"].squeeze(-1)
        return self.discount * batch.discount * value_TB[1:] - value_TB[:-1]
