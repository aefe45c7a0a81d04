"""A folder that is replaced as a whole: what a kill leaves is the older one or the new one, here or aside.

The new one is written into `.NAME.writing-PROCESS` beside it, and while the two change places the older one is
`.NAME.old-PROCESS`.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from utils.errors import UserError
from utils.files import lock_file, lock_folder, sync


def put_in_place(written: Path, path: Path) -> None:
    """Renames a finished folder to its destination; an older one goes to where it was once it is there."""
    old = path.with_name(f".{path.name}.old-{os.getpid()}")
    if path.is_dir():
        path.rename(old)
    try:
        written.rename(path)
    except BaseException:
        if old.is_dir():
            old.rename(path)
        raise
    sync(path.parent)
    if old.is_dir():
        old.rename(written)  # what is named `old` is whole


@contextmanager
def kept_for_us(path: Path, flag: str = "--data_path") -> Iterator[None]:
    """Keeps what is to become the folder `path`, by whatever links it is named, for this process in the block.

    Raises:
        UserError: another process is going to write it.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    handle = lock_file(lock, path, flag)
    while not _is_same_file(handle, lock):  # it was taken away between opening and locking
        os.close(handle)
        handle = lock_file(lock, path, flag)
    try:
        yield
    finally:
        with suppress(OSError):
            lock.unlink()
        os.close(handle)


def _is_same_file(handle: int, path: Path) -> bool:
    """Whether an open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def scratch_beside(path: Path, number: int | str, flag: str = "--data_path") -> Iterator[Path]:
    """The folder beside `path` for what process `number` writes, locked while it is in use, and gone at the end.

    Raises:
        UserError: another process, which lives, has it.
    """
    scratch = path.with_name(f".{path.name}.writing-{number}")
    scratch.mkdir(exist_ok=True)
    handle = lock_folder(scratch, flag)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        os.close(handle)


def mend(path: Path, is_whole: Callable[[Path], bool]) -> None:
    """Puts back an older folder that a killed process left aside, and sweeps away what else such processes left.

    `is_whole` tells whether a folder is there and what it should be.
    """
    left = re.compile(rf"\.{re.escape(path.name)}\.(?:writing|old)-(\d+)")
    for number in {match[1] for beside in path.parent.glob(".*") if (match := left.fullmatch(beside.name))}:
        with suppress(OSError, UserError), scratch_beside(path, number) as scratch:  # one that lives keeps its own
            old = path.with_name(f".{path.name}.old-{number}")
            if old.is_dir():
                old.rename(scratch / "old" if is_whole(path) else path)
