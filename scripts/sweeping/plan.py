"""From a sweep file to jobs: which command lines there are, where each writes, and which wait for which."""

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from scripts.sweeping.schema import FIELD, SEARCH, SLURM, STAGE, TOP, check_fields, strings
from utils.config import to_dict
from utils.errors import UserError, choose, suggest

FLAG = "--config_sweep"
TRIAL = "trial"  # the axis that counts the trials of a search
RECORDS = "jobs"  # the folder of logs and records beside the stages' own

_PLACE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Script:
    """What is known of a script.

    Attributes:
        done: the file in the job's folder whose presence means that the job is finished.
        threads: whether it takes --threads.
        output: flags that have it write into save_dir/group/name, from these three.
        grows: flags by which what was begun may be made longer, and where in its config.json each stands.
        never: flags by which it writes no such file there, and what to do instead.
    """

    done: str
    threads: bool
    output: Callable[[Path, str, str], tuple[str, ...]]
    grows: Mapping[str, str]
    never: Mapping[str, str] = field(default_factory=dict)


SCRIPTS = {
    "main_collect_data.py": Script(
        "data/metadata.json", False, lambda root, group, name: (f"--data_path={root / group / name}",), {}
    ),
    "main_pretrain_representations.py": Script(
        "summary.json", True, lambda root, group, name: (f"--save_dir={root / group / name}",), {}
    ),
    "scripts/signals.py": Script(
        "signals.json", False, lambda root, group, name: (f"--out={root / group / name}",), {}
    ),
    "main.py": Script(
        "summary.json",
        True,
        lambda root, group, name: (f"--save_dir={root}", f"--group={group}", f"--run_name={name}"),
        {"--train_episodes": "run.train_episodes", "--config_rl.num_updates": "rl.num_updates"},
        {"num_seeds": "give the stage an axis of seeds", "policy_dir": "a run that only plays is no job of a sweep"},
    ),
}


@dataclass(frozen=True)
class Job:
    """One command line.

    Attributes:
        stage: its stage.
        name: its name within the stage.
        words: script and flags.
        folder: where it writes.
        done_file: is there once it is finished.
        needs: jobs that must be finished before.
        threads: CPU threads.
        trial: the number of its trial in a search; -1 outside of one.
    """

    stage: str
    name: str
    words: tuple[str, ...]
    folder: Path
    done_file: Path
    needs: tuple["Job", ...]
    threads: int
    trial: int = -1

    @property
    def id(self) -> str:
        """Stage and name."""
        return f"{self.stage}/{self.name}"

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self.done_file.exists()


@dataclass(frozen=True)
class Stage:
    """One stage as its config says; `rows` are the label tuples, in the order of `over`, of all its jobs."""

    name: str
    script: str
    over: tuple[str, ...]
    flags: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    job_name: str
    threads: int
    slurm: Mapping[str, Any]


class Sweep:
    """A sweep file, checked.

    Args:
        config: what its get_config() gave.
        save_dir: the folder of all runs; the sweep's is `save_dir/name`.
        more: flags to add to those of a stage.

    Raises:
        UserError: names the field.
    """

    def __init__(self, config: ConfigDict, save_dir: Path, more: Mapping[str, Sequence[str]] | None = None):
        settings = to_dict(config)
        check_fields(settings, TOP, f"{FLAG}: ")
        self.name, self.save_dir = settings.get("name", ""), save_dir
        if not re.fullmatch(r"[\w-][\w.-]*", self.name):  # not "..", which is no folder of its own
            raise UserError(f"{FLAG}: name is {self.name!r}; a name of letters, digits, '_', '-' and '.' is needed")
        self.folder = save_dir / self.name
        self.search = self._read_search(settings.get("search") or {})
        self.axes = {name: self._read_axis(name, values) for name, values in settings.get("axes", {}).items()}
        self.slurm = SLURM | self._read_slurm(settings.get("slurm", {}), f"{FLAG}: slurm.")
        if not settings.get("stages"):
            raise UserError(f"{FLAG}: stages is empty; name one, such as train with script = 'main.py'")
        self.raw_stages = settings["stages"]
        for name in self.search.get("fields", {}):
            if name in self.axes or name in self.raw_stages:
                raise UserError(f"{FLAG}: search.fields.{name}: choose another name; {name!r} is an axis or a stage")
        self._given: dict[str, Any] = {}
        self.more = dict(more or {})
        for stage in self.more:
            choose(self.raw_stages, stage, "--add: stage")

    def jobs(self, trials: Mapping[int, Mapping[str, Any]] | None = None) -> list[Job]:
        """All jobs, each after those that it needs.

        A stage that others refer to has those jobs only that somebody needs.

        Args:
            trials: the search's fields of each trial, by its number.

        Raises:
            UserError: names the field.
        """
        trials = trials or {}
        axes = self.axes | ({TRIAL: {str(number): {} for number in trials}} if self.search else {})
        stages = {name: self._read_stage(name, raw, axes) for name, raw in self.raw_stages.items()}
        mentioned = {place for name in stages for text in self._texts(stages[name]) for place in _PLACE.findall(text)}
        for name in self.search.get("fields", {}):
            if name not in mentioned:
                raise UserError(f"{FLAG}: search.fields.{name}: no stage has a flag with {{{name}}}")
        ends = [stage for stage in stages.values() if stage.name not in mentioned]
        found: dict[tuple[str, tuple[str, ...]], Job | None] = {}

        def job(stage: Stage, row: tuple[str, ...]) -> Job:
            key = (stage.name, row)
            if key not in found:
                found[key] = None
                made = self._job(stage, row, stages, trials, job)
                del found[key]  # so that the order is that in which they can run
                found[key] = made
            known = found[key]
            if known is None:
                raise UserError(f"{FLAG}: stages.{stage.name} refers to itself, by way of what it needs")
            return known

        for stage in ends or stages.values():
            for row in stage.rows:
                job(stage, row)
        jobs = [one for one in found.values() if one is not None]
        check_distinct(jobs, self)
        needed = {need.id for one in jobs for need in one.needs}
        return sorted(jobs, key=lambda one: one.id not in needed)  # what others wait for first, so that few wait

    def override_slurm(self, values: Mapping[str, Any]) -> None:
        """Sets fields of SLURM's settings for all stages; None leaves one as it is.

        Raises:
            UserError: a value is out of its range.
        """
        self._given = self._read_slurm({k: v for k, v in values.items() if v is not None}, "--")

    def slurm_of(self, stage: str) -> dict[str, Any]:
        """The settings of a stage's jobs on SLURM."""
        own = self._read_slurm(self.raw_stages[stage].get("slurm", {}), f"{FLAG}: stages.{stage}.slurm.")
        return self.slurm | own | self._given

    def _texts(self, stage: Stage) -> list[str]:
        """All flags that a job of a stage may have, before anything is filled in."""
        texts = [*stage.flags, *self.more.get(stage.name, ())]
        for axis in stage.over:
            texts += [flag for by_stage in self.axes.get(axis, {}).values() for flag in by_stage.get(stage.name, ())]
            texts += [flag for by_stage in self.axes.get(axis, {}).values() for flag in by_stage.get("", ())]
        return texts

    def _job(
        self,
        stage: Stage,
        row: tuple[str, ...],
        stages: Mapping[str, Stage],
        trials: Mapping[int, Mapping[str, Any]],
        job: Callable[[Stage, tuple[str, ...]], Job],
    ) -> Job:
        """One job, and by way of `job` those that its flags refer to."""
        labels = dict(zip(stage.over, row))
        where = f"{FLAG}: stages.{stage.name}"
        trial = int(labels[TRIAL]) if TRIAL in labels and self.search else -1
        values = labels | {name: str(value) for name, value in trials.get(trial, {}).items()}
        needs: dict[str, Job] = {}

        def fill(match: re.Match[str]) -> str:
            place = match[1]
            if place in values:
                return values[place]
            if place in self.search.get("fields", {}):
                raise UserError(f"{where}: {{{place}}} is a trial's; add {TRIAL!r} to the stage's over")
            if place not in stages:
                raise UserError(
                    f"{where}: unknown {{{place}}}{suggest(place, [*values, *stages])}; there are "
                    f"{', '.join([*values, *stages])}"
                )
            other = stages[place]
            missing = [axis for axis in other.over if axis not in labels]
            if missing:
                raise UserError(f"{where}: which {{{place}}}? That stage is over {missing[0]!r}, this one is not")
            wanted = tuple(labels[axis] for axis in other.over)
            if wanted not in other.rows:
                raise UserError(f"{where}: {{{place}}} of {', '.join(wanted)} is not in the list of that stage")
            needs[place] = job(other, wanted)
            return str(needs[place].folder)

        flags = [*stage.flags]
        for axis, label in labels.items():
            by_stage = self.axes.get(axis, {}).get(label, {})
            flags += [*by_stage.get("", ()), *by_stage.get(stage.name, ())]
        flags += self.more.get(stage.name, ())
        # a config's file must come before its fields, whichever of stage and axes names which
        flags.sort(key=lambda flag: "." in flag.split("=")[0])
        filled = [_PLACE.sub(fill, flag) for flag in flags]
        name = _PLACE.sub(lambda match: labels.get(match[1], match[0]), stage.job_name)
        name = re.sub(r"[^\w.=+-]+", "-", name)
        script = SCRIPTS[stage.script]
        output = script.output(self.save_dir, f"{self.name}/{stage.name}", name)
        threads = (f"--threads={stage.threads}",) if script.threads else ()
        for flag in filled:
            taken = re.match(r"--?(\w+)", flag)
            if taken and any(own.startswith(f"--{taken[1]}=") for own in (*output, *threads)):
                instead = f"; set stages.{stage.name}.threads" if taken[1] == "threads" else ""
                raise UserError(f"{where}: {flag}: the sweep sets --{taken[1]} itself{instead}")
            if taken and taken[1] in script.never:
                raise UserError(f"{where}: {flag}: not in a sweep; {script.never[taken[1]]}")
        folder = self.folder / stage.name / name
        words = (stage.script, *filled, *output, *threads)
        return Job(stage.name, name, words, folder, folder / script.done, tuple(needs.values()), stage.threads, trial)

    def _read_axis(self, name: str, values: Any) -> dict[str, dict[str, tuple[str, ...]]]:
        """An axis as {label: {stage, or "" for all: flags}}."""
        where = f"{FLAG}: axes.{name}"
        if not re.fullmatch(r"\w+", name) or name == TRIAL:
            raise UserError(f"{where}: choose another name, of letters, digits and '_'; {TRIAL!r} is a search's own")
        if isinstance(values, Mapping):
            axis = {}
            for label, flags in values.items():
                by_stage = flags if isinstance(flags, Mapping) else {"": flags}
                axis[label] = {stage: strings(some, f"{where}.{label}") for stage, some in by_stage.items()}
        elif isinstance(values, list):
            axis = {str(value): {} for value in values}
            if len(axis) < len(values):
                twice = next(label for label in axis if [str(value) for value in values].count(label) > 1)
                raise UserError(f"{where}: {twice!r} is there twice; runs of one name cannot be told apart")
        else:
            raise UserError(f"{where}: a tuple of values is needed, not {values!r}")
        if not axis:
            raise UserError(f"{where} is empty; the grid has no job")
        return axis

    def _read_stage(self, name: str, raw: Mapping[str, Any], axes: Mapping[str, Mapping[str, Any]]) -> Stage:
        """A stage with its rows."""
        where = f"{FLAG}: stages.{name}"
        check_fields(raw, STAGE, f"{where}.")
        if name in axes or name == RECORDS or not re.fullmatch(r"\w+", name):
            raise UserError(f"{where}: choose another name; {name!r} is an axis or the folder of records")
        choose(SCRIPTS, raw.get("script", ""), f"{where}.script")
        over = tuple(raw.get("over", ()))
        for axis in over:
            choose(axes, axis, f"{where}.over")
        for axis in over:
            for by_stage in axes[axis].values():
                for key in by_stage:
                    if key:
                        choose(self.raw_stages, key, f"{FLAG}: axes.{axis}: stage")
        rows = tuple(itertools.product(*(axes[axis] for axis in over)))
        if "list" in raw:
            rows = self._read_list(raw["list"], over, axes, f"{where}.list")
        job_name = raw.get("name") or "_".join({"seed": "s{seed}", TRIAL: "t{trial}"}.get(a, f"{{{a}}}") for a in over)
        for place in _PLACE.findall(job_name):
            choose(dict.fromkeys(over), place, f"{where}.name")
        threads = raw.get("threads", 1)
        if threads < 1:
            raise UserError(f"{where}.threads: a whole number from 1 on is needed, not {threads!r}")
        flags = tuple(raw.get("flags", ()))
        return Stage(name, raw["script"], over, flags, rows, job_name or "all", threads, raw.get("slurm", {}))

    def _read_list(
        self, rows: Any, over: Sequence[str], axes: Mapping[str, Mapping[str, Any]], where: str
    ) -> tuple[tuple[str, ...], ...]:
        """Rows of labels; "*" stands for every value of its axis."""
        if not rows:
            raise UserError(f"{where} is empty; there is no job")
        expanded: list[tuple[str, ...]] = []
        for row in rows:
            if not isinstance(row, list) or len(row) != len(over):
                raise UserError(f"{where}: {row!r} is no row of {len(over)} values, of {', '.join(over)}")
            for axis, label in zip(over, row):
                if label != "*":
                    choose(axes[axis], str(label), f"{where}: {axis}")
            choices = [list(axes[axis]) if label == "*" else [str(label)] for axis, label in zip(over, row)]
            expanded += itertools.product(*choices)
        return tuple(expanded)

    def _read_slurm(self, raw: Mapping[str, Any], where: str) -> dict[str, Any]:
        check_fields(raw, SLURM, where)
        for name, value in raw.items():
            least = {"hours": 0, "memory_gb": 0, "gpus": -1, "runs_per_job": 0, "parallel": 0, "grace_seconds": 0}
            if name in least and not value > least[name]:
                raise UserError(f"{where}{name}: a number above {least[name]} is needed, not {value!r}")
        return dict(raw)

    def _read_search(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """The search's settings, {} where there is none."""
        if not raw:
            return {}
        where = f"{FLAG}: search"
        check_fields(raw, SEARCH, f"{where}.")
        search = SEARCH | dict(raw)
        if not search["metric"]:
            raise UserError(f"{where}.metric: name a field of summary.json, such as 'mean_of_last_ten.success'")
        choose(dict.fromkeys(("maximize", "minimize")), search["direction"], f"{where}.direction")
        for name, least in (("trials", 1), ("parallel", 0), ("seed", 0)):
            if search[name] < least:
                raise UserError(f"{where}.{name}: a whole number from {least} on is needed, not {search[name]!r}")
        if search["seed"] + search["trials"] > 2**32:  # a process that goes on takes the sum of both
            raise UserError(f"{where}.seed: a whole number below 2^32 - {search['trials']} is needed")
        if not search["fields"]:
            raise UserError(f"{where}.fields is empty; name what to search, such as lr = {{'low': 1e-5, 'high': 1e-2}}")
        for name, asked in search["fields"].items():
            here = f"{where}.fields.{name}"
            check_fields(asked, FIELD, f"{here}.")
            if asked.get("choices"):
                continue
            low, high = asked.get("low"), asked.get("high")
            if low is None or high is None or not low < high:
                raise UserError(f"{here}: choices, or numbers low < high, are needed")
            if asked.get("log") and low <= 0:
                raise UserError(f"{here}: with log, low must be above 0")
        return search


def check_distinct(jobs: Sequence[Job], sweep: Sweep) -> None:
    """Refuses two jobs of one name, or of one stage that do the same.

    Raises:
        UserError: names both.
    """
    names: set[str] = set()
    commands: dict[tuple[str, ...], Job] = {}
    for job in jobs:
        if job.id in names:
            raise UserError(f"{FLAG}: stages.{job.stage}: two runs are named {job.name!r}; have name tell them apart")
        names.add(job.id)
        output = SCRIPTS[job.words[0]].output(sweep.save_dir, f"{sweep.name}/{job.stage}", job.name)
        flags = {word.partition("=")[0]: word for word in job.words[1:] if word not in output}  # of two the last counts
        command = (job.stage, *sorted(flags.values()))
        twin = commands.setdefault(command, job)
        if twin is not job:
            raise UserError(
                f"{FLAG}: stages.{job.stage}: {twin.name} and {job.name} are the same command; have a flag name the "
                "axis in which they differ, as in --seed={seed}"
            )
