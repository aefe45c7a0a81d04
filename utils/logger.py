"""Metrics to small writers: JSON lines always, TensorBoard and wandb as mirrors, imported only when asked for."""

import hashlib
import json
import math
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol


class Writer(Protocol):
    """Where metrics go."""

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Keeps the metrics of one step."""

    def close(self) -> None:
        """Ends the writing."""


class Logger:
    """Hands every write to all of its writers."""

    def __init__(self, writers: Sequence[Writer]) -> None:
        self.writers = list(writers)

    def write(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Writes numbers, or anything of one element that `float` takes, under the env step at which they hold."""
        numbers = {name: value if isinstance(value, int) else float(value) for name, value in metrics.items()}
        for writer in self.writers:
            writer.write(step, numbers)

    def close(self) -> None:
        """Closes all writers, also where one of them fails."""
        with ExitStack() as stack:
            for writer in self.writers:
                stack.callback(writer.close)


class JsonlWriter:
    """One JSON object a line, on disk after each write; a number that is not finite is `null`.

    A resumed run cuts the file at the `offset()` that its checkpoint remembers and goes on as if never broken.
    A last line that a kill left half-written is cut when the file is opened.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file = self.path.open("a+b", buffering=0)  # a buffer would fail once more when it is closed
        cut_torn_line(self._file)

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Appends {"step": step, **metrics}.

        Raises:
            OSError: names the file.
        """
        row = {"step": step} | {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        line = memoryview(json.dumps(row).encode() + b"\n")
        with self._named():
            while line:  # a disk that is nearly full takes a part
                line = line[self._file.write(line) :]

    def offset(self) -> int:
        """The file's length in bytes, once the disk has it, for a checkpoint to remember.

        Raises:
            OSError: names the file.
        """
        with self._named():
            os.fsync(self._file.fileno())
        return self._file.seek(0, os.SEEK_END)

    def truncate(self, offset: int) -> None:
        """Forgets what was written after `offset`."""
        length = self._file.seek(0, os.SEEK_END)
        if length < offset:
            warnings.warn(
                f"{self.path} is shorter than its checkpoint says; lines are lost", RuntimeWarning, stacklevel=2
            )
        self._file.truncate(min(offset, length))

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Has what fails name the file."""
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error


class TensorBoardWriter:
    """Scalars for TensorBoard, in `folder`; what an earlier process wrote from `first_step` on is hidden.

    By `tags`, such as the method, its page of hyperparameters sorts and filters the runs.
    """

    def __init__(
        self, folder: str | os.PathLike[str], first_step: int = 0, tags: Mapping[str, str | int] | None = None
    ) -> None:
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams

        self._writer = SummaryWriter(str(folder), purge_step=first_step or None)
        if tags:
            for summary in hparams(dict(tags), {"eval/success": 0, "eval/return": 0})[:2]:
                self._writer._get_file_writer().add_summary(summary)

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """One point of each curve."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Writes out what waits."""
        self._writer.close()


class WandbWriter:
    """A mirror in wandb; offline, into `folder`, unless the user is logged in or has set WANDB_MODE.

    A resumed run goes on in the same curves: wandb knows it by its folder. Runs of a wandb sweep have the sweep's ids.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        name: str,
        config: Mapping[str, Any],
        group: str | None = None,
        tags: Iterable[str] = (),
    ) -> None:
        import wandb

        mode = os.environ.get("WANDB_MODE") or ("online" if wandb.login(prompt=False) else "offline")
        self._run = wandb.init(
            project="asymmetric-learning",
            group=group,
            name=name,
            id=None if "WANDB_SWEEP_ID" in os.environ else wandb_id(folder),
            tags=[tag[:64] for tag in tags],  # no more is allowed
            config=dict(config),
            dir=str(folder),
            mode=mode,  # type: ignore[arg-type]
            resume="allow",
        )

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """One point of each curve."""
        self._run.log(dict(metrics), step=step)

    def close(self) -> None:
        """Writes out what waits."""
        self._run.finish()


def wandb_id(folder: str | os.PathLike[str]) -> str:
    """The id in wandb of the run in `folder`; runs of one name in other folders have others."""
    return hashlib.sha256(os.fsencode(Path(folder).resolve())).hexdigest()[:16]


def cut_torn_line(file: Any) -> None:
    """Cuts a file open for reading and appending after its last end of line."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - 4096)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    file.truncate(end)
    file.seek(end)
