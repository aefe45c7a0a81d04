"""`{"obs", "state"}` for any gymnasium env.

Dimension key: O observation, S state, A actions, R rows.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.base import Belief, EnvSpec
from envs.velocities import hidden_entries
from utils.errors import UserError

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Views = dict[str, Floats]
StateFn = Callable[[gym.Env[Any, Any]], Any]


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
            action_dim=spaces.flatdim(self.action_space),
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
