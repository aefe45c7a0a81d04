"""What the two tasks with blocks share: a block that moves, one that is fixed, and pushing one along a line."""

from abc import abstractmethod
from typing import ClassVar

import numpy as np
import pybullet
from numpy.typing import NDArray

from envs.robot.arm import matrix
from envs.robot.base import HIGH, LOW, MOVED, SEEN, RobotEnv
from envs.robot.shapes import Body, Floats, Shape

BLUE = (0.25, 0.45, 0.85, 1.0)
PUSHING_HEIGHT = 0.03
TOOL_RADIUS = 0.025  # metres between the tool and a face that it is put behind


class BlocksEnv(RobotEnv):
    """Two blocks that look alike. A subclass says how large they are and where one is to be pushed."""

    told_apart = (0.015, 1.0)
    half: ClassVar[tuple[float, float, float]]
    mass: ClassVar[float]
    friction: ClassVar[float]
    travel_height: ClassVar[float]  # of the tool, above the blocks

    def _load(self) -> None:
        bullet = self._bullet
        shape = bullet.createCollisionShape(pybullet.GEOM_BOX, halfExtents=self.half)
        visual = bullet.createVisualShape(pybullet.GEOM_BOX, halfExtents=self.half, rgbaColor=BLUE)
        self._moving: int = bullet.createMultiBody(self.mass, shape, visual, (0.5, 0.5, self.half[2]))
        self._fixed: int = bullet.createMultiBody(0.0, shape, visual, (0.5, -0.5, self.half[2]))
        for body in (self._moving, self._fixed):
            bullet.changeDynamics(body, -1, lateralFriction=self.friction, restitution=0.0)
        bullet.changeDynamics(self._moving, -1, linearDamping=0.04, angularDamping=0.04)

    def _pose(self, index: int) -> tuple[Floats, Floats]:
        """Where a scene puts a block: position (3,) and rotation (3, 3)."""
        x, y, yaw = self.scene[3 * index : 3 * index + 3]
        return np.array([x, y, self.half[2]]), matrix(pybullet.getQuaternionFromEuler((0, 0, yaw)))

    def _place(self) -> None:
        for body, index in ((self._moving, self.movable), (self._fixed, 1 - self.movable)):
            yaw = self.scene[3 * index + 2]
            position, turn = self._pose(index)[0], pybullet.getQuaternionFromEuler((0, 0, yaw))
            self._bullet.resetBasePositionAndOrientation(body, position.tolist(), turn)
        if self.spreads[3]:
            self._bullet.changeDynamics(self._moving, -1, mass=self.mass * self._mass)
        self._shown = self._start = self._pose(self.movable)

    def _bodies(self) -> list[Body]:
        position, quaternion = self._bullet.getBasePositionAndOrientation(self._moving)
        now = np.array(position), matrix(quaternion)
        if np.abs(now[0] - self._shown[0]).max() > SEEN[0] or np.abs(now[1] - self._shown[1]).max() > SEEN[1]:
            self._shown = now
        block = Shape((0.0, 0.0, 0.0), self.half)
        moving = Shape((0.0, 0.0, 0.0), self.half, label=1)
        return [Body(*self._pose(1 - self.movable), (block,)), Body(*self._shown, (moving,))]

    def _has_moved(self) -> bool:
        return bool(np.linalg.norm(self._shown[0][:2] - self._start[0][:2]) > MOVED)

    def _touches_fixed(self) -> bool:
        contacts = self._bullet.getContactPoints(self._arm.body, self._fixed)
        return any(contact[8] < 1e-3 for contact in contacts)

    def _is_lost(self) -> bool:
        at = self._shown[0]
        return bool((at[:2] < LOW[:2]).any() or (at[:2] > HIGH[:2]).any())

    @abstractmethod
    def _way(self, block: Floats, index: int) -> Floats:
        """From the block (2,) to where it is to go (2,)."""

    def _handle(self, index: int) -> NDArray[np.float32]:
        """Over the block, down behind it, along the line; as the scene is now, without a memory of the plan."""
        position, rotation = self._shown if index == self.movable else self._pose(index)
        way = self._way(position[:2], index)
        ahead = way / max(float(np.linalg.norm(way)), 1e-6)
        left = np.array([-ahead[1], ahead[0]])
        reach = float(np.abs(rotation[:2, :2].T @ ahead) @ np.array(self.half[:2]))
        behind = np.clip(position[:2] - (reach + TOOL_RADIUS) * ahead, LOW[:2], HIGH[:2])
        # the gripper is as good turned half round
        turn = (np.arctan2(ahead[1], ahead[0]) + np.pi / 2 - self._yaw + np.pi / 2) % np.pi - np.pi / 2
        away = self._tool[:2] - position[:2]
        along, aside = float(away @ ahead), float(away @ left)
        is_behind = -reach - 0.06 < along < -0.5 * reach and abs(aside) < 0.025
        height = float(self._tool[2])
        if is_behind and height < PUSHING_HEIGHT + 0.01:
            shift = np.array([*(0.05 * ahead - aside * left), PUSHING_HEIGHT - height])
        elif np.abs(self._tool[:2] - behind).max() < 0.01 and abs(turn) < 0.1:
            shift = np.array([*(behind - self._tool[:2]), PUSHING_HEIGHT - height])
        elif height < self.travel_height - 0.02:
            shift, turn = np.array([0.0, 0.0, self.travel_height - height]), 0.0
        else:
            shift = np.array([*(behind - self._tool[:2]), self.travel_height - height])
        return self._action(0.0, shift, float(turn))
