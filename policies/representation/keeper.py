"""What is kept of a training of stage 2 while it goes on, so that a stop signal loses nothing that was done."""

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from policies.representation.training import EpochTrainer
from utils.checkpoint import save_checkpoint
from utils.logger import JsonlWriter
from utils.run import Run
from utils.stopping import StopRequest

PATIENCE_SECONDS = 5.0  # for which a stop signal waits for an epoch's end


class Keeper:
    """Saves a training; where an epoch is long, a stop signal has it saved as the epoch began.

    Args:
        trainer, run, jsonl: what is saved, where, and the metrics so far.
        stop: the signal.
    """

    def __init__(self, trainer: EpochTrainer, run: Run, jsonl: JsonlWriter, stop: StopRequest):
        self.trainer, self.run, self.jsonl, self.stop = trainer, run, jsonl, stop
        self.saved = self._began = time.monotonic()
        self._saved_epoch = trainer.epoch
        self._kept: dict[str, Any] | None = None

    @property
    def where(self) -> str:
        """From where the same command goes on after a stop, in words."""
        epoch = self._saved_epoch if self._kept is None else self._kept["trainer"]["epoch"]
        if not epoch:
            return "before the first epoch was over; the same command starts over"
        return f"at epoch {epoch} of {self.trainer.num_epochs}; the same command goes on"

    def save(self) -> None:
        """Writes the present state as a checkpoint."""
        self._write({"trainer": self.trainer.state_dict(), "metrics_bytes": self.jsonl.offset()})

    def after_epoch(self) -> None:
        """Keeps the state in memory where epochs are long."""
        now = time.monotonic()
        if now - self._began > PATIENCE_SECONDS:
            self._kept = copy.deepcopy({"trainer": self.trainer.state_dict(), "metrics_bytes": self.jsonl.offset()})
        self._began = now

    def after_batch(self) -> None:
        """Ends a long epoch at a stop signal."""
        if self.stop.number is not None and time.monotonic() - self._began > PATIENCE_SECONDS:
            self.stop.interrupt(self.where)

    @contextmanager
    def at_a_stop(self) -> Iterator[None]:
        """Writes what is kept where a stop signal ends the block."""
        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            if self._kept is not None and self._kept["trainer"]["epoch"] < self.trainer.num_epochs:
                self._write(self._kept)
            raise

    def _write(self, state: dict[str, Any]) -> None:
        save_checkpoint(self.run.checkpoint_dir, state)
        self.saved, self._saved_epoch, self._kept = time.monotonic(), state["trainer"]["epoch"], None
