"""Files written all or not at all, their digests, and folders that one process has."""

import contextlib
import fcntl
import glob
import hashlib
import json
import math
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from utils.errors import UserError

LEFT_SECONDS = 3600.0  # after which nobody goes on with a draft


def atomic_write(path: str | os.PathLike[str], data: bytes | str) -> None:
    """Replaces `path` by `data`, all or nothing, even when the power fails.

    Raises:
        OSError: names `path`.
    """
    with atomic_path(path) as draft:
        draft.write_bytes(data.encode() if isinstance(data, str) else data)


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Replaces `path` by a value as JSON, as `atomic_write` does; a number that is not finite is `null`, as in metrics.

    Raises:
        OSError: names `path`.
    """
    atomic_write(path, json.dumps(_finite(value), indent=2, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    """A value with None for what is no number at any depth; JSON has neither NaN nor infinity."""
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def folder_for(path: str, flag: str) -> Path:
    """Where a folder is to be, which may not be there yet.

    Raises:
        UserError: what is there, or on the way, is a file; `flag` asked for it.
    """
    folder = Path(path).expanduser()
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not there.is_dir():
        raise UserError(f"{flag}: {there} is a file; name a folder")
    return folder


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a name beside `path` to write a file under; on leaving well, that file takes the place of `path`.

    The name keeps the suffix, by which some writers choose a format.

    Raises:
        OSError: names `path`.
    """
    target = Path(path)
    draft = target.with_name(f".{target.stem}.{os.getpid()}.tmp{target.suffix}")
    _sweep(target)
    try:
        yield draft
        sync(draft)
        draft.replace(target)
        sync(target.parent)
    except OSError as error:
        _remove(draft)
        if error.errno is None or error.filename not in (None, str(draft)):
            raise
        raise OSError(error.errno, error.strerror, str(target)) from error
    except BaseException:
        _remove(draft)
        raise


def _sweep(target: Path) -> None:
    """Removes what killed processes left of a file; what is written now, here or on another machine, is younger."""
    left = re.compile(rf"\.{re.escape(target.stem)}\.\d+\.tmp{re.escape(target.suffix)}")
    with contextlib.suppress(OSError):
        for path in target.parent.glob(f".{glob.escape(target.stem)}.*.tmp*"):
            if left.fullmatch(path.name) and time.time() - path.stat().st_mtime > LEFT_SECONDS:
                path.unlink()


def _remove(draft: Path) -> None:
    """Removes an unfinished file, if it can be."""
    with contextlib.suppress(OSError):
        draft.unlink()


def content_digest(parts: Iterable[Path | str]) -> str:
    """SHA-256 over the contents of files and over texts, in order."""
    whole = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            with part.open("rb") as file:
                whole.update(hashlib.file_digest(file, "sha256").digest())
        else:
            whole.update(hashlib.sha256(part.encode()).digest())
    return whole.hexdigest()


def sync(path: Path) -> None:
    """Has the disk keep a file's content, or a folder's list of names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def lock_folder(folder: Path, flag: str = "--run_name") -> int:
    """Takes the folder for this process; the kernel gives it back when the process ends, however it ends.

    Returns:
        A handle, to be closed to give the folder back before.

    Raises:
        UserError: another process has it; `flag` is what to change.
    """
    return lock_file(folder / ".lock", folder, flag)


def lock_file(file: Path, what: Path, flag: str) -> int:
    """Takes a file, made if it is not there, that stands for `what`; else as `lock_folder`."""
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise UserError(f"{flag}: another process is writing into {what}; wait for it or choose another") from error
    except OSError:  # a file system without locks
        pass
    return handle
