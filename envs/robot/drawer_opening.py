"""Drawer-Opening: two chests of one drawer each stand side by side, one is locked; open the other."""

import tempfile
from pathlib import Path

import numpy as np
import pybullet
from numpy.typing import NDArray

from envs.robot.arm import matrix
from envs.robot.base import CENTRE, HIGH, LOW, MOVED, SEEN, RobotEnv
from envs.robot.shapes import Body, Floats, Shape

SCALE = 0.15
APART = 0.12  # metres between the chests
OPENED = 0.05  # metres that an open drawer has come out
LENGTH = 0.1  # metres that a drawer can come out
FRICTION, LOCK = 0.3, 1e5  # newtons: what stops a drawer that is let go, and one that is locked
MASS, LOCKED_MASS = 0.1, 1e5  # kilograms, of a drawer
HEIGHT = 0.18 * SCALE  # of a chest's centre
FACE, STANDING = 0.35 * SCALE, 0.05  # of a drawer, in front of the chest's centre; of the handle, before the face
ROD, ROD_LENGTH, BAR, BARS_AT = 0.0075, 0.10, 0.01, 0.035  # the handle: radius and length of its rod, its two bars
HOOK = 0.029  # metres between the rod and the tool that pulls at it
TRAVEL_HEIGHT, HOOK_HEIGHT = 0.1, 0.012


def _box(size: tuple[float, float, float], at: tuple[float, float, float], scale: float = SCALE) -> Shape:
    return Shape(tuple(scale * x for x in at), tuple(scale * x / 2 for x in size))  # type: ignore[arg-type]


# x points out of the chest; the arm can come into an open drawer but not into the chest, which is solid
CHEST = (_box((0.71, 0.76, 0.36), (0.0, 0.0, 0.0)),)
DRAWER = (
    _box((0.7, 0.7, 0.02), (0.0, 0.0, -0.14)),
    _box((0.02, 0.7, 0.3), (0.34, 0.0, 0.0)),
    _box((0.02, 0.7, 0.3), (-0.34, 0.0, 0.0)),
    _box((0.7, 0.02, 0.3), (0.0, 0.34, 0.0)),
    _box((0.7, 0.02, 0.3), (0.0, -0.34, 0.0)),
    _box((STANDING, BAR, BAR), (FACE + STANDING / 2, BARS_AT, 0.0), 1.0),
    _box((STANDING, BAR, BAR), (FACE + STANDING / 2, -BARS_AT, 0.0), 1.0),
    Shape((FACE + STANDING, 0.0, 0.0), (ROD, ROD_LENGTH / 2, ROD), radius=ROD),
)
SEEN_AS_MOVABLE = tuple(Shape(part.position, part.half, 1, part.radius) for part in DRAWER)


class DrawerOpening(RobotEnv):
    """Two chests, 0.107 × 0.114 × 0.054 m, each with a drawer and a handle; one is locked. Success: the other is open.

    Open is more than 0.05 m. A rotation ρ is uniform in [0, 2π); the chests stand at the workspace's centre + R(ρ)
    (u, v) and 0.12 m beside it, u uniform in [0.15, 0.20] and v in [-0.1, 0.1], their handles towards the centre.
    Which one is unlocked is a fair coin. In the state the unlocked drawer's front and handle are marked, and what else
    of the drawer is seen. See `RobotEnv` for the rest.
    """

    scene_names = ("x", "y", "rotation", "movable")
    told_apart = (0.02, 0.04)  # handles: lower than a chest and a drawer's walls, higher than what is in a drawer

    def _load(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "chest.urdf"
            file.write_text(_urdf())
            self._chests = [self._bullet.loadURDF(str(file), (0.5, y, HEIGHT), useFixedBase=True) for y in (0.5, -0.5)]

    @property
    def _unlocked(self) -> int:
        return int(self._chests[self.movable])

    @property
    def _locked(self) -> int:
        return int(self._chests[1 - self.movable])

    def _draw(self) -> Floats:
        rotation = self.np_random.uniform(0.0, 2.0 * np.pi)
        u, v = self.np_random.uniform(0.15, 0.20), self.np_random.uniform(-0.1, 0.1)
        cos, sin = np.cos(rotation), np.sin(rotation)
        return np.array([CENTRE[0] + cos * u - sin * v, CENTRE[1] + sin * u + cos * v, rotation])

    def _pose(self, index: int) -> tuple[Floats, float]:
        """A chest's centre (3,) and the direction in which it opens."""
        x, y, rotation = self.scene[:3]
        beside = index * APART
        return np.array([x - beside * np.sin(rotation), y + beside * np.cos(rotation), HEIGHT]), rotation + np.pi

    def _place(self) -> None:
        """To the solver both chests are alike until they are touched: else the arm would move otherwise, by a hair."""
        for index, body in enumerate(self._chests):
            position, yaw = self._pose(index)
            self._bullet.resetBasePositionAndOrientation(
                body, position.tolist(), pybullet.getQuaternionFromEuler((0, 0, yaw))
            )
            self._bullet.resetJointState(body, 0, 0.0)
            moves = index == self.movable
            self._bullet.changeDynamics(body, 0, mass=MASS * self._mass if moves else LOCKED_MASS)
            self._bullet.setJointMotorControl2(
                body,
                0,
                pybullet.VELOCITY_CONTROL,
                targetVelocity=0.0,
                force=FRICTION if moves else LOCK,
            )
        self._shown = 0.0

    def _bodies(self) -> list[Body]:
        out = float(self._bullet.getJointState(self._unlocked, 0)[0])
        if abs(out - self._shown) > SEEN[0]:
            self._shown = out
        bodies = []
        for index in (1 - self.movable, self.movable):
            position, yaw = self._pose(index)
            rotation = matrix(pybullet.getQuaternionFromEuler((0, 0, yaw)))
            bodies.append(Body(position, rotation, CHEST))
            moves = index == self.movable
            drawn = position + rotation[:, 0] * (self._shown if moves else 0.0)
            bodies.append(Body(drawn, rotation, SEEN_AS_MOVABLE if moves else DRAWER))
        return bodies

    def _has_moved(self) -> bool:
        return self._shown > MOVED

    def _touches_fixed(self) -> bool:
        contacts = self._bullet.getContactPoints(self._arm.body, self._locked)
        return any(contact[8] < 1e-3 for contact in contacts)

    def _is_done(self) -> bool:
        return self._shown > OPENED

    def _is_lost(self) -> bool:
        return False

    def _handle(self, index: int) -> NDArray[np.float32]:
        """Over the handle, down between rod and face, back; as the scene is now, without a memory of the plan."""
        position, yaw = self._pose(index)
        out, left = np.array([np.cos(yaw), np.sin(yaw)]), np.array([-np.sin(yaw), np.cos(yaw)])
        drawn = self._shown if index == self.movable else 0.0
        rod = position[:2] + (FACE + STANDING + drawn) * out
        hook = np.clip(rod - HOOK * out, LOW[:2], HIGH[:2])
        turn = (yaw + np.pi / 2 - self._yaw + np.pi / 2) % np.pi - np.pi / 2
        away = self._tool[:2] - rod
        along, aside = float(away @ out), float(away @ left)
        is_hooked = -STANDING < along < 0.0 and abs(aside) < BARS_AT
        height = float(self._tool[2])
        if is_hooked and height < HOOK_HEIGHT + 0.012:
            shift = np.array([*(0.05 * out), HOOK_HEIGHT - height])
        elif np.abs(self._tool[:2] - hook).max() < 0.005 and abs(turn) < 0.1:
            shift = np.array([*(hook - self._tool[:2]), HOOK_HEIGHT - height])
        elif height < TRAVEL_HEIGHT - 0.02:
            shift, turn = np.array([0.0, 0.0, TRAVEL_HEIGHT - height]), 0.0
        else:
            shift = np.array([*(hook - self._tool[:2]), TRAVEL_HEIGHT - height])
        return self._action(0.0, shift, float(turn))


def _urdf() -> str:
    """A chest with its drawer."""
    parts = {"chest": CHEST, "drawer": DRAWER}
    colours = {"chest": "0.85 0.75 0.6 1", "drawer": "0.6 0.45 0.3 1"}
    links = "".join(
        f'<link name="{name}"><inertial><mass value="{MASS if name == "drawer" else 2.0}"/>'
        '<inertia ixx="0.001" ixy="0" ixz="0" iyy="0.001" iyz="0" izz="0.001"/></inertial>'
        + "".join(
            f"<{kind}>{_geometry(shape)}"
            + (f'<material name="{name}"><color rgba="{colours[name]}"/></material>' if kind == "visual" else "")
            + f"</{kind}>"
            for shape in shapes
            for kind in ("visual", "collision")
        )
        + "</link>"
        for name, shapes in parts.items()
    )
    return (
        f'<robot name="chest">{links}<joint name="slide" type="prismatic"><parent link="chest"/><child link="drawer"/>'
        f'<axis xyz="1 0 0"/><limit lower="0" upper="{LENGTH}" effort="10" velocity="10"/></joint></robot>'
    )


def _geometry(shape: Shape) -> str:
    at = " ".join(str(x) for x in shape.position)
    if shape.radius:
        turned = f'<origin xyz="{at}" rpy="{np.pi / 2} 0 0"/>'
        return f'{turned}<geometry><cylinder radius="{shape.radius}" length="{2 * shape.half[1]}"/></geometry>'
    size = " ".join(str(2 * x) for x in shape.half)
    return f'<origin xyz="{at}" rpy="0 0 0"/><geometry><box size="{size}"/></geometry>'
