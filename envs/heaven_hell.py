"""Heaven-Hell: ask the priest which way heaven lies, then remember it all the way back (Geffner & Bonet, 1998)."""

import numpy as np

from envs.arrays import ArrayEnv, ArrayVectorEnv, Floats, Ints
from envs.grid import GridRules


class HeavenHellRules(GridRules):
    """A T-shaped corridor with heaven at one end of its bar, hell at the other, and a priest round the corner below.

    ::

        H . . . . . H      heaven on one side, hell on the other
        # # # . # # #
        # # # . # # #
        # # # S # # #      start
        # # # . . . P      priest

    Observation: Box(3), column/(cols-1), row/(rows-1), and heaven's side (-1 left, 1 right; 0 away from the priest).
    State: Box(3), the same with heaven's side always. Actions: 0 right, 1 up, 2 left, 3 down. Reward: 1 in heaven, -1
    in hell, both end the episode. Start: the same cell always, heaven's side by a fair coin. Optimum: 14 steps on 5x7
    (18 on 6x9), return 1; without asking, 0 on average.

    Args:
        rows: rows of the grid, at least 3.
        cols: columns of the grid, odd, at least 3.
    """

    state_features = ("column", "row", "heaven")

    def __init__(self, rows: int = 5, cols: int = 7) -> None:
        if rows < 3 or cols < 3 or cols % 2 == 0:
            raise ValueError(f"HeavenHell needs rows >= 3 and an odd cols >= 3, not {rows}x{cols}")
        middle = cols // 2
        open_RW = np.zeros((rows, cols), bool)
        open_RW[0] = open_RW[:, middle] = open_RW[-1, middle:] = True
        cell_RW = np.arange(rows * cols).reshape(rows, cols)
        heaven_K, hell_K = cell_RW[0, [0, -1]], cell_RW[0, [-1, 0]]
        only = np.eye(rows * cols, dtype=bool)
        heaven_KC, hell_KC = only[heaven_K], only[hell_K]
        super().__init__(
            open_RW=open_RW,
            goal_K=heaven_K,
            information_C=only[cell_RW[-1, -1]],
            start_KC=only[cell_RW[[-2, -2], middle]],
            reward_KC=heaven_KC.astype(np.float64) - hell_KC,
            ends_KC=heaven_KC | hell_KC,
            any_goal_ends=True,
            obs_low_O=np.array([0, 0, -1], np.float32),
        )
        row_J, col_J = np.divmod(self.cell_J, cols)
        side_J = 2.0 * self.hidden_J - 1.0
        self._state_JS = np.stack([col_J / (cols - 1), row_J / (rows - 1), side_J], axis=1).astype(np.float32)
        self._obs_JO = self._state_JS.copy()
        self._obs_JO[~self.informative_J, 2] = 0.0

    def observe(self, joint: Ints) -> Floats:
        """Column, row and, on the priest's cell, heaven's side (N, 3)."""
        return self._obs_JO.take(joint, axis=0)

    def state(self, joint: Ints) -> Floats:
        """Column, row and heaven's side (N, 3)."""
        return self._state_JS.take(joint, axis=0)

    def _nearest_joint(self, state_NS: Floats) -> Ints:
        return np.abs(self._state_JS - state_NS[:, None]).sum(axis=-1).argmin(axis=-1)


class HeavenHellEnv(ArrayEnv):
    """One Heaven-Hell, `HeavenHell-v0` or `HeavenHell-6x9-v0`; see `HeavenHellRules`."""

    rules_type = HeavenHellRules


class HeavenHellVectorEnv(ArrayVectorEnv):
    """Many Heaven-Hells; see `HeavenHellRules`."""

    rules_type = HeavenHellRules
