"""Checkpoints that survive a kill at any moment and tell when they are damaged.

A folder keeps the two newest, `00000007.ckpt` and `00000006.ckpt`. A file is what `torch.save` writes, followed by a
footer: its length, its SHA-256 and a mark. It holds data only: no code runs when it is read.
"""

import contextlib
import hashlib
import math
import os
import pickle
import struct
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import torch

from utils.errors import UserError, first_line
from utils.files import sync

SUFFIX = ".ckpt"
KEPT = 2
FOOTER = struct.Struct("<Q32s8s")
MARK = b"ckpt-v1\n"
TAG = "__kind__"
CHUNK = 1 << 22
# what content of another kind than expected comes to
ODD = (LookupError, ArithmeticError, TypeError, ValueError, AttributeError, RuntimeError)
PLAIN = "biufc"  # kinds of dtypes: truth values, whole, real and complex numbers


def save_checkpoint(folder: str | os.PathLike[str], state: Mapping[str, Any]) -> Path:
    """Writes `state` as the folder's newest checkpoint and removes all but the newest two.

    Args:
        folder: made if it is not there.
        state: nested dicts, lists and tuples of tensors, NumPy arrays and scalars, numbers (integers of any size),
            strings, bytes and None.

    Raises:
        OSError: the disk is full or the folder cannot be written; earlier checkpoints are untouched.
        TypeError: something else in `state`; the message says where.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    content = _encode(state, "state")
    number = max((int(path.stem) for path in _numbered(folder)), default=0) + 1
    target = folder / f"{number:08d}{SUFFIX}"
    draft = folder / "unfinished.tmp"
    try:
        with draft.open("wb", buffering=0) as file:
            _write(file, content)
        draft.replace(target)
        sync(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise OSError(error.errno, error.strerror, str(target)) from error
    for old in _numbered(folder)[KEPT:]:
        old.unlink()
    return target


def keep_newest(folder: str | os.PathLike[str]) -> None:
    """Removes all checkpoints of a folder but the newest: of a run that has ended, which nothing will damage."""
    for old in _numbered(Path(folder))[1:]:
        old.unlink()


def load_checkpoint(folder: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The newest whole checkpoint of a folder, tensors on the CPU; None where there is none.

    A damaged newest one is set aside as `….damaged`, with a warning, and the one before it is used.

    Raises:
        UserError: there are checkpoints and all are damaged; or the newest holds what no checkpoint of ours holds.
    """
    damaged: list[Path] = []
    for path in _numbered(Path(folder)):
        if _is_whole(path):
            for bad in damaged:  # else it would count as one of the two to keep
                with contextlib.suppress(OSError):
                    bad.replace(bad.with_suffix(".damaged"))
            return _read(path)
        warnings.warn(f"checkpoint {path} is damaged; looking for the one before it", RuntimeWarning, stacklevel=2)
        damaged.append(path)
    if damaged:
        names = ", ".join(path.name for path in damaged)
        raise UserError(f"every checkpoint in {folder} is damaged ({names}); remove them to start afresh")
    return None


@contextlib.contextmanager
def restoring(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Has what goes wrong while the content of a folder's checkpoint is taken over say so in one line.

    Raises:
        UserError: the content is that of another version, method, memory or size.
    """
    try:
        yield
    except ODD as error:
        raise UserError(
            f"the checkpoint in {folder} does not fit this run, as if another version or another method had written it "
            f"({type(error).__name__}: {first_line(error)}); move it away to start afresh"
        ) from error


def whole(value: Any, name: str, most: float = math.inf) -> int:
    """A counter of a checkpoint, which is from 0 to `most`.

    Raises:
        ValueError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 0 <= value <= most:
        raise ValueError(f"{name} is {value!r:.40}")
    return int(value)


def _read(path: Path) -> dict[str, Any]:
    """The content of a file whose checksum is right, whoever wrote it.

    Raises:
        UserError: it holds something else than `save_checkpoint` writes.
    """
    try:
        return dict(_decode(torch.load(path, map_location="cpu", weights_only=True)))
    except (pickle.UnpicklingError, *ODD) as error:
        raise UserError(
            f"checkpoint {path} holds something else than this program writes ({first_line(error)}); move it away"
        ) from error


class _Hashing:
    """A file that is hashed as it is written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.length = 0
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Writes all of `data`; a raw file may take it in pieces."""
        view = memoryview(data).cast("B")
        self.digest.update(view)
        done = 0
        try:
            while done < len(view):
                done += self._file.write(view[done:]) or 0
        except OSError as error:
            self.error = error
            raise
        self.length += done
        return done

    def flush(self) -> None:
        """Hands on."""
        self._file.flush()


def _write(file: BinaryIO, content: Any) -> None:
    """Writes content and footer, and has the disk keep them."""
    hashing = _Hashing(file)
    try:
        torch.save(content, cast(BinaryIO, hashing))
    except RuntimeError:  # torch stumbles over the failed write and hides it
        if hashing.error is not None:
            raise hashing.error from None
        raise
    hashing.write(FOOTER.pack(hashing.length, hashing.digest.digest(), MARK))
    os.fsync(file.fileno())


def _is_whole(path: Path) -> bool:
    """Whether length and SHA-256 are what the footer says."""
    with path.open("rb") as file:
        length = path.stat().st_size - FOOTER.size
        if length < 0:
            return False
        digest = hashlib.sha256()
        left = length
        while left and (chunk := file.read(min(CHUNK, left))):
            digest.update(chunk)
            left -= len(chunk)
        return FOOTER.pack(length, digest.digest(), MARK) == file.read()


def _numbered(folder: Path) -> list[Path]:
    """The checkpoints of a folder, newest first."""
    return sorted((path for path in folder.glob(f"*{SUFFIX}") if path.stem.isdigit()), key=lambda p: -int(p.stem))


def _encode(value: Any, where: str) -> Any:
    """The same value in what `torch.load(weights_only=True)` reads; the rest is tagged."""
    if isinstance(value, torch.Tensor):
        tensor = value.detach()
        spare = tensor.untyped_storage().nbytes() > tensor.nbytes  # a view would be stored with all that it views
        return tensor.clone() if spare else tensor
    if isinstance(value, np.ndarray | np.generic):
        return _encode_array(value, where)
    if value is None or type(value) in (bool, float, str):
        return value
    if isinstance(value, bytes):
        return {TAG: "bytes", "data": torch.frombuffer(bytearray(value), dtype=torch.uint8) if value else None}
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**63 else {TAG: "int", "hex": hex(value)}
    if isinstance(value, Mapping):
        if TAG in value:
            raise TypeError(f"{where}: the key {TAG!r} is reserved")
        return {_key(key, where): _encode(item, f"{where}[{key!r}]") for key, item in value.items()}
    if type(value) in (list, tuple, torch.Size):
        items = [_encode(item, f"{where}[{i}]") for i, item in enumerate(value)]
        return items if isinstance(value, list) else tuple(items)
    raise TypeError(f"{where}: cannot store a {type(value).__name__}")


def _key(key: Any, where: str) -> str | int:
    """A dict's key, which is a string or an integer."""
    if not isinstance(key, str | int):
        raise TypeError(f"{where}: cannot store the key {key!r}")
    return key


def _encode_array(value: "np.ndarray[Any, Any] | np.generic", where: str) -> dict[str, Any]:
    """An array or scalar as bytes, so that every dtype comes back as it was."""
    array = np.asarray(value)
    if array.dtype.kind not in PLAIN:
        raise TypeError(f"{where}: cannot store an array of {array.dtype}")
    flat = np.ascontiguousarray(array).reshape(-1)
    data = flat.view(np.uint8) if flat.size and flat.itemsize else np.zeros(0, np.uint8)
    return {
        TAG: "array" if isinstance(value, np.ndarray) else "scalar",
        "dtype": array.dtype.str,
        "shape": array.shape,
        "data": torch.from_numpy(data if data.flags.writeable else data.copy()),
    }


def _decode(value: Any) -> Any:
    """What `_encode` was given."""
    if isinstance(value, dict):
        match value.get(TAG):
            case None:
                return {key: _decode(item) for key, item in value.items()}
            case "int":
                return int(value["hex"], 16)
            case "bytes":
                return b"" if value["data"] is None else value["data"].numpy().tobytes()
            case kind:
                dtype = np.dtype(value["dtype"])
                if dtype.kind not in PLAIN:
                    raise ValueError(f"an array of {dtype}, which is no plain number")
                array = np.ndarray(value["shape"], dtype, value["data"].numpy().data)
                return array if kind == "array" else array[()]
    if isinstance(value, list | tuple):
        return type(value)(_decode(item) for item in value)
    return value
