"""What is known of a sweep's jobs: a record of each, what their metrics say, and the table of both."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scripts.reporting.runs import OF_DATA, OF_ENVS
from scripts.sweeping.plan import FLAG, RECORDS, SCRIPTS, Job
from utils.config import flatten
from utils.errors import UserError
from utils.files import write_json
from utils.run import Run

WAITING, QUEUED, RUNNING, STOPPED = "waiting", "queued", "running", "stopped"
DONE, FAILED, BLOCKED, LOST = "done", "failed", "blocked", "lost"
STATES = (RUNNING, QUEUED, WAITING, STOPPED, FAILED, BLOCKED, LOST, DONE)
LOCAL = "local"  # the place of a job that is none of SLURM's
TAIL_BYTES = 65_536


@dataclass
class Record:
    """What is kept of a job between submissions.

    Attributes:
        command: its words, so that another command does not pass for it.
        state: as of the last change.
        place: `local`, or SLURM's number of the job.
        starts: how often it was started.
        seconds: of all starts together.
        error: the last error line of the last start.
    """

    command: Sequence[str]
    state: str = WAITING
    place: str = LOCAL
    starts: int = 0
    seconds: float = 0.0
    error: str = ""


class Records:
    """Records and logs of a sweep's jobs, in `folder/jobs/<stage>/`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / RECORDS

    def log(self, job: Job) -> Path:
        """Where its output goes."""
        return self.folder / f"{job.id}.log"

    def read(self, job: Job) -> Record:
        """The record, a new one where there is none; what is done, and is not to be longer now, is so whatever it says.

        Raises:
            UserError: the record is damaged.
        """
        path = self._path(job)
        record = Record(job.words)
        if path.exists():
            try:
                record = Record(**json.loads(path.read_text()))
            except (ValueError, TypeError) as error:
                raise UserError(f"{path} is damaged; remove it, and the job is looked at afresh") from error
        if job.done and length_before(job, record.command) is None:
            record.state, record.error = DONE, ""
        elif record.state == DONE:
            record.state = WAITING
        return record

    def done(self, job: Job) -> bool:
        """Whether nothing is left to do."""
        return job.done and self.read(job).state == DONE

    def write(self, job: Job, record: Record) -> None:
        """Keeps a record."""
        path = self._path(job)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, asdict(record))

    def check(self, jobs: Sequence[Job]) -> None:
        """Refuses jobs whose place was taken by another command, whose result would pass for theirs.

        Another spelling of --save_dir, or another place of the whole folder, is no other command. What was begun with
        other flags, and is no longer there, is begun anew. What is only to be longer now goes on.

        Raises:
            UserError: names the job and the flag.
        """
        longer = {job.id for job in jobs if length_before(job, self.read(job).command) is not None}
        for job in jobs:
            record = self.read(job)
            before, after = placeless(record.command, job), placeless(job.words, job)
            stale = next((need.id for need in job.needs if need.id in longer), None)
            if stale is not None and job.folder.exists():
                raise UserError(
                    f"{FLAG}: {stale} is to be longer, and {job.folder} was made of it as it was; give the sweep "
                    f"another name, or move {job.folder.parent} away"
                )
            if not record.starts or before == after or job.id in longer or not job.folder.exists():
                continue
            was, now = set(before) - set(after), set(after) - set(before)
            raise UserError(
                f"{FLAG}: {job.folder} was begun with {' '.join(sorted(was)) or 'fewer flags'}, not "
                f"{' '.join(sorted(now)) or 'these'}; give the sweep another name, or move {job.folder.parent} away: "
                "of other stages what is done is used again"
            )

    def reopen(self, jobs: Sequence[Job]) -> None:
        """Has what is done, but is to be longer now, count as not done; what it came to is kept beside."""
        for job in jobs:
            length = length_before(job, self.read(job).command)
            if length is not None:
                Run(job.folder).put_aside(length)

    def _path(self, job: Job) -> Path:
        return self.folder / f"{job.id}.json"


def placeless(words: Sequence[str], job: Job) -> tuple[str, ...]:
    """A job's words with `{save_dir}` for the folder of all runs, wherever it was when they were written."""
    tail = "/".join(("", *job.folder.parts[-3:]))  # sweep, stage, name
    values = [word.partition("=")[2] for word in words]
    roots = [value.removesuffix(tail) for value in values if value.endswith(tail)]
    roots += [word.removeprefix("--save_dir=") for word in words if word.startswith("--save_dir=")]
    if not roots or roots[0] in ("", "."):
        return tuple(words)
    runs = re.compile(rf"(?<![\w./-]){re.escape(roots[0])}(?=/{re.escape(job.folder.parts[-3])}/)")

    def moved(word: str) -> str:
        flag, sign, value = word.partition("=")
        return f"{flag}{sign}{'{save_dir}' if word == f'--save_dir={roots[0]}' else runs.sub('{save_dir}', value)}"

    return tuple(map(moved, words))


def length_before(job: Job, command: Sequence[str]) -> int | None:
    """How long a run is that was begun by `command`, if the job differs from it only in that it is to be longer."""
    fields = next(script.grows for name, script in SCRIPTS.items() if job.words[0].endswith(name))  # wherever it lies

    def parted(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
        """The flags by which a run grows, and the other words."""
        pairs = [(word.partition("=")[0], word) for word in placeless(words, job)]
        lengths = {flag: word.partition("=")[2] for flag, word in pairs if flag in fields}
        return lengths, [word for flag, word in pairs if flag not in fields]

    (before, others), (asked, others_now) = parted(command), parted(job.words)
    if others != others_now or before == asked or not before.keys() <= asked.keys():
        return None
    try:
        config = flatten(json.loads((job.folder / "config.json").read_text())["config"])
        pairs = [(int(config[fields[flag]]), int(value)) for flag, value in asked.items()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    grown = [was for was, wanted in pairs if was < wanted]
    return grown[0] if grown and all(was <= wanted for was, wanted in pairs) else None


def last_error(log: Path, offset: int = 0) -> str:
    """The last line that begins with `error: ` after `offset` bytes of a log, else the last line; without `error: `."""
    try:
        with log.open("rb") as file:
            file.seek(max(offset, log.stat().st_size - TAIL_BYTES))
            lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    except FileNotFoundError:
        return ""
    errors = [line for line in lines if line.startswith("error: ")]
    return (errors or lines or [""])[-1].removeprefix("error: ")


def newest(path: Path) -> dict[str, float]:
    """The newest value of each metric at the end of a metrics file; a half-written line is passed over."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        return {}
    values: dict[str, float] = {}
    for line in lines[:-1]:
        try:
            row = json.loads(line)
        except ValueError:  # the first of the lines read may lack its beginning
            continue
        if isinstance(row, dict):
            values |= {name: value for name, value in row.items() if isinstance(value, int | float)}
    return values


def share_done(folder: Path, metrics: Mapping[str, float]) -> float | None:
    """How much of a run is behind it, from 0 to 1; None where that is not known."""
    try:
        config = json.loads((folder / "config.json").read_text())["config"]
        run = config["run"]
        if "train_episodes" not in run:
            return min(1.0, metrics["step"] / config["repr"]["num_epochs"])
        whole = run["train_episodes"] * config["env"]["horizon"]
        rl = config.get("rl", {})
        if (counted := OF_DATA.get(rl.get("learns_from"))) is not None:  # its steps are updates
            whole = rl["num_updates"] + (int(whole * rl["updates_per_step"]) if OF_ENVS[0] in counted else 0)
        return min(1.0, metrics["step"] / whole)
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
        return None


def row_of(job: Job, state: str, note: str) -> tuple[str, ...]:
    """A line of the table."""
    metrics = newest(job.folder / "metrics.jsonl")
    share = 1.0 if state == DONE else share_done(job.folder, metrics)

    def shown(name: str, form: str) -> str:
        return format(metrics[name], form) if name in metrics else ""

    return (
        job.id,
        state,
        "" if share is None else f"{100 * share:.0f} %",
        shown("step", ",.0f"),
        shown("eval/success", ".2f"),
        shown("eval/return", ".2f"),
        note,
    )


def table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Aligned lines under a heading."""
    whole = [("job", "state", "", "step", "success", "return", ""), *rows]
    widths = [max(len(row[k]) for row in whole) for k in range(len(whole[0]))]
    right = (False, False, True, True, True, True, False)
    return [
        "  ".join(
            cell.rjust(w) if to_right else cell.ljust(w) for cell, w, to_right in zip(row, widths, right)
        ).rstrip()
        for row in whole
    ]


def counts(states: Sequence[str]) -> str:
    """`4 jobs: 1 running, 3 done`."""
    number = Counter(states)
    told = ", ".join(f"{number[state]} {state}" for state in STATES if number[state])
    return f"{len(states)} {'job' if len(states) == 1 else 'jobs'}: {told}"


def overview(jobs: Sequence[Job], records: Records, active: Mapping[str, str], running_here: bool) -> str:
    """The table of all jobs.

    Args:
        jobs: all of them.
        records: what is kept of them.
        active: what SLURM says of the jobs that it has, by number.
        running_here: whether a process of this sweep is at work on this machine.
    """
    rows: list[tuple[str, ...]] = []
    states: dict[str, str] = {}
    for job in jobs:
        record = records.read(job)
        state, note = record.state, record.error
        if state in (QUEUED, RUNNING, STOPPED) and record.place in active:
            told = active[record.place]
            state, note = (RUNNING if told == "RUNNING" else QUEUED), f"SLURM {record.place}, {told.lower()}"
        elif state in (QUEUED, RUNNING) and record.place != LOCAL:
            state, note = LOST, f"SLURM no longer has {record.place}; submit the sweep again"
        elif state in (QUEUED, RUNNING) and not running_here:
            state, note = STOPPED, "the same command goes on"
        elif state == WAITING:
            broken = next((need for need in job.needs if states[need.id] in (FAILED, BLOCKED)), None)
            if broken is not None:
                state, note = BLOCKED, f"needs {broken.id}"
        states[job.id] = state
        rows.append(row_of(job, state, note))
    return "\n".join([*table(rows), counts(list(states.values()))])


def value_at(summary: Mapping[str, Any], path: str) -> float | None:
    """A number in nested fields by its dotted name, such as `final.success` or `steps_to_0.9`; None where it is null.

    Raises:
        KeyError: there is no such field, or it is no number.
    """
    if path in summary:
        value = summary[path]
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            return value
        raise KeyError(path)
    group, _, rest = path.partition(".")
    if not rest or not isinstance(summary.get(group), Mapping):
        raise KeyError(path)
    return value_at(summary[group], rest)
