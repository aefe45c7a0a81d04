"""Stage 3: collect, learn, report, save; stopped and resumed at any moment."""

import math
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from buffers.batch import Episode
from buffers.episode_buffer import EpisodeBuffer
from envs.base import AsymmetricVectorEnv
from policies.acting.evaluate import evaluate, statistics
from policies.acting.rollout import EpisodeStream, ExpertPolicy, RandomPolicy, iterate_episodes
from policies.agents.base import Agent
from utils.checkpoint import restoring, save_checkpoint
from utils.errors import DivergenceError, UserError
from utils.logger import JsonlWriter, Logger
from utils.progress import Bar, Show, progress
from utils.run import Run
from utils.seeding import generator, rng_state, set_rng_state
from utils.stopping import UNFINISHED, StopRequest

MEASURED = 100  # episodes
MANY = 100  # updates owed at once, of which the bar tells
COUNTERS = ("env_steps", "start_steps", "reported_steps", "episodes", "updates")


@dataclass(frozen=True)
class Schedule:
    """How long to train and when to do what; steps are env steps, a demonstration's among them.

    Training goes on for `train_episodes` times the horizon steps after `start_expert` successful expert episodes
    (kept for good) and `start_random` random ones.
    """

    train_episodes: int
    start_random: int
    start_expert: int
    updates_per_step: float
    batch_size: int
    aux_batch_size: int
    eval_interval: int
    eval_episodes: int
    log_interval: int = 1000
    checkpoint_minutes: float = 5.0
    time_limit_hours: float = math.inf
    time_limit_is_terminal: bool = False


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

    def add(self, metrics: Mapping[str, float | Tensor]) -> None:
        """Adds one value to each mean; tensors stay on their device until read."""
        for name, value in metrics.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + 1

    def read(self) -> dict[str, float]:
        """The means, and starts anew."""
        means = {name: float(total) / self.counts[name] for name, total in self.sums.items()}
        self.sums, self.counts = {}, {}
        return means


class Trainer:
    """One training run: an agent, envs to act in, a replay, and a folder."""

    def __init__(
        self,
        agent: Agent,
        envs: AsymmetricVectorEnv,
        eval_envs: AsymmetricVectorEnv,
        buffer: EpisodeBuffer,
        schedule: Schedule,
        run: Run,
        logger: Logger,
        jsonl: JsonlWriter,
        keep_policy: Callable[[Path], None],
        seed: int,
        show: Show = progress,
        began: float | None = None,
    ):
        self.agent, self.envs, self.eval_envs, self.buffer = agent, envs, eval_envs, buffer
        self.schedule, self.run, self.logger, self.jsonl, self.seed = schedule, run, logger, jsonl, seed
        self._keep_policy, self._show = keep_policy, show
        self.spec = envs.spec_sizes
        self.stream = EpisodeStream(envs, self._seed("train"))
        self.averages = Averages()
        self.env_steps = self.start_steps = self.reported_steps = self.episodes = self.updates = 0
        self.history: list[dict[str, float]] = []  # one row an evaluation
        self._stop = StopRequest()
        self.begun = False  # whether there is anything to save
        self._clock = time.monotonic() if began is None else began
        self._rate_from = (time.monotonic(), 0, 0)
        self._saved_at, self._saved_steps = self._clock, 0

    def _seed(self, *stream: str | int) -> int:
        """A seed for one purpose, drawn from the run's."""
        return int(generator(self.seed, *stream).integers(2**31))

    @property
    def total_steps(self) -> int:
        """Env steps at which training is done."""
        return self.start_steps + self.schedule.train_episodes * self.spec.max_episode_steps

    def train(self, saved: dict[str, Any] | None) -> list[dict[str, float]]:
        """Trains to the end and returns the evaluations.

        Args:
            saved: the checkpoint to go on from, None to begin.

        Raises:
            Stopped: by a signal or the time limit; the checkpoint is written.
            DivergenceError: the loss is not finite; the last checkpoint, from before, stays.
        """
        with self._stop.listening():
            if saved is None:
                self.jsonl.truncate(0)
                self._measure()
                self._prefill()
                self._evaluate()
                self._save()
            else:
                with restoring(self.run.checkpoint_dir):
                    self._load(saved)
            self.begun = True
            with self._show(self.total_steps, self.reported_steps, "train") as bar:
                while self.reported_steps < self.total_steps:
                    if self.env_steps == self.reported_steps:  # else it was stopped among the updates of the last steps
                        self._collect()
                    try:
                        self._learn(bar)
                    except DivergenceError as error:
                        raise DivergenceError(
                            f"{error} after {self.updates} updates; the last checkpoint, of {self._saved_steps} steps, "
                            f"stays in {self.run.checkpoint_dir}"
                        ) from error
                    self._report(bar)
                    self._check_stop()
            self._save()
        return self.history

    def _prefill(self) -> None:
        """Demonstrations of the expert, the successful ones, and random episodes."""
        wanted = self.schedule.start_expert
        expert = ExpertPolicy(self.envs, 0.0, generator(self.seed, "expert"))
        tries = 0
        while wanted:
            for _, episode in iterate_episodes(self.envs, expert, wanted, self._seed("expert", tries)):
                self.env_steps += len(episode)
                if episode.success:
                    episode.expert = True
                    self._keep(episode, protect=True)
                    wanted -= 1
                self._check_stop()
            tries += 1
            if tries == 20:
                raise UserError(
                    f"--start_expert_training: after {tries} rounds the expert still lacks {wanted} successful episodes"
                )
        random = RandomPolicy(self.spec.action_dim, self.spec.discrete, generator(self.seed, "random"))
        if self.schedule.start_random and not self.agent.on_policy:  # which would not learn from them
            for _, episode in iterate_episodes(self.envs, random, self.schedule.start_random, self._seed("random")):
                self.env_steps += len(episode)
                self._keep(episode)
                self._check_stop()
        self.start_steps = self.reported_steps = self.env_steps
        self.stream = EpisodeStream(self.envs, self._seed("train"))

    def _measure(self) -> None:
        """Random episodes, apart from those that are learned from, tell how an embedding varies whose file does not."""
        if not self.agent.unmeasured:
            return
        horizon = self.spec.max_episode_steps
        played = EpisodeBuffer(self.spec, MEASURED * (horizon + 1), horizon, 0)
        random = RandomPolicy(self.spec.action_dim, self.spec.discrete, generator(self.seed, "measure"))
        for _, episode in iterate_episodes(self.eval_envs, random, MEASURED, self._seed("measure")):
            played.add(episode)
            self._check_stop()
        self.agent.measure(played.newest(MEASURED, self.agent.device))

    def _keep(self, episode: Episode, protect: bool = False) -> None:
        if self.schedule.time_limit_is_terminal:
            episode.end_at_limit(self.spec.max_episode_steps)
        self.buffer.add(episode, protect)

    def _collect(self) -> None:
        """One step of all envs; or for an agent that learns on-policy a batch of whole episodes."""
        self.agent.env_steps = self.env_steps
        if self.agent.on_policy:
            self._collect_batch()
            return
        for _, episode in self.stream.step(self.agent.exploring()):
            self._keep(episode)
            self.episodes += 1
            self.averages.add({f"train/{k}": v for k, v in statistics([episode]).items()})
        self.env_steps += self.envs.num_envs

    def _collect_batch(self) -> None:
        """Fresh episodes of the present policy, all begun after the last update: no checkpoint falls between them."""
        seed = self._seed("batch", self.updates)
        for _, episode in iterate_episodes(self.envs, self.agent.exploring(), self.schedule.batch_size, seed):
            self._keep(episode)
            self.episodes += 1
            self.env_steps += len(episode)
            self.averages.add({f"train/{k}": v for k, v in statistics([episode]).items()})

    def _learn(self, bar: Bar) -> None:
        """As many updates as the steps so far have earned; on-policy one on the newest episodes.

        Demonstrations earn thousands at once: the bar counts them down, and a stop signal does not wait for all.
        """
        if self.agent.on_policy:
            batch = self.buffer.newest(self.schedule.batch_size, self.agent.device)
            self.averages.add(self.agent.update(batch))
            self.updates += 1
            return
        while len(self.buffer) and (owed := int(self.env_steps * self.schedule.updates_per_step) - self.updates) > 0:
            if owed >= MANY and owed % 10 == 0:
                bar.set_postfix({"updates owed": owed}, refresh=False)
                bar.update(0)
            batch = self.buffer.sample(self.schedule.batch_size, self.agent.device)
            aux = None
            if self.agent.wants_aux_batch:
                aux = self.buffer.sample(self.schedule.aux_batch_size, self.agent.device)
            self.averages.add(self.agent.update(batch, aux))
            self.updates += 1
            self._check_stop()

    def _report(self, bar: Bar) -> None:
        """Evaluates and logs where the last report and now lie on different sides of a due step."""
        before = self.reported_steps
        evaluated = crossed(before, self.env_steps, self.schedule.eval_interval)
        done = self.env_steps >= self.total_steps
        if evaluated or done:
            self._evaluate()
        if evaluated or done or crossed(before, self.env_steps, self.schedule.log_interval):
            now = time.monotonic()
            clock, steps, updates = self._rate_from
            elapsed = max(now - clock, 1e-9)
            means = self.averages.read()
            means |= {"episodes": self.episodes, "updates": self.updates, "replay/steps": self.buffer.num_steps}
            means["clock/env_steps_per_second"] = (self.env_steps - steps) / elapsed
            means["clock/updates_per_second"] = (self.updates - updates) / elapsed
            self._rate_from = (now, self.env_steps, self.updates)
            self.logger.write(self.env_steps, means)
            last = self.history[-1]
            shown = {"return": last["return"], "success": last["success"]}
            bar.set_postfix(shown | {"updates/s": means["clock/updates_per_second"]}, refresh=False)
        bar.update(self.env_steps - before)
        self.reported_steps = self.env_steps

    def _evaluate(self) -> None:
        """Greedy episodes, fresh ones each time."""
        began = time.monotonic()
        seed = self._seed("eval", self.env_steps)
        row = evaluate(self.agent.greedy(), self.eval_envs, self.schedule.eval_episodes, seed)
        if row["return"] > max((before["return"] for before in self.history), default=-math.inf):
            self._keep_policy(self.run.folder / "policy_best")
        self.history.append({"step": self.env_steps, **row})
        clock = {"clock/eval_seconds": time.monotonic() - began}
        self.logger.write(self.env_steps, {f"eval/{k}": v for k, v in row.items()} | clock)

    def _check_stop(self) -> None:
        """Saves when it is time to; raises `Stopped` after a signal or at the time limit.

        Before training has begun nothing is saved, and only a signal stops: the same command starts over.
        """
        now = time.monotonic()
        reason, code = "", UNFINISHED
        if self._stop.number is not None:
            reason = f"stopped by {signal.Signals(self._stop.number).name}"
            code = 130 if self._stop.number == signal.SIGINT else UNFINISHED
        elif self.begun and now - self._clock > 3600 * self.schedule.time_limit_hours:
            reason = "stopped at --time_limit"
        if self.begun and (reason or now - self._saved_at > 60 * self.schedule.checkpoint_minutes):
            self._save()
        if reason:
            raise Stopped(reason, code)

    def _save(self) -> None:
        save_checkpoint(
            self.run.checkpoint_dir,
            {
                "agent": self.agent.checkpoint(),
                "stream": self.stream.state_dict(),
                "buffer": self.buffer.state_dict(),
                "averages": {"sums": self.averages.sums, "counts": self.averages.counts},
                "counters": {name: getattr(self, name) for name in COUNTERS},
                "history": self.history,
                "metrics_offset": self.jsonl.offset(),
                "rng": rng_state(),
            },
        )
        self._saved_at, self._saved_steps = time.monotonic(), self.env_steps
        self._keep_policy(self.run.policy_dir)

    def _load(self, state: dict[str, Any]) -> None:
        self.agent.load_checkpoint(state["agent"])
        self.stream.load_state_dict(state["stream"])
        self.buffer.load_state_dict(state["buffer"])
        self.averages.sums, self.averages.counts = state["averages"]["sums"], state["averages"]["counts"]
        for name, value in state["counters"].items():
            setattr(self, name, value)
        self.history = state["history"]
        self.jsonl.truncate(state["metrics_offset"])
        set_rng_state(state["rng"])
        self._rate_from = (time.monotonic(), self.env_steps, self.updates)
        self._saved_steps = self.env_steps


def crossed(before: int, now: int, interval: int) -> bool:
    """Whether a multiple of `interval` lies in (before, now]."""
    return now // interval > before // interval
