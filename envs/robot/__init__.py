"""Tasks for a robot arm in PyBullet: two objects look alike, one of them moves, and only touching tells which."""

import os
from importlib import import_module


def _import_quietly(module: str) -> None:
    """Imports a module without what its C code writes to stderr: pybullet's line, which each process would repeat."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        import_module(module)
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


_import_quietly("pybullet")
