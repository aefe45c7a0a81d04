"""Jobs on a SLURM cluster, by way of submitit: what is shared by the machines is the folder of the runs.

The run folders are the checkpoint: a job that SLURM starts again, for whatever reason, starts its runs again, and these
go on from their own. One that is out of time with nothing saved is not started again. submitit is asked to use SIGUSR1,
which main.py understands, since SLURM sends it to all processes of a job and not to the first alone.
"""

import getpass
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.sweeping.plan import RECORDS, Job, Sweep
from scripts.sweeping.pool import Pool
from scripts.sweeping.status import DONE, FAILED, LOCAL, QUEUED, Records
from utils.checkpoint import SUFFIX
from utils.config import ROOT
from utils.errors import UserError, first_line
from utils.optional import remedy
from utils.run import Run

PREEMPT_SIGNAL = "USR1"
ALWAYS = 100_000  # time-outs of one job that lead to a requeue: each has brought one of its runs further
NEARLY = 0.8  # a job that has had this share of its time and is told to stop is out of time, and not preempted
PAUSE_SECONDS = 30.0
CONTROLLER_SECONDS = 60


@dataclass(frozen=True)
class Array:
    """Batches of runs that are submitted together.

    Attributes:
        stage: of all of them.
        batches: the runs of each job, trained side by side.
        needs: jobs outside that must be finished before any of them.
    """

    stage: str
    batches: tuple[tuple[Job, ...], ...]
    needs: tuple[Job, ...]


def arrays(jobs: Sequence[Job], sweep: Sweep) -> list[Array]:
    """Jobs that are not done as arrays, one for each stage and set of unfinished needs."""
    groups: dict[tuple[str, tuple[str, ...]], list[Job]] = {}
    for job in jobs:
        if not job.done:
            key = (job.stage, tuple(sorted(need.id for need in job.needs if not need.done)))
            groups.setdefault(key, []).append(job)
    made = []
    for (stage, _), group in groups.items():
        size = sweep.slurm_of(stage)["runs_per_job"]
        batches = tuple(tuple(group[k : k + size]) for k in range(0, len(group), size))
        made.append(Array(stage, batches, tuple(need for need in group[0].needs if not need.done)))
    return made


def parameters(array: Array, settings: Mapping[str, Any], numbers: Mapping[str, str], name: str) -> dict[str, Any]:
    """What submitit is to ask SLURM for.

    Args:
        array: the batches.
        settings: as in `schema.SLURM`.
        numbers: SLURM's number of each job that was submitted, by our id.
        name: of the sweep.
    """
    runs = max(len(batch) for batch in array.batches)
    threads = array.batches[0][0].threads
    extra = dict(settings["options"]) | {"requeue": True}
    if array.needs:
        wanted = dict.fromkeys(numbers[need.id] for need in array.needs)
        extra |= {"dependency": ",".join(f"afterok:{number}" for number in wanted), "kill-on-invalid-dep": "yes"}
    asked: dict[str, Any] = {
        "name": f"{name}-{array.stage}",
        "timeout_min": max(1, round(60 * settings["hours"])),
        "mem_gb": settings["memory_gb"] * runs,
        "cpus_per_task": threads * runs,
        "slurm_array_parallelism": settings["parallel"],
        "slurm_signal_delay_s": settings["grace_seconds"],
        "stderr_to_stdout": True,
        "slurm_setup": [
            f"export SUBMITIT_PREEMPT_SIGNAL={PREEMPT_SIGNAL}",
            f'export PYTHONPATH={shlex.quote(str(ROOT))}:"$PYTHONPATH"',
            *settings["setup"],
        ],
        "slurm_additional_parameters": extra,
    }
    if settings["partition"]:
        asked["slurm_partition"] = settings["partition"]
    if settings["gpus"]:
        asked["gpus_per_node"] = settings["gpus"]
    return asked


def describe(made: Sequence[Array], sweep: Sweep) -> list[str]:
    """A line for each array."""
    lines = []
    for array in made:
        settings = sweep.slurm_of(array.stage)
        runs = sum(map(len, array.batches))
        lines.append(
            f"{array.stage}: {runs} runs in {len(array.batches)} jobs, {settings['hours']:g} h, "
            f"{settings['memory_gb']:g} GB a run, {settings['gpus']} GPUs, partition "
            f"{settings['partition'] or 'default'}"
            + (f", after {', '.join(need.id for need in array.needs)}" if array.needs else "")
        )
    return lines


def check_here() -> None:
    """Refuses where there is no SLURM.

    Raises:
        UserError: its commands are not on the path.
    """
    for program in ("sbatch", "srun", "squeue"):
        if shutil.which(program) is None:
            raise UserError(f"--cluster=slurm: no {program} on this machine, is it a SLURM cluster's? Or choose local")


def active() -> dict[str, str]:
    """The state of each of the user's jobs that SLURM has yet to finish, by number; {} where there is no SLURM.

    Raises:
        UserError: SLURM does not answer.
    """
    if shutil.which("squeue") is None:
        return {}
    command = ["squeue", "--noheader", "--array", f"--user={getpass.getuser()}", "--format=%i|%T"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=CONTROLLER_SECONDS).stdout
    except (OSError, subprocess.SubprocessError) as error:
        why = getattr(error, "stderr", None) or first_line(error)
        raise UserError(f"--cluster=slurm: squeue failed: {' '.join(str(why).split())}") from error
    over = ("COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE")
    pairs = [line.split("|") for line in said.splitlines() if "|" in line]
    return {number: state for number, state in pairs if state not in over}


def in_queue(jobs: Sequence[Job], records: Records) -> dict[str, str]:
    """As `active`; SLURM is asked only where one of the jobs has been there."""
    return active() if any(records.read(job).place != LOCAL for job in jobs) else {}


def submit(sweep: Sweep, jobs: Sequence[Job], records: Records, cluster: str = "slurm") -> list[str]:
    """Submits what is neither done nor with SLURM already; returns a line for each array.

    Args:
        sweep: for the settings of each stage.
        jobs: all.
        records: each job's says afterwards which job of SLURM's it is.
        cluster: `slurm`; submitit's own `local` and `debug` serve for tests.

    Raises:
        UserError: SLURM refuses.
    """
    submitit = import_submitit()
    queue = in_queue(jobs, records)
    numbers = {job.id: place for job in jobs if (place := records.read(job).place) in queue}
    lines = [f"{len(numbers)} of the jobs are with SLURM already"] if numbers else []
    for array in arrays([job for job in jobs if job.id not in numbers], sweep):
        settings = sweep.slurm_of(array.stage)
        executor = submitit.AutoExecutor(
            folder=sweep.folder / RECORDS / "slurm", cluster=cluster, slurm_max_num_timeout=ALWAYS
        )
        try:
            executor.update_parameters(**parameters(array, settings, numbers, sweep.name))
            with executor.batch():
                hours, grace = settings["hours"], settings["grace_seconds"]
                handles = [executor.submit(Batch(batch, sweep.folder, hours, grace)) for batch in array.batches]
        except (submitit.core.utils.FailedJobError, OSError) as error:
            why = " ".join(str(error).split())[-300:]
            raise UserError(f"--cluster=slurm: the jobs of {array.stage} were refused: {why}") from error
        for batch, handle in zip(array.batches, handles):
            for job in batch:
                record = records.read(job)
                if record.state != DONE:
                    record.command, record.state, record.place, record.error = job.words, QUEUED, handle.job_id, ""
                    records.write(job, record)
                numbers[job.id] = handle.job_id
        first = handles[0].job_id.split("_")[0]
        lines.append(f"{array.stage}: {sum(map(len, array.batches))} runs in {len(handles)} jobs, SLURM's {first}")
    return lines or ["nothing is left to do"]


def import_submitit() -> Any:
    """submitit, told of the signal before it reads it.

    Raises:
        UserError: it is not installed.
    """
    os.environ["SUBMITIT_PREEMPT_SIGNAL"] = PREEMPT_SIGNAL
    try:
        import submitit
    except ImportError as error:
        raise UserError(f"--cluster=slurm: {remedy('submitit')}") from error
    return submitit


class Batch:
    """What one job of SLURM's does: runs side by side, until all are done.

    Args:
        jobs: the runs.
        folder: of the sweep.
        hours: after which SLURM ends it, and `grace_seconds` before tells it so.
    """

    def __init__(self, jobs: Sequence[Job], folder: Path, hours: float, grace_seconds: float) -> None:
        self.jobs, self.folder, self.cwd = tuple(jobs), folder, Path.cwd()
        self.hours, self.grace_seconds = hours, grace_seconds
        self._pool: Pool | None = None

    def __call__(self) -> list[str]:
        """Runs what is not done; the ids of all.

        Raises:
            RuntimeError: some failed, so that SLURM starts nothing that needs them.
        """
        from submitit import JobEnvironment

        os.chdir(self.cwd)
        self._began, self._before = time.monotonic(), [saved(job) for job in self.jobs]
        place, records = JobEnvironment().job_id, Records(self.folder)
        self._pool = Pool(self.jobs, len(self.jobs), records, place=place, pause=PAUSE_SECONDS)
        self._pool.run()
        left = [job.id for job in self.jobs if self._pool.state[job.id] != DONE]
        if left:
            raise RuntimeError("; ".join(f"{name}: {self._pool.error[name]}" for name in left))
        return [job.id for job in self.jobs]

    def checkpoint(self) -> Any:
        """Called by submitit's signal handler: has the runs save, and asks for the same again.

        None where the time was over before anything was saved, as it would be again: then the runs have failed.
        """
        from submitit.helpers import DelayedSubmission

        if self._pool is not None:
            self._pool.stop(signal.SIGUSR1)
            self._pool.run()
            if self._was_in_vain():
                self._fail(self._pool.records)
                return None
        again = Batch(self.jobs, self.folder, self.hours, self.grace_seconds)
        again.cwd = self.cwd
        return DelayedSubmission(again)

    def _was_in_vain(self) -> bool:
        out_of_time = time.monotonic() - self._began >= NEARLY * (3600 * self.hours - self.grace_seconds)
        return out_of_time and self._before == [saved(job) for job in self.jobs]

    def _fail(self, records: Records) -> None:
        for job in self.jobs:
            record = records.read(job)
            if record.state not in (DONE, FAILED):
                record.state = FAILED
                record.error = f"the {self.hours:g} h of a job end before anything is saved; give more --hours"
                records.write(job, record)


def saved(job: Job) -> tuple[bool, str]:
    """What a start of a job brings further: whether it is done, and the newest of its checkpoints."""
    return job.done, max((path.name for path in Run(job.folder).checkpoint_dir.glob(f"*{SUFFIX}")), default="")
