"""Heaven-Hell-n: ask the priest which way heaven lies, cell by numbered cell (Baisero & Amato, 2022; Bonet, 1998)."""

import numpy as np
from numpy.typing import NDArray

from envs.arrays import ArrayEnv, ArrayVectorEnv, Ints
from envs.finite import FinitePOMDP
from envs.finite_rules import STATE
from envs.hidden_fact import HiddenFactRules, deterministic, ways
from envs.pictures import BAD, CANDIDATE, CELL, FLOOR, GOOD, INFORMATION, LINE, WALL, draw_agent, hatching

NORTH, SOUTH, EAST, WEST = range(4)


class HeavenHellNRules(HiddenFactRules):
    """A corridor of 4n+2 cells, heaven at one end of its bar and hell at the other; what they pay comes a step later.

    ::

        2n … n+1  n  2n+1 … 3n      2n and 3n the exits, n the fork
                  …
                  1
                  0                 start
                 3n+1 … 4n+1        4n+1 the priest

    Observation: one-hot, the cell or, on the priest's, heaven's side (4n+3); zeros before the first action. State:
    one-hot, 4n+2 cells with heaven on the left, then as many with heaven on the right. Actions: 0 north, 1 south, 2
    east, 3 west; a wall leaves the agent in place. Reward: whatever is done on an exit ends the episode and pays 1 in
    heaven and -1 in hell. Start: cell 0, heaven's side by a fair coin. Discount 0.99, horizon 100.

    Optimum: return 1 in 4n+3 steps, discounted 0.99^(4n+2); without asking, 0 on average.

    Args:
        n: the length of each corridor, at least 1.
        one_hot: whether views are one-hot; else numbers.
    """

    def __init__(self, n: int = 3, one_hot: bool = True) -> None:
        model = heaven_hell_model(n)
        self.n, self.num_cells = n, 4 * n + 2
        cell_S = np.arange(2 * self.num_cells) % self.num_cells
        exits_KS = np.array([cell_S == 2 * n, cell_S == 3 * n])
        exit_S = np.isin(cell_S, [2 * n, 3 * n])
        next_SA = _next_states(n)
        super().__init__(
            model,
            features={"heaven": np.arange(2 * self.num_cells) // self.num_cells, "cell": cell_S},
            fact="heaven",
            ask_S=ways(next_SA, (cell_S == self.num_cells - 1)[None], exit_S)[0],
            act_KS=ways(next_SA, exits_KS, exit_S),
            one_hot=one_hot,
        )
        self._place_C2 = _places(n)

    def picture(self, joint: NDArray[np.float64], informed: bool) -> NDArray[np.uint8]:
        """An RGB drawing, 32 pixels a cell: the priest is yellow, heaven green, hell red and the agent blue.

        While the agent does not know, heaven and hell are hatched; then it wears a white dot.
        """
        side, here = divmod(int(joint[STATE]), self.num_cells)
        frame = np.full((*((self._place_C2.max(axis=0) + 1) * CELL), 3), WALL, np.uint8)
        shown = hatching(CELL, CELL) | informed
        for cell, (row, column) in enumerate(CELL * self._place_C2):
            tile = frame[row : row + CELL, column : column + CELL]
            tile[:] = INFORMATION if cell == self.num_cells - 1 else FLOOR
            if cell in (2 * self.n, 3 * self.n):
                tile[:] = CANDIDATE
                tile[shown] = GOOD if (cell == 3 * self.n) == side else BAD
            tile[[0, -1]] = tile[:, [0, -1]] = LINE
            if cell == here:
                draw_agent(tile, CELL / 2, CELL / 2, informed)
        return frame


def heaven_hell_model(n: int, discount: float = 0.99) -> FinitePOMDP:
    """The POMDP of `HeavenHellNRules`.

    Raises:
        ValueError: n is less than 1.
    """
    if n < 1:
        raise ValueError(f"n is {n}; at least 1")
    num_cells = 4 * n + 2
    side_S, cell_S = np.divmod(np.arange(2 * num_cells), num_cells)
    seen_S = np.where(cell_S == num_cells - 1, num_cells - 1 + side_S, cell_S)
    exit_S = (cell_S == 2 * n) | (cell_S == 3 * n)
    reward_S = exit_S * np.where((cell_S == 3 * n) == side_S, 1.0, -1.0)
    return deterministic(
        start_S=np.where(cell_S == 0, 0.5, 0.0),
        next_SA=_next_states(n),
        seen_EA=np.repeat(seen_S[:, None], 4, axis=1),
        reward_SA=np.repeat(reward_S[:, None], 4, axis=1),
        ends_SA=np.repeat(exit_S[:, None], 4, axis=1),
        discount=discount,
        states=[f"{side}{cell}" for side in ("left", "right") for cell in range(num_cells)],
        actions=("N", "S", "E", "W"),
        observations=(*(f"o{cell}" for cell in range(num_cells - 1)), "left", "right"),
    )


def _next_states(n: int) -> Ints:
    """The state (S, A) that each action leads to."""
    next_CA = np.repeat(np.arange(4 * n + 2)[:, None], 4, axis=1)

    def connect(cells: list[int], there: int, back: int) -> None:
        next_CA[cells[:-1], there], next_CA[cells[1:], back] = cells[1:], cells[:-1]

    connect([3 * n + 1, *range(n + 1)], NORTH, SOUTH)
    connect([*range(2 * n, n - 1, -1), *range(2 * n + 1, 3 * n + 1)], EAST, WEST)
    connect(list(range(3 * n + 1, 4 * n + 2)), EAST, WEST)
    return np.concatenate([next_CA, next_CA + len(next_CA)])


def _places(n: int) -> Ints:
    """Where each cell is drawn (C, 2): row and column."""
    stem = [(n - cell, n) for cell in range(n + 1)]
    bar = [(0, n - step) for step in range(1, n + 1)] + [(0, n + step) for step in range(1, n + 1)]
    return np.array([*stem, *bar, *((n + 1, n + step) for step in range(n + 1))], np.intp)


class HeavenHellNEnv(ArrayEnv):
    """One of them, `HeavenHell-1-v0` to `HeavenHell-4-v0`; see `HeavenHellNRules`."""

    rules_type = HeavenHellNRules


class HeavenHellNVectorEnv(ArrayVectorEnv):
    """Many of them; see `HeavenHellNRules`."""

    rules_type = HeavenHellNRules
