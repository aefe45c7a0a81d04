"""Block-Pulling: bring the block that moves into contact with the one that is fixed."""

import numpy as np

from envs.robot.blocks import BlocksEnv
from envs.robot.shapes import Floats

TOUCHING = 1e-3  # metres between blocks that count as touching


class BlockPulling(BlocksEnv):
    """Two flat blocks, 0.1 × 0.1 × 0.05 m, lie side by side; one of them is fixed. Success: they touch.

    Both have the same x, uniform in [0.385, 0.615]; each y is uniform in [-0.115, 0.115], more than 0.17 apart; each
    yaw is uniform in (-π/2, π/2). Which one moves is a fair coin. See `RobotEnv` for the rest.
    """

    scene_names = ("x0", "y0", "yaw0", "x1", "y1", "yaw1", "movable")
    half, mass, friction = (0.05, 0.05, 0.025), 0.5, 0.5
    travel_height = 0.1

    def _draw(self) -> Floats:
        rng = self.np_random
        x = rng.uniform(0.385, 0.615)
        y = rng.uniform(-0.115, 0.115, 2)
        while abs(y[0] - y[1]) <= 0.17:
            y = rng.uniform(-0.115, 0.115, 2)
        yaw = rng.uniform(-np.pi / 2, np.pi / 2, 2)
        return np.array([x, y[0], yaw[0], x, y[1], yaw[1]])

    def _is_done(self) -> bool:
        return bool(self._bullet.getClosestPoints(self._moving, self._fixed, TOUCHING))

    def _way(self, block: Floats, index: int) -> Floats:
        other = self._pose(1 - index)[0] if index == self.movable else self._shown[0]
        return other[:2] - block
