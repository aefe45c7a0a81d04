"""Actions as networks make them, from 0 on or in [-1, 1], and as an env and the wrappers around it want them.

Dimension key: A numbers of a continuous action.
"""

import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from utils.errors import UserError

MOST_ACTIONS = 4096  # of several discrete choices at once, each combination being an action
UNBOUNDED = 1e30  # bounds beyond it are none


class PlainActions:
    """Between the actions that networks are built for and an env's own.

    Discrete ones start at 0; the combinations of MultiDiscrete and MultiBinary are numbered, the last choice running
    fastest; those of a Box become [-1, 1].

    Attributes:
        space: of the actions that networks are built for.

    Args:
        space: the env's own.
        low, high: bounds of a Box, one or A numbers; empty for its own.
        name: of the env, for errors.

    Raises:
        UserError: it is no such space.
    """

    def __init__(
        self, space: spaces.Space[Any], low: Sequence[float] = (), high: Sequence[float] = (), name: str = "the env"
    ):
        self.native, self._name = space, name
        self._choices = _choices(space)
        if self._choices is not None:
            number = int(np.prod(self._choices))
            if number > MOST_ACTIONS:
                raise UserError(
                    f"config_env.id: the actions of {name} have {number:,} combinations ({space}), more than "
                    f"{MOST_ACTIONS:,}; a wrapper that offers fewer is needed (config_env.wrappers)"
                )
            self.space: spaces.Space[Any] = spaces.Discrete(number)
            return
        if not isinstance(space, spaces.Box) or not np.issubdtype(space.dtype, np.floating):
            raise UserError(
                f"config_env.id: the actions of {name} are neither Discrete, MultiDiscrete, MultiBinary nor a bounded "
                f"float Box ({space})"
            )
        try:
            self._low, self._high = (
                np.broadcast_to(np.asarray(given if len(given) else own, np.float64).reshape(-1), own.size)
                for given, own in ((low, space.low), (high, space.high))
            )
        except ValueError as error:
            raise UserError(f"config_env.action_low/action_high: an action has {space.low.size} numbers") from error
        if not (np.abs([self._low, self._high]) < UNBOUNDED).all():
            raise UserError(
                f"config_env.id: the actions of {name} are not bounded ({space}); give bounds, as in "
                "--config_env.action_low=-1 --config_env.action_high=1"
            )
        if (self._low > self._high).any():
            raise UserError("config_env.action_low/action_high: a lower bound is above its upper one")
        self._unit = bool((self._low == -1.0).all() and (self._high == 1.0).all())
        self.space = spaces.Box(-1.0, 1.0, (self._low.size,), np.float32)

    def to_json(self) -> dict[str, Any]:
        """How to turn an action of a policy into one of the env, in plain values."""
        space: Any = self.native
        if isinstance(space, spaces.Discrete):
            return {"kind": "discrete", "number": int(space.n), "env_action": f"action + {int(space.start)}"}
        shape = list(space.shape or ())
        if self._choices is not None:
            numbers = "numpy.stack(numpy.unravel_index(action, choices), -1) + starts"
            starts = getattr(space, "start", np.zeros(len(self._choices), int)).reshape(-1).tolist()
            return {
                "kind": "discrete",
                "number": int(np.prod(self._choices)),
                "choices": list(self._choices),
                "starts": starts,
                "shape": shape,
                "env_action": f"numpy.reshape({numbers}, (-1, *shape))",
            }
        return {
            "kind": "continuous",
            "low": self._low.tolist(),
            "high": self._high.tolist(),
            "shape": shape,
            "env_action": "low + (action + 1) / 2 * (high - low)",
        }

    def to_native(self, action: Any) -> Any:
        """One of the env's own actions."""
        space: Any = self.native
        if self._choices is None:
            return self.batch_to_native(np.asarray(action)[None])[0]
        if isinstance(space, spaces.Discrete):
            return space.dtype.type(space.start + int(action))  # gymnasium takes int64 for no member of an int32 space
        return self.batch_to_native(np.asarray(action).reshape(1))[0]

    def batch_to_native(self, actions: NDArray[Any]) -> NDArray[Any]:
        """N of the env's own actions."""
        space: Any = self.native
        if isinstance(space, spaces.Discrete):
            return np.asarray(space.start + np.asarray(actions), space.dtype)
        if self._choices is not None:
            chosen = np.stack(np.unravel_index(np.asarray(actions, np.intp), self._choices), axis=-1)
            if isinstance(space, spaces.MultiDiscrete):
                chosen = chosen + space.start.reshape(-1)
            return chosen.astype(space.dtype).reshape(-1, *space.shape)
        if self._unit:  # as it is, to the last bit
            return np.clip(actions, -1.0, 1.0).reshape(-1, *space.shape).astype(space.dtype)
        share = (np.clip(np.asarray(actions, np.float64), -1.0, 1.0) + 1.0) / 2.0
        scaled = (self._low + share * (self._high - self._low)).astype(space.dtype)
        kept = np.clip(scaled, self._low.astype(space.dtype), self._high.astype(space.dtype))  # rounding goes beyond
        return kept.reshape(-1, *space.shape)

    def from_native(self, action: Any) -> Any:
        """The inverse of `to_native`; a number that has only one value is 0."""
        return self.batch_from_native(np.asarray(action)[None])[0]

    def of_expert(self, action: Any) -> Any:
        """`from_native` of what the env's expert does.

        Raises:
            UserError: it is none of the env's own actions.
        """
        try:
            ours = self.from_native(action)
            if np.shape(ours) != self.space.shape:
                raise ValueError(f"an action of shape {np.shape(ours)}")
            return ours
        except (TypeError, ValueError) as error:
            raise UserError(
                f"config_env.id: the expert of {self._name} gives {' '.join(repr(action).split())}; the env's own "
                f"actions, which an expert gives, are of {self.native}"
            ) from error

    def batch_from_native(self, actions: Any) -> NDArray[Any]:
        """The inverse of `batch_to_native`: (N,) int64, or (N, A) float32; beyond a Box's bounds its nearest.

        Raises:
            ValueError: one is none of the env's own.
        """
        space: Any = self.native
        if self._choices is not None:
            chosen = np.asarray(actions).reshape(len(actions), len(self._choices))
            chosen = chosen - np.reshape(getattr(space, "start", 0), -1)
            wrong = (chosen < 0) | (chosen >= self._choices) | (chosen != np.floor(chosen))
            if wrong.any():
                raise ValueError(f"the action {np.asarray(actions)[wrong.any(axis=1)][0]} is none of {space}")
            return np.asarray(np.ravel_multi_index(tuple(chosen.astype(np.intp).T), self._choices), np.int64)
        width = self._high - self._low
        share = (np.asarray(actions, np.float64).reshape(len(actions), -1) - self._low) / np.where(width > 0, width, 1)
        if np.isnan(share).any():
            raise ValueError("an action is no number")
        return np.where(width > 0, (2.0 * share - 1.0).clip(-1.0, 1.0), 0.0).astype(np.float32)


def _choices(space: spaces.Space[Any]) -> tuple[int, ...] | None:
    """How many values each choice of a discrete space has; None of a continuous one."""
    if isinstance(space, spaces.Discrete):
        return (int(space.n),)
    if isinstance(space, spaces.MultiDiscrete):
        return tuple(int(n) for n in space.nvec.reshape(-1))
    if isinstance(space, spaces.MultiBinary):
        return (2,) * int(np.prod(space.shape))
    return None


def through_wrappers(action: Any, outer: gym.Env[Any, Any], inner: gym.Env[Any, Any]) -> Any:
    """The action of `outer` that its wrappers turn into this one of `inner`, which is among what they wrap.

    A wrapper that changes actions says how to go back by `revert_action` (or `reverse_action`); else its space tells:
    what the wrapper makes of the action found is compared with what is wanted.

    Raises:
        UserError: a wrapper does not say, and its spaces do not tell.
    """
    if outer is inner or not isinstance(outer, gym.Wrapper):
        return action
    action = through_wrappers(action, outer.env, inner)
    for name in ("revert_action", "reverse_action"):
        if name in dir(type(outer)):
            return getattr(outer, name)(action)
    if not isinstance(outer, gym.ActionWrapper) and outer.action_space == outer.env.action_space:
        if type(outer).step.__module__.partition(".")[0] != "gymnasium":
            _warn_of_own_step(type(outer).__name__)
        return action
    if isinstance(outer, gym.ActionWrapper):
        for tried in _candidates(action, outer.action_space, outer.env.action_space):
            if _same(outer.action(tried), action):
                return tried
    raise UserError(
        f"config_env.wrappers: what the expert does cannot be told through {type(outer).__name__}; give it a method "
        "revert_action(action)"
    )


@cache
def _warn_of_own_step(wrapper: str) -> None:
    """Tells, once, of a wrapper that could change actions and does not say so."""
    warnings.warn(
        f"config_env.wrappers: {wrapper} has a step of its own, taken to leave the expert's actions as they are; "
        "if it does not, give it a method revert_action(action)",
        stacklevel=2,
    )


def _candidates(action: Any, outer: spaces.Space[Any], inner: spaces.Space[Any]) -> list[Any]:
    """What an action of the outer space may be that becomes this one of the inner: itself, scaled, or any of few."""
    if isinstance(outer, spaces.Discrete) and outer.n <= MOST_ACTIONS:
        return [np.int64(outer.start + i) for i in range(int(outer.n))]
    tried: list[Any] = [action]
    boxes = isinstance(outer, spaces.Box) and isinstance(inner, spaces.Box) and outer.shape == inner.shape
    if boxes and outer.is_bounded() and inner.is_bounded():  # type: ignore[attr-defined]
        scaled = PlainActions(outer).to_native(PlainActions(inner).from_native(action))
        tried.insert(0, scaled)
    return tried


def _same(made: Any, wanted: Any) -> bool:
    made, wanted = np.asarray(made, np.float64), np.asarray(wanted, np.float64)
    return made.shape == wanted.shape and bool(np.allclose(made, wanted, rtol=1e-4, atol=1e-5))
