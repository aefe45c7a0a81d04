"""The fields of a sweep file: which there are, and of what kind each is."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from utils.errors import UserError, suggest

SLURM = {
    "partition": "",  # "" for the cluster's own choice
    "hours": 24.0,
    "memory_gb": 4.0,  # of one run
    "gpus": 0,  # of one job, shared by its runs
    "runs_per_job": 1,  # runs, such as seeds, that one job trains side by side
    "parallel": 64,  # at most so many jobs of an array at a time
    "grace_seconds": 120,  # between the signal and the end of the time limit
    "setup": (),  # shell lines before the start
    "options": {},  # more of sbatch's, as in {"account": "name"}
}
TOP = {"name": "", "axes": {}, "stages": {}, "slurm": {}, "search": {}}
STAGE = {"script": "", "over": (), "flags": (), "list": [], "name": "", "threads": 1, "slurm": {}}
SEARCH: dict[str, Any] = {"metric": "", "direction": "maximize", "trials": 20, "parallel": 0, "seed": 0, "fields": {}}
FIELD: dict[str, Any] = {"low": 0.0, "high": 1.0, "log": False, "choices": []}
# What a field must be, by the kind of the value that stands for it in the tables above.
_KINDS: dict[type, tuple[str, Callable[[Any], bool]]] = {
    str: ("a text", lambda value: isinstance(value, str)),
    bool: ("True or False", lambda value: isinstance(value, bool)),
    int: ("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    float: ("a number", lambda value: is_number(value)),
    tuple: ("a tuple of strings", lambda value: is_texts(value)),
    list: ("a tuple", lambda value: isinstance(value, list | tuple)),
    dict: ("a group of fields", lambda value: isinstance(value, Mapping)),
}


def check_fields(given: Any, known: Mapping[str, Any], where: str) -> None:
    """Refuses a field that is none of `known`, or of another kind than what stands for it there.

    Args:
        given: a group of fields, whatever a file has in its place.
        known: a value of the right kind for each field; a list where what is in it is looked at later.
        where: what comes before a field's name, such as `--config_sweep: slurm.`.

    Raises:
        UserError: names the field.
    """
    if not isinstance(given, Mapping):
        raise UserError(f"{where.rstrip('.: ')}: a group of fields is needed, not {given!r}; as {', '.join(known)}")
    for key, value in given.items():
        if key not in known:
            raise UserError(
                f"{where.rstrip('.: ')}: unknown field {key!r}{suggest(key, known)}; choose from {', '.join(known)}"
            )
        wanted, fits = _KINDS[type(known[key])]
        if not fits(value):
            raise UserError(f"{where}{key}: {wanted} is needed, not {value!r}")


def is_number(value: Any) -> bool:
    """Whether it is a finite number, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_texts(values: Any) -> bool:
    """Whether it is a tuple of strings."""
    return isinstance(values, list | tuple) and all(isinstance(value, str) for value in values)


def strings(values: Any, where: str) -> tuple[str, ...]:
    """A tuple of strings.

    Raises:
        UserError: it is something else.
    """
    if not is_texts(values):
        raise UserError(f"{where}: a tuple of strings is needed, not {values!r}")
    return tuple(values)
