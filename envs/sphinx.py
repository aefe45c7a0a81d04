"""Sphinx: three corners, one of them right; the sphinx in the fourth tells which, for a price (Nguyen et al., 2024)."""

import numpy as np

from envs.arrays import ArrayEnv, ArrayVectorEnv
from envs.grid import ImageGridRules

TOLL = 0.2


class SphinxRules(ImageGridRules):
    """An open 6x6 field with a candidate goal in each corner but the sphinx's.

    ::

        I . . . . G      I the sphinx, who tells; G a candidate goal
        . . . . . .
        . . . . . .
        . . . . . .
        . . . . . .
        G . . . . G

    Observation: Box(72), two 6x6 maps, flat: the agent; the true goal, zeros away from the sphinx. State: Box(72), with
    the goal always. Actions: 0 right, 1 up, 2 left, 3 down. Reward: 1 at the true goal, and -0.2 for every step that
    ends on the sphinx's cell (bumping into the border there as well). Any candidate ends the episode. Start: uniformly
    over the 26 cells at least two steps from every candidate and not the sphinx's. Optimum: return 0.8 with one visit;
    a blind guess is right once in three times.
    """

    def __init__(self) -> None:
        size = 6
        goal_K = np.array([5, 35, 30])
        row_C, col_C = np.divmod(np.arange(size * size), size)
        distance_KC = abs(row_C[goal_K, None] - row_C) + abs(col_C[goal_K, None] - col_C)
        information_C = np.arange(size * size) == 0
        start_C = ~information_C & (distance_KC >= 2).all(axis=0)
        super().__init__(
            open_RW=np.ones((size, size), bool),
            goal_K=goal_K,
            information_C=information_C,
            start_KC=np.broadcast_to(start_C, distance_KC.shape),
            reward_KC=(distance_KC == 0) - TOLL * information_C,
            ends_KC=np.broadcast_to((distance_KC == 0).any(axis=0), distance_KC.shape),
            any_goal_ends=True,
        )


class SphinxEnv(ArrayEnv):
    """One Sphinx, `Sphinx-v0`; see `SphinxRules`."""

    rules_type = SphinxRules


class SphinxVectorEnv(ArrayVectorEnv):
    """Many Sphinxes; see `SphinxRules`."""

    rules_type = SphinxRules
