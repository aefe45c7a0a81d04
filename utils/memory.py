"""How much memory there is, and large arrays that say so when they do not fit."""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from utils.errors import UserError

CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")  # of a container or a job


def total_memory() -> float:
    """Bytes of memory that this process may have in all."""
    try:
        limit = float(CGROUP_LIMIT.read_text())  # or "max", which is no number
    except (OSError, ValueError):
        limit = math.inf
    return min(limit, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def gib(size: float) -> str:
    """Bytes as text."""
    return f"{size / 2**30:,.1f} GiB"


def zeros(shape: tuple[int, ...], dtype: DTypeLike, what: str) -> NDArray[Any]:
    """Zeros, of which the system hands out pages on first use: memory follows what is really written.

    Raises:
        UserError: they do not fit; begins with `what`, which names the field that decides.
    """
    try:
        return np.zeros(shape, dtype)
    except (MemoryError, ValueError) as error:  # ValueError: more than there are addresses
        size = math.prod(shape) * np.dtype(dtype).itemsize
        raise UserError(f"{what}: {gib(size)} are needed, there are {gib(total_memory())}; give less") from error
