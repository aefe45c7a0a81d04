"""From a domain's config to its envs: the only place where an env's id becomes an object."""

import importlib
import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import load_env_creator
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from ml_collections import ConfigDict
from numpy.typing import NDArray

from envs.actions import PlainActions
from envs.base import AsymmetricVectorEnv
from envs.finite import FinitePOMDP
from envs.native import AsymmetricVectorWrapper, VectorWithState
from envs.replayed import ReplayedVectorEnv, SyncAsymmetricVectorEnv
from envs.turns import MakeEnvs, Turns
from envs.vectors import ForeignVectorEnv
from envs.views import ImageOptions, names_of
from envs.workers import ProcessAsymmetricVectorEnv
from envs.wrappers import Adaptation, AsymmetricWrapper, StateFn, told_by
from utils.config import from_here_or_root
from utils.errors import UserError, blaming, staying, suggest
from utils.files import content_digest
from utils.optional import what_lacks

FILE_FIELD, FILE_DIGEST = "env.kwargs.path", "run.env_file_sha256"  # of a run's config.json, for `file_digest`
MOST_SIMULATIONS = 16  # of those that ask for processes, each takes tens of megabytes


def make_env(config_env: ConfigDict, render_mode: str | None = None) -> AsymmetricWrapper:
    """One env that publishes `{"obs", "state"}`.

    Raises:
        UserError: the config asks for something that does not exist; the message names the field.
    """
    if config_env.get("vector_entry"):
        raise UserError(f"config_env.vector_entry: {config_env.id} is made of many envs, of which none is for itself")
    spec, kwargs = _find_spec(config_env), config_env.kwargs.to_dict()
    drawn: dict[str, Any] = {"render_mode": render_mode} if render_mode else {}  # not every env takes the argument
    try:
        with staying():
            env = gym.make(spec, max_episode_steps=horizon_of(config_env), **drawn, **kwargs)
    except UserError:
        raise
    except (TypeError, ValueError) as error:
        if render_mode and isinstance(error, TypeError):  # it may take no render_mode, and draw all the same
            return _drawing(make_env(config_env), render_mode)
        if not _of_arguments(error, kwargs):
            with blaming("config_env.id", spec.id):
                raise
        raise UserError(f"config_env.kwargs: {spec.id} does not take {kwargs} ({_one_line(error)})") from error
    except ImportError as error:
        raise UserError(f"config_env.id: cannot make {spec.id} ({what_lacks(error)})") from error
    except gym.error.Error as error:
        raise UserError(f"config_env.id: cannot make {spec.id} ({_one_line(error)})") from error
    except Exception as error:
        if render_mode is None:
            with blaming("config_env.id", spec.id):
                raise
        raise UserError(f"{spec.id} cannot be drawn: {_one_line(error)}") from error
    with blaming("config_env.id", spec.id):
        made = AsymmetricWrapper(_wrapped(env, config_env), adaptation(config_env), horizon_of(config_env))
    return _drawing(made, render_mode) if render_mode else made


def _of_arguments(error: Exception, kwargs: Mapping[str, Any]) -> bool:
    """Whether an error of what makes an env may be of the arguments that it was given, or of those that it was not."""
    return bool(kwargs) or "argument" in str(error)


def _drawing(env: AsymmetricWrapper, render_mode: str) -> AsymmetricWrapper:
    """The env, which is to be asked for pictures also where it says nothing of that: it has `render()`, or fails."""
    base = env.unwrapped
    if base.render_mode is None:
        base.render_mode = render_mode
    if base.metadata is gym.Env.metadata:  # none of its own
        base.metadata = {**base.metadata, "render_modes": [render_mode]}
    return env


def file_digest(config_env: ConfigDict) -> str | None:
    """SHA-256 of the file that a domain is read from, `config_env.kwargs.path`; None where it is from none.

    Raises:
        UserError: there is no such file, or it cannot be read.
    """
    path = config_env.kwargs.get("path")
    if not path:
        return None
    ours = config_env.get("module") == "envs"
    file = from_here_or_root(path) if ours else Path(path)
    if not ours and not file.is_file():  # strangers' path may be anything
        return None
    try:
        return content_digest([file])
    except OSError as error:
        raise UserError(f"--config_env.kwargs.path: {path} cannot be read: {error.strerror or error}") from error


def adaptation(config_env: ConfigDict) -> Adaptation:
    """What a domain's config says of how its env is seen and judged; fields that it has not are at their defaults."""
    get = config_env.get

    def bounds(field: str) -> tuple[float, ...]:
        return numbers_of(get(field, ()), field)

    return Adaptation(
        state_fn=_import_state_fn(config_env.state_fn),
        hidden=config_env.hidden,
        state_low=bounds("state_low"),
        state_high=bounds("state_high"),
        obs_keys=get("obs_keys", ()),
        state_keys=get("state_keys", ()),
        image=ImageOptions(get("obs_image", ""), tuple(get("resize", ())), get("gray", False)),
        action_low=bounds("action_low"),
        action_high=bounds("action_high"),
        success=get("success", "last"),
    )


def numbers_of(given: Any, field: str) -> tuple[float, ...]:
    """Bounds that were given as such, or as text such as `-1,0.5`.

    Raises:
        UserError: they are no numbers; names the field of `config_env`.
    """
    try:
        return tuple(float(number) for number in (names_of(given) if isinstance(given, str) else given))
    except ValueError as error:
        raise UserError(f"config_env.{field}: {given!r} are no numbers such as -1,0.5") from error


def _wrapped(env: gym.Env[Any, Any], config_env: ConfigDict) -> gym.Env[Any, Any]:
    """The env in the wrappers that `config_env.wrappers` names, the first innermost."""
    for name in names_of(config_env.get("wrappers", ())):
        wrapper = imported(name, "config_env.wrappers", "'package.module:Class'")
        try:
            with staying():
                env = wrapper(env)
        except UserError:
            raise
        except Exception as error:  # whatever a wrapper of others raises
            raise UserError(f"config_env.wrappers: {name} does not take the env ({_one_line(error)})") from error
        if not isinstance(env, gym.Env):
            raise UserError(f"config_env.wrappers: {name} makes no env of gymnasium's, but a {type(env).__name__}")
    return env


def horizon_of(config_env: ConfigDict) -> int:
    """The horizon in steps: the config's, or where that is 0 the id's own.

    Raises:
        UserError: the id has none either; or there is no such id.
    """
    if config_env.get("vector_entry") and config_env.horizon <= 0:
        longest = f"the length of the longest episode of {config_env.id} is needed"
        raise UserError(f"config_env.horizon: {config_env.horizon} steps; {longest}")
    horizon = config_env.horizon or _find_spec(config_env).max_episode_steps
    if horizon is None:
        raise UserError(f"config_env.horizon: {config_env.id} has no time limit of its own; give one, in steps")
    return int(horizon)


def width_for(config_env: ConfigDict, episodes: int) -> int:
    """How many envs so many episodes are best played in; where an env is large, they take turns."""
    if config_env.get("vector_entry"):
        return episodes
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
    if config_env.get("vector_entry"):
        return _make_foreign(config_env, num_envs, seed, render_mode)
    spec = _find_spec(config_env)
    envs: ReplayedVectorEnv
    if _as_it_is(config_env) and _is_native(spec):
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


def maker(config_env: ConfigDict, num_envs: int | None = None) -> MakeEnvs:
    """What makes envs of a domain as `make_vector_env` does, time and again.

    With `config_env.one_instance` they take turns on one instance; of a vector env that has `num_envs`, or as many as
    the first asks for.
    """

    def make(num_envs: int, **options: Any) -> AsymmetricVectorEnv:
        return make_vector_env(config_env, num_envs, **options)

    if not config_env.get("one_instance", False):
        return make
    if config_env.get("vector_entry"):
        return Turns(make, num_envs).envs
    return Turns(lambda num_envs, **options: make(1, **options)).envs


class Silent(gym.Env[Any, Any]):
    """Stands for an env that there is none of beside those that play, and says nothing of its rows."""

    def belief(self, obs_RO: Any, action_T: Any, terminated: bool) -> None:
        """Nothing is known of it."""

    def last_beliefs(self, pasts: Any) -> None:
        """Nor of these."""


def describing_env(config_env: ConfigDict) -> Silent | AsymmetricWrapper:
    """An env to be asked what it says of its rows; nothing, where there are but vector envs or no second instance."""
    alone = config_env.get("vector_entry") or config_env.get("one_instance", False)
    return Silent() if alone else make_env(config_env)


def model_of(config_env: ConfigDict, discount: float | None = None) -> FinitePOMDP:
    """The domain as a finite POMDP; see `seen_model_of`."""
    return seen_model_of(config_env, discount)[0]


def seen_model_of(config_env: ConfigDict, discount: float | None = None) -> tuple[FinitePOMDP, NDArray[np.float32]]:
    """The domain as a finite POMDP, and what its observations look like (`Rules.observation_views`).

    Args:
        config_env: the domain.
        discount: in place of the model's; None for that.

    Raises:
        UserError: it is none, or not one that is known, or the config changes what is seen of it.
    """
    model: Any = None
    views: Any = None
    if not config_env.get("vector_entry") and _as_it_is(config_env):
        with closing(make_env(config_env)) as env:
            model, views = told_by(env, "model"), told_by(env, "observation_views")
    if model is None:
        raise UserError(f"--config_env: {config_env.id} is not known as a finite POMDP (model)")
    return model if discount is None else replace(model, discount=discount), views


def actions_of(config_env: ConfigDict) -> PlainActions:
    """Between our actions and those of one env of the domain."""
    if config_env.get("vector_entry"):
        with closing(_make_foreign(config_env, 1, 0, None)) as envs:
            return envs.actions
    with closing(make_env(config_env)) as env:
        return env.actions


def _make_foreign(config_env: ConfigDict, num_envs: int, seed: int, render_mode: str | None) -> ForeignVectorEnv:
    """The vector env that `config_env.vector_entry` makes when it is called with `num_envs` and the `kwargs`."""
    make = imported(config_env.vector_entry, "config_env.vector_entry", "'package.module:function'")
    drawn: dict[str, Any] = {"render_mode": render_mode} if render_mode else {}
    for wrong in ("module", "wrappers"):
        if config_env.get(wrong):
            raise UserError(f"config_env.{wrong}: leave it to what config_env.vector_entry names")
    kwargs = config_env.kwargs.to_dict()
    try:
        with staying():
            env = make(num_envs=num_envs, **kwargs, **drawn)
    except Exception as error:
        if render_mode and isinstance(error, TypeError):  # it may take no render_mode, and draw all the same
            return _make_foreign(config_env, num_envs, seed, None)
        if isinstance(error, TypeError) and _of_arguments(error, kwargs):
            raise UserError(
                f"config_env.kwargs: {config_env.vector_entry} does not take {kwargs} ({_one_line(error)})"
            ) from error
        with blaming("config_env.vector_entry", config_env.vector_entry):
            raise
    with blaming("config_env.vector_entry", config_env.vector_entry):
        envs = ForeignVectorEnv(env, config_env.id, adaptation(config_env), horizon_of(config_env))
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
        if not _of_arguments(error, kwargs):
            with blaming("config_env.id", spec.id):
                raise
        raise UserError(f"config_env.kwargs: {spec.id} does not take {kwargs} ({_one_line(error)})") from error
    return native


CHANGES = (
    *("state_fn", "hidden", "obs_keys", "state_keys", "wrappers", "obs_image", "resize", "gray"),
    *("action_low", "action_high"),
)


def _as_it_is(config_env: ConfigDict) -> bool:
    """Whether the config changes nothing about what is seen and done."""
    return not any(config_env.get(field) for field in CHANGES) and config_env.get("success", "last") == "last"


def _is_native(spec: gym.envs.registration.EnvSpec) -> bool:
    """Whether the id has a vector env that can tell its states."""
    return hasattr(_creator(spec.vector_entry_point), "get_state")


def _asks_for_processes(spec: gym.envs.registration.EnvSpec) -> bool:
    """Whether the class says that a step is slow enough for processes to be worth it."""
    return bool(getattr(_creator(spec.entry_point), "own_process", False))


def _creator(entry: Any) -> Any:
    """The class or function behind an entry point; None where it is not installed, and so not needed here either."""
    try:
        with staying():
            return load_env_creator(entry) if isinstance(entry, str) else entry
    except (ImportError, AttributeError, gym.error.Error):
        return None


def _find_spec(config_env: ConfigDict) -> gym.envs.registration.EnvSpec:
    """What gymnasium knows of the id, after the module that registers it was imported."""
    if config_env.horizon < 0:
        raise UserError(f"config_env.horizon: {config_env.horizon} steps; at least 1, or 0 for that of the id")
    if config_env.module:
        _module(config_env.module, config_env.module, "config_env.module")
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
    read: StateFn = imported(name, "config_env.state_fn", "'observation' nor of the form 'package.module:function'")
    return blaming("config_env.state_fn", name)(read)


def imported(name: str, field: str, form: str) -> Any:
    """What `"package.module:name"` names, which can be called."""
    module, _, inner = name.partition(":")
    if not module or not inner:
        raise UserError(f"{field}: {name!r} is not {form}")
    try:
        found: Any = getattr(_module(module, name, field), inner)
    except AttributeError as error:
        raise UserError(f"{field}: cannot import {name!r} ({error})") from error
    if not callable(found):
        raise UserError(f"{field}: {name!r} is not a function")
    return found


def _module(name: str, given: str, field: str) -> ModuleType:
    """A module of others, which `field` of the config asks for by what is `given` there."""
    if name.startswith("."):
        raise UserError(f"{field}: cannot import {given!r} (a module is named from its root)")
    with blaming(field, name):
        try:
            return importlib.import_module(name)
        except ImportError as error:
            raise UserError(f"{field}: cannot import {given!r} ({what_lacks(error)})") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
