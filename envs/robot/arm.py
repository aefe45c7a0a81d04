"""The KUKA iiwa with a gripper of two fingers: forward and inverse kinematics, moves that stop where blocked.

Lengths are metres, angles radians, times steps of the simulation. The *tool* is the point between the finger tips; its
z axis points up and its yaw is 0 where the fingers open along the world's x.
"""

from pathlib import Path

import numpy as np
import pybullet
import pybullet_data
from numpy.typing import NDArray

from envs.robot.bullet import Bullet

Floats = NDArray[np.float64]

ARM = tuple(range(7))
FINGERS, TIPS, WRIST = (8, 11), (10, 13), 7
BASE = (
    -0.05,
    0.0,
    0.0,
)  # the reference's -0.2 is so far away that an upright tool reaches no more than x = 0.62
HOME = np.array([-0.4446, 0.0837, -2.6123, 1.8883, -0.0457, -1.1810, 0.0699])
TOOL_IN_GRIPPER = (0.0, 0.022, 0.23)  # and half a turn about x
OPEN = 0.2  # the angle of an open finger; 0 is closed
FORCE, FINGER_FORCE = 200.0, 2.0
GAIN = 0.3  # share of a joint's error that its motor takes away in a step
TIME_STEP = 1 / 240  # seconds
FREE = 100.0  # joint limits; those of the file are narrower than the turns of the last joint that tasks ask for

SPEED, TURN = 0.0016, 0.013  # of the tool along its longest way, in a step, on average
SETTLE = 40  # steps at most, after a move
AT_REST = 2e-4  # the greatest change of a joint in a step of an arm that rests
BLOCKED = 0.05  # the lag of a joint, from which on the arm does not press harder


class Arm:
    """One arm in one simulation.

    Args:
        bullet: the simulation that it is loaded into.
    """

    def __init__(self, bullet: Bullet) -> None:
        self._bullet = bullet
        file = Path(pybullet_data.getDataPath()) / "kuka_iiwa" / "kuka_with_gripper2.sdf"
        self.body: int = bullet.loadSDF(str(file))[0]
        bullet.resetBasePositionAndOrientation(self.body, BASE, (0, 0, 0, 1))
        for joint in (*ARM, WRIST, *FINGERS, *TIPS):
            bullet.resetJointState(self.body, joint, 0.0)
            bullet.changeDynamics(self.body, joint, jointLowerLimit=-FREE, jointUpperLimit=FREE)
        for link in range(8, 14):
            bullet.changeDynamics(self.body, link, lateralFriction=0.8, spinningFriction=0.1)
        frames = [bullet.getLinkState(self.body, joint, computeForwardKinematics=1)[4:6] for joint in (*ARM, WRIST)]
        self._origin = np.array([position for position, _ in frames[:7]])  # (7, 3), of the joints at angle 0
        self._axis = np.array([matrix(turn)[:, 2] for _, turn in frames[:7]])  # (7, 3)
        gripper, turn = frames[7]
        self._tool = np.array(gripper) + matrix(turn) @ np.array(TOOL_IN_GRIPPER)
        self._tool_turn = matrix(turn) @ np.diag([1.0, -1.0, -1.0])
        self.rest_joints = HOME

    def reset(self, joints: Floats, opening: float) -> None:
        """Puts the arm at rest at these joint angles (7,) with the gripper open by a share of its width."""
        for joint, angle in zip(ARM, joints, strict=True):
            self._bullet.resetJointState(self.body, joint, angle)
        for joint in (WRIST, *TIPS):
            self._bullet.resetJointState(self.body, joint, 0.0)
        for joint, sign in zip(FINGERS, (-1, 1), strict=True):
            self._bullet.resetJointState(self.body, joint, sign * OPEN * opening)
        self._command_fingers(opening)
        self._command(joints)

    def joints(self) -> Floats:
        """The angles (7,)."""
        return np.array([state[0] for state in self._bullet.getJointStates(self.body, ARM)])

    def fingers(self) -> Floats:
        """How far each finger is open (2,): 0 to 1, and beyond where it is forced."""
        left, right = (state[0] for state in self._bullet.getJointStates(self.body, FINGERS))
        return np.array([-left, right]) / OPEN

    def opening(self) -> float:
        """How far the gripper is open, 0 to 1."""
        return float(np.clip(self.fingers().mean(), 0.0, 1.0))

    def tool(self, joints: Floats | None = None) -> tuple[Floats, float]:
        """The tool's position (3,) and its yaw in (-π, π], measured or at these angles."""
        position, turn, _ = self._forward(self.joints() if joints is None else joints)
        return position, float(np.arctan2(turn[1, 0], turn[0, 0]))

    def solve(self, position: Floats, yaw: float, joints: Floats) -> Floats:
        """Angles (7,) that put the tool there, upright: damped least squares from `joints`, near the rest posture."""
        cos, sin = np.cos(yaw), np.sin(yaw)
        wanted = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
        for _ in range(12):
            at, turn, jacobian = self._forward(joints)
            error = np.concatenate([position - at, 0.5 * np.cross(turn.T, wanted.T).sum(axis=0)])
            if np.abs(error).max() < 1e-5:
                break
            inverse = jacobian.T @ np.linalg.inv(jacobian @ jacobian.T + 1e-6 * np.eye(6))
            posture = 0.1 * (self.rest_joints - joints)
            posture[6] = 0.0  # the last joint turns with the tool
            change = inverse @ error + posture - inverse @ (jacobian @ posture)
            joints = joints + change * min(1.0, 0.5 / np.abs(change).max())
        return joints

    def move(self, position: Floats, yaw: float, opening: float) -> None:
        """Moves the tool and the fingers, until they rest or are blocked. `yaw` is counted from the present one.

        The joints follow their ways at a smooth pace. Where one lags behind, because something is in the way, the arm
        stops pressing harder and stays where it has come to.
        """
        start = self.joints()
        at, now = self.tool(start)
        end = self.solve(position, now + yaw, start)
        steps = int(np.ceil(max(np.abs(position - at).max() / SPEED, abs(yaw) / TURN, 4.0)))
        self._command_fingers(opening)
        joints, command = start, start
        for step in range(1, steps + 1):
            if np.abs(command - joints).max() > BLOCKED:
                break
            share = step / steps
            command = start + (end - start) * (share * share * (3.0 - 2.0 * share))
            self._command(command, (end - start) * (6.0 * share * (1.0 - share) / steps))
            self._bullet.stepSimulation()
            joints = self.joints()
        self._command(command)
        self._rest(joints)

    def _rest(self, joints: Floats) -> None:
        fingers = self.opening()
        for _ in range(SETTLE):
            self._bullet.stepSimulation()
            before, joints = joints, self.joints()
            fingers_before, fingers = fingers, self.opening()
            if np.abs(joints - before).max() < AT_REST and abs(fingers - fingers_before) < 2e-3:
                break
        self._command(joints)

    def _command(self, joints: Floats, change: Floats | None = None) -> None:
        """Where the joints are to be, and their change in a step of the simulation."""
        velocity = np.zeros(7) if change is None else change / TIME_STEP
        self._bullet.setJointMotorControlArray(
            self.body,
            ARM,
            pybullet.POSITION_CONTROL,
            targetPositions=joints.tolist(),
            targetVelocities=velocity.tolist(),
            forces=[FORCE] * 7,
            positionGains=[GAIN] * 7,
        )

    def _command_fingers(self, opening: float) -> None:
        angle = OPEN * opening
        self._bullet.setJointMotorControlArray(
            self.body,
            (WRIST, *FINGERS, *TIPS),
            pybullet.POSITION_CONTROL,
            targetPositions=[0.0, -angle, angle, 0.0, 0.0],
            forces=[FORCE, FINGER_FORCE, FINGER_FORCE, FINGER_FORCE, FINGER_FORCE],
        )

    def _forward(self, joints: Floats) -> tuple[Floats, Floats, Floats]:
        """The tool's position (3,), rotation (3, 3) and Jacobian (6, 7), by the product of exponentials."""
        turn, shift = np.eye(3), np.zeros(3)
        origin, axis = np.empty((7, 3)), np.empty((7, 3))
        for i, angle in enumerate(joints):
            origin[i], axis[i] = turn @ self._origin[i] + shift, turn @ self._axis[i]
            step = _rotation(self._axis[i], angle)
            shift = origin[i] - turn @ (step @ self._origin[i])
            turn = turn @ step
        position = turn @ self._tool + shift
        jacobian = np.concatenate([_cross(axis, position - origin), axis], axis=1).T
        return position, turn @ self._tool_turn, jacobian


def matrix(quaternion: tuple[float, ...]) -> Floats:
    """The rotation (3, 3) of a quaternion (x, y, z, w)."""
    return np.array(pybullet.getMatrixFromQuaternion(quaternion)).reshape(3, 3)


def _rotation(axis: Floats, angle: float) -> Floats:
    """The rotation (3, 3) about a unit axis."""
    x, y, z = axis
    cos, sin = np.cos(angle), np.sin(angle)
    k = 1.0 - cos
    return np.array(
        [
            [cos + x * x * k, x * y * k - z * sin, x * z * k + y * sin],
            [y * x * k + z * sin, cos + y * y * k, y * z * k - x * sin],
            [z * x * k - y * sin, z * y * k + x * sin, cos + z * z * k],
        ]
    )


def _cross(a: Floats, b: Floats) -> Floats:
    """The cross products of the rows; a fifth of what numpy's costs."""
    return np.stack(
        [
            a[:, 1] * b[:, 2] - a[:, 2] * b[:, 1],
            a[:, 2] * b[:, 0] - a[:, 0] * b[:, 2],
            a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0],
        ],
        axis=1,
    )
