"""What a config of each kind must hold: the fields of this repository's own files, each of the same kind as there."""

import difflib
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from utils.config import ROOT, load_config, to_dict
from utils.errors import UserError

# Of each group: the field whose value is the name of its standard, what such a config is, and examples.
KINDS = {
    "env": ("id", "a domain", "configs/envs/*.py"),
    "rl": ("family", "a method", "configs/rl/*.py"),
    "seq": ("memory", "a memory", "configs/seq/*.py"),
    "repr": ("embedding_dim", "a representation", "configs/repr/*.py"),
    "sweep": ("stages", "a sweep", "configs/sweeps/*.py"),
}
NAMED_BY = {"rl": ("family", "variant"), "seq": ("memory", None)}  # fields that tell a group's file, and its variant
GIVEN_UP = {("rl", "a2c"): ("aux_batch_size",)}  # fields, by group and file, that were there once
DOMAIN = {  # what every domain has; what came later has defaults
    "id": "",
    "module": "",
    "kwargs": {},
    "horizon": 0,
    "state_fn": "",
    "hidden": (0,),
    "state_low": (0.0,),
    "state_high": (0.0,),
    "eval": {"episodes": 1, "interval": 1},
    "augment": "",
    "n_aug": 0,
}
MORE_OF_A_DOMAIN = {  # what a domain may have besides
    "vector_entry": "",
    "one_instance": False,
    "wrappers": ("",),
    "obs_keys": ("",),
    "state_keys": ("",),
    "obs_image": "",
    "resize": (0,),
    "gray": False,
    "action_low": (0.0,),
    "action_high": (0.0,),
    "success": "",
    "data": {"state": ""},
}
# What was done without a field where its default is something else today: such runs and policies are of these values.
BEFORE: dict[str, dict[str, Any]] = {"rl": {"deploy": "online", "exploration.zeta": 0.0}}
NEARLY = 0.8  # how alike a field's name is to another (difflib's ratio) that it is taken to be that one misspelt
FREE = ("kwargs", "rl", "seq")  # what is in them is looked at where it is used
# a text instead of the tuple
TEXT_TOO = ("hidden", "wrappers", "obs_keys", "state_keys", "action_low", "action_high")
WHOLE = ("hidden_dims", "channels", "kernels", "strides", "pools")  # entries of tuples that are empty in a standard


def check_kind(group: str, config: Mapping[str, Any], where: str) -> None:
    """Refuses a config of another group, one that lacks fields, and fields that are of another kind than they must be.

    Args:
        group: one of `KINDS`; others are passed over.
        config: as a file gave it, overrides included.
        where: what comes before a field's name, such as `--config_rl`.

    Raises:
        UserError: names the field.
    """
    if group not in KINDS:
        return
    mark, what, files = KINDS[group]
    plain = config if isinstance(config, ConfigDict) else ConfigDict(dict(config))
    if mark not in plain:
        others = [f"{other[1]}, for --config_{name}" for name, other in KINDS.items() if other[0] in plain]
        is_now = f"is {others[0]}, and" if others else ""
        raise UserError(f"{where}: this file {is_now} lacks {mark!r}: it is not {what}; choose from {files}")
    standard = standard_of(group, plain)
    if standard is not None:
        check_like(plain, standard, where)
    if group == "env":
        _check_spelling(plain, where)


def _check_spelling(config_env: Mapping[str, Any], where: str) -> None:
    """Refuses fields of a domain that nothing reads, and whose names are nearly those of others.

    Raises:
        UserError: names the field.
    """
    known = (*DOMAIN, *MORE_OF_A_DOMAIN, *FREE)
    for name in [name for name in config_env if name not in known]:
        if near := difflib.get_close_matches(name, known, n=1, cutoff=NEARLY):
            raise UserError(f"{where}: unknown field {name!r} (did you mean {near[0]!r}?)")


def standard_of(group: str, config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The fields of a group, with an example of each value; None where the config is of a kind of the user's own."""
    if group == "env":
        return DOMAIN | {name: example for name, example in MORE_OF_A_DOMAIN.items() if name in config}
    if group == "repr":
        stem = {"disentangled": "vector", "believer": "believer_vector"}.get(str(config.get("kind", "disentangled")))
        return None if stem is None else _own_file("repr", stem, "")  # an unknown kind is refused where it is used
    if group not in NAMED_BY:
        return None
    return _own_file(group, str(config.get(NAMED_BY[group][0], "")), "")


def check_like(given: Mapping[str, Any], standard: Mapping[str, Any], where: str, prefix: str = "") -> None:
    """Refuses fields that are missing or of another kind than in a standard; further fields are passed over.

    Raises:
        UserError: begins with `where` and the field's dotted name.
    """
    missing = [f"{prefix}{name}" for name in standard if name not in given]
    if missing:
        raise UserError(f"{where}: this config lacks {', '.join(missing)}")
    for name, example in standard.items():
        field, value = f"{prefix}{name}", given[name]
        if isinstance(example, Mapping | ConfigDict):
            if not isinstance(value, Mapping | ConfigDict):
                raise UserError(f"{where}.{field}: a group of fields is needed, not {value!r}")
            if name not in FREE:
                check_like(value, example, where, f"{field}.")
            elif name == "kwargs":  # what is there of them
                check_like(value, {key: one for key, one in example.items() if key in value}, where, f"{field}.")
        elif not _is_like(name, value, example):
            shown = to_dict(value) if isinstance(value, ConfigDict) else value
            raise UserError(f"{where}.{field}={shown!r}: {_wanted(name, example)} is needed")


def with_new_fields(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A config as it was stored, with the fields that its files have got since, at the values that these give them.

    So the default of a new field must be what was done without it, or `BEFORE` must say what that was. Groups of which
    the file is not known stay as they are, and so do `kwargs`, for which the part that takes them has defaults. Only
    files of this repository are read, whatever the stored names say. A field that nothing reads any more (`GIVEN_UP`)
    is left out.
    """
    return {
        name: _filled(_without_given_up(name, group), _as_before(name, _defaults(name, group)))
        if isinstance(group, Mapping)
        else group
        for name, group in stored.items()
    }


def _without_given_up(name: str, group: Mapping[str, Any]) -> Mapping[str, Any]:
    """The group without the fields that its files gave up."""
    gone = GIVEN_UP.get((name, str(group.get(NAMED_BY[name][0], "")) if name in NAMED_BY else ""), ())
    return {key: value for key, value in group.items() if key not in gone}


def _as_before(name: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults of a group, its fields in `BEFORE` as they were; one that the group has not stays away."""
    filled = dict(defaults)
    for field, value in BEFORE.get(name, {}).items():
        group, _, leaf = field.rpartition(".")
        if not group and leaf in filled:
            filled[leaf] = value
        elif group in filled and leaf in filled[group]:
            filled[group] = {**filled[group], leaf: value}
    return filled


def _defaults(name: str, group: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the file of a group, in its variant, or else without one, gives now; nothing where there is no such file."""
    if name not in NAMED_BY:
        return {}
    named, row = NAMED_BY[name]
    stem, variant = str(group.get(named, "")), "" if row is None else str(group.get(row, ""))
    return _own_file(name, stem, variant) or _own_file(name, stem, "") or {}  # a variant of the user's own


@cache
def _own_file(group: str, stem: str, variant: str) -> Mapping[str, Any] | None:
    """What one of this repository's files gives; None where there is no such file or variant."""
    file = next((file for file in _files(group) if file.stem == stem), None)
    if file is None:
        return None
    try:
        return to_dict(load_config(file, variant, f"{file}:{variant}"))
    except UserError:
        return None


def _files(group: str) -> list[Path]:
    """This repository's files of a group that is known here."""
    return sorted((ROOT / "configs" / group).glob("[!_]*.py")) if group in KINDS else []


def _filled(group: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The group, and what it lacks of its defaults."""
    inner = {
        key: _filled(value, defaults[key])
        for key, value in group.items()
        if key != "kwargs" and isinstance(value, Mapping) and isinstance(defaults.get(key), Mapping)
    }
    return {**defaults, **group, **inner}


def _is_like(name: str, value: Any, example: Any) -> bool:
    """Whether a value is of the kind of an example."""
    if isinstance(example, list | tuple):
        if isinstance(value, str):
            return name in TEXT_TOO
        if not isinstance(value, list | tuple):
            return False
        return all(any(_is_like("", one, kind) for kind in _entries(name, example)) for one in value)
    if isinstance(example, bool) or isinstance(value, bool):
        return isinstance(example, bool) and isinstance(value, bool)
    if isinstance(example, float):
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, type(example))


def _entries(name: str, example: list[Any] | tuple[Any, ...]) -> list[Any]:
    """Examples of what a tuple may hold."""
    return list(example) or ([0] if name in WHOLE else [0.0, ""])


def _wanted(name: str, example: Any) -> str:
    """What a field must be, in words."""
    if isinstance(example, list | tuple):
        kinds = " or ".join(dict.fromkeys(_plural(one) for one in _entries(name, example)))
        return f"a text or a tuple of {kinds}" if name in TEXT_TOO else f"a tuple of {kinds}"
    if isinstance(example, bool):
        return "True or False"
    if isinstance(example, int):
        return "a whole number"
    return "a finite number" if isinstance(example, float) else "a text"


def _plural(example: Any) -> str:
    if isinstance(example, bool):
        return "True or False"
    if isinstance(example, int):
        return "whole numbers"
    return "finite numbers" if isinstance(example, float) else "texts"
