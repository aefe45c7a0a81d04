"""Which entries of an observation are velocities: what `config_env.hidden=velocity` takes away."""

from typing import Any

import gymnasium as gym
from gymnasium import spaces

from utils.errors import UserError

# gymnasium's own envs that do not say it themselves, by the name of their id without its version
VELOCITIES: dict[str, tuple[int, ...]] = {
    "Acrobot": (4, 5),
    "CartPole": (1, 3),
    "InvertedDoublePendulum": (5, 6, 7),
    "MountainCar": (1,),
    "MountainCarContinuous": (1,),
    "Pendulum": (2,),
    "Pusher": tuple(range(7, 14)),
    "Reacher": (6, 7),
}
VELOCITY_PARTS = ("qvel", "cvel")  # of MuJoCo's `observation_structure`: of the joints, and of the bodies


def hidden_entries(env: gym.Env[Any, Any], hidden: Any, whole: bool = True) -> tuple[int, ...]:
    """The indices that `config_env.hidden` means: given as such, as text such as `1,3`, or by the word `velocity`.

    `whole` says that the observation is the env's, not some of its keys.

    Raises:
        UserError: it is none of these, or it is not known which entries of this env are velocities.
    """
    if not isinstance(hidden, str):
        return tuple(hidden)
    if hidden == "velocity" and whole and env.observation_space == env.unwrapped.observation_space:
        return velocity_entries(env)
    if hidden == "velocity":
        raise UserError(
            "config_env.hidden: which entries are velocities is known of whole observations only, that no wrapper has "
            "changed; give their indices, as in --config_env.hidden=1,3"
        )
    try:
        return tuple(int(index) for index in hidden.strip("() ").split(",") if index.strip())
    except ValueError as error:
        raise UserError(f"config_env.hidden: {hidden!r} is neither 'velocity' nor indices such as 1,3") from error


def velocity_entries(env: gym.Env[Any, Any]) -> tuple[int, ...]:
    """The indices of all velocities in the flat observation.

    MuJoCo envs of version 5 tell how their observations are made up; those of version 4 are positions, of which the
    first ones may be left out, and then velocities, if their sizes say so.

    Raises:
        UserError: it is not known for this env.
    """
    base: Any = env.unwrapped
    spec = env.spec
    structure = getattr(base, "observation_structure", None)
    if structure is not None:
        return _of_structure(structure)
    if spec is not None and spec.namespace is None and spec.name in VELOCITIES:
        return VELOCITIES[spec.name]
    data: Any = getattr(base, "data", None)
    if hasattr(data, "qpos") and hasattr(data, "qvel"):
        num = spaces.flatdim(env.observation_space)
        first = num - data.qvel.size
        if 0 <= data.qpos.size - first <= 2:  # a body on a plane may have its two coordinates left out
            return tuple(range(first, num))
    name = spec.id if spec else type(base).__name__
    raise UserError(
        f"config_env.hidden: it is not known which entries of {name} are velocities; give their indices, as in "
        "--config_env.hidden=1,3"
    )


def _of_structure(structure: dict[str, int]) -> tuple[int, ...]:
    """The entries of the velocity parts; parts follow one another, skipped ones take no room."""
    entries: list[int] = []
    first = 0
    for part, size in structure.items():
        if part.startswith("skipped"):
            continue
        if part in VELOCITY_PARTS:
            entries += range(first, first + size)
        first += size
    return tuple(entries)
