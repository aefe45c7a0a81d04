"""Seeds: everything at once, named independent streams, and states that can be put down and taken up."""

import hashlib
import json
import random
from typing import Any

import numpy as np
import torch

SPAWN_WORDS = 4  # 128 bits of the stream's name


def seed_everything(seed: int) -> None:
    """Seeds the global generators of Python, NumPy and PyTorch; our own code draws from `generator` instead."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 third parties still draw from it
    torch.manual_seed(seed)


def generator(seed: int, *stream: str | int) -> np.random.Generator:
    """A generator of its own for each (seed, name…), the same on every machine and in every process."""
    name = hashlib.sha256(json.dumps(stream).encode()).digest()
    words = np.frombuffer(name, "<u4")[:SPAWN_WORDS]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=tuple(map(int, words)))))


def seed_for(seed: int, *stream: str | int) -> int:
    """A seed for one purpose, drawn from `generator`."""
    return int(generator(seed, *stream).integers(2**31))


def rng_state() -> dict[str, Any]:
    """Where the global generators are: Python, NumPy, PyTorch and each CUDA device."""
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(legacy=False),  # noqa: NPY002 third parties still draw from it
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_rng_state(state: dict[str, Any]) -> None:
    """Puts the global generators where `rng_state` was taken; CUDA's only where the devices are as many."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state(state["numpy"])  # noqa: NPY002 third parties still draw from it
    torch.set_rng_state(state["torch"].cpu())
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([device.cpu() for device in state["cuda"]])
