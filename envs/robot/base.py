"""What the robot's tasks share: the arm, the camera above the gripper, actions, what was learnt by touching, films.

Dimension key: O observation, S state, A actions, P pixels along each side of an image, K numbers of a scene,
R rows.
"""

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
import pybullet
import pybullet_data
from gymnasium import spaces
from numpy.typing import NDArray

from envs.base import PartiallyObservableEnv
from envs.factors import Factor
from envs.robot.arm import TIME_STEP, Arm
from envs.robot.bullet import Bullet
from envs.robot.noise import perlin
from envs.robot.picture import film_frame
from envs.robot.shapes import PIXEL, PIXELS, Body, Floats, height_map, matrix_z, turned

LOW, HIGH = np.array([0.3, -0.2, 0.01]), np.array([0.7, 0.2, 0.25])  # the workspace, metres
CENTRE = (LOW + HIGH) / 2
START_HEIGHT = 0.2
SHIFT, TURN = 0.05, np.pi / 8  # of the tool in a step, along each axis, where the action is 1
ABOVE = 0.06  # the camera sees what is below this height above the tool
CLEAR = 0.075  # metres: a tool that is higher touches nothing
CLEARLY = 4.0  # pixels, 19 mm, by which an object is nearer to the tool than the other
UNIT = np.float32(1 / 768)  # metres in one of the 256 levels of the depth image
NOISE = 0.007  # metres
FINGER_PIXELS, OPEN_PIXELS = 6, 29.5  # of the gripper that is painted into the depth image
SEEN = (5e-4, 5e-3)  # metres and radians that an object must have moved for its picture to change
PHYSICS = {
    "fixedTimeStep": TIME_STEP,
    "numSolverIterations": 20,
    "numSubSteps": 0,
    "solverResidualThreshold": 0.0,  # else what one object does could change when another's forces are good enough
    "deterministicOverlappingPairs": 1,
}
MOVED = 0.003  # metres: an object that has moved so far has shown that it moves
STUCK, SPREAD = 0.01, 0.1  # shown to be fixed: metres that the tool falls short, or shares that fingers are bent
PATIENCE = 25  # steps after which the expert gives up an object that has shown nothing


class RobotEnv(PartiallyObservableEnv):
    """Two objects look alike, one of them moves, the other is fixed; only touching tells which.

    Observation: 2×84×84, flat: the depth image and a channel of zeros. The camera looks straight down at 0.4 m × 0.4 m
    around the tool; a pixel is the distance, in metres, from a plane 0.06 m above the tool down to what is there, in
    levels of 1/768 m; the gripper is painted in as two squares of 0. Rows grow with the world's x, columns with its y.
    State: 2×84×84, flat: the depth image, and 1 where the movable object is on top. Depths are 0 to 255 whole levels.

    Action: Box(5) in [-1, 1]: how far the gripper is to be open (-1 closed, 1 open), x, y, z (1 is 0.05 m) and yaw (1
    is π/8); or Box(4), the same without the first, and the gripper closed. The tool stays in the workspace, 0.4 m ×
    0.4 m and 0.01 to 0.25 m high. Reward: 1 on success, which ends the episode; it also ends, without reward, when the
    movable object leaves the workspace. Horizon: 50 steps.

    `reset(options=…)`: `movable` (0 or 1) says which object moves, all else as the seed draws it; `scene` (K,), as
    `scene` returns it, sets everything. A state is a picture, from which no episode can start.

    The expert goes for one object and, once that has shown to be fixed, for the other. Where it guesses, it stays with
    the first one to the end. By "either" a coin says which one is first, of which no history tells; by "nearest" the
    picture does, as far as it resolves which is nearer. Both are the movable one in half of the episodes.

    No simulator is the robot: the arguments from `noise` on are what it may have wrong. The camera and the mass are
    drawn for each episode, uniformly.

    Args:
        render_mode: "rgb_array" or None.
        action_dim: 5, or 4 for a gripper that is always closed.
        first: which object the expert tries first: "movable", "fixed", "either", or "nearest" to the tool at the start.
        noise: adds Perlin noise of 7 mm to the depth image.
        camera_shift: metres that the camera is off at most, along either axis.
        camera_turn: degrees that it is turned at most, either way.
        mass_spread: share by which the mass of what moves is off at most, below 1.
        latency: steps by which an action comes late; before the first one comes the arm stays where it is.

    Raises:
        ValueError: an argument is none of these.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 6}  # noqa: RUF012 as in gymnasium
    own_process: ClassVar[bool] = True  # a step costs milliseconds: N of them are shared out to processes
    obs_image_shape = state_image_shape = (2, PIXELS, PIXELS)
    state_features = ("depth", "movable")
    obs_storage = ((0.0, 255 * float(UNIT), 8), (0.0, 0.0, 0))  # the second channel is always 0
    state_storage = ((0.0, 255 * float(UNIT), 8), (0.0, 1.0, 1))
    # heights, metres, between which a pixel is one of the two objects; of the movable one only what has moved is higher
    told_apart: ClassVar[tuple[float, float]]
    scene_names: ClassVar[tuple[str, ...]]  # what the numbers of a scene are; the last one is which object moves

    def __init__(
        self,
        render_mode: str | None = None,
        action_dim: int = 5,
        noise: bool = False,
        first: str = "either",
        camera_shift: float = 0.0,
        camera_turn: float = 0.0,
        mass_spread: float = 0.0,
        latency: int = 0,
    ) -> None:
        if action_dim not in (4, 5):
            raise ValueError(f"action_dim is 4 or 5, not {action_dim}")
        if first not in ("either", "nearest", "movable", "fixed"):
            raise ValueError(f"first is 'either', 'nearest', 'movable' or 'fixed', not {first!r}")
        for name, value, most in (
            ("camera_shift", camera_shift, 0.1),
            ("camera_turn", camera_turn, 90.0),
            ("mass_spread", mass_spread, 0.99),
            ("latency", latency, 10),
        ):
            if not 0 <= value <= most:
                raise ValueError(f"{name} is a number from 0 to {most}, not {value}")
        if latency != int(latency):
            raise ValueError(f"latency is a whole number of steps, not {latency}")
        self.render_mode, self.noise, self.first = render_mode, noise, first
        self.spreads = np.array([camera_shift, camera_shift, np.deg2rad(camera_turn), mass_spread])
        self.latency, self._late = int(latency), list[Floats]()
        self._camera, self._mass = np.zeros(3), 1.0  # the camera's x and y from the tool, and its turn
        self.observation_space = self.state_space = spaces.Box(0.0, 1.0, (2 * PIXELS * PIXELS,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (action_dim,), np.float32)
        self._bullet = Bullet()
        self._bullet.setAdditionalSearchPath(pybullet_data.getDataPath())
        self._bullet.setPhysicsEngineParameter(**PHYSICS)
        self._bullet.setGravity(0, 0, -10)
        floor = self._bullet.loadURDF("plane.urdf")
        self._bullet.changeDynamics(floor, -1, restitution=0.0, linearDamping=0.04, angularDamping=0.04)
        self._arm = Arm(self._bullet)
        start = np.array([*CENTRE[:2], START_HEIGHT])
        for _ in range(3):  # the rest posture is one that it is solved near to, so that the arm starts there at rest
            self._arm.rest_joints = self._arm.solve(start, 0.0, self._arm.rest_joints)
        self._load()
        self._fresh: int = self._bullet.saveState()
        self.scene: Floats = np.zeros(len(self.scene_names))

    @property
    def movable(self) -> int:
        """Which of the two objects moves, 0 or 1."""
        return int(self.scene[-1])

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Starts an episode; see the class for `options`.

        Raises:
            ValueError: options that are not possible.
        """
        super().reset(seed=seed)
        options = options or {}
        if "state" in options:
            raise ValueError("a state is a picture, from which no episode can start; give options['scene'] instead")
        drawn, coin = self._draw(), self.np_random.integers(2, size=2)
        scene = np.array(options.get("scene", [*drawn, coin[0]]), np.float64)
        if scene.shape != self.scene.shape or not np.isfinite(scene).all():
            raise ValueError(f"a scene has {len(self.scene)} finite numbers: {', '.join(self.scene_names)}")
        scene[-1] = options.get("movable", scene[-1])
        if scene[-1] not in (0, 1):
            raise ValueError(f"which object moves is 0 or 1, not {scene[-1]}")
        self.scene = scene
        by_rule = {"movable": self.movable, "fixed": 1 - self.movable, "nearest": self._nearest()}
        self._first = by_rule.get(self.first, int(coin[1]))
        if self.spreads.any():
            off = self.spreads * self.np_random.uniform(-1.0, 1.0, 4)
            self._camera, self._mass = off[:3], 1.0 + float(off[3])
        self._late = [self._action(1.0, np.zeros(3), 0.0).astype(np.float64) for _ in range(self.latency)]
        self._bullet.restoreState(self._fresh)
        self._arm.reset(self._arm.rest_joints, 1.0 if self._has_gripper else 0.0)
        self._place()
        self._steps, self._informed = 0, False
        self._look()
        return self._observation(), {"success": False}

    def _nearest(self) -> int:
        """Which object the scene puts nearest to the workspace's centre, over which the tool starts."""
        return int(np.argmin([np.linalg.norm((self._pose(index)[0] - CENTRE)[:2]) for index in (0, 1)]))

    @property
    def _has_gripper(self) -> bool:
        return self.action_space.shape == (5,)

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Moves the arm until it rests or is blocked; `info["success"]` tells whether the task is done.

        Raises:
            ValueError: no such action.
        """
        self._late.append(self._checked(action))
        opening, shift, turn = self._scaled(self._late.pop(0))
        target = np.clip(self._arm.tool()[0] + shift, LOW, HIGH)
        self._arm.move(target, turn, opening)
        self._look()
        self._steps += 1
        short = float(np.abs(target - self._tool)[:2].max())
        forced = short > STUCK or np.abs(self._arm.fingers() - opening).mean() > SPREAD
        self._informed |= self._has_moved() or (forced and self._touches_fixed())
        success = self._is_done()
        return self._observation(), float(success), success or self._is_lost(), False, {"success": success}

    def _checked(self, action: Any) -> Floats:
        """An action (A,) within its bounds."""
        action = np.array(action, np.float64)
        if action.shape != self.action_space.shape or not np.isfinite(action).all():
            raise ValueError(f"an action is {self.action_space.shape[0]} finite numbers in [-1, 1]")  # type: ignore[index]
        return np.clip(action, -1.0, 1.0)

    def _scaled(self, action: Floats) -> tuple[float, Floats, float]:
        """The share by which the gripper is to be open, the tool's shift (3,) in metres and its turn in radians."""
        opening = (action[0] + 1.0) / 2.0 if self._has_gripper else 0.0
        return float(opening), SHIFT * action[-4:-1], float(TURN * action[-1])

    def _action(self, opening: float, shift: Floats, turn: float) -> NDArray[np.float32]:
        """The action that does this, as far as one step goes; the inverse of `_scaled`."""
        action = np.array([2.0 * opening - 1.0, *(shift / SHIFT), turn / TURN])
        return np.clip(action, -1.0, 1.0).astype(np.float32)[-len(self.action_space.low) :]  # type: ignore[attr-defined]

    def _look(self) -> None:
        """Takes the picture: once a step."""
        self._tool, self._yaw = self._arm.tool()
        self._opening = self._arm.opening()
        x, y = (self._tool[:2] + self._camera[:2]).tolist()
        bodies = self._bodies()
        if self._camera[2]:
            bodies = [turned(body, (x, y), -self._camera[2]) for body in bodies]
        height, label = height_map(bodies, x, y)
        depth = self._tool[2] + ABOVE - height + self._painting(x, y, self._camera[2])
        if self.noise:
            depth = depth + NOISE * perlin(self.np_random, PIXELS)
        depth[self._gripper_mask()] = 0.0
        level = np.clip(np.rint(depth / float(UNIT)), 0, 255).astype(np.float32)
        self._depth, self._mask = level * UNIT, (label == 1).astype(np.float32)

    def _gripper_mask(self) -> NDArray[np.bool_]:
        """Where the gripper is painted (P, P): two squares, apart along the way in which the fingers open."""
        away = np.arange(PIXELS) + 0.5 - PIXELS / 2
        row, column = (matrix_z(-self._camera[2]) @ self._camera[:2]) / PIXEL  # of the image's centre, from the tool
        down, right = away + row, away + column
        cos, sin = np.cos(self._yaw - self._camera[2]), np.sin(self._yaw - self._camera[2])
        along = np.abs(cos * down[:, None] + sin * right[None])
        across = np.abs(cos * right[None] - sin * down[:, None])
        aside = int(OPEN_PIXELS * self._opening) // 2
        mask: NDArray[np.bool_] = (np.abs(along - aside) < FINGER_PIXELS / 2) & (across < FINGER_PIXELS / 2)
        return mask

    def _observation(self) -> NDArray[np.float32]:
        return np.concatenate([self._depth.ravel(), np.zeros(PIXELS * PIXELS, np.float32)])

    def get_state(self) -> NDArray[np.float32]:
        """The state (S,): the depth image, and where the movable object is."""
        return np.concatenate([self._depth.ravel(), self._mask.ravel()])

    def saw_information(self) -> bool:
        """Whether an object was pushed and has shown that it moves or that it is fixed.

        It may be later than the first picture that differs: a moved object is drawn anew from `SEEN` on and counts from
        `MOVED` on, and a fixed one has to stop the tool or bend the fingers.
        """
        return self._informed

    def expert_action(self, guess: bool = False) -> NDArray[np.float32]:
        """The action (A,) of one who knows where the objects are; see the class for which of them it goes for."""
        stays = guess or not (self._informed or self._steps >= PATIENCE)
        return self._handle(self._first if stays else self.movable)

    def factors(self, obs_RO: NDArray[Any], state_RS: NDArray[Any]) -> dict[str, Factor]:
        """`near`: whether the object that is nearest to the tool moves, read off the state's two images.

        No observation shows it. It counts as hidden where the tool is above the objects, and one is clearly nearer:
        further down it is mostly the right one that is near, since who knows, or has found out, pushes that one. A
        drawer that is seen to be out is not hidden. What is shown: where each is seen, the nearer one first, from the
        image's centre and in halves of its side, and whether it is seen at all, which tells nothing while all is where
        it was at the start.
        """
        label_R, open_R = np.zeros(len(state_RS), np.int64), np.zeros(len(state_RS), bool)
        shown_R23 = np.zeros((len(state_RS), 2, 3), np.float32)
        row, column = np.mgrid[:PIXELS, :PIXELS] + 0.5 - PIXELS / 2
        away = np.hypot(row, column)
        for r, state in enumerate(state_RS):
            depth, mask = state.reshape(2, PIXELS, PIXELS)
            floor = np.median(depth)  # it takes up most of a picture
            height = floor - depth
            part = (depth > 0) & (height > self.told_apart[0]) & (height < self.told_apart[1])
            objects = [part & marked for marked in (mask > 0, mask == 0)]
            moves, stays = (away[each].min(initial=PIXELS) for each in objects)
            label_R[r] = moves < stays
            is_above = floor - ABOVE > CLEAR
            seen_out = ((depth > 0) & (mask > 0) & (height > self.told_apart[1])).any()
            open_R[r] = is_above and not seen_out and abs(moves - stays) >= CLEARLY
            for place, each in zip(shown_R23[r], objects if moves < stays else objects[::-1]):
                if each.any():
                    place[:] = (*(x[each].mean() / (PIXELS / 2) for x in (row, column)), 1.0)
        return {"near": Factor(label_R, open_R, shown_R23.reshape(-1, 6))}

    def render(self) -> NDArray[np.uint8] | None:
        """Camera, observation and state side by side, RGB (height, width, 3); None without a render mode."""
        if self.render_mode is None:
            return None
        return film_frame(self.camera_picture(), self._depth, self._mask)

    def camera_picture(self, size: int = 3 * PIXELS) -> NDArray[np.uint8]:
        """The scene from the side, RGB (size, size, 3)."""
        bullet = self._bullet
        view = bullet.computeViewMatrix((1.15, -0.55, 0.65), (0.45, 0.0, 0.1), (0, 0, 1))
        lens = bullet.computeProjectionMatrixFOV(45, 1.0, 0.1, 3.0)
        _, _, rgba, _, _ = bullet.getCameraImage(size, size, view, lens, renderer=pybullet.ER_TINY_RENDERER)
        return np.array(rgba, np.uint8).reshape(size, size, 4)[..., :3]

    def close(self) -> None:
        """Ends the simulation."""
        self._bullet.close()

    @abstractmethod
    def _load(self) -> None:
        """Makes the task's objects, once."""

    @abstractmethod
    def _draw(self) -> Floats:
        """A random scene (K - 1,), without which object moves."""

    @abstractmethod
    def _place(self) -> None:
        """Puts the objects where `scene` says, at rest."""

    @abstractmethod
    def _pose(self, index: int) -> tuple[Floats, Any]:
        """Where a scene puts an object: its centre (3,) and how it is turned."""

    @abstractmethod
    def _bodies(self) -> list[Body]:
        """What the camera sees, the movable object's parts with label 1.

        An object at rest trembles by nanometres, which must not show: it is seen where it was until it has moved by
        `SEEN`.
        """

    @abstractmethod
    def _has_moved(self) -> bool:
        """Whether the movable object has left its place."""

    @abstractmethod
    def _touches_fixed(self) -> bool:
        """Whether the arm touches the fixed object."""

    @abstractmethod
    def _is_done(self) -> bool:
        """Whether the task is done."""

    @abstractmethod
    def _is_lost(self) -> bool:
        """Whether the task can no longer be done."""

    @abstractmethod
    def _handle(self, index: int) -> NDArray[np.float32]:
        """The expert's action (A,) to do the task with object `index`."""

    def _painting(self, x: float, y: float, turn: float) -> Floats | float:
        """What a task adds to its depth image (P, P), metres; the camera is over (x, y), turned by so much."""
        return 0.0
