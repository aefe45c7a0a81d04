"""Packages that only some of what there is needs: the extra that brings each, and one line where one is missing."""

import importlib.util

from utils.errors import UserError, first_line

EXTRAS = {
    "pybullet": "robot",
    "optuna": "sweep",
    "submitit": "sweep",
    "onnx": "export",
    "onnxruntime": "export",
    "tensorboard": "track",
    "wandb": "track",
    "h5py": "offline",
    "minari": "offline",
    "sklearn": "offline",
    "numba": "fast",
    "scipy": "finite",
    "minigrid": "gridworlds",
}
NAMES = {"sklearn": "scikit-learn"}  # what pip calls a module where it is not its own name


def is_installed(module: str) -> bool:
    """Whether there is such a module, which is not imported for it."""
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:
        return False


def need(what: str, *modules: str) -> None:
    """Makes sure of the modules of `EXTRAS` that something cannot do without, before any work is done.

    Raises:
        UserError: one is not installed; begins with `what`, the flag or field that asks for it.
    """
    for module in modules:
        if not is_installed(module):
            raise UserError(f"{what}: {remedy(module)}")


def remedy(module: str) -> str:
    """What to say of a module of `EXTRAS` that is not there."""
    package = NAMES.get(module, module)
    return f"{package} is not installed; pip install {package}, or all of the extra [{EXTRAS[module]}]"


def what_lacks(error: ImportError) -> str:
    """What to say of an import that failed: the remedy, where a module of `EXTRAS` is not there."""
    return remedy(error.name) if error.name in EXTRAS else first_line(error)
