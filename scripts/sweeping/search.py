"""A search over the fields of a sweep file with Optuna; its trials are jobs like all others."""

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from scripts.sweeping.plan import FLAG, Job, Sweep
from scripts.sweeping.status import value_at
from utils.errors import UserError
from utils.logger import cut_torn_line
from utils.optional import remedy

STORAGE = "search.journal"

Execute = Callable[[Sequence[Job]], bool]  # runs jobs; False where it was stopped before they were through


class Search:
    """The trials of a sweep, kept in `folder/search.journal`.

    Args:
        sweep: whose `search` says what to vary and which number of summary.json counts.
        ours: whether this process alone may write the file; else it only reads.

    Attributes:
        blocked: the job of an earlier stage that failed, for want of which trials were not run.

    Raises:
        UserError: Optuna is not installed, or the file holds a search of other fields, another metric or other flags.
    """

    def __init__(self, sweep: Sweep, ours: bool = True) -> None:
        try:
            import optuna
            from optuna.storages.journal import JournalFileBackend
        except ImportError as error:
            raise UserError(f"{FLAG}: search: {remedy('optuna')}") from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.sweep, self.settings, self._optuna = sweep, sweep.search, optuna
        self.path = sweep.folder / STORAGE
        self.distributions = {name: self._distribution(field) for name, field in self.settings["fields"].items()}
        self.blocked: Job | None = None
        sweep.folder.mkdir(parents=True, exist_ok=True)
        if ours and self.path.exists():
            with self.path.open("a+b") as journal:
                cut_torn_line(journal)  # of a process that was killed; what is appended to it could not be read
        storage = optuna.storages.JournalStorage(JournalFileBackend(str(self.path)))
        if ours:
            self.study = optuna.create_study(
                study_name=sweep.name, storage=storage, load_if_exists=True, direction=self.settings["direction"]
            )
        else:  # who makes sure that there is one writes
            try:
                self.study = optuna.load_study(study_name=sweep.name, storage=storage)
            except KeyError as error:
                raise UserError(f"--status: the search in {sweep.folder} has not begun") from error
        begun = self.study.get_trials(deepcopy=False)
        self._check_question(any(trial.state.is_finished() and not self._is_torn(trial) for trial in begun), ours)
        self._tell_ranges(begun)
        for trial in begun:
            self._check_fields(trial)
            if ours and self._is_torn(trial) and not trial.state.is_finished():
                self.study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        # the draws of a process that goes on are not those that the first one has made
        sampler = optuna.samplers.TPESampler(seed=self.settings["seed"] + len(begun), constant_liar=True)
        self.study.sampler = sampler

    def _check_question(self, answered: bool, ours: bool) -> None:
        """Refuses a search of which another number counted, or whose flags were others, once a trial has ended.

        Before that they may be corrected, as after a failure that all trials wait for; trials that were asked for stay.

        Raises:
            UserError: names what differs.
        """
        stages = {name: {"flags": list(raw.get("flags", ())), "add": list(self.sweep.more.get(name, ()))}
                  for name, raw in self.sweep.raw_stages.items()}  # fmt: skip
        now: dict[str, Any] = {"metric": self.settings["metric"], "direction": self.settings["direction"]}
        now |= {f"stages.{name}": flags for name, flags in stages.items()}
        before = {"direction": self.study.direction.name.lower()} | self.study.user_attrs.get("asks", {})
        for name, value in now.items():
            if name in before and before[name] != value and (answered or name == "direction"):
                where = name if name.startswith("stages.") else f"search.{name}"
                raise UserError(
                    f"{FLAG}: {where}: {self.path} was begun with {before[name]}, not {value}; give the sweep another "
                    "name"
                )
        if ours and before != now:
            self.study.set_user_attr("asks", now)

    def _check_fields(self, trial: Any) -> None:
        """Refuses a trial of other fields.

        Raises:
            UserError: names them.
        """
        if not set(trial.params) <= set(self.distributions) or (trial.state.is_finished() and self._is_odd(trial)):
            raise UserError(
                f"{FLAG}: {self.path} holds a search over {', '.join(trial.params)}, not over "
                f"{', '.join(self.distributions)}; give the sweep another name"
            )
        for name, before in trial.distributions.items():
            now = self.distributions[name]
            unlike = [getattr(before, part, None) != getattr(now, part, None) for part in ("choices", "log", "step")]
            if type(before) is not type(now) or any(unlike):
                raise UserError(
                    f"{FLAG}: search.fields.{name}: {self.path} has it as {before}, not as {now}; "
                    "give the sweep another name"
                )

    def _tell_ranges(self, begun: Sequence[Any]) -> None:
        """Tells of ranges that were others in earlier trials, which stay."""
        for name, now in self.distributions.items():
            drawn = dict.fromkeys(trial.distributions[name] for trial in begun if name in trial.distributions)
            for before in (each for each in drawn if hasattr(now, "low") and hasattr(each, "low")):
                if (before.low, before.high) != (now.low, now.high):
                    ranges = f"from {before.low} to {before.high}, not from {now.low} to {now.high}"
                    warnings.warn(f"search.fields.{name}: {self.path} has trials {ranges}; they count", stacklevel=3)

    def _is_torn(self, trial: Any) -> bool:
        """Whether a kill came between a trial's beginning and the last of its fields."""
        return set(trial.params) != set(self.distributions)

    def _is_odd(self, trial: Any) -> bool:
        """Whether a trial that came to an end lacks fields, but is none that was told to have been torn."""
        return self._is_torn(trial) and trial.state != self._optuna.trial.TrialState.FAIL

    def trials(self, *, unfinished: bool = False) -> dict[int, Mapping[str, Any]]:
        """The fields of all trials so far, or of those without a result, by number."""
        return {
            trial.number: trial.params
            for trial in self.study.get_trials(deepcopy=False)
            if not self._is_torn(trial) and not (unfinished and trial.state.is_finished())
        }

    def run(self, execute: Execute, at_a_time: int) -> bool:
        """Goes on with what an earlier process has left, then asks for trials until there are enough.

        Returns:
            False where it was stopped before, or a job failed that all trials need (`blocked`): the same command goes
            on with the trials as they are.
        """
        while True:
            open_trials = self.trials(unfinished=True)
            asked = len(self.trials())
            while len(open_trials) < at_a_time and asked < self.settings["trials"]:
                trial = self.study.ask(self.distributions)
                open_trials[trial.number] = trial.params
                asked += 1
            if not open_trials:
                return True
            jobs = self.sweep.jobs(open_trials)
            if not execute(jobs):
                return False
            shared = {need.id: need for job in jobs for need in job.needs if need.trial < 0}
            self.blocked = next((need for need in shared.values() if not need.done), None)
            if self.blocked is not None:
                return False
            for number in open_trials:
                self._tell(number, [job for job in jobs if job.trial == number])

    def _tell(self, number: int, jobs: Sequence[Job]) -> None:
        """The mean over the last stages' jobs of a trial; a job that failed, or has a null there, fails the trial."""
        needed = {need.id for job in jobs for need in job.needs}
        values = [self._value(job) for job in jobs if job.id not in needed] if all(job.done for job in jobs) else [None]
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            self.study.tell(number, state=self._optuna.trial.TrialState.FAIL)
        else:
            self.study.tell(number, sum(known) / len(known))

    def _value(self, job: Job) -> float | None:
        """The number that counts."""
        metric = self.settings["metric"]
        try:
            return value_at(dict(json.loads((job.folder / "summary.json").read_text())), metric)
        except (KeyError, OSError, ValueError, TypeError, RecursionError) as error:
            untold = "; where the env does not tell success, ask for a return" if "success" in metric else ""
            raise UserError(
                f"{FLAG}: search.metric: the summary of {job.folder} has no number {metric!r}{untold}"
            ) from error

    def ranked(self) -> list[Any]:
        """The trials with a value, best first."""
        state = self._optuna.trial.TrialState
        done = [trial for trial in self.study.get_trials(deepcopy=False) if trial.state == state.COMPLETE]
        sign = -1 if self.settings["direction"] == "maximize" else 1
        return sorted(done, key=lambda trial: sign * (trial.value or 0.0))

    def report(self) -> str:
        """These as text, and how many there are."""
        state, done = self._optuna.trial.TrialState, self.ranked()
        failed = sum(trial.state == state.FAIL for trial in self.study.get_trials(deepcopy=False) if trial.params)
        lines = [
            f"trial {trial.number:<4} {self.settings['metric']} {trial.value:<10.4g} "
            + " ".join(f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in
                       trial.params.items())
            for trial in done
        ]  # fmt: skip
        return "\n".join([*lines, f"{len(done)} trials, {failed} failed; all are in {self.path}"])

    def _distribution(self, field: Mapping[str, Any]) -> Any:
        """Optuna's name for a field: whole numbers where both ends are."""
        make = self._optuna.distributions
        if field.get("choices"):
            return make.CategoricalDistribution(tuple(field["choices"]))
        low, high, log = field["low"], field["high"], field.get("log", False)
        if isinstance(low, int) and isinstance(high, int):
            return make.IntDistribution(low, high, log=log)
        return make.FloatDistribution(float(low), float(high), log=log)


def example(sweep: Sweep) -> dict[int, Mapping[str, Any]]:
    """A trial at one end of every field, to look at commands without Optuna."""
    fields = sweep.search["fields"]
    return {0: {name: f["choices"][0] if f.get("choices") else f["low"] for name, f in fields.items()}}
