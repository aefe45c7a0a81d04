"""Runs a sweep: collect once, pretrain once, train many, on this machine or on a SLURM cluster.

The same command goes on where it was stopped, and runs what is missing. Results are in <save_dir>/<name>/<stage>/<run>,
logs and records of the jobs in <save_dir>/<name>/jobs. Exit code 1: some jobs failed, or all trials of a search; 75 or
130: stopped.

Example: python scripts/sweep.py --config_sweep=configs/sweeps/quick.py --jobs=2
"""

import os
import shlex
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from absl import flags

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # the root, not scripts/

from scripts.sweeping import cluster, search
from scripts.sweeping.check import check_flags
from scripts.sweeping.plan import Job, Sweep
from scripts.sweeping.pool import INTERRUPTED, Pool
from scripts.sweeping.status import BLOCKED, DONE, FAILED, RUNNING, Records, counts, overview, row_of, table
from utils.app import run
from utils.config import define_config_flag
from utils.errors import UserError
from utils.files import lock_folder
from utils.stopping import UNFINISHED

_SWEEP = define_config_flag("config_sweep", None, "what to run, such as configs/sweeps/quick.py", required=True)
_CLUSTER = flags.DEFINE_enum("cluster", "local", ["local", "slurm"], "where: processes of this machine, or SLURM's")
_JOBS = flags.DEFINE_integer(
    "jobs", None, "how many at a time; if not given a core each, or on SLURM as the file says", lower_bound=1
)
_DRY = flags.DEFINE_boolean("dry_run", False, "check every command and show it, run nothing")
_STATUS = flags.DEFINE_boolean("status", False, "show what became of every job")
_SAVE_DIR = flags.DEFINE_string("save_dir", "logs", "folder of all runs")
_ADD = flags.DEFINE_multi_string(
    "add",
    [],
    "STAGE:--FLAG=VALUE, one more flag for all jobs of a stage; may be given often",
)
_PARTITION = flags.DEFINE_string("partition", None, "SLURM's partition; the file's if not given, as in all that follow")
_HOURS = flags.DEFINE_float("hours", None, "time limit of a SLURM job, after which it is put into the queue again")
_MEMORY = flags.DEFINE_float("memory_gb", None, "memory of one run on SLURM")
_GPUS = flags.DEFINE_integer("gpus", None, "GPUs of one SLURM job")
_RUNS = flags.DEFINE_integer("runs_per_job", None, "runs, such as seeds, that one SLURM job trains side by side")

FAILURES = 1
REDRAW_SECONDS = 1.0
LINE_SECONDS = 30.0
POLL_SECONDS = 10.0


def main() -> None:
    """Reads the sweep, checks it whole, and runs, submits or shows it."""
    sweep = Sweep(_SWEEP.value, Path(_SAVE_DIR.value).expanduser(), added(_ADD.value))
    given = {"partition": _PARTITION, "hours": _HOURS, "memory_gb": _MEMORY, "gpus": _GPUS, "runs_per_job": _RUNS}
    sweep.override_slurm({name: flag.value for name, flag in given.items()} | {"parallel": _JOBS.value})
    records = Records(sweep.folder)
    if _STATUS.value:
        print(status(sweep, records))
        return
    jobs = sweep.jobs(search.example(sweep) if sweep.search else None)
    check_flags(jobs)
    if _DRY.value:
        print(commands(sweep, jobs, records, _CLUSTER.value))
        return
    if _CLUSTER.value == "slurm":
        cluster.check_here()
    sweep.folder.mkdir(parents=True, exist_ok=True)
    lock = lock_folder(sweep.folder, "--save_dir")
    try:
        code = run_search(sweep, records) if sweep.search else run_jobs(sweep, jobs, records)
    finally:
        os.close(lock)
    if code:
        sys.exit(code)


def added(texts: Sequence[str]) -> dict[str, list[str]]:
    """--add as {stage: flags}.

    Raises:
        UserError: one that is not of the form.
    """
    more: dict[str, list[str]] = {}
    for text in texts:
        stage, colon, flag = text.partition(":")
        if not colon or not flag.startswith("--"):
            raise UserError(f"--add={text}: STAGE:--FLAG=VALUE is needed, as in --add=train:--train_episodes=20")
        more.setdefault(stage, []).append(flag)
    return more


def commands(sweep: Sweep, jobs: Sequence[Job], records: Records, where: str) -> str:
    """Every command line that has not been done, and how much there is of it."""
    done = {job.id for job in jobs if records.done(job)}
    lines = [shlex.join(["python", *job.words]) for job in jobs if job.id not in done]
    if where == "slurm":
        lines += cluster.describe(cluster.arrays(jobs, sweep), sweep)
    trials = f", for each of {sweep.search['trials']} trials; here with the lowest values" if sweep.search else ""
    return "\n".join([*lines, f"{len(jobs)} jobs, {len(done)} of them done{trials}"])


def status(sweep: Sweep, records: Records) -> str:
    """The table of all jobs, and of a search's trials."""
    if not sweep.search:
        jobs, ends = sweep.jobs(), ""
    elif not (sweep.folder / search.STORAGE).exists():
        raise UserError(f"--status: the search in {sweep.folder} has not begun")
    else:
        trials = search.Search(sweep, ours=False)
        jobs, ends = sweep.jobs(trials.trials()), f"\n{trials.report()}"
    return overview(jobs, records, cluster.in_queue(jobs, records), is_locked(sweep.folder)) + ends


def is_locked(folder: Path) -> bool:
    """Whether a process of this machine is at work on a sweep."""
    if not folder.is_dir():
        return False
    try:
        os.close(lock_folder(folder))
    except UserError:
        return True
    return False


def run_jobs(sweep: Sweep, jobs: Sequence[Job], records: Records) -> int:
    """Runs or submits a plain sweep; the exit code."""
    records.check(jobs)
    records.reopen(jobs)
    if _CLUSTER.value == "slurm":
        print("\n".join(cluster.submit(sweep, jobs, records)))
        print(f"{shlex.join(['python', *sys.argv])} --status shows them")
        return 0
    pool = run_here(jobs, records)
    print(overview(jobs, records, {}, running_here=False))
    return exit_code(pool)


def run_here(jobs: Sequence[Job], records: Records) -> Pool:
    """Runs jobs as processes; Ctrl-C is passed on to them, and what they save is waited for."""
    cores = len(os.sched_getaffinity(0))
    num = _JOBS.value or max(1, cores // max((job.threads for job in jobs), default=1))
    pool = Pool(jobs, num, records, Display(jobs))
    with pool.signals():
        pool.run()
    return pool


def exit_code(pool: Pool) -> int:
    """What a pool comes to."""
    if pool.stopping is not None:
        return INTERRUPTED if pool.stopping == 2 else UNFINISHED
    return 0 if all(state == DONE for state in pool.state.values()) else FAILURES


def run_search(sweep: Sweep, records: Records) -> int:
    """Runs a search to its end; the exit code."""
    trials = search.Search(sweep)
    stopped: list[int] = []

    def execute(jobs: Sequence[Job]) -> bool:
        records.check(jobs)
        if _CLUSTER.value == "slurm":
            return wait_for_slurm(sweep, jobs, records)
        pool = run_here(jobs, records)
        if pool.stopping is not None:
            stopped.append(exit_code(pool))
        return not stopped

    cores = len(os.sched_getaffinity(0))
    trials.run(execute, sweep.search["parallel"] or _JOBS.value or cores)
    print(trials.report())
    if trials.blocked is not None and not stopped:
        why = records.read(trials.blocked).error
        warnings.warn(f"{trials.blocked.id} failed, and all trials wait for it: {why}", stacklevel=2)
        return FAILURES
    if stopped:
        return stopped[0]
    return 0 if trials.ranked() else FAILURES


def wait_for_slurm(sweep: Sweep, jobs: Sequence[Job], records: Records) -> bool:
    """Submits jobs and waits until SLURM has none of them left."""
    print("\n".join(cluster.submit(sweep, jobs, records)), flush=True)
    while True:
        queue = cluster.in_queue(jobs, records)
        if not any(records.read(job).place in queue for job in jobs):
            return True
        time.sleep(POLL_SECONDS)


class Display:
    """Shows a pool: at a terminal a table that is drawn again, in a log a line for each change and every 30 seconds.

    Args:
        jobs: of the pool.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.jobs, self.live = jobs, sys.stdout.isatty()
        self.shown: dict[str, str] = {}
        self.drawn = 0
        self.due = 0.0

    def __call__(self, pool: Pool) -> None:
        """Called over and over; shows what is due."""
        changed = [job for job in self.jobs if self.shown.get(job.id) != pool.state[job.id]]
        now = time.monotonic()
        first = not self.shown
        self.shown = dict(pool.state)
        if self.live:
            if changed or now >= self.due:
                self._draw(pool)
                self.due = now + REDRAW_SECONDS
            return
        if first:
            self.due = now + LINE_SECONDS
            changed = [job for job in changed if pool.state[job.id] == RUNNING]
            print(counts(list(pool.state.values())), flush=True)
        lines = changed
        if now >= self.due:
            lines = [job for job in self.jobs if job in changed or pool.state[job.id] == RUNNING]
            self.due = now + LINE_SECONDS
        ended = sum(state in (DONE, FAILED, BLOCKED) for state in pool.state.values())
        for job in lines:
            cells = row_of(job, pool.state[job.id], pool.error[job.id])
            names = ("", "", "", "step ", "success ", "return ", "")
            told = "  ".join(f"{name}{cell}" for name, cell in zip(names, cells) if cell)
            print(f"[{ended} of {len(self.jobs)}] {told}", flush=True)

    def _draw(self, pool: Pool) -> None:
        """The table in place of the one before; of more jobs than fit, those that are neither waiting nor done."""
        columns, height = os.get_terminal_size(sys.stdout.fileno())
        states: Mapping[str, str] = pool.state
        jobs = list(self.jobs)
        room = max(1, height - 3)
        if len(jobs) > room:
            order = {RUNNING: 0, FAILED: 1, BLOCKED: 2, DONE: 4}
            jobs = sorted(jobs, key=lambda job: order.get(states[job.id], 3))[:room]
        lines = [
            *table([row_of(job, states[job.id], pool.error[job.id]) for job in jobs]),
            counts(list(states.values())),
        ]
        up = f"\x1b[{self.drawn}F\x1b[J" if self.drawn else ""
        sys.stdout.write(up + "".join(f"{line[: columns - 1]}\n" for line in lines))
        sys.stdout.flush()
        self.drawn = len(lines)


if __name__ == "__main__":
    run(main)
