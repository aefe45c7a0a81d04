"""Grid domains as tables: one set of rules over arrays, stepped for one env or for ten thousand.

Dimension key: N envs, O observation, S state, A actions; and here R rows, W columns, C = R·W cells (index
row·W + column, origin at the top left), K hidden facts, J = K·C joint states (index hidden·C + cell). A joint state is
all that a domain has to remember, so moving, paying, ending and seeing are one table look-up each.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.base import PartiallyObservableEnv, portable_rng, restored_rng

Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]

MOVES = ((0, 1), (-1, 0), (0, -1), (1, 0))  # (rows, columns) of the actions 0 right, 1 up, 2 left, 3 down
NUM_ACTIONS = len(MOVES)

PIXELS = 32  # the side of a drawn cell
FLOOR, WALL, LINE = (245, 243, 238), (70, 74, 82), (214, 210, 202)
INFORMATION, GOOD, BAD, CANDIDATE = (250, 204, 90), (76, 175, 110), (214, 84, 80), (205, 205, 214)
AGENT, KNOWS = (52, 101, 164), (255, 255, 255)


class GridRules:
    """The rules of a domain in which an agent walks on a grid and one fact about it is hidden.

    Subclasses compute the tables; all methods are pure functions of arrays.

    Args:
        open_RW: the cells that can be entered; any other cell, and the border, leaves the agent in place.
        goal_K: the goal cell under each hidden fact.
        information_C: the cells on which an observation shows the hidden fact.
        start_KC: the cells in which an episode may start, under each hidden fact; drawn uniformly.
        reward_KC: what reaching a cell pays (also when a move left the agent there).
        ends_KC: the cells that end an episode.
        any_goal_ends: every candidate goal ends an episode, the right one or not.
        obs_low_O: the least observation; states have the same bounds.
    """

    image_shape: tuple[int, ...] | None = None

    def __init__(
        self,
        *,
        open_RW: Bools,
        goal_K: Ints,
        information_C: Bools,
        start_KC: Bools,
        reward_KC: NDArray[np.float64],
        ends_KC: Bools,
        any_goal_ends: bool,
        obs_low_O: Floats,
    ) -> None:
        self.rows, self.cols = open_RW.shape
        self.num_cells, self.num_hidden = open_RW.size, len(goal_K)
        self.open_C = open_RW.ravel()
        self.goal_K = goal_K
        self.information_C = information_C
        self.any_goal_ends = any_goal_ends
        self.obs_space = spaces.Box(obs_low_O, np.ones_like(obs_low_O), dtype=np.float32)

        self.next_cell_CA = self._next_cells(open_RW)
        cell_J = np.tile(np.arange(self.num_cells), self.num_hidden)
        hidden_J = np.repeat(np.arange(self.num_hidden), self.num_cells)
        self.cell_J, self.hidden_J = cell_J, hidden_J
        self.next_JA = hidden_J[:, None] * self.num_cells + self.next_cell_CA[cell_J]
        self.reward_J = reward_KC.ravel()
        self.ends_J = ends_KC.ravel()
        self.success_J = self.ends_J & (cell_J == goal_K[hidden_J])
        self.informative_J = information_C[cell_J]
        self.legal_J = self.open_C[cell_J] & ~self.ends_J
        self._start_count_K = start_KC.sum(axis=1)
        self._start_cells_KM = np.argsort(~start_KC, axis=1, kind="stable")[:, : self._start_count_K.max()]
        self._next_flat = self.next_JA.ravel()

    @staticmethod
    def _next_cells(open_RW: Bools) -> Ints:
        """The cell (C, A) that each action leads to from each cell."""
        rows, cols = open_RW.shape
        row_C, col_C = np.divmod(np.arange(open_RW.size), cols)
        next_CA = np.empty((open_RW.size, NUM_ACTIONS), np.intp)
        for action, (down, right) in enumerate(MOVES):
            row, col = np.clip(row_C + down, 0, rows - 1), np.clip(col_C + right, 0, cols - 1)
            next_CA[:, action] = np.where(open_RW[row, col], row * cols + col, np.arange(open_RW.size))
        return next_CA

    def initial(self, rng: np.random.Generator, num: int) -> Ints:
        """Draws `num` joint states: the hidden fact uniformly, then a start cell uniformly over those it allows."""
        hidden = rng.integers(self.num_hidden, size=num)
        pick = (rng.random(num) * self._start_count_K[hidden]).astype(np.intp)
        return hidden * self.num_cells + self._start_cells_KM[hidden, pick]

    def step(self, joint: Ints, action: NDArray[Any]) -> Ints:
        """The joint states after one action each."""
        return self._next_flat.take(joint * NUM_ACTIONS + action)

    def observe(self, joint: Ints) -> Floats:
        """What the agent sees (N, O); the hidden fact is in it on the information cells only."""
        raise NotImplementedError

    def state(self, joint: Ints) -> Floats:
        """What the simulator knows (N, S): as an observation, with the hidden fact always shown."""
        raise NotImplementedError

    def joint_of(self, state_NS: NDArray[Any]) -> Ints:
        """The joint states that have the given states.

        Raises:
            ValueError: a row is no state of this domain, or one in which the episode has ended.
        """
        state_NS = np.asarray(state_NS, np.float32)
        if state_NS.ndim != 2 or state_NS.shape[1:] != self.obs_space.shape:
            raise ValueError(f"a state has shape {self.obs_space.shape}, not {state_NS.shape[1:]}")
        joint = self._nearest_joint(state_NS)
        wrong = ~(np.isclose(self.state(joint), state_NS, atol=1e-4).all(axis=1) & self.legal_J[joint])
        if wrong.any():
            raise ValueError(f"not a state that an episode can start in: {state_NS[np.flatnonzero(wrong)[0]].tolist()}")
        return joint

    def _nearest_joint(self, state_NS: Floats) -> Ints:
        """The joint states nearest to the given states; the caller checks that they are the same."""
        raise NotImplementedError

    @cached_property
    def _information_route_C(self) -> Ints:
        """The action of a shortest way to the nearest information cell, around goals that end the episode for good."""
        return self._routes(self.information_C[None], self._dangerous_C[None])[0]

    @cached_property
    def _goal_route_KC(self) -> Ints:
        """The action of a shortest way to each goal, around the other candidates where they end the episode."""
        return self._routes(self._goal_KC, np.broadcast_to(self._dangerous_C, self._goal_KC.shape))

    @cached_property
    def _guess_route_KC(self) -> Ints:
        """As `_goal_route_KC`, around the information as well: a guess stays a guess."""
        return self._routes(self._goal_KC, np.broadcast_to(self._dangerous_C | self.information_C, self._goal_KC.shape))

    @cached_property
    def _goal_KC(self) -> Bools:
        return np.eye(self.num_cells, dtype=bool)[self.goal_K]

    @cached_property
    def _dangerous_C(self) -> Bools:
        """The cells that end an episode whatever the hidden fact is."""
        return self.any_goal_ends & np.any(self._goal_KC, axis=0)

    def _routes(self, target_KC: Bools, avoid_KC: Bools) -> Ints:
        """The first action (K, C) of a shortest way to a target that enters no cell to avoid but the target."""
        entry_cost = np.where(avoid_KC & ~target_KC, np.inf, 1.0)
        distance = np.where(target_KC, 0.0, np.inf)
        while True:
            by_action = (distance + entry_cost)[:, self.next_cell_CA]
            shorter = np.minimum(distance, by_action.min(axis=-1))
            if np.array_equal(shorter, distance):
                return by_action.argmin(axis=-1)
            distance = shorter

    def expert(self, joint: Ints, informed: Bools, guess: Ints, guesses: Bools) -> NDArray[np.int64]:
        """The expert's actions: to the information, once informed to the goal; where it guesses, to that candidate."""
        cell, hidden = self.cell_J[joint], self.hidden_J[joint]
        honest = np.where(informed, self._goal_route_KC[hidden, cell], self._information_route_C[cell])
        return np.where(guesses, self._guess_route_KC[guess, cell], honest)

    def picture(self, joint: int, informed: bool) -> NDArray[np.uint8]:
        """An RGB drawing, 32 pixels a cell.

        Walls are dark, information cells yellow, candidates grey, the true goal green and what only looks like it red.
        While the agent (blue) does not know, what it cannot see is hatched; then it wears a white dot.
        """
        frame = np.empty((self.rows * PIXELS, self.cols * PIXELS, 3), np.uint8)
        row_P, col_P = np.mgrid[:PIXELS, :PIXELS]
        hatched = (row_P + col_P) // 4 % 2 == 0
        hidden, here = self.hidden_J[joint], self.cell_J[joint]
        for cell in range(self.num_cells):
            row, col = (PIXELS * index for index in divmod(cell, self.cols))
            tile = frame[row : row + PIXELS, col : col + PIXELS]
            tile[:] = FLOOR if self.open_C[cell] else WALL
            if self.information_C[cell]:
                tile[:] = INFORMATION
            end = hidden * self.num_cells + cell
            if self.ends_J[end]:
                tile[:] = CANDIDATE
                tile[hatched | informed] = GOOD if self.success_J[end] else BAD
            tile[[0, -1]] = tile[:, [0, -1]] = LINE if self.open_C[cell] else WALL
            if cell == here:
                radius = np.hypot(row_P - PIXELS / 2 + 0.5, col_P - PIXELS / 2 + 0.5) / PIXELS
                tile[radius < 0.36] = AGENT
                if informed:
                    tile[radius < 0.13] = KNOWS
        return frame


class ImageGridRules(GridRules):
    """Rules whose views are two stacked maps, flat: the agent's cell, and the goal's cell where it is shown.

    Args:
        open_RW: as in `GridRules`.
        **tables: the rest of what `GridRules` takes but `obs_low_O`.
    """

    def __init__(self, *, open_RW: Bools, **tables: Any) -> None:
        self.image_shape = (2, *open_RW.shape)
        super().__init__(open_RW=open_RW, obs_low_O=np.zeros(2 * open_RW.size, np.float32), **tables)
        self._goal_pixel_J = self.num_cells + self.goal_K[self.hidden_J]
        self._shown_J = self.informative_J.astype(np.float32)

    def observe(self, joint: Ints) -> Floats:
        """The two maps (N, 2·C), the second empty away from the information."""
        return self._draw(joint, self._shown_J.take(joint))

    def state(self, joint: Ints) -> Floats:
        """The two maps (N, 2·C)."""
        return self._draw(joint, np.float32(1.0))

    def _draw(self, joint: Ints, shown: Floats | np.float32) -> Floats:
        image = np.zeros((len(joint), 2 * self.num_cells), np.float32)
        first_pixel = np.arange(0, image.size, 2 * self.num_cells)
        pixels = image.reshape(-1)
        pixels[first_pixel + self.cell_J.take(joint)] = 1.0
        pixels[first_pixel + self._goal_pixel_J.take(joint)] = shown
        return image

    def _nearest_joint(self, state_NS: Floats) -> Ints:
        cell, goal = state_NS.reshape(len(state_NS), 2, self.num_cells).argmax(axis=-1).T
        hidden = np.argmax(self.goal_K == goal[:, None], axis=1)
        return hidden * self.num_cells + cell


class GridEpisodes:
    """N episodes under the same rules: all that changes, and the one way in which it changes."""

    def __init__(self, rules: GridRules, num: int) -> None:
        self.rules = rules
        self.joint = np.zeros(num, np.intp)
        self.informed = np.zeros(num, bool)
        self.guess = np.zeros(num, np.intp)

    def start(self, rng: np.random.Generator, index: Ints, state: NDArray[Any] | None = None) -> None:
        """Starts the episodes of `index` anew, in the states given (one row for each) or drawn ones."""
        drawn = self.rules.initial(rng, len(index)) if state is None else self.rules.joint_of(state)
        self.joint[index] = drawn
        self.informed[index] = self.rules.informative_J[drawn]
        self.guess[index] = rng.integers(self.rules.num_hidden, size=len(index))

    def step(self, rng: np.random.Generator, action: NDArray[Any]) -> None:
        """Moves every agent; a guess that was reached without ending the episode is replaced by another one."""
        rules = self.rules
        self.joint = rules.step(self.joint, action)
        self.informed |= rules.informative_J.take(self.joint)
        if not rules.any_goal_ends:
            wrong = np.flatnonzero(rules.goal_K.take(self.guess) == rules.cell_J.take(self.joint))
            if len(wrong):
                other = 1 + rng.integers(rules.num_hidden - 1, size=len(wrong))
                self.guess[wrong] = (self.guess[wrong] + other) % rules.num_hidden

    def expert(self, guesses: Bools) -> NDArray[np.int64]:
        """The expert's actions (N,); it knows the hidden fact only where the episode has shown it."""
        return self.rules.expert(self.joint, self.informed, self.guess, guesses)


class GridEnv(PartiallyObservableEnv):
    """One grid env. Keyword arguments go to the domain's rules; the horizon is left to gymnasium's `TimeLimit`."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 6}  # noqa: RUF012 as in gymnasium
    rules_type: ClassVar[Callable[..., GridRules]]

    def __init__(self, render_mode: str | None = None, **rules: Any) -> None:
        self.render_mode = render_mode
        self.rules = type(self).rules_type(**rules)
        self.observation_space = self.rules.obs_space
        self.state_space = self.rules.obs_space
        self.action_space = spaces.Discrete(NUM_ACTIONS)
        self.obs_image_shape = self.state_image_shape = self.rules.image_shape
        self._one = GridEpisodes(self.rules, 1)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        """Starts an episode, in `options["state"]` (S,) if given.

        Raises:
            ValueError: `options["state"]` is not a state that an episode can start in.
        """
        super().reset(seed=seed)
        state = None if options is None else options.get("state")
        self._one.start(self.np_random, np.zeros(1, np.intp), None if state is None else np.asarray(state)[None])
        return self.rules.observe(self._one.joint)[0], {}

    def step(self, action: Any) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """Moves; `info["success"]` tells whether the goal was reached by this step."""
        if not self.action_space.contains(action):
            raise ValueError(f"an action is one of 0 right, 1 up, 2 left, 3 down, not {action!r}")
        self._one.step(self.np_random, np.array([action], np.intp))
        joint = self._one.joint[0]
        info = {"success": bool(self.rules.success_J[joint])}
        obs = self.rules.observe(self._one.joint)[0]
        return obs, float(self.rules.reward_J[joint]), bool(self.rules.ends_J[joint]), False, info

    def get_state(self) -> Floats:
        """The state (S,): as the observation, with the hidden fact always shown."""
        return self.rules.state(self._one.joint)[0]

    def expert_action(self, guess: bool = False) -> int:
        """The expert's action: to the information, then to the goal; with `guess`, to a goal drawn at the start."""
        return int(self._one.expert(np.array([guess]))[0])

    def saw_information(self) -> bool:
        """Whether this episode has already shown the hidden fact."""
        return bool(self._one.informed[0])

    def render(self) -> NDArray[np.uint8] | None:
        """An RGB picture (height, width, 3), or None without a render mode."""
        if self.render_mode is None:
            return None
        return self.rules.picture(int(self._one.joint[0]), bool(self._one.informed[0]))


class GridVectorEnv(gym.vector.VectorEnv[Any, Any, Any]):
    """N grid envs stepped by the same look-ups. Keyword arguments it does not know go to the domain's rules.

    Like every vector env of gymnasium it resets an ended env in the next step (`AutoresetMode.NEXT_STEP`), unless made
    with `autoreset_mode=AutoresetMode.DISABLED`: then the caller resets with `reset(options={"reset_mask": ended_N})`.
    An env that ends at the time limit and by itself in the same step is terminated, not truncated.
    """

    rules_type: ClassVar[Callable[..., GridRules]]

    def __init__(
        self,
        num_envs: int = 1,
        *,
        max_episode_steps: int = 50,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        **rules: Any,
    ) -> None:
        autoreset_mode = AutoresetMode(autoreset_mode)
        if autoreset_mode == AutoresetMode.SAME_STEP:
            raise ValueError("autoreset_mode is NEXT_STEP or DISABLED; SAME_STEP would hide the last observation")
        self.num_envs = num_envs
        self.max_episode_steps = max_episode_steps
        self.render_mode = render_mode
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": 6, "autoreset_mode": autoreset_mode}
        self.rules = type(self).rules_type(**rules)
        self.single_observation_space = self.single_state_space = self.rules.obs_space
        self.single_action_space = spaces.Discrete(NUM_ACTIONS)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.obs_image_shape = self.state_image_shape = self.rules.image_shape
        self._autoreset = autoreset_mode == AutoresetMode.NEXT_STEP
        self._many = GridEpisodes(self.rules, num_envs)
        self._elapsed = np.zeros(num_envs, np.int64)
        self._ended = np.ones(num_envs, bool)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        """Starts all envs, or those of `options["reset_mask"]` (N,), in `options["state"]` (N, S) if given.

        Raises:
            ValueError: a state that no episode can start in, or a mask or state of another shape.
        """
        if seed is not None:
            self._np_random, self._np_random_seed = seeding.np_random(seed)
        options = options or {}
        index = np.arange(self.num_envs)
        if (mask := options.get("reset_mask")) is not None:
            if np.shape(mask) != (self.num_envs,):
                raise ValueError(f"options['reset_mask'] has shape {np.shape(mask)}, not ({self.num_envs},)")
            index = np.flatnonzero(mask)
        if (state := options.get("state")) is not None:
            if len(state) != self.num_envs:
                raise ValueError(f"options['state'] has {len(state)} rows, not {self.num_envs}")
            state = np.asarray(state)[index]
        self._start(index, state)
        return self.rules.observe(self._many.joint), {}

    def _start(self, index: Ints, state: NDArray[Any] | None = None) -> None:
        self._many.start(self.np_random, index, state)
        self._elapsed[index] = 0
        self._ended[index] = False

    def step(self, actions: NDArray[Any]) -> tuple[Floats, NDArray[np.float64], Bools, Bools, dict[str, Any]]:
        """Moves all agents; `info["success"]` (N,) tells who reached the goal by this step.

        Raises:
            ValueError: an action outside 0…3, or an env that has ended and was not reset.
        """
        actions = np.asarray(actions, np.intp)
        if actions.shape != (self.num_envs,) or (actions & ~3).any():  # a negative number has its high bits set
            raise ValueError(f"actions are {self.num_envs} integers: 0 right, 1 up, 2 left, 3 down")
        stale = np.flatnonzero(self._ended)
        if len(stale) and not self._autoreset:
            raise ValueError(
                f"env {stale[0]} has ended: reset it with options={{'reset_mask': ended}} before this step"
            )
        rules, many = self.rules, self._many
        many.step(self.np_random, actions)
        self._elapsed += 1
        if len(stale):
            self._start(stale)  # a start pays nothing and ends nothing, so the look-ups below hold for it too
        terminated = rules.ends_J.take(many.joint)
        truncated = (self._elapsed >= self.max_episode_steps) & ~terminated
        self._ended = terminated | truncated
        info = {"success": rules.success_J.take(many.joint)}
        return rules.observe(many.joint), rules.reward_J.take(many.joint), terminated, truncated, info

    def get_state(self) -> Floats:
        """The states (N, S): as the observations, with the hidden fact always shown."""
        return self.rules.state(self._many.joint)

    def expert_action(self, guess_N: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """The expert's actions (N,); where `guess_N` is True, towards a candidate goal drawn at the episode's start."""
        guesses = np.zeros(self.num_envs, bool) if guess_N is None else np.asarray(guess_N, bool)
        return self._many.expert(guesses)

    def saw_information(self) -> Bools:
        """Whether each present episode has already shown the hidden fact (N,)."""
        return self._many.informed.copy()

    def render_frame(self, index: int = 0) -> NDArray[np.uint8]:
        """An RGB picture (height, width, 3) of one env."""
        return self.rules.picture(int(self._many.joint[index]), bool(self._many.informed[index]))

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """The pictures of all envs, or None without a render mode."""
        return None if self.render_mode is None else tuple(self.render_frame(i) for i in range(self.num_envs))

    def state_dict(self) -> dict[str, Any]:
        """Everything that `load_state_dict` needs to go on bit for bit."""
        return {
            "joint": self._many.joint.copy(),
            "informed": self._many.informed.copy(),
            "guess": self._many.guess.copy(),
            "elapsed": self._elapsed.copy(),
            "ended": self._ended.copy(),
            "rng": portable_rng(self.np_random),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Puts the envs back where `state_dict` was taken.

        Raises:
            ValueError: the state is that of another number of envs.
        """
        if len(state["joint"]) != self.num_envs:
            raise ValueError(f"the state is that of {len(state['joint'])} envs, not of {self.num_envs}")
        self._many.joint = np.array(state["joint"], np.intp)
        self._many.informed = np.array(state["informed"], bool)
        self._many.guess = np.array(state["guess"], np.intp)
        self._elapsed = np.array(state["elapsed"], np.int64)
        self._ended = np.array(state["ended"], bool)
        self.np_random = restored_rng(state["rng"])
