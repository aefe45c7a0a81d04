"""Colours and shapes that the domains' pictures share."""

import numpy as np
from numpy.typing import NDArray

FLOOR, WALL, LINE = (245, 243, 238), (70, 74, 82), (214, 210, 202)
INFORMATION, GOOD, BAD, CANDIDATE = (250, 204, 90), (76, 175, 110), (214, 84, 80), (205, 205, 214)
AGENT, KNOWS = (52, 101, 164), (255, 255, 255)

CELL = 32  # pixels; the agent fills three quarters of it


def hatching(height: int, width: int) -> NDArray[np.bool_]:
    """Diagonal stripes (height, width): what is there, but not seen, is drawn on them only."""
    row, column = np.mgrid[:height, :width]
    stripes: NDArray[np.bool_] = (row + column) // 4 % 2 == 0
    return stripes


def draw_agent(frame: NDArray[np.uint8], row: float, column: float, informed: bool) -> None:
    """A blue disc around (row, column) in pixels, with a white dot once the agent knows; changes the frame."""
    row_P, column_P = np.mgrid[: frame.shape[0], : frame.shape[1]]
    radius = np.hypot(row_P - row + 0.5, column_P - column + 0.5) / CELL
    frame[radius < 0.36] = AGENT
    if informed:
        frame[radius < 0.13] = KNOWS
