"""Tensors on disk: safetensors with a checksum of their values."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor

from utils.files import atomic_write


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes tensors with a checksum of their values, atomically; one that has two names twice."""
    plain, seen = dict[str, Tensor](), set[int]()
    for key, value in tensors.items():
        tensor = value.detach().cpu().contiguous()
        plain[key] = tensor.clone() if tensor.data_ptr() in seen else tensor
        seen.add(tensor.data_ptr())
    atomic_write(path, to_safetensors(plain, {"sha256": _digest(plain)}))


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Reads what `save_tensors` wrote.

    Raises:
        ValueError: a value has changed since, or is no finite number.
        SafetensorError: the file is cut short or is something else.
    """
    with safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 it is no mapping
        checksum = (file.metadata() or {}).get("sha256")
    if checksum != _digest(tensors):
        raise ValueError("its checksum does not match")
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise ValueError(f"{key} is not finite somewhere")
    return tensors


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names and bytes."""
    digest = hashlib.sha256()
    for key in sorted(tensors):
        digest.update(key.encode())
        digest.update(tensors[key].contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
