"""N envs of any kind side by side, of whose episodes the seed and the actions are all there is to know.

Dimension key: N envs, O observation, S state, A actions.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.base import EnvSpec, portable_rng, restored_rng
from envs.wrappers import AsymmetricWrapper, Bools, Floats, Views
from utils.errors import UserError

StepResult = tuple[Views, float, bool, bool, dict[str, Any]]
Beginning = tuple[int, int, Floats | None, list[NDArray[Any]]]  # which env, its episode's seed, start, actions so far

SEEDS = 2**31  # episodes' own seeds are drawn below this


@dataclass(frozen=True)
class Description:
    """What there is to know of one env of a kind, of which there are to be many."""

    spec_sizes: EnvSpec
    observation_space: spaces.Space[Any]
    action_space: spaces.Space[Any]
    render_mode: str | None

    @classmethod
    def of(cls, env: AsymmetricWrapper) -> "Description":
        """That of an env."""
        return cls(env.spec_sizes, env.observation_space, env.action_space, env.render_mode)


def play(env: AsymmetricWrapper, seed: int, start: Floats | None, actions: Sequence[NDArray[Any]]) -> Views:
    """The views to which an episode of this seed and start leads by these actions."""
    views, _ = env.reset(seed=seed, options=None if start is None else {"state": start})
    for action in actions:
        views = env.step(action)[0]
    return views


class ReplayedVectorEnv(gym.vector.VectorEnv[Any, Any, Any], ABC):
    """N envs of any kind; resets are the caller's (`AutoresetMode.DISABLED`). Subclasses say where the envs are.

    Its state needs no pickling: every episode starts from a seed of its own, drawn from this env's generator, so that
    (seed, actions so far) is all there is to know of an episode, and loading plays it again. That asks of the env what
    gymnasium's `check_env` does: the same seed and actions give the same episode; and of `expert_action` to change
    nothing.

    Args:
        num_envs: N.
        one: what there is to know of each.
    """

    def __init__(self, num_envs: int, one: Description) -> None:
        self.metadata = {"render_modes": ["rgb_array"], "autoreset_mode": AutoresetMode.DISABLED}
        self.num_envs = num_envs
        self.spec_sizes, self.render_mode = one.spec_sizes, one.render_mode
        self.single_observation_space, self.single_action_space = one.observation_space, one.action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._obs = np.zeros((self.num_envs, self.spec_sizes.obs_dim), np.float32)
        self._state = np.zeros((self.num_envs, self.spec_sizes.state_dim), np.float32)
        self._seed = np.full(self.num_envs, -1, np.int64)  # -1: no episode yet
        self._start: list[Floats | None] = [None] * self.num_envs
        self._actions: list[list[NDArray[Any]]] = [[] for _ in range(self.num_envs)]
        self._ended = np.ones(self.num_envs, bool)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Views, dict[str, Any]]:
        """Starts all envs, or those of `options["reset_mask"]` (N,), in `options["state"]` (N, S) if given."""
        if seed is not None:
            self._np_random, self._np_random_seed = seeding.np_random(seed)
        options = options or {}
        mask, state = options.get("reset_mask"), options.get("state")
        beginnings: list[Beginning] = []
        for i in range(self.num_envs) if mask is None else np.flatnonzero(mask).tolist():
            start = None if state is None else np.array(state[i], np.float32)
            beginnings.append((i, int(self.np_random.integers(SEEDS)), start, []))
        self._begin(beginnings)
        return self._now(), {}

    def _begin(self, beginnings: Sequence[Beginning]) -> None:
        """Starts these episodes and plays their actions."""
        for (i, seed, start, actions), views in zip(beginnings, self._play(beginnings), strict=True):
            self._obs[i], self._state[i] = views["obs"], views["state"]
            self._seed[i], self._start[i], self._actions[i] = seed, start, list(actions)
            self._ended[i] = False

    @abstractmethod
    def _play(self, beginnings: Sequence[Beginning]) -> list[Views]:
        """The views to which each of these beginnings leads."""

    @abstractmethod
    def _step(self, actions: NDArray[Any]) -> list[StepResult]:
        """What each env's step returns."""

    def _now(self) -> Views:
        return {"obs": self._obs.copy(), "state": self._state.copy()}

    def step(self, actions: NDArray[Any]) -> tuple[Views, NDArray[np.float64], Bools, Bools, dict[str, Any]]:
        """One step of all envs; `info["lost"]` (N,) tells which could not be simulated, and ended before it.

        Raises:
            ValueError: an env has ended and was not reset.
        """
        if self._ended.any():
            raise ValueError(f"env {int(self._ended.argmax())} has ended: reset it before this step")
        actions = np.asarray(actions, self.single_action_space.dtype)
        reward, success, lost = np.zeros(self.num_envs), np.zeros(self.num_envs, bool), np.zeros(self.num_envs, bool)
        terminated, truncated = np.zeros(self.num_envs, bool), np.zeros(self.num_envs, bool)
        for i, (views, *outcome, info) in enumerate(self._step(actions)):
            reward[i], terminated[i], truncated[i] = outcome
            self._obs[i], self._state[i] = views["obs"], views["state"]
            self._actions[i].append(actions[i].copy())
            success[i], lost[i] = info["success"], info.get("lost", False)
        self._ended = terminated | truncated
        return self._now(), reward, terminated, truncated, {"success": success, "lost": lost}

    @abstractmethod
    def expert_action(self, guess_N: Bools) -> NDArray[Any]:
        """The expert's actions (N, …).

        Raises:
            UserError: the env has no expert.
        """

    @abstractmethod
    def saw_information(self) -> Bools:
        """Whether each episode has shown the hidden fact (N,)."""

    def render_frame(self, index: int = 0) -> NDArray[np.uint8]:
        """An RGB picture of one env.

        Raises:
            UserError: the envs were not made with `render_mode="rgb_array"`, or a package that draws is missing.
        """
        try:
            frame = self._frame(index) if self.render_mode == "rgb_array" else None
        except gym.error.DependencyNotInstalled as error:
            raise UserError(f"{self.spec_sizes.env_id} cannot be drawn: {error}") from error
        if not isinstance(frame, np.ndarray):
            raise UserError(f"{self.spec_sizes.env_id} draws no pictures (render_mode is {self.render_mode})")
        return frame

    @abstractmethod
    def _frame(self, index: int) -> Any:
        """What one env's `render` returns."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that `load_state_dict` needs to go on bit for bit: for each env its seed, start and actions."""
        return {
            "seed": self._seed.copy(),
            "ended": self._ended.copy(),
            "start": [None if start is None else start.copy() for start in self._start],
            "actions": [np.array(taken, self.single_action_space.dtype) for taken in self._actions],
            "rng": portable_rng(self.np_random),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Puts the envs back where `state_dict` was taken, by playing their episodes again.

        Raises:
            ValueError: the state is that of another number of envs.
        """
        if len(state["seed"]) != self.num_envs:
            raise ValueError(f"the state is that of {len(state['seed'])} envs, not of {self.num_envs}")
        self._begin(
            [
                (i, int(seed), state["start"][i], [np.array(action) for action in state["actions"][i]])
                for i, seed in enumerate(state["seed"])
                if seed >= 0
            ]
        )
        self._seed = np.array(state["seed"], np.int64)
        self._ended = np.array(state["ended"], bool)
        self.np_random = restored_rng(state["rng"])


class SyncAsymmetricVectorEnv(ReplayedVectorEnv):
    """Envs that are stepped one after the other in this process.

    Args:
        env_fns: makes each env.
    """

    def __init__(self, env_fns: Sequence[Callable[[], AsymmetricWrapper]]) -> None:
        self.envs = [make() for make in env_fns]
        super().__init__(len(self.envs), Description.of(self.envs[0]))

    def _play(self, beginnings: Sequence[Beginning]) -> list[Views]:
        return [play(self.envs[i], seed, start, actions) for i, seed, start, actions in beginnings]

    def _step(self, actions: NDArray[Any]) -> list[StepResult]:
        return [env.step(action) for env, action in zip(self.envs, actions, strict=True)]

    def expert_action(self, guess_N: Bools) -> NDArray[Any]:
        return np.stack([env.expert_action(bool(guess)) for env, guess in zip(self.envs, guess_N, strict=True)])

    def saw_information(self) -> Bools:
        return np.array([env.saw_information() for env in self.envs])

    def _frame(self, index: int) -> Any:
        return self.envs[index].render()

    def close_extras(self, **kwargs: Any) -> None:
        """Closes every env."""
        for env in self.envs:
            env.close()
