"""A search over the fields of a sweep file with Optuna; its trials are jobs like all others."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from scripts.sweeping.plan import FLAG, Job, Sweep
from scripts.sweeping.status import value_at
from utils.errors import UserError
from utils.optional import remedy

STORAGE = "search.journal"

Execute = Callable[[Sequence[Job]], bool]  # runs jobs; False where it was stopped before they were through


class Search:
    """The trials of a sweep, kept in `folder/search.journal`.

    Args:
        sweep: whose `search` says what to vary and which number of summary.json counts.

    Raises:
        UserError: Optuna is not installed, or the file holds a search of other fields.
    """

    def __init__(self, sweep: Sweep) -> None:
        try:
            import optuna
            from optuna.storages.journal import JournalFileBackend
        except ImportError as error:
            raise UserError(f"{FLAG}: search: {remedy('optuna')}") from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.sweep, self.settings, self._optuna = sweep, sweep.search, optuna
        self.path = sweep.folder / STORAGE
        self.distributions = {name: self._distribution(field) for name, field in self.settings["fields"].items()}
        sweep.folder.mkdir(parents=True, exist_ok=True)
        storage = optuna.storages.JournalStorage(JournalFileBackend(str(self.path)))
        self.study = optuna.create_study(
            study_name=sweep.name,
            storage=storage,
            load_if_exists=True,
            direction=self.settings["direction"],
        )
        begun = self.study.get_trials(deepcopy=False)
        for trial in begun:
            if set(trial.params) != set(self.distributions):
                raise UserError(
                    f"{FLAG}: {self.path} holds a search over {', '.join(trial.params)}, not over "
                    f"{', '.join(self.distributions)}; give the sweep another name"
                )
            for name, before in trial.distributions.items():
                now = self.distributions[name]
                choices = [getattr(one, "choices", None) for one in (before, now)]
                if type(before) is not type(now) or choices[0] != choices[1]:
                    raise UserError(
                        f"{FLAG}: search.fields.{name}: {self.path} has it as {before}, not as {now}; "
                        "give the sweep another name"
                    )
        # the draws of a process that goes on are not those that the first one has made
        sampler = optuna.samplers.TPESampler(seed=self.settings["seed"] + len(begun), constant_liar=True)
        self.study.sampler = sampler

    def trials(self, *, unfinished: bool = False) -> dict[int, Mapping[str, Any]]:
        """The fields of all trials so far, or of those without a result, by number."""
        return {
            trial.number: trial.params
            for trial in self.study.get_trials(deepcopy=False)
            if not (unfinished and trial.state.is_finished())
        }

    def run(self, execute: Execute, at_a_time: int) -> bool:
        """Goes on with what an earlier process has left, then asks for trials until there are enough.

        Returns:
            False where it was stopped before.
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
            return value_at(json.loads((job.folder / "summary.json").read_text()), metric)
        except (KeyError, FileNotFoundError) as error:
            raise UserError(f"{FLAG}: search.metric: the summary of {job.folder} has no number {metric!r}") from error

    def report(self) -> str:
        """The trials with a value, best first."""
        state = self._optuna.trial.TrialState
        done = [trial for trial in self.study.get_trials(deepcopy=False) if trial.state == state.COMPLETE]
        sign = -1 if self.settings["direction"] == "maximize" else 1
        done.sort(key=lambda trial: sign * (trial.value or 0.0))
        failed = sum(trial.state == state.FAIL for trial in self.study.get_trials(deepcopy=False))
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
