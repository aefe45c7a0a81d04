"""Heaven-Hell-n: ask the priest which way heaven lies, cell by numbered cell (Baisero & Amato, 2022; Bonet, 1998)."""

import numpy as np

from envs.finite import FinitePOMDP

NORTH, SOUTH, EAST, WEST = range(4)


def heaven_hell_model(n: int, discount: float = 0.99) -> FinitePOMDP:
    """Two copies of a corridor of 4n+2 cells, that with heaven on the left first; what an exit pays comes a step later.

    ::

        2n … n+1  n  2n+1 … 3n      2n and 3n the exits, n the upper fork
                  …
                  1
                  0                 start
                 3n+1 … 4n+1        4n+1 the priest

    Raises:
        ValueError: n is less than 1.
    """
    if n < 1:
        raise ValueError(f"n is {n}; at least 1")
    next_CA = next_cells(n)
    num_cells = len(next_CA)
    num_states, num_observations = 2 * num_cells, num_cells + 1
    cell_S, right_S = np.arange(num_states) % num_cells, np.arange(num_states) >= num_cells
    transition_ASE = np.zeros((4, num_states, num_states))
    for action in range(4):
        transition_ASE[action, range(num_states), next_CA[cell_S, action] + num_cells * right_S] = 1.0
    seen_S = np.where((cell_S == num_cells - 1) & right_S, num_cells, cell_S)
    exit_S = (cell_S == 2 * n) | (cell_S == 3 * n)
    reward_S = exit_S * np.where((cell_S == 3 * n) == right_S, 1.0, -1.0)
    return FinitePOMDP(
        start_S=np.where(cell_S == 0, 0.5, 0.0),
        transition_ASE=tuple(transition_ASE),
        ends_ASE=(np.repeat(exit_S[:, None] * 1.0, num_states, axis=1),) * 4,
        observation_AEO=(np.eye(num_observations)[seen_S],) * 4,
        reward_SA=np.repeat(reward_S[:, None], 4, axis=1),
        discount=discount,
        states=tuple(f"{side}{cell}" for side in ("left", "right") for cell in range(num_cells)),
        actions=("N", "S", "E", "W"),
        observations=(*(f"o{cell}" for cell in range(num_cells - 1)), "left", "right"),
    )


def next_cells(n: int) -> np.ndarray:
    """The cell (C, A) that each action leads to."""
    next_CA = np.repeat(np.arange(4 * n + 2)[:, None], 4, axis=1)

    def connect(cells: list[int], there: int, back: int) -> None:
        next_CA[cells[:-1], there], next_CA[cells[1:], back] = cells[1:], cells[:-1]

    connect([3 * n + 1, *range(n + 1)], NORTH, SOUTH)
    connect([*range(2 * n, n - 1, -1), *range(2 * n + 1, 3 * n + 1)], EAST, WEST)
    connect(list(range(3 * n + 1, 4 * n + 2)), EAST, WEST)
    return next_CA
