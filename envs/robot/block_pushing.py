"""Block-Pushing: push the cube that moves onto the goal."""

import numpy as np
import pybullet

from envs.robot.base import CENTRE, HIGH, LOW
from envs.robot.blocks import BlocksEnv
from envs.robot.shapes import Floats, matrix_z, pixel_centres

PAD = 0.09  # metres, the side of the goal
MARKED = 0.02  # metres that the goal is deeper in the picture
NEAR = 0.05  # metres from the goal's centre: there
CUBE_BORDER, PAD_BORDER = 0.06, 0.065  # metres of the workspace that stay free on each side
CUBES_APART, PAD_APART, OUT_OF_THE_WAY = 0.12, 0.09, 0.1
LYING = 0.01  # metres that a cube's centre may be higher than of one that lies flat
MARGIN = 0.05  # metres beyond the workspace where a cube is not lost yet


class BlockPushing(BlocksEnv):
    """Two cubes of 0.05 m and a goal, 0.09 m square, which shows as 0.02 m deeper. One cube is fixed.

    Success: the other one lies within 0.05 m of the goal's centre. Places are uniform in the workspace, with 0.06 m
    (goal 0.065 m) free at its borders, cubes more than 0.12 m apart, the goal more than 0.09 m from each, the fixed one
    not in the way from either cube to the goal: the picture must not tell which one it is. Each yaw is uniform in
    (-π/2, π/2); which one moves is a fair coin. See `RobotEnv` for the rest.
    """

    scene_names = ("x0", "y0", "yaw0", "x1", "y1", "yaw1", "goal_x", "goal_y", "goal_yaw", "movable")
    half, mass, friction = (0.025, 0.025, 0.025), 0.02, 1.0
    travel_height = 0.11

    def _load(self) -> None:
        super()._load()
        half = (PAD / 2, PAD / 2, 5e-4)
        visual = self._bullet.createVisualShape(pybullet.GEOM_BOX, halfExtents=half, rgbaColor=(0.5, 0.75, 1.0, 1.0))
        self._pad: int = self._bullet.createMultiBody(0.0, -1, visual, (0.5, 0.0, 5e-4))

    def _draw(self) -> Floats:
        while True:
            first, second, goal = (self._spot(border) for border in (CUBE_BORDER, CUBE_BORDER, PAD_BORDER))
            apart = np.linalg.norm(first - second)
            ways = np.linalg.norm(first - goal), np.linalg.norm(second - goal)
            detour = min(ways[0] + apart - ways[1], ways[1] + apart - ways[0])
            if apart > CUBES_APART and min(ways) > PAD_APART and detour > OUT_OF_THE_WAY:
                break
        yaw = self.np_random.uniform(-np.pi / 2, np.pi / 2, 2)
        return np.array([*first, yaw[0], *second, yaw[1], *goal, 0.0])

    def _spot(self, border: float) -> Floats:
        return self.np_random.uniform(LOW[:2] + border, HIGH[:2] - border)

    def _place(self) -> None:
        super()._place()
        x, y, yaw = self.scene[6:9]
        self._bullet.resetBasePositionAndOrientation(
            self._pad, (x, y, 5e-4), pybullet.getQuaternionFromEuler((0, 0, yaw))
        )

    def _painting(self, x: float, y: float, turn: float) -> Floats:
        """The goal, a square that is clipped at the picture's borders, also where something covers it."""
        goal, yaw = self.scene[6:8], self.scene[8] - turn
        if turn:
            goal = matrix_z(-turn) @ (goal - (x, y)) + (x, y)
        away_x, away_y = pixel_centres(x)[:, None] - goal[0], pixel_centres(y)[None] - goal[1]
        along = np.abs(np.cos(yaw) * away_x + np.sin(yaw) * away_y)
        across = np.abs(np.cos(yaw) * away_y - np.sin(yaw) * away_x)
        return np.where(np.maximum(along, across) < PAD / 2, MARKED, 0.0)

    def _is_done(self) -> bool:
        at = self._shown[0]
        return bool(np.linalg.norm(at[:2] - self.scene[6:8]) < NEAR and at[2] < self.half[2] + LYING)

    def _is_lost(self) -> bool:
        return bool((np.abs(self._shown[0] - CENTRE)[:2] > (HIGH - LOW)[:2] / 2 + MARGIN).any())

    def _way(self, block: Floats, index: int) -> Floats:
        way: Floats = self.scene[6:8] - block
        return way
