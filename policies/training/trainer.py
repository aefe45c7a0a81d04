"""A run of training: experience, updates, observers, reports, checkpoints; stopped and resumed at any moment."""

import signal
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from policies.acting.evaluate import measures
from policies.agents.base import Agent
from policies.training.experience.base import Experience
from policies.training.observers import Observer, crossed
from policies.training.settings import Schedule
from utils.checkpoint import restoring, save_checkpoint, whole
from utils.errors import DivergenceError, ForeignError, UserError
from utils.logger import JsonlWriter, Logger
from utils.progress import Bar, Show, progress
from utils.run import Run
from utils.seeding import rng_state, set_rng_state
from utils.stopping import UNFINISHED, StopRequest

MANY = 100  # updates owed at once, of which the bar tells
SHORTLY = 1.0  # seconds within which a signal to all processes of a job has come to each


@dataclass(frozen=True)
class Record:
    """Where a run is written: its folder, its metrics (`jsonl` is one of the logger's), its policy, into a folder."""

    run: Run
    logger: Logger
    jsonl: JsonlWriter
    keep_policy: Callable[[Path], None]

    def keep_best(self) -> None:
        """Keeps the policy as the best so far."""
        self.keep_policy(self.run.folder / "policy_best")


class Stopped(Exception):
    """A signal or the time limit ended this process before the run was done; the same command goes on."""

    def __init__(self, reason: str, exit_code: int):
        super().__init__(reason)
        self.reason, self.exit_code = reason, exit_code


class Averages:
    """Running means of metrics since they were last read."""

    def __init__(self) -> None:
        self.sums: dict[str, float | Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, metrics: Mapping[str, float | Tensor | None]) -> None:
        """Adds one value to each mean; tensors stay on their device until read.

        What is not told (None) counts as 0 where others are told, as in `means`.
        """
        for name, value in metrics.items():
            if value is not None:
                self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + 1

    def read(self) -> dict[str, float]:
        """The means, and starts anew."""
        means = {name: float(total) / self.counts[name] for name, total in self.sums.items()}
        self.sums, self.counts = {}, {}
        return means

    def state_dict(self) -> dict[str, Any]:
        """All that was added."""
        return {"sums": self.sums, "counts": self.counts}

    def load(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state_dict` was taken.

        Raises:
            KeyError, TypeError, ValueError, RuntimeError: it is something else.
        """
        self.sums, self.counts = dict(state["sums"]), {name: whole(n, name) for name, n in state["counts"].items()}
        for name, total in self.sums.items():
            float(total) / self.counts[name]


Prepare = Callable[[Agent, Experience, Callable[[], None]], Mapping[str, float]]


def nothing(agent: Agent, experience: Experience, check_stop: Callable[[], None]) -> Mapping[str, float]:
    """No preparation of an agent before it trains."""
    return {}


class Trainer:
    """One training run of an agent on an experience, seen by observers; nothing here knows of which kind they are."""

    def __init__(
        self,
        agent: Agent,
        experience: Experience,
        observers: Sequence[Observer],
        schedule: Schedule,
        record: Record,
        show: Show = progress,
    ):
        self.agent, self.experience, self.observers = agent, experience, observers
        self.schedule, self.record, self._show = schedule, record, show
        self.averages, self.reported = Averages(), 0  # by the experience's clock
        self._stop = StopRequest()
        self.begun = False  # whether there is anything to save
        self._warned = False  # that the policy is blind
        self._clock = time.monotonic() if schedule.began is None else schedule.began
        self._rates_from = (time.monotonic(), dict.fromkeys(experience.rates, 0))
        self._saved_at = self._clock
        self._saved: tuple[int, int, int] | None = None  # how far the newest checkpoint is

    @property
    def where(self) -> str:
        """How far the run is, in words."""
        if not self.begun:
            return "before training began"
        return f"at {self.experience.progress} of {self.experience.total} {self.experience.unit}"

    @property
    def _reached(self) -> tuple[int, int, int]:
        """Where the run is, as its checkpoint has it: by the clock, in updates, and by the last report."""
        return self.experience.progress, self.experience.updates, self.reported

    def train(self, saved: dict[str, Any] | None, prepare: Prepare = nothing) -> None:
        """Trains to the end.

        Args:
            saved: the checkpoint to go on from, None to begin.
            prepare: changes the agent once, before it begins, and says what is to be logged of that.

        Raises:
            Stopped: by a signal or the time limit; the checkpoint is written.
            UserError: the time limit ends what comes before training, of which nothing is saved.
            DivergenceError: the loss is not finite; the last checkpoint, from before, stays.
        """
        with self._stop.listening():
            try:
                self._train(saved, prepare)
            except (EOFError, ConnectionError, ForeignError) as error:
                self._check_end_of_all(error)
                raise
        if not self.experience.updates:
            warnings.warn(
                f"{self.record.run.folder.name}: nothing was learned, as no update was made {self.where}: no episode "
                "has ended, or the steps have earned none (--updates_per_step)",
                RuntimeWarning,
                stacklevel=2,
            )

    def _train(self, saved: dict[str, Any] | None, prepare: Prepare) -> None:
        experience = self.experience
        if saved is None:
            self.record.jsonl.truncate(0)
            experience.begin(self.agent, self._check_stop)
            if metrics := prepare(self.agent, experience, self._check_stop):
                self.record.logger.write(experience.progress, metrics)
            self.reported = experience.progress
            self._observe(self.observers)
            self._save()
        else:
            with restoring(self.record.run.checkpoint_dir):
                self._load(saved)
        self.record.run.go_on()
        self.begun = True
        with self._show(experience.total, self.reported, "train") as bar:
            while self.reported < experience.total:
                if experience.progress == self.reported:  # else it was stopped among the updates of what came last
                    for episode in experience.advance(self.agent):
                        self.averages.add({f"train/{k}": v for k, v in measures(episode).items()})
                try:
                    self._learn(bar)
                except DivergenceError as error:
                    raise DivergenceError(
                        f"{error} after {experience.updates} updates; the last checkpoint, of "
                        f"{(self._saved or (0,))[0]} {experience.unit}, stays in {self.record.run.checkpoint_dir}"
                    ) from error
                self._report(bar)
                self._check_stop()
        self._save()

    def _learn(self, bar: Bar) -> None:
        """As many updates as there are batches, their metrics averaged.

        Demonstrations earn thousands at once: the bar counts them down, and a stop signal does not wait for all.
        """
        for metrics in self.experience.learn(self.agent):
            self.averages.add(metrics)
            owed = self.experience.owed
            if owed >= MANY and owed % 10 == 0:
                bar.set_postfix({"updates owed": owed}, refresh=False)
                bar.update(0)
            if owed:
                self._check_stop()

    def _report(self, bar: Bar) -> None:
        """Observes and logs where the last report and now lie on different sides of a due moment."""
        before, now = self.reported, self.experience.progress
        done = now >= self.experience.total
        looking = [observer for observer in self.observers if done or observer.due(before, now)]
        self._observe(looking)
        if looking or done or crossed(before, now, self.schedule.log_interval):
            means = self.averages.read() | self.experience.metrics() | self._rates()
            self.record.logger.write(now, means)
            self._check_spread(means)
            shown = {name: value for observer in self.observers for name, value in observer.shown.items()}
            bar.set_postfix(shown | {"updates/s": means["clock/updates_per_second"]}, refresh=False)
        bar.update(now - before)
        self.reported = now

    def _check_spread(self, means: Mapping[str, float]) -> None:
        """Warns, once a process, of a policy whose output was the same at all rows since the report before."""
        if means.get("policy/spread") == 0 and not self._warned:
            self._warned = True
            warnings.warn(
                f"{self.record.run.folder.name}: {self.where} the policy's output was the same at all rows that it "
                "learned from (policy/spread is 0), as where a whole layer of its head is dead; if it stays so, "
                "try another --seed or a smaller --config_rl.actor_lr (--config_rl.lr of dqn)",
                RuntimeWarning,
                stacklevel=2,
            )

    def _observe(self, observers: Sequence[Observer]) -> None:
        for observer in observers:
            self.record.logger.write(self.experience.progress, observer.look(self.agent, self.experience.progress))

    def _rates(self) -> dict[str, float]:
        """How fast the experience's counters went since this was last asked."""
        now, (clock, before) = time.monotonic(), self._rates_from
        counts = {name: getattr(self.experience, name) for name in self.experience.rates}
        self._rates_from = (now, counts)
        elapsed = max(now - clock, 1e-9)
        return {f"clock/{name}_per_second": (counts[name] - before[name]) / elapsed for name in counts}

    def _check_end_of_all(self, error: Exception) -> None:
        """Raises `Stopped` where the error is that of envs whose own processes a signal to all of the job has ended.

        The step is lost, and nothing can be saved of what came after the newest checkpoint.
        """
        cause = error.__cause__ if isinstance(error, ForeignError) else error
        if not isinstance(cause, EOFError | ConnectionError):
            return
        until = time.monotonic() + SHORTLY
        while self._stop.number is None and time.monotonic() < until:
            time.sleep(SHORTLY / 100)
        if self._stop.number is not None:
            name, code = self._stopped_by(self._stop.number)
            of = f"; the newest checkpoint is of {self._saved[0]} {self.experience.unit}" if self._saved else ""
            raise Stopped(f"{name}, as processes of its envs were ({type(cause).__name__}{of}),", code) from error

    @staticmethod
    def _stopped_by(number: int) -> tuple[str, int]:
        return f"stopped by {signal.Signals(number).name}", 130 if number == signal.SIGINT else UNFINISHED

    def _check_stop(self) -> None:
        """Saves when it is time to; raises `Stopped` after a signal or at the time limit.

        Before training has begun there is nothing to save: the same command starts over, so that with the same limit
        it would never get any further.
        """
        now = time.monotonic()
        reason, code = "", UNFINISHED
        if self._stop.number is not None:
            reason, code = self._stopped_by(self._stop.number)
        elif now - self._clock > 3600 * self.schedule.time_limit_hours:
            if not self.begun:
                raise UserError(
                    f"--time_limit={self.schedule.time_limit_hours:g}: these hours end before training begins, and "
                    "nothing of what comes before it is saved; give more"
                )
            reason = "stopped at --time_limit"
        if self.begun and (reason or now - self._saved_at > 60 * self.schedule.checkpoint_minutes):
            self._save()
        if reason:
            raise Stopped(reason, code)

    def _save(self) -> None:
        """Writes the checkpoint, unless the newest holds the same already, and the policy."""
        if self._saved != self._reached:
            self._save_checkpoint()
        self._saved, self._saved_at = self._reached, time.monotonic()
        self.record.keep_policy(self.record.run.policy_dir)

    def _save_checkpoint(self) -> None:
        state = {"agent": self.agent.checkpoint(), **self.experience.state_dict()}
        state["counters"]["reported_steps"] = self.reported
        state |= {observer.name: observer.state_dict() for observer in self.observers}
        state["averages"] = self.averages.state_dict()
        state |= {"metrics_offset": self.record.jsonl.offset(), "rng": rng_state()}
        save_checkpoint(self.record.run.checkpoint_dir, state)

    def _load(self, state: dict[str, Any]) -> None:
        self.agent.load_checkpoint(state["agent"])
        self.experience.load_state_dict(state)
        self.experience.check_counters()
        whole(self.agent.env_steps, "agent.env_steps", most=self.experience.progress)
        self.reported = whole(state["counters"]["reported_steps"], "reported_steps", most=self.experience.progress)
        for observer in self.observers:
            # None of one that was not there
            observer.load_state_dict(state.get(observer.name), self.reported)
        self.averages.load(state["averages"])
        self.record.jsonl.truncate(whole(state["metrics_offset"], "metrics_offset"))
        set_rng_state(state["rng"])
        self._rates()  # from here on
        self._saved = self._reached
