"""Colours and shapes that the domains' pictures share."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils.errors import UserError

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


def as_picture(drawn: Any, env_id: str) -> NDArray[np.uint8]:
    """What an env draws as a picture (height, width, 3): grey and RGBA frames, numbers from 0 to 1, the last of many.

    Raises:
        UserError: it is no picture.
    """
    frame = drawn[-1] if isinstance(drawn, list | tuple) and len(drawn) else drawn
    shape = getattr(frame, "shape", ())
    if not isinstance(frame, np.ndarray) or not frame.size or frame.dtype.kind not in "biuf":
        raise UserError(f"{env_id} draws no pictures (render() gives {type(drawn).__name__})")
    if len(shape) == 2:
        frame = frame[..., None]
    if len(shape) not in (2, 3) or frame.shape[-1] not in (1, 3, 4):
        raise UserError(f"{env_id} draws frames of shape {shape}; (height, width, 3) is needed")
    if frame.dtype != np.uint8:
        unit = 255.0 if frame.dtype.kind in "bf" and np.nanmax(frame) <= 1.0 else 1.0
        frame = np.clip(np.nan_to_num(frame * unit), 0, 255).round().astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(frame[..., :3], (*frame.shape[:2], 3)))


def of_one_size(frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Pictures as one array (number, height, width, 3), the smaller ones in the upper left corner on black."""
    height, width = (max(frame.shape[axis] for frame in frames) for axis in (0, 1))
    film = np.zeros((len(frames), height, width, 3), np.uint8)
    for k, frame in enumerate(frames):
        film[k, : frame.shape[0], : frame.shape[1]] = frame
    return film
