"""Which fields of a config a class reads, and in what range: said by the class, checked before anything is built.

A class says so in `reads`, a dict of dotted field names; what its bases read it reads, too.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from utils.config import flatten
from utils.errors import UserError


class Range(NamedTuple):
    """What a number, or each of a tuple, must be; `needed` says it in words."""

    fits: Callable[[Any], bool]
    needed: str


ANY = Range(lambda x: True, "")  # who reads it says more
WIDTH = Range(lambda x: x >= 1, "at least 1")
POSITIVE = Range(lambda x: x > 0, "a number above 0")
SHARE = Range(lambda x: 0 <= x <= 1, "a number from 0 to 1")
FROM_ZERO = Range(lambda x: 0 <= x < math.inf, "a finite number from 0 on")

Reads = dict[str, Range]


def reads_of(reader: type) -> Reads:
    """All fields that a class and its bases read."""
    found: Reads = {}
    for base in reversed(reader.__mro__):
        found |= vars(base).get("reads", {})
    return found


def check_reads(reader: type, config: ConfigDict, flag: str) -> None:
    """Refuses a config that lacks what a class reads, or has a number out of range.

    Raises:
        UserError: begins with `flag`, names the class and all fields that are missing, or the field and its value.
    """
    values, fields = flatten(config), reads_of(reader)
    groups = {name[:i] for name in values for i, letter in enumerate(name) if letter == "."}
    if lacking := [name for name in fields if name not in values.keys() | groups]:
        raise UserError(f"{flag}: {reader.__name__} reads {', '.join(lacking)}, which the config lacks")
    for name, (fits, needed) in fields.items():
        value = values.get(name, ())
        if not all(map(fits, value if isinstance(value, tuple) else (value,))):
            raise UserError(f"{flag}.{name}={value}: {needed} is needed")
