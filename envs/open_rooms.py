"""Plain gridworlds as finite models whose state is seen: rooms of any plan, and the deep sea (Osband et al., 2020).

For what is computed exactly, and for experiments on tables; `envs.finite` has what can be done with them.
"""

from collections.abc import Sequence

import numpy as np

from envs.finite import FinitePOMDP, Floats, Ints
from envs.hidden_fact import deterministic

MOVES = {"right": (0, 1), "up": (-1, 0), "left": (0, -1), "down": (1, 0)}  # (rows, columns)
FOUR_ROOMS = (
    "....#....",
    "....#....",
    ".........",
    "....#....",
    "##.###.##",
    "....#....",
    "....#....",
    ".........",
    "....#....",
)  # 68 cells
EMPTY = 14 * (14 * ".",)  # the inside of MiniGrid's Empty-16x16
CROSSING = (*3 * ("....#....",), ".........", *5 * ("....#....",))  # one wall and a gap, as in a SimpleCrossing


def rooms_model(
    plan: Sequence[str], start: tuple[int, int] = (0, 0), goal: tuple[int, int] | None = None, discount: float = 0.98
) -> FinitePOMDP:
    """Cells `.` of a plan, in its order; four moves, which walls and the border stop.

    Args:
        plan: rows of equal length.
        start: row and column.
        goal: where an episode ends, for a reward of 1; None: it never does.
        discount: γ.
    """
    cells = [(row, column) for row, line in enumerate(plan) for column, mark in enumerate(line) if mark == "."]
    number = {cell: index for index, cell in enumerate(cells)}
    next_SA = np.array(
        [[number.get((row + down, column + right), here) for down, right in MOVES.values()]
         for here, (row, column) in enumerate(cells)]
    )  # fmt: skip
    reaches_SA = next_SA == (-1 if goal is None else number[goal])
    names = [f"r{row}c{column}" for row, column in cells]
    return _seen_model(number[start], next_SA, reaches_SA * 1.0, reaches_SA, discount, names, tuple(MOVES))


def deep_sea_model(size: int, discount: float = 0.98) -> FinitePOMDP:
    """A triangle of `size` rows, of which each step goes down one, to the left or right, until an episode ends.

    Right costs 0.01 / size, and pays 1 in the last column of the last row: one of 2^size sequences earns it.
    """
    cells = [(row, column) for row in range(size) for column in range(row + 1)]
    number = {cell: index for index, cell in enumerate(cells)}
    next_SA = np.array(
        [[number.get((row + 1, column + right), number[row, column]) for right in (0, 1)] for row, column in cells]
    )
    ends_SA = np.array([[row == size - 1] * 2 for row, _ in cells])
    reward_SA = np.tile([0.0, -0.01 / size], (len(cells), 1))
    reward_SA[number[size - 1, size - 1], 1] += 1.0
    names = [f"r{row}c{column}" for row, column in cells]
    return _seen_model(0, next_SA, reward_SA, ends_SA, discount, names, ("left", "right"))


def _seen_model(
    start: int,
    next_SA: Ints,
    reward_SA: Floats,
    ends_SA: np.ndarray,
    discount: float,
    names: list[str],
    actions: tuple[str, ...],
) -> FinitePOMDP:
    """A deterministic model whose observation is the state."""
    first_S = np.zeros(len(names))
    first_S[start] = 1.0
    return deterministic(
        start_S=first_S,
        next_SA=next_SA,
        seen_EA=np.repeat(np.arange(len(names))[:, None], len(actions), axis=1),
        reward_SA=reward_SA,
        ends_SA=ends_SA,
        discount=discount,
        states=names,
        actions=actions,
        observations=names,
    )
