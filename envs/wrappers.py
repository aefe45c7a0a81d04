"""`{"obs", "state"}` for any gymnasium env: one at a time, N native ones, or N of a third party's side by side.

Dimension key: N envs, O observation, S state, A actions, L steps of an episode so far.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.base import Belief, EnvSpec, portable_rng, restored_rng
from envs.velocities import hidden_entries
from utils.errors import UserError

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Views = dict[str, Floats]
StateFn = Callable[[gym.Env[Any, Any]], Any]

StepResult = tuple[Views, float, bool, bool, dict[str, Any]]
Beginning = tuple[int, int, Floats | None, list[NDArray[Any]]]  # which env, its episode's seed, start, actions so far

SEEDS = 2**31  # episodes' own seeds are drawn below this


def state_attribute(env: gym.Env[Any, Any]) -> Any:
    """`env.unwrapped.state`, where gymnasium's classic-control envs keep all that they know.

    An example of a `config_env.state_fn`, a function of the env that returns its state as an array of one shape. For an
    env that keeps it elsewhere, write such a function in a module of your own and name it there as `module:function`.
    """
    return getattr(env.unwrapped, "state")  # noqa: B009 gymnasium's Env type does not declare it


class AsymmetricWrapper(gym.Wrapper[Any, Any, Any, Any]):
    """Publishes `{"obs": (O,), "state": (S,)}` float32 for any env, and says what rollouts need to know of it.

    Observations are flattened, entries `hidden` left out. Continuous actions become [-1, 1] and are scaled to the env's
    bounds; discrete ones start at 0. `info["success"]` is there on every step: the env's own `success` or `is_success`,
    else False. A step that ends an episode by itself at the time limit is terminated, not truncated.

    Args:
        env: any env with a flattenable observation and a Discrete or bounded Box action.
        state_fn: reads the state; "observation" for the whole flat observation, hidden entries included; None for
            `env.unwrapped.get_state()`.
        hidden: what of the flat observation is taken away, as `envs.velocities.hidden_entries` reads it.
        state_low: lower bounds of the state, one or S numbers; empty for the env's `state_space`, else none.
        state_high: upper bounds, likewise.
        max_episode_steps: the horizon, for `spec_sizes`.

    Raises:
        UserError: the env cannot be used so; the message says why.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        state_fn: StateFn | Literal["observation"] | None = None,
        hidden: Sequence[int] | str = (),
        state_low: Sequence[float] = (),
        state_high: Sequence[float] = (),
        max_episode_steps: int = 0,
    ) -> None:
        super().__init__(env)
        name = env.spec.id if env.spec else type(env.unwrapped).__name__
        hidden = hidden_entries(env, hidden)
        obs_space, self._visible = _visible_space(env.observation_space, hidden, name)
        self._hides = len(hidden) > 0
        self._full_obs: Floats = np.zeros(0, np.float32)  # the last observation, whole
        self._state_fn = (
            self._observation_as_state if state_fn == "observation" else state_fn or _own_state_fn(env, name)
        )
        state_space = self._find_state_space(state_low, state_high)
        self.observation_space = spaces.Dict(obs=obs_space, state=state_space)
        self.action_space, self._to_native = _plain_action(env.action_space, name)
        base: Any = env.unwrapped
        self.spec_sizes = EnvSpec(
            env_id=name,
            obs_dim=obs_space.shape[0],
            state_dim=state_space.shape[0],
            action_dim=_action_dim(self.action_space),
            discrete=isinstance(self.action_space, spaces.Discrete),
            max_episode_steps=max_episode_steps,
            obs_image_shape=None if hidden else getattr(base, "obs_image_shape", None),
            state_image_shape=None if state_fn else getattr(base, "state_image_shape", None),
            state_features=() if state_fn else getattr(base, "state_features", ()),
            obs_storage=() if hidden else getattr(base, "obs_storage", ()),
            state_storage=() if state_fn else getattr(base, "state_storage", ()),
        )

    def _find_state_space(self, low: Sequence[float], high: Sequence[float]) -> spaces.Box:
        """The declared bounds, or the env's own `state_space`; the size is read off a first state."""
        as_observed = self._state_fn == self._observation_as_state
        own = self.env.observation_space if as_observed else getattr(self.env.unwrapped, "state_space", None)
        if isinstance(own, spaces.Box) and not len(low) and not len(high):
            return _float32_box(spaces.flatten_space(own), slice(None))
        self._views(self.env.reset()[0])
        size = len(self.get_state())
        try:
            return spaces.Box(
                np.broadcast_to(np.array(low if len(low) else -np.inf, np.float32), (size,)),
                np.broadcast_to(np.array(high if len(high) else np.inf, np.float32), (size,)),
                dtype=np.float32,
            )
        except ValueError as error:
            raise UserError(f"config_env.state_low/state_high: the state has {size} numbers ({error})") from error

    def get_state(self) -> Floats:
        """The state (S,), flat."""
        return np.array(self._state_fn(self.env), np.float32).reshape(-1)

    def _views(self, obs: Any) -> Views:
        self._full_obs = np.asarray(spaces.flatten(self.env.observation_space, obs), np.float32)
        return {"obs": self._full_obs[self._visible], "state": self.get_state()}

    def _observation_as_state(self, env: gym.Env[Any, Any]) -> Floats:
        return self._full_obs

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Views, dict[str, Any]]:
        """Starts an episode."""
        obs, info = self.env.reset(seed=seed, options=options)
        return self._views(obs), info

    def step(self, action: Any) -> tuple[Views, float, bool, bool, dict[str, Any]]:
        """One step; `info["success"]` is a bool."""
        obs, reward, terminated, truncated, info = self.env.step(self._to_native(action))
        info["success"] = bool(info.get("success", info.get("is_success", False)))
        return self._views(obs), float(reward), bool(terminated), bool(truncated and not terminated), info

    def expert_action(self, guess: bool = False) -> Any:
        """The env's own expert, in this wrapper's actions.

        Raises:
            UserError: the env has no expert.
        """
        expert = getattr(self.env.unwrapped, "expert_action", None)
        if expert is None:
            raise UserError(f"{self.spec_sizes.env_id} has no expert (expert_action): collect random episodes only")
        return _from_native(expert(guess), self.env.action_space)

    def belief(self, obs_RO: NDArray[Any], terminated: bool) -> Belief | None:
        """The env's own belief from its observations; None where it has none, or where entries are hidden from it."""
        own = getattr(self.env.unwrapped, "belief", None)
        found: Belief | None = None if own is None or self._hides else own(obs_RO, terminated)
        return found

    def saw_information(self) -> bool:
        """Whether this episode has shown the hidden fact; False where the env does not say."""
        saw = getattr(self.env.unwrapped, "saw_information", None)
        return bool(saw()) if saw is not None else False


class VectorWithState(Protocol):
    """What `AsymmetricVectorWrapper` needs beyond gymnasium's vector env; `envs.arrays.ArrayVectorEnv` has it."""

    num_envs: int
    single_observation_space: spaces.Space[Any]
    single_state_space: spaces.Box
    single_action_space: spaces.Space[Any]
    obs_image_shape: tuple[int, ...] | None
    state_image_shape: tuple[int, ...] | None
    state_features: tuple[str, ...]
    max_episode_steps: int

    def get_state(self) -> Floats:
        """The states (N, S)."""


class AsymmetricVectorWrapper(gym.vector.VectorWrapper):
    """Publishes `{"obs": (N, O), "state": (N, S)}` for a vector env that can tell its states (`VectorWithState`)."""

    def __init__(self, env: Any, env_id: str) -> None:
        super().__init__(env)
        single = spaces.Dict(obs=env.single_observation_space, state=env.single_state_space)
        self.single_observation_space = single
        self.observation_space = batch_space(single, env.num_envs)
        self.spec_sizes = EnvSpec(
            env_id=env_id,
            obs_dim=env.single_observation_space.shape[0],
            state_dim=env.single_state_space.shape[0],
            action_dim=_action_dim(env.single_action_space),
            discrete=isinstance(env.single_action_space, spaces.Discrete),
            max_episode_steps=env.max_episode_steps,
            obs_image_shape=env.obs_image_shape,
            state_image_shape=env.state_image_shape,
            state_features=env.state_features,
            obs_storage=getattr(env, "obs_storage", ()),
            state_storage=getattr(env, "state_storage", ()),
        )
        self._inner = env

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Views, dict[str, Any]]:
        """Starts all envs, or those of `options["reset_mask"]`."""
        obs, info = self._inner.reset(seed=seed, options=options)
        return {"obs": obs, "state": self._inner.get_state()}, info

    def step(self, actions: NDArray[Any]) -> tuple[Views, NDArray[np.float64], Bools, Bools, dict[str, Any]]:
        """One step of all envs."""
        obs, reward, terminated, truncated, info = self._inner.step(actions)
        return {"obs": obs, "state": self._inner.get_state()}, reward, terminated, truncated, info

    def expert_action(self, guess_N: Bools) -> NDArray[Any]:
        """The expert's actions (N, …)."""
        expert: NDArray[Any] = self._inner.expert_action(guess_N)
        return expert

    def saw_information(self) -> Bools:
        """Whether each episode has shown the hidden fact (N,)."""
        saw: Bools = self._inner.saw_information()
        return saw

    def render_frame(self, index: int = 0) -> NDArray[np.uint8]:
        """An RGB picture of one env."""
        frame: NDArray[np.uint8] = self._inner.render_frame(index)
        return frame

    def state_dict(self) -> dict[str, Any]:
        """Everything that `load_state_dict` needs to go on bit for bit."""
        state: dict[str, Any] = self._inner.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Puts the envs back where `state_dict` was taken."""
        self._inner.load_state_dict(state)


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


class SyncAsymmetricVectorEnv(gym.vector.VectorEnv[Any, Any, Any]):
    """N envs of any kind, one after the other in this process; resets are the caller's (`AutoresetMode.DISABLED`).

    Its state needs no pickling: every episode starts from a seed of its own, drawn from this env's generator, so that
    (seed, actions so far) is all there is to know of an episode, and loading plays it again. That asks of the env what
    gymnasium's `check_env` does: the same seed and actions give the same episode; and of `expert_action` to change
    nothing.

    Args:
        env_fns: makes each env.
    """

    def __init__(self, env_fns: Sequence[Callable[[], AsymmetricWrapper]]) -> None:
        self.envs = [make() for make in env_fns]
        self._prepare(len(self.envs), Description.of(self.envs[0]))

    def _prepare(self, num_envs: int, one: Description) -> None:
        """Room for N envs of a kind."""
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

    def _play(self, beginnings: Sequence[Beginning]) -> list[Views]:
        """The views to which each of these beginnings leads."""
        return [play(self.envs[i], seed, start, actions) for i, seed, start, actions in beginnings]

    def _step(self, actions: NDArray[Any]) -> list[StepResult]:
        """What each env's step returns."""
        return [env.step(action) for env, action in zip(self.envs, actions, strict=True)]

    def _now(self) -> Views:
        return {"obs": self._obs.copy(), "state": self._state.copy()}

    def step(self, actions: NDArray[Any]) -> tuple[Views, NDArray[np.float64], Bools, Bools, dict[str, Any]]:
        """One step of all envs.

        Raises:
            ValueError: an env has ended and was not reset.
        """
        if self._ended.any():
            raise ValueError(f"env {int(self._ended.argmax())} has ended: reset it before this step")
        actions = np.asarray(actions, self.single_action_space.dtype)
        reward, success = np.zeros(self.num_envs), np.zeros(self.num_envs, bool)
        terminated, truncated = np.zeros(self.num_envs, bool), np.zeros(self.num_envs, bool)
        for i, (views, *outcome, info) in enumerate(self._step(actions)):
            reward[i], terminated[i], truncated[i] = outcome
            self._obs[i], self._state[i] = views["obs"], views["state"]
            self._actions[i].append(actions[i].copy())
            success[i] = info["success"]
        self._ended = terminated | truncated
        return self._now(), reward, terminated, truncated, {"success": success}

    def expert_action(self, guess_N: Bools) -> NDArray[Any]:
        """The expert's actions (N, …).

        Raises:
            UserError: the env has no expert.
        """
        return np.stack([env.expert_action(bool(guess)) for env, guess in zip(self.envs, guess_N, strict=True)])

    def saw_information(self) -> Bools:
        """Whether each episode has shown the hidden fact (N,)."""
        return np.array([env.saw_information() for env in self.envs])

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

    def _frame(self, index: int) -> Any:
        return self.envs[index].render()

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

    def close_extras(self, **kwargs: Any) -> None:
        """Closes every env."""
        for env in self.envs:
            env.close()


def _own_state_fn(env: gym.Env[Any, Any], name: str) -> StateFn:
    """Reads `env.unwrapped.get_state()`."""
    if not hasattr(env.unwrapped, "get_state"):
        raise UserError(
            f"config_env.state_fn: {name} has no get_state(); name a function that reads its state, "
            "as 'module:function' with function(env) -> array (an example: 'envs.wrappers:state_attribute'), or give "
            "'observation' for the whole observation"
        )

    def read(env: gym.Env[Any, Any]) -> Any:
        base: Any = env.unwrapped
        return base.get_state()

    return read


def _visible_space(space: spaces.Space[Any], hidden: Sequence[int], name: str) -> tuple[spaces.Box, NDArray[np.intp]]:
    """The flat float32 space without the `hidden` entries, and the indices (O,) of what is left."""
    if not space.is_np_flattenable:
        raise UserError(f"config_env.id: the observations of {name} cannot be flattened to a vector ({space})")
    flat: Any = spaces.flatten_space(space)
    wrong = [index for index in hidden if not 0 <= index < flat.shape[0]]
    if wrong:
        raise UserError(f"config_env.hidden: no entry {wrong[0]} among the {flat.shape[0]} of {name} (0 is the first)")
    visible = np.setdiff1d(np.arange(flat.shape[0]), np.array(hidden, np.intp))
    if not len(visible):
        raise UserError(f"config_env.hidden: nothing is left of the {flat.shape[0]} entries of {name}")
    return _float32_box(flat, visible), visible


def _float32_box(flat: Any, index: NDArray[np.intp] | slice) -> spaces.Box:
    """The entries `index` of a flat box, as float32; a bound that float32 cannot hold is none."""
    with np.errstate(over="ignore"):
        low, high = flat.low[index].astype(np.float32), flat.high[index].astype(np.float32)
    return spaces.Box(low, high, dtype=np.float32)


def _plain_action(space: spaces.Space[Any], name: str) -> tuple[spaces.Space[Any], Callable[[Any], Any]]:
    """The action space that networks are built for, and the way from its actions to the env's."""
    if isinstance(space, spaces.Discrete):
        start = int(space.start)
        return spaces.Discrete(int(space.n)), lambda action: start + int(action)
    if isinstance(space, spaces.Box) and space.is_bounded() and np.issubdtype(space.dtype, np.floating):
        unit = bool((space.low == -1.0).all() and (space.high == 1.0).all())

        def scale(action: Any) -> Any:
            if unit:  # as it is, to the last bit
                return np.clip(action, -1.0, 1.0).reshape(space.shape).astype(space.dtype)
            share = (np.clip(np.asarray(action, np.float64), -1.0, 1.0).reshape(space.shape) + 1.0) / 2.0
            return (space.low + share * (space.high - space.low)).astype(space.dtype)

        return spaces.Box(-1.0, 1.0, (int(np.prod(space.shape)),), np.float32), scale
    raise UserError(f"config_env.id: the actions of {name} are neither Discrete nor a bounded float Box ({space})")


def _from_native(action: Any, space: spaces.Space[Any]) -> Any:
    """The inverse of `_plain_action`'s way."""
    if isinstance(space, spaces.Discrete):
        return np.int64(action - space.start)
    if not isinstance(space, spaces.Box):
        raise TypeError(f"no such action space: {space}")
    share = (np.asarray(action, np.float64) - space.low) / (space.high - space.low)
    return (2.0 * share - 1.0).reshape(-1).astype(np.float32)


def _action_dim(space: spaces.Space[Any]) -> int:
    """The number of discrete actions, or the width of a continuous one."""
    return int(space.n) if isinstance(space, spaces.Discrete) else int(np.prod(space.shape or (1,)))
