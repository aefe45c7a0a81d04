"""What a recorded command would mean today: its config files with the fields that it set."""

import ast
import itertools
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from policies.training.flags import DEFAULTS
from utils.config import ROOT, flatten, load_config, to_dict
from utils.errors import UserError, first_line
from utils.standards import with_new_fields

GROUPS = ("env", "rl", "seq", "repr")
# Where a domain's settings went, and what differs without another result.
LEFT_OUT = ("env.rl", "env.seq", "env.eval")
EXTENSIONS = {"auxiliary": ("use", "use_actor"), "intrinsic": ("use",)}  # and the fields that name those in use


def command_today(command: str) -> dict[str, Any]:
    """The resolved fields, by dotted name, that a command of stage 2 or 3 would have by today's configs.

    Raises:
        UserError: a config or field is there no longer.
    """
    words = shlex.split(command)
    given = dict(word[2:].split("=", 1) for word in words if word.startswith("--") and "=" in word)
    given |= {word[2:]: after for word, after in itertools.pairwise(words) if word.startswith("--") and "=" not in word}
    configs, overridden = {}, {}
    for group in GROUPS:
        path = given.get(f"config_{group}", DEFAULTS.get(group) if words[0].endswith("main.py") else None)
        if path is None:
            continue
        name, _, variant = path.partition(":")
        configs[group] = load_config(ROOT / name, variant, f"--config_{group}")
        start = f"config_{group}."
        overridden[group] = {key[len(start) :]: value for key, value in given.items() if key.startswith(start)}
        set_fields(configs[group], overridden[group])
    if "repr" in configs and "num_epochs" in given:
        set_fields(configs["repr"], {"num_epochs": given["num_epochs"]})
    if "rl" in configs:
        from policies.training.resolve import resolve

        flags = {
            "batch_size": _number(given.get("batch_size")),
            "updates_per_step": _number(given.get("updates_per_step")),
        }
        resolve(
            configs["env"],
            configs["rl"],
            configs["seq"],
            configs.get("repr"),
            set(overridden["rl"]),
            flags,
            set(overridden["seq"]),
        )
    return settings_of({group: to_dict(config) for group, config in configs.items()})


def settings_of(configs: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of groups of configs by dotted name, those that make no difference left out; tuples as lists."""
    flat = flatten({group: configs[group] for group in GROUPS if configs.get(group) is not None})
    kept = {name: value for name, value in flat.items() if not name.startswith(LEFT_OUT) and in_use(name, flat)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in sorted(kept.items())}


def in_use(name: str, flat: Mapping[str, Any]) -> bool:
    """Whether a field makes a difference: those of losses and bonuses that are not in use make none."""
    group, _, rest = name.partition(".")
    kind, _, rest = rest.partition(".")
    part, _, field = rest.partition(".")
    if group != "rl" or kind not in EXTENSIONS or not field:
        return True
    return any(part in flat.get(f"rl.{kind}.{use}", ()) for use in EXTENSIONS[kind])


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Fields whose values are not the same, and both; a field that is new counts where it stands in one alone."""
    return {
        name: (then.get(name), now.get(name))
        for name in sorted({*then, *now})
        if (then.get(name) or None) != (now.get(name) or None)
    }


def set_fields(config: ConfigDict, values: Mapping[str, str]) -> None:
    """Writes fields as a command line has them, of the types that they have."""
    with config.unlocked():
        for name, text in values.items():
            *parents, leaf = name.split(".")
            parent = config
            for part in parents:
                parent = parent[part]
            before = parent[leaf]
            if isinstance(before, str):
                parent[leaf] = text
            elif isinstance(before, bool):
                parent[leaf] = text.lower() == "true"
            else:
                value = ast.literal_eval(text)
                parent[leaf] = type(before)(value) if before is not None else value


def _number(text: str | None) -> float | None:
    return None if text is None else ast.literal_eval(text)


def differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """For each recorded command and the configs that it had, one line a field that is another today.

    A field that has come since counts as what was done without it.
    """
    lines = []
    for one in settings:
        try:
            changed = differences(settings_of(with_new_fields(one["configs"])), command_today(one["command"]))
        except (UserError, KeyError, ValueError, TypeError, SyntaxError, AttributeError) as error:
            lines.append(f"{one['what']}: its command is none of today's ({first_line(error)})")
            continue
        lines += [f"{one['what']}: {name} was {then}, is {now}" for name, (then, now) in changed.items()]
    return lines
