"""N envs of any kind side by side, of whose episodes the seed and the actions are all there is to know.

Dimension key: N envs, O observation, S state, A actions.
"""

import warnings
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.base import EnvSpec, info_of, portable_rng, restored_rng, told
from envs.pictures import as_picture
from envs.wrappers import AsymmetricWrapper, Bools, Floats, Views
from utils.errors import UserError, blaming, first_line, staying

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


class StepResult(NamedTuple):
    """What one env's step comes to; `lost` where it could not be simulated, and the episode ended before it."""

    views: Views
    reward: float
    terminated: bool
    truncated: bool
    success: bool | None
    lost: bool = False

    @classmethod
    def of(cls, env: AsymmetricWrapper, action: Any) -> "StepResult":
        """That of an env; of its info only what its wrapper wrote is read."""
        views, reward, terminated, truncated, info = env.step(action)
        return cls(views, reward, terminated, truncated, info.get("success"))


class Played(NamedTuple):
    """Where the actions of an episode have led: its present views, and a digest of all rows so far."""

    views: Views
    digest: int


def digest_of(views: Views, before: int = 0) -> int:
    """A digest of a row and of those before it, by which a replayed episode is known to be the same."""
    return zlib.crc32(views["state"].tobytes(), zlib.crc32(views["obs"].tobytes(), before))


def play(env: AsymmetricWrapper, seed: int, start: Floats | None, actions: Sequence[NDArray[Any]]) -> Played:
    """Where an episode of this seed and start leads by these actions; at its end the actions are left off."""
    views, _ = env.reset(seed=seed, options=None if start is None else {"state": start})
    digest, ended = digest_of(views), False
    for action in actions:
        if ended:
            return Played(views, -1)  # it was another episode that went on
        views, _, terminated, truncated, _ = env.step(action)
        digest, ended = digest_of(views, digest), terminated or truncated
    return Played(views, digest)


UNLIKE = "came out differently when they were played again: it follows no seed, or has changed"


def warn_given_up(count: int, num_envs: int, env_id: str, why: str = UNLIKE) -> None:
    """Tells of episodes that cannot be gone on with."""
    text = f"{count} of {num_envs} episodes of {env_id} {why}; they are given up where they were"
    warnings.warn(text, RuntimeWarning, stacklevel=4)


class ReplayedVectorEnv(gym.vector.VectorEnv[Any, Any, Any], ABC):
    """N envs of any kind; resets are the caller's (`AutoresetMode.DISABLED`). Subclasses say where the envs are.

    Its state needs no pickling: every episode starts from a seed of its own, drawn from this env's generator, so that
    (seed, actions so far) is all there is to know of an episode, and loading plays it again. That asks of the env what
    gymnasium's `check_env` does: the same seed and actions give the same episode; and of `expert_action` to change
    nothing. An episode that comes out differently when it is played again is given up, with a warning: it ends where it
    was.

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
        self._digest = np.zeros(self.num_envs, np.int64)  # of all rows of the episode so far
        self._given_up = np.zeros(self.num_envs, bool)  # of episodes that could not be played again
        self._lost = np.zeros(self.num_envs, bool)
        self._success: Bools | None = None  # at the last step that was simulated

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
        with blaming("config_env.id", self.spec_sizes.env_id):
            played = self._play(beginnings)
        for (i, seed, start, actions), (views, digest) in zip(beginnings, played, strict=True):
            self._obs[i], self._state[i] = views["obs"], views["state"]
            self._seed[i], self._start[i], self._actions[i] = seed, start, list(actions)
            self._ended[i], self._given_up[i], self._digest[i] = False, False, digest
            if self._success is not None:
                self._success[i] = False

    @abstractmethod
    def _play(self, beginnings: Sequence[Beginning]) -> list[Played]:
        """Where each of these beginnings leads."""

    def _give_up(self, envs: NDArray[np.intp]) -> None:
        """Ends the episodes of these envs, which could not be played again, where they were."""
        if len(envs):
            warn_given_up(len(envs), self.num_envs, self.spec_sizes.env_id)
            self._given_up[envs] = True

    def _cut_off(self, i: int) -> StepResult:
        """The last that is known of an episode, as a step that truncates it and is not to be learned from."""
        views = {"obs": self._obs[i].copy(), "state": self._state[i].copy()}
        success = None if self._success is None else bool(self._success[i])
        return StepResult(views, 0.0, False, True, success, lost=True)

    @abstractmethod
    def _step(self, actions: NDArray[Any]) -> list[StepResult]:
        """What each env's step returns."""

    def _now(self) -> Views:
        return {"obs": self._obs.copy(), "state": self._state.copy()}

    def step(self, actions: NDArray[Any]) -> tuple[Views, NDArray[np.float64], Bools, Bools, dict[str, Any]]:
        """One step of all envs; `lost_steps` tells of which it could not be simulated.

        Raises:
            ValueError: an env has ended and was not reset.
        """
        if self._ended.any():
            raise ValueError(f"env {int(self._ended.argmax())} has ended: reset it before this step")
        actions = np.asarray(actions, self.single_action_space.dtype)
        with blaming("config_env.id", self.spec_sizes.env_id):
            results = self._step(actions)
        for i in np.flatnonzero(self._given_up).tolist():
            results[i] = self._cut_off(i)
        for i, result in enumerate(results):
            self._obs[i], self._state[i] = result.views["obs"], result.views["state"]
            self._actions[i].append(actions[i].copy())
            self._digest[i] = digest_of(result.views, int(self._digest[i]))
        reward = np.array([result.reward for result in results], np.float64)
        terminated, truncated, self._lost = (
            np.array([getattr(result, name) for result in results], bool)
            for name in ("terminated", "truncated", "lost")
        )
        self._success = told([result.success for result in results])
        self._ended = terminated | truncated
        return self._now(), reward, terminated, truncated, info_of(self._success)

    def lost_steps(self) -> Bools:
        """Which envs' last step could not be simulated (N,): their episodes were cut off before it."""
        return self._lost.copy()

    @abstractmethod
    def expert_action(self, guess_N: Bools) -> NDArray[Any]:
        """The expert's actions (N, …).

        Raises:
            NoExpertError: the env has no expert.
        """

    @abstractmethod
    def saw_information(self) -> Bools | None:
        """Whether each episode has shown the hidden fact (N,); None where the env does not say."""

    def render_frame(self, index: int = 0) -> NDArray[np.uint8]:
        """An RGB picture of one env.

        Raises:
            UserError: the envs were not made with `render_mode="rgb_array"`, or cannot draw here, or no pictures.
        """
        if self.render_mode != "rgb_array":
            raise UserError(f"{self.spec_sizes.env_id} draws no pictures (render_mode is {self.render_mode})")
        try:
            with staying():
                frame = self._frame(index)
        except Exception as error:
            raise UserError(f"{self.spec_sizes.env_id} cannot be drawn: {first_line(error)}") from error
        return as_picture(frame, self.spec_sizes.env_id)

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
            "digest": self._digest.copy(),
            **info_of(self._success),
            "obs": self._obs.copy(),
            "state": self._state.copy(),
            "rng": portable_rng(self.np_random),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Puts the envs back where `state_dict` was taken, by playing their episodes again.

        One that comes out differently is given up with a warning: the next step ends it, where it was.

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
        if "digest" in state:  # older ones have none
            differs = np.flatnonzero((self._seed >= 0) & (self._digest != state["digest"]))
            self._obs[differs], self._state[differs] = state["obs"][differs], state["state"][differs]
            self._digest = np.array(state["digest"], np.int64)
            self._success = np.array(state["success"], bool) if "success" in state else None
            self._give_up(differs[~self._ended[differs]])
        self.np_random = restored_rng(state["rng"])


class SyncAsymmetricVectorEnv(ReplayedVectorEnv):
    """Envs that are stepped one after the other in this process.

    Args:
        env_fns: makes each env.
    """

    def __init__(self, env_fns: Sequence[Callable[[], AsymmetricWrapper]]) -> None:
        self.envs = [make() for make in env_fns]
        super().__init__(len(self.envs), Description.of(self.envs[0]))

    def _play(self, beginnings: Sequence[Beginning]) -> list[Played]:
        return [play(self.envs[i], seed, start, actions) for i, seed, start, actions in beginnings]

    def _step(self, actions: NDArray[Any]) -> list[StepResult]:
        return [StepResult.of(env, action) for env, action in zip(self.envs, actions, strict=True)]

    def expert_action(self, guess_N: Bools) -> NDArray[Any]:
        return np.stack([env.expert_action(bool(guess)) for env, guess in zip(self.envs, guess_N, strict=True)])

    def saw_information(self) -> Bools | None:
        return told([env.saw_information() for env in self.envs])

    def _frame(self, index: int) -> Any:
        return self.envs[index].render()

    def close_extras(self, **kwargs: Any) -> None:
        """Closes every env."""
        for env in self.envs:
            env.close()
