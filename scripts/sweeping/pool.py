"""Jobs as processes of this machine, so many at a time, each after those that it needs."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from scripts.sweeping.plan import Job
from scripts.sweeping.status import (
    BLOCKED,
    DONE,
    FAILED,
    LOCAL,
    QUEUED,
    RUNNING,
    STOPPED,
    WAITING,
    Records,
    last_error,
)
from utils.config import ROOT
from utils.stopping import UNFINISHED, handling

INTERRUPTED = 130
POLL_SECONDS = 0.1
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_PR_SET_PDEATHSIG = 1

Watch = Callable[["Pool"], None]


@dataclass
class _Process:
    """A running job."""

    process: "subprocess.Popen[bytes]"
    began: float
    log_offset: int


class Pool:
    """Runs jobs, and knows the state of each.

    A job that stops of itself to be taken up again (exit code 75, or the death by SIGTERM or SIGUSR1 of a script that
    does not catch them) goes back to the end of the queue; one that fails blocks those that need it.

    Args:
        jobs: all, each after those that it needs; what is done is passed over.
        num: how many at a time.
        records: where to keep what becomes of them.
        watch: called over and over.
        place: for the records.
        pause: seconds before a job that stopped is taken up; a scheduler may be about to end the others as well.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        num: int,
        records: Records,
        watch: Watch = lambda pool: None,
        place: str = LOCAL,
        pause: float = 0.0,
    ) -> None:
        self.jobs, self.num, self.records, self.watch, self.place, self.pause = jobs, num, records, watch, place, pause
        self.state = {job.id: DONE if job.done else WAITING for job in jobs}
        self.error = dict.fromkeys(self.state, "")
        self.stopping: int | None = None
        self._signals: deque[int] = deque()
        self._queue = deque(job for job in jobs if not job.done)
        self._not_before: dict[str, float] = {}
        self._running: dict[str, tuple[Job, _Process]] = {}

    def run(self) -> None:
        """Comes back when all that can be done is done, or after `stop` when the last process has ended."""
        while True:
            while self._signals:
                self._pass_on(self._signals.popleft())
            if self.stopping is None:
                self._start()
            self._reap()
            self.watch(self)
            if not self._running and (self.stopping is not None or not self._ready(float("inf"))):
                break
            time.sleep(POLL_SECONDS)
        for job in self._queue:
            broken = next((need for need in job.needs if self.state.get(need.id) in (FAILED, BLOCKED)), None)
            if broken is not None and self.stopping is None:
                self.state[job.id], self.error[job.id] = BLOCKED, f"needs {broken.id}"
        self.watch(self)

    def stop(self, number: int) -> None:
        """Has every process be sent a signal, and none be started any more; safe to call from a signal's handler."""
        self._signals.append(number)

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Takes Ctrl-C and its like as orders to `stop` while the block runs."""
        with handling(self.stop):
            yield

    def _pass_on(self, number: int) -> None:
        """To all processes; what has ended by now is reaped later."""
        self.stopping = number
        for _, running in self._running.values():
            running.process.send_signal(number)

    def _ready(self, now: float) -> list[Job]:
        """What could start, in the order of the queue."""
        return [
            job
            for job in self._queue
            if self._not_before.get(job.id, 0.0) <= now
            and all(self.state.get(need.id, DONE if need.done else FAILED) == DONE for need in job.needs)
        ]

    def _start(self) -> None:
        """Fills the free places."""
        for job in self._ready(time.monotonic())[: self.num - len(self._running)]:
            self._queue.remove(job)
            log = self.records.log(job)
            log.parent.mkdir(parents=True, exist_ok=True)
            record = self.records.read(job)
            # a record of another command was refused before; this one may say where the job was before
            record.command, record.state, record.place, record.error = job.words, RUNNING, self.place, ""
            record.starts += 1
            with log.open("ab") as file:
                offset = file.tell()
                process = subprocess.Popen(
                    [sys.executable, str(ROOT / job.words[0]), *job.words[1:]],
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    env=environment(job.threads),
                    start_new_session=True,  # the terminal's Ctrl-C comes by way of `stop`, once
                    preexec_fn=_end_with_parent,
                )
            self._running[job.id] = (job, _Process(process, time.monotonic(), offset))
            self.state[job.id] = RUNNING
            self.records.write(job, record)

    def _reap(self) -> None:
        """Takes in what has ended."""
        for job, running in list(self._running.values()):
            code = running.process.poll()
            if code is None:
                continue
            del self._running[job.id]
            state, error = self._judge(job, code, running.log_offset)
            if state == QUEUED:
                self._not_before[job.id] = time.monotonic() + self.pause
                self._queue.append(job)
            record = self.records.read(job)
            record.state, record.error = state, error
            record.seconds += round(time.monotonic() - running.began, 1)
            self.state[job.id], self.error[job.id] = state, error
            self.records.write(job, record)

    def _judge(self, job: Job, code: int, log_offset: int) -> tuple[str, str]:
        """State and error line after an exit code."""
        if job.done:
            return DONE, ""
        waits = code in (UNFINISHED, -signal.SIGTERM, -signal.SIGUSR1)
        if self.stopping is not None and (waits or code in (INTERRUPTED, -signal.SIGINT, -self.stopping)):
            return STOPPED, ""
        if waits:
            return QUEUED, ""
        error = last_error(self.records.log(job), log_offset)
        if code < 0:
            return FAILED, f"killed by {signal.Signals(-code).name}"
        if code == 0:
            return FAILED, f"it ended without {job.done_file.name}"
        return FAILED, f"exit {code}: {error}" if error else f"exit {code}"


def environment(threads: int) -> Mapping[str, str]:
    """This process's, with so many threads."""
    return os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))


def _end_with_parent() -> None:
    """Has a child be told to stop should this process be killed: else its runs would go on unseen."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
