"""From a domain's config to its envs: the only place where an env's id becomes an object."""

import importlib
import os
from functools import partial
from typing import Any, Literal

import gymnasium as gym
from gymnasium.envs.registration import load_env_creator
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from ml_collections import ConfigDict

from envs.base import AsymmetricVectorEnv
from envs.native import AsymmetricVectorWrapper, VectorWithState
from envs.replayed import ReplayedVectorEnv, SyncAsymmetricVectorEnv
from envs.workers import ProcessAsymmetricVectorEnv
from envs.wrappers import AsymmetricWrapper, StateFn
from utils.errors import UserError, suggest

MOST_SIMULATIONS = 16  # of those that ask for processes, each takes tens of megabytes


def make_env(config_env: ConfigDict, render_mode: str | None = None) -> AsymmetricWrapper:
    """One env that publishes `{"obs", "state"}`.

    Raises:
        UserError: the config asks for something that does not exist; the message names the field.
    """
    spec, kwargs = _find_spec(config_env), config_env.kwargs.to_dict()
    drawn: dict[str, Any] = {"render_mode": render_mode} if render_mode else {}  # not every env takes the argument
    try:
        env = gym.make(spec, max_episode_steps=horizon_of(config_env), **drawn, **kwargs)
    except (TypeError, ValueError) as error:
        raise UserError(f"config_env.kwargs: {spec.id} does not take {kwargs} ({_one_line(error)})") from error
    except (gym.error.Error, ImportError) as error:
        raise UserError(f"config_env.id: cannot make {spec.id} ({_one_line(error)})") from error
    return AsymmetricWrapper(
        env,
        state_fn=_import_state_fn(config_env.state_fn),
        hidden=config_env.hidden,
        state_low=config_env.state_low,
        state_high=config_env.state_high,
        max_episode_steps=horizon_of(config_env),
    )


def horizon_of(config_env: ConfigDict) -> int:
    """The horizon in steps: the config's, or where that is 0 the id's own.

    Raises:
        UserError: the id has none either; or there is no such id.
    """
    horizon = config_env.horizon or _find_spec(config_env).max_episode_steps
    if horizon is None:
        raise UserError(f"config_env.horizon: {config_env.id} has no time limit of its own; give one, in steps")
    return int(horizon)


def width_for(config_env: ConfigDict, episodes: int) -> int:
    """How many envs so many episodes are best played in; where an env is large, they take turns."""
    return min(episodes, MOST_SIMULATIONS) if _asks_for_processes(_find_spec(config_env)) else episodes


def make_vector_env(
    config_env: ConfigDict, num_envs: int, *, seed: int, render_mode: str | None = None, processes: int | None = None
) -> AsymmetricVectorEnv:
    """N envs that publish `{"obs", "state"}` and leave resets to the caller.

    The domain's own vector env is used where it has one that tells its states and the config changes nothing about
    what is seen; else N single envs are stepped in turn, or, where the domain's class says `own_process`, shared out to
    `processes` of their own: as many as there are cores if not given, none of their own for one core or one env. What
    the envs do is the same.

    Raises:
        UserError: the config asks for something that does not exist; the message names the field.
    """
    if num_envs < 1:
        raise UserError(f"--num_envs: {num_envs} envs; at least 1")
    spec = _find_spec(config_env)
    envs: ReplayedVectorEnv
    if not config_env.state_fn and not config_env.hidden and _is_native(spec):
        native = _make_native(spec, config_env, num_envs, render_mode)
        native.np_random = seeding.np_random(seed)[0]
        return AsymmetricVectorWrapper(native, spec.id)
    if processes is None:
        processes = min(num_envs, len(os.sched_getaffinity(0))) if _asks_for_processes(spec) else 1
    if processes > 1:
        envs = ProcessAsymmetricVectorEnv(partial(make_env, config_env, render_mode), num_envs, processes)
    else:
        envs = SyncAsymmetricVectorEnv([lambda: make_env(config_env, render_mode)] * num_envs)
    envs.np_random = seeding.np_random(seed)[0]
    return envs


def _make_native(
    spec: gym.envs.registration.EnvSpec, config_env: ConfigDict, num_envs: int, render_mode: str | None
) -> VectorWithState:
    kwargs = config_env.kwargs.to_dict()
    try:
        native: Any = gym.make_vec(
            spec,
            num_envs=num_envs,
            max_episode_steps=horizon_of(config_env),
            autoreset_mode=AutoresetMode.DISABLED,
            render_mode=render_mode,
            **kwargs,
        )
    except (TypeError, ValueError) as error:
        raise UserError(f"config_env.kwargs: {spec.id} does not take {kwargs} ({_one_line(error)})") from error
    return native


def _is_native(spec: gym.envs.registration.EnvSpec) -> bool:
    """Whether the id has a vector env that can tell its states."""
    return hasattr(_creator(spec.vector_entry_point), "get_state")


def _asks_for_processes(spec: gym.envs.registration.EnvSpec) -> bool:
    """Whether the class says that a step is slow enough for processes to be worth it."""
    return bool(getattr(_creator(spec.entry_point), "own_process", False))


def _creator(entry: Any) -> Any:
    """The class or function behind an entry point; None where it is not installed, and so not needed here either."""
    try:
        return load_env_creator(entry) if isinstance(entry, str) else entry
    except (ImportError, AttributeError, gym.error.Error):
        return None


def _find_spec(config_env: ConfigDict) -> gym.envs.registration.EnvSpec:
    """What gymnasium knows of the id, after the module that registers it was imported."""
    if config_env.horizon < 0:
        raise UserError(f"config_env.horizon: {config_env.horizon} steps; at least 1, or 0 for that of the id")
    if config_env.module:
        try:
            importlib.import_module(config_env.module)
        except ImportError as error:
            raise UserError(f"config_env.module: cannot import {config_env.module!r} ({error})") from error
    try:
        return gym.spec(config_env.id)
    except (gym.error.Error, ValueError) as error:
        ours = [
            name for name, spec in gym.registry.items() if str(spec.entry_point).startswith(f"{config_env.module}.")
        ]
        near = suggest(config_env.id, gym.registry)
        listed = f"; {config_env.module!r} registers {', '.join(sorted(ours))}" if config_env.module and ours else ""
        raise UserError(f"config_env.id: unknown env {config_env.id!r}{near}{listed}") from error


def _import_state_fn(name: str) -> StateFn | Literal["observation"] | None:
    """The function of `"package.module:function"`; `"observation"` as it is, None for the empty name."""
    if not name:
        return None
    if name == "observation":
        return "observation"
    module, _, function = name.partition(":")
    if not module or not function:
        raise UserError(f"config_env.state_fn: {name!r} is not 'observation' nor of the form 'package.module:function'")
    try:
        found: Any = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise UserError(f"config_env.state_fn: cannot import {name!r} ({error})") from error
    if not callable(found):
        raise UserError(f"config_env.state_fn: {name!r} is not a function")
    state_fn: StateFn = found
    return state_fn


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
