"""Whose modules a policy's own files may have imported: this repository's; others only by the user's word."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from utils.config import json_tuples
from utils.errors import UserError
from utils.standards import check_kind

OWN = "envs"  # the package whose modules a stored config may name


def config_of(about: Mapping[str, Any], config_env: ConfigDict | None, trusted: bool, flag: str) -> ConfigDict:
    """The configs of a policy as `load_policy` reads them, with the domain's own in place of the stored one if given.

    Raises:
        UserError: the stored one would have modules imported that are not of this repository, and is not `trusted`; or
            it is damaged. `flag` is how the user named the policy.
    """
    config = ConfigDict(json_tuples(about["config"]))
    if config_env is not None:
        config.env = config_env
        return config
    if "env" not in config:
        raise UserError(f"{flag}: the policy does not say its domain; give --config_env=FILE")
    check_kind("env", config.env, f"{flag}: config.env")
    if not trusted and (foreign := sorted(set(foreign_modules(config.env)))):
        raise UserError(
            f"{flag}: its files ask to import {', '.join(map(repr, foreign))}, which runs code; give "
            "--config_env=FILE, the domain's config, or --trust if you know who made the policy"
        )
    return config


def foreign_modules(config_env: ConfigDict) -> Iterator[str]:
    """What a domain's config would have imported from outside of this repository's `envs`."""
    named = [name for text in texts(config_env.to_dict() | {"module": ""}) for name in re.split(r"[,\s]+", text)]
    for name in (config_env.module, *(name.partition(":")[0] for name in named if ":" in name)):
        if name and name != OWN and not name.startswith(f"{OWN}."):
            yield name


def texts(value: Any) -> Iterator[str]:
    """All texts in nested fields but for the arguments of the env, which are handed on as they are."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            if key not in ("kwargs", "rl", "seq"):
                yield from texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from texts(one)
