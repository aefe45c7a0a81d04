"""A frame of a film of the robot: the scene from the side, what the camera sees, and the state."""

import numpy as np
from numpy.typing import NDArray

from envs.pictures import GOOD, LINE

GAP = 6  # pixels between the pictures
NEAR, FAR = 0.0, 0.31  # metres that are drawn black and white


def film_frame(camera: NDArray[np.uint8], depth: NDArray[np.float32], mask: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The three side by side (height, 3 height + gaps, 3); in the state the movable object is green.

    Args:
        camera: (height, height, 3), its height a multiple of P.
        depth: (P, P), metres.
        mask: (P, P), 1 where the movable object is.
    """
    scale = len(camera) // len(depth)
    grey = np.clip(255 * (depth - NEAR) / (FAR - NEAR), 0, 255)
    seen = np.repeat(grey[..., None], 3, axis=2)
    state = np.where(mask[..., None] > 0, 0.5 * seen + 0.5 * np.array(GOOD), seen)
    gap = np.full((len(camera), GAP, 3), LINE, np.uint8)
    large = [np.kron(picture, np.ones((scale, scale, 1))).astype(np.uint8) for picture in (seen, state)]
    return np.concatenate([camera, gap, large[0], gap, large[1]], axis=1)
