"""One set of rules over arrays, stepped for one env or for ten thousand.

Dimension key: N envs, O observation, S state, A actions. A *joint state* is all that an env has to remember: what the
agent is and the hidden fact. It is an integer on a grid, a row of numbers on a plane.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.base import (
    Belief,
    Categories,
    PartiallyObservableEnv,
    Past,
    last_of_each,
    portable_rng,
    restored_rng,
)
from envs.factors import Factor
from envs.finite import Filter, FinitePOMDP
from envs.particles import ParticleFilter

Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]

NOBODY: Ints = np.zeros(0, np.intp)


def numbered(action: NDArray[Any], num: int, names: Sequence[str]) -> Ints:
    """`num` discrete actions (num,) as they are.

    Raises:
        ValueError: they are no such integers; the message says what each stands for.
    """
    if action.shape != (num,) or action.dtype.kind not in "iu" or np.count_nonzero(action // len(names)):
        raise ValueError(f"actions are {num} integers: {', '.join(f'{i} {name}' for i, name in enumerate(names))}")
    return action


class Rules(ABC):
    """The rules of a domain with one hidden fact; all methods are functions of arrays, and of what they draw.

    Attributes:
        obs_space: bounds of an observation (O,).
        state_space: bounds of a state (S,).
        action_space: the actions of one env.
        image_shape: (channels, height, width) of both views, None for plain vectors.
        state_image_shape: that of the state where it is another.
        state_features: names of the state's entries, or of an image's channels.
        state_groups: by name, which number of a feature each entry of the state (S,) is added to, -1 for none.
        obs_categories, state_categories: (first, number) of entries of which one is 1 and the others are 0.
        obs_storage, state_storage: (low, high, bits) of an image's channels, as in `EnvSpec`; () for float32.
        blank_joint: some joint state of one env, for its shape and dtype.
        blank_guess: some guess of one env, likewise.
        num_joint: how many joint states there are, numbered from 0, where nothing is drawn in a step; else 0.
        keeps_guess: no guess is ever replaced.
        tells_success: whether an episode can be a success at all; else no info speaks of it.
        particles: by how many beliefs are told, where `log_likelihood` is; else 0.
        fact_sizes: of such domains, which of `factors` beliefs tell of, and how many values each has.
    """

    obs_space: spaces.Box
    state_space: spaces.Box
    action_space: spaces.Space[Any]
    image_shape: tuple[int, ...] | None = None
    state_image_shape: tuple[int, ...] | None = None
    state_features: tuple[str, ...] = ()
    state_groups: Mapping[str, Ints] = {}
    obs_categories: Categories = ()
    state_categories: Categories = ()
    obs_storage: tuple[tuple[float, float, int], ...] = ()
    state_storage: tuple[tuple[float, float, int], ...] = ()
    blank_joint: NDArray[Any]
    blank_guess: NDArray[Any]
    num_joint: int = 0
    keeps_guess: bool = False
    tells_success: bool = True
    particles: int = 0
    fact_sizes: Mapping[str, int] = {}

    @property
    def model(self) -> FinitePOMDP | None:
        """The domain as a finite POMDP; None where it is none."""
        return None

    @property
    def observation_views(self) -> NDArray[np.float32] | None:
        """What the observations of `model` look like (O, ·), and in one more row that there is none yet."""
        return None

    @abstractmethod
    def initial(self, rng: np.random.Generator, num: int) -> NDArray[Any]:
        """Draws `num` joint states in which episodes start."""

    @abstractmethod
    def joint_of(self, rng: np.random.Generator, state_NS: NDArray[Any]) -> NDArray[Any]:
        """The joint states that have the given states; what else there is to them is drawn.

        Raises:
            ValueError: a row is no state of this domain, or one in which the episode has ended.
        """

    @abstractmethod
    def checked(self, action: NDArray[Any], num: int) -> NDArray[Any]:
        """`num` actions as `step` takes them.

        Raises:
            ValueError: they are of another shape or kind, or not allowed; the message says what is.
        """

    @abstractmethod
    def step(self, rng: np.random.Generator, joint: NDArray[Any], action: NDArray[Any]) -> NDArray[Any]:
        """The joint states after one action each, drawn where chance has a say."""

    def move(self, rng: np.random.Generator, joint: NDArray[Any], action: NDArray[Any]) -> NDArray[Any]:
        """Of domains with `particles`: as `step`, but for what is seen there, which may be left as it was."""
        return self.step(rng, joint, action)

    @abstractmethod
    def observe(self, joint: NDArray[Any]) -> Floats:
        """What the agent sees (N, O); the hidden fact is in it where the information is only."""

    @abstractmethod
    def state(self, joint: NDArray[Any]) -> Floats:
        """What the simulator knows (N, S): as an observation, with the hidden fact always shown."""

    @abstractmethod
    def reward(self, joint: NDArray[Any]) -> NDArray[np.float64]:
        """What arriving in the joint states pays (N,)."""

    @abstractmethod
    def ends(self, joint: NDArray[Any]) -> Bools:
        """Whether arriving there ends the episode (N,)."""

    @abstractmethod
    def success(self, joint: NDArray[Any]) -> Bools:
        """Whether it does so at the goal (N,)."""

    @abstractmethod
    def informative(self, joint: NDArray[Any]) -> Bools:
        """Whether the observation shows the hidden fact there (N,)."""

    @abstractmethod
    def initial_guess(self, rng: np.random.Generator, num: int) -> NDArray[Any]:
        """Draws `num` hidden facts, or places for it, for an expert that guesses."""

    def next_guess(self, rng: np.random.Generator, joint: NDArray[Any], guess: NDArray[Any]) -> NDArray[Any]:
        """The guesses with those replaced that have just turned out wrong; as they are where a wrong one is the end."""
        return guess

    @abstractmethod
    def expert(
        self, joint: NDArray[Any], informed: Bools, guess: NDArray[Any], guesses: Bools
    ) -> NDArray[np.int64] | Floats:
        """The expert's actions: to the information, once informed to the goal; where it guesses, to that place."""

    def belief(self, obs_RO: NDArray[Any], action_T: NDArray[Any], terminated: bool) -> Belief | None:
        """The belief at each row of an episode; see `PartiallyObservableEnv.belief`.

        By particles it is the same whenever it is asked: each question draws from a generator of its own.
        """
        return self._particle_filter().episode(Past(obs_RO, action_T, terminated)) if self.particles else None

    def last_beliefs(self, pasts: Sequence[Past]) -> list[Belief] | None:
        """The beliefs at the last rows of episodes; see `PartiallyObservableEnv.last_beliefs`."""
        return self._particle_filter().last(pasts) if self.particles else last_of_each(self.belief, pasts)

    def _particle_filter(self) -> ParticleFilter:
        return ParticleFilter(self, self.particles, np.random.default_rng(0))

    def log_likelihood(self, joint: NDArray[Any], obs: NDArray[Any]) -> NDArray[np.float64]:
        """Of domains with `particles`: log p(obs | joint) (N,), but for a constant; what was drawn there aside."""
        raise NotImplementedError

    def hypotheses(self, joint: NDArray[Any]) -> NDArray[Any]:
        """The same joint states with each value of a fact that never changes within an episode, (values, N, …).

        Values are equally likely, whatever else the start is.
        """
        return joint[None]

    @cached_property
    def _filter(self) -> Filter:
        assert self.model is not None, "a domain with a model"
        return Filter(self.model)

    def followed(self, seen_R: Ints, action_T: NDArray[Any], terminated: bool) -> NDArray[np.float64]:
        """The belief over the states of `model` (R, S) at each row of an episode; see `Filter.episode`."""
        return self._filter.episode(seen_R, np.asarray(action_T, np.intp), terminated)

    def factors(self, obs_RO: NDArray[Any], state_RS: NDArray[Any]) -> dict[str, Factor]:
        """What a probe can look for in the rows, by name; see `envs.factors`."""
        return {}

    def informed_actions(self, state_RS: NDArray[Any]) -> Bools | None:
        """Which actions (R, A) are best for one who knows the state; None where the domain cannot tell."""
        return None

    @abstractmethod
    def picture(self, joint: NDArray[Any], informed: bool) -> NDArray[np.uint8]:
        """An RGB drawing (height, width, 3) of one joint state."""


class Episodes:
    """N episodes under the same rules: all that changes, and the one way in which it changes."""

    def __init__(self, rules: Rules, num: int) -> None:
        self.rules = rules
        self.joint = np.zeros((num, *rules.blank_joint.shape), rules.blank_joint.dtype)
        self.informed = np.zeros(num, bool)
        self.guess = np.zeros((num, *rules.blank_guess.shape), rules.blank_guess.dtype)

    def start(self, rng: np.random.Generator, index: Ints, state: NDArray[Any] | None = None) -> None:
        """Starts the episodes of `index` anew, in the states given (one row for each) or drawn ones."""
        drawn = self.rules.initial(rng, len(index)) if state is None else self.rules.joint_of(rng, state)
        self.joint[index] = drawn
        self.informed[index] = self.rules.informative(drawn)
        self.guess[index] = self.rules.initial_guess(rng, len(index))

    def step(self, rng: np.random.Generator, action: NDArray[Any]) -> None:
        """Moves every agent; a guess that was reached without ending the episode is replaced by another one."""
        self.joint = self.rules.step(rng, self.joint, action)
        self.informed |= self.rules.informative(self.joint)
        self.guess = self.rules.next_guess(rng, self.joint, self.guess)

    def expert(self, guesses: Bools) -> NDArray[np.int64] | Floats:
        """The expert's actions (N, …); it knows the hidden fact only where the episode has shown it."""
        return self.rules.expert(self.joint, self.informed, self.guess, guesses)


class Lookup:
    """What the rules say of each joint state, for one env: a number is found sooner in a list than by arrays of one."""

    def __init__(self, rules: Rules, num_actions: int) -> None:
        self.rules = rules
        nobody_draws, joint = np.random.default_rng(0), np.arange(rules.num_joint)
        by_action = [rules.step(nobody_draws, joint, np.full(len(joint), a)).tolist() for a in range(num_actions)]
        self.next_JA = list(zip(*by_action, strict=True))
        self.obs_JO = list(rules.observe(joint))
        self.informative_J = rules.informative(joint).tolist()
        said = (rules.reward(joint), rules.ends(joint), rules.success(joint))
        self.said_J = list(zip(*(each.tolist() for each in said), strict=True))

    def step(
        self, one: Episodes, rng: np.random.Generator, action: int
    ) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """As `ArrayEnv.step`, of an allowed action."""
        joint = self.next_JA[one.joint[0]][action]
        one.joint[0] = joint
        if self.informative_J[joint]:
            one.informed[0] = True
        if not self.rules.keeps_guess:
            one.guess = self.rules.next_guess(rng, one.joint, one.guess)
        reward, ends, success = self.said_J[joint]
        return self.obs_JO[joint].copy(), reward, ends, False, {"success": success} if self.rules.tells_success else {}


class ArrayEnv(PartiallyObservableEnv):
    """One env. Keyword arguments go to the domain's rules; the horizon is left to gymnasium's `TimeLimit`."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 6}  # noqa: RUF012 as in gymnasium
    rules_type: ClassVar[Callable[..., Rules]]

    def __init__(self, render_mode: str | None = None, **rules: Any) -> None:
        self.render_mode = render_mode
        self.rules = type(self).rules_type(**rules)
        self.observation_space: spaces.Space[Any] = self.rules.obs_space
        self.state_space = self.rules.state_space
        self.action_space = self.rules.action_space
        self.obs_image_shape = self.rules.image_shape
        self.state_image_shape = self.rules.state_image_shape or self.rules.image_shape
        self.state_features, self.state_groups = self.rules.state_features, self.rules.state_groups
        self.obs_categories, self.state_categories = self.rules.obs_categories, self.rules.state_categories
        self.obs_storage, self.state_storage = self.rules.obs_storage, self.rules.state_storage
        self._one = Episodes(self.rules, 1)
        self._num_actions = int(self.action_space.n) if isinstance(self.action_space, spaces.Discrete) else 0

    @cached_property
    def _lookup(self) -> Lookup | None:
        """None where the joint states cannot be listed."""
        return Lookup(self.rules, self._num_actions) if self.rules.num_joint else None

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
        """Moves; `info["success"]` tells whether the goal was reached by this step, where there is one.

        Raises:
            ValueError: no such action.
        """
        is_number = isinstance(action, int | np.integer) and not isinstance(action, bool)
        if is_number and 0 <= action < self._num_actions and (lookup := self._lookup):
            return lookup.step(self._one, self.np_random, int(action))
        self._one.step(self.np_random, self.rules.checked(np.asarray(action)[None], 1))
        rules, joint = self.rules, self._one.joint
        info = {"success": bool(rules.success(joint)[0])} if rules.tells_success else {}
        return rules.observe(joint)[0], float(rules.reward(joint)[0]), bool(rules.ends(joint)[0]), False, info

    def get_state(self) -> Floats:
        """The state (S,): as the observation, with the hidden fact always shown."""
        return self.rules.state(self._one.joint)[0]

    def expert_action(self, guess: bool = False) -> Any:
        """The expert's action: to the information, then to the goal; with `guess`, to a goal drawn at the start."""
        return self._one.expert(np.array([guess]))[0]

    def belief(self, obs_RO: NDArray[Any], action_T: NDArray[Any], terminated: bool) -> Belief | None:
        return self.rules.belief(obs_RO, action_T, terminated)

    def last_beliefs(self, pasts: Sequence[Past]) -> list[Belief] | None:
        return self.rules.last_beliefs(pasts)

    def factors(self, obs_RO: NDArray[Any], state_RS: NDArray[Any]) -> dict[str, Factor]:
        """What a probe can look for in the rows, by name."""
        return self.rules.factors(obs_RO, state_RS)

    def informed_actions(self, state_RS: NDArray[Any]) -> Bools | None:
        """Which actions (R, A) are best for one who knows the state."""
        return self.rules.informed_actions(state_RS)

    @property
    def model(self) -> FinitePOMDP | None:
        """The domain as a finite POMDP; None where it is none."""
        return self.rules.model

    @property
    def observation_views(self) -> NDArray[np.float32] | None:
        """What the observations of `model` look like; see `Rules.observation_views`."""
        return self.rules.observation_views

    def saw_information(self) -> bool:
        """Whether this episode has already shown the hidden fact."""
        return bool(self._one.informed[0])

    def render(self) -> NDArray[np.uint8] | None:
        """An RGB picture (height, width, 3), or None without a render mode."""
        if self.render_mode is None:
            return None
        return self.rules.picture(self._one.joint[0], bool(self._one.informed[0]))


class ArrayVectorEnv(gym.vector.VectorEnv[Any, Any, Any]):
    """N envs stepped by the same array operations. Keyword arguments it does not know go to the domain's rules.

    Like every vector env of gymnasium it resets an ended env in the next step (`AutoresetMode.NEXT_STEP`), unless made
    with `autoreset_mode=AutoresetMode.DISABLED`: then the caller resets with `reset(options={"reset_mask": ended_N})`.
    An env that ends at the time limit and by itself in the same step is terminated, not truncated.
    """

    rules_type: ClassVar[Callable[..., Rules]]

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
        self.single_observation_space, self.single_state_space = self.rules.obs_space, self.rules.state_space
        self.single_action_space = self.rules.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.obs_image_shape = self.rules.image_shape
        self.state_image_shape = self.rules.state_image_shape or self.rules.image_shape
        self.state_features, self.state_groups = self.rules.state_features, self.rules.state_groups
        self.obs_categories, self.state_categories = self.rules.obs_categories, self.rules.state_categories
        self.obs_storage, self.state_storage = self.rules.obs_storage, self.rules.state_storage
        self._autoreset = autoreset_mode == AutoresetMode.NEXT_STEP
        self._many = Episodes(self.rules, num_envs)
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
        """Moves all agents; `info["success"]` (N,) tells who reached the goal by this step, where there is one.

        Raises:
            ValueError: no such actions, or an env that has ended and was not reset.
        """
        actions = self.rules.checked(np.asarray(actions), self.num_envs)
        stale = np.flatnonzero(self._ended) if np.count_nonzero(self._ended) else NOBODY
        if len(stale) and not self._autoreset:
            raise ValueError(
                f"env {stale[0]} has ended: reset it with options={{'reset_mask': ended}} before this step"
            )
        rules, many = self.rules, self._many
        many.step(self.np_random, actions)
        self._elapsed += 1
        if len(stale):
            self._start(stale)  # a start pays nothing and ends nothing, so what is read below holds for it too
        terminated = rules.ends(many.joint)
        truncated = self._elapsed >= self.max_episode_steps
        if np.count_nonzero(truncated):
            truncated &= ~terminated
        self._ended = terminated | truncated
        info = {"success": rules.success(many.joint)} if rules.tells_success else {}
        return rules.observe(many.joint), rules.reward(many.joint), terminated, truncated, info

    def get_state(self) -> Floats:
        """The states (N, S): as the observations, with the hidden fact always shown."""
        return self.rules.state(self._many.joint)

    def expert_action(self, guess_N: NDArray[np.bool_] | None = None) -> NDArray[np.int64] | Floats:
        """The expert's actions (N, …); where `guess_N` is True, to where it guesses the goal at the episode's start."""
        guesses = np.zeros(self.num_envs, bool) if guess_N is None else np.asarray(guess_N, bool)
        return self._many.expert(guesses)

    def saw_information(self) -> Bools:
        """Whether each present episode has already shown the hidden fact (N,)."""
        return self._many.informed.copy()

    def render_frame(self, index: int = 0) -> NDArray[np.uint8]:
        """An RGB picture (height, width, 3) of one env."""
        return self.rules.picture(self._many.joint[index], bool(self._many.informed[index]))

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
        self._many.joint = np.array(state["joint"], self._many.joint.dtype)
        self._many.informed = np.array(state["informed"], bool)
        self._many.guess = np.array(state["guess"], self._many.guess.dtype)
        self._elapsed = np.array(state["elapsed"], np.int64)
        self._ended = np.array(state["ended"], bool)
        self.np_random = restored_rng(state["rng"])
