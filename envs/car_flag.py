"""Car-Flag on a plane: the flag can be seen from the middle only (after Nguyen, 2021; Nguyen et al., 2024)."""

import numpy as np

from envs.arrays import ArrayEnv, ArrayVectorEnv
from envs.grid import ImageGridRules


class CarFlag2DRules(ImageGridRules):
    """An open 11x11 field; the flag is somewhere outside the 3x3 middle, and is seen only from the middle.

    Observation: Box(242), two 11x11 maps, flat: the agent; the flag, zeros outside the middle. State: Box(242), with
    the flag always. Actions: 0 right, 1 up, 2 left, 3 down. Reward: 1 at the flag, which ends the episode. Start: the
    flag uniformly over the 112 outer cells; the agent uniformly over the outer cells at least two steps from the flag.
    Optimum: return 1, by way of the middle. The guessing expert walks around the middle to a cell drawn uniformly, then
    to another one, and so on.
    """

    def __init__(self) -> None:
        size = 11
        row_C, col_C = np.divmod(np.arange(size * size), size)
        information_C = (abs(row_C - 5) <= 1) & (abs(col_C - 5) <= 1)
        goal_K = np.flatnonzero(~information_C)
        distance_KC = abs(row_C[goal_K, None] - row_C) + abs(col_C[goal_K, None] - col_C)
        goal_KC = distance_KC == 0
        super().__init__(
            open_RW=np.ones((size, size), bool),
            goal_K=goal_K,
            information_C=information_C,
            start_KC=~information_C & (distance_KC >= 2),
            reward_KC=goal_KC.astype(np.float64),
            ends_KC=goal_KC,
            any_goal_ends=False,
        )


class CarFlag2DEnv(ArrayEnv):
    """One Car-Flag, `CarFlag-2D-v0`; see `CarFlag2DRules`."""

    rules_type = CarFlag2DRules


class CarFlag2DVectorEnv(ArrayVectorEnv):
    """Many Car-Flags; see `CarFlag2DRules`."""

    rules_type = CarFlag2DRules
