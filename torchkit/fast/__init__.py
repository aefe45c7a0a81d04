"""The same results as torch, faster: optional, and tested against it."""

import warnings
from functools import cache

from utils.optional import is_installed, remedy


@cache
def has_compiler() -> bool:
    """Whether Numba is there to compile kernels; where it is not, torch does the same, and one line says so once."""
    found = is_installed("numba")
    if not found:
        warnings.warn(f"slower on a CPU than it could be: {remedy('numba')}", stacklevel=2)
    return found
