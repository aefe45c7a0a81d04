"""Many seeds of one config as one program: one process a seed, one progress line, one exit code.

Each is forked from the process that has read the configs and imported everything. On a CPU it is its run alone, bit for
bit, and the system shares the cores out: an update is mostly matrix products, which are no faster for being stacked
(benchmarks/seeds.py measures both). For a GPU the updates of all seeds are one batch
(`policies.training.batched_updates`).
"""

import ctypes
import multiprocessing
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from types import FrameType
from typing import Any, NamedTuple, NoReturn, Self

import torch
from ml_collections import ConfigDict

from policies.acting.embedded_envs import env_maker
from policies.acting.evaluate import means
from policies.agents.base import Agent
from policies.agents.learner import Learner
from policies.build import build_agent
from policies.models.sources import Sources
from policies.training.batched_updates import BatchedLearner, Packed, RemoteLearner, SharedSeeds, batchable
from policies.training.run import open_run
from policies.training.settings import Options, Settings
from policies.training.summary import read_summary
from utils.app import CRASHED, DIVERGED, INTERRUPTED, USER_ERROR, explain
from utils.device import device_of, prepare_cpu
from utils.errors import DivergenceError, UserError
from utils.files import lock_folder
from utils.progress import Say, progress
from utils.run import Run
from utils.stopping import STOP_SIGNALS, UNFINISHED, Stopped, handling

TELL_SECONDS = 0.2  # at most so often does a seed tell how far it is
LOCK_SECONDS = 3.0  # processes of a command that was killed may take so long to end
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of linux/prctl.h


Train = Callable[..., int]


class SeedRun(NamedTuple):
    """One seed: its settings, and where it is written."""

    settings: Settings
    options: Options


def train_seeds(train: Train, config: ConfigDict, runs: Sequence[SeedRun], batch: bool | None, say: Say) -> int:
    """Trains or resumes all runs and says what came of each; returns the exit code.

    Whatever ends one of them leaves the others alone, but for input that the user can mend.

    Args:
        train: trains or resumes one run, and returns its exit code; it takes what `Telling` has by name.
        batch: whether updates are computed as one batch; None for where there is a GPU.

    Raises:
        UserError: of whichever run it is; the others have been stopped, and saved.
        DivergenceError: of some runs; the others are finished.
    """
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")  # to look for a GPU must not spoil it for a fork
    device = device_of(runs[0].options.cuda)
    torch.set_num_threads(1)  # a pool of threads would not outlive a fork
    agent: Learner | None = None
    if config.seq.get("warmup", 0) and batch:
        raise UserError("--batch_seeds: not with --config_seq.warmup, which each seed does for itself; --nobatch_seeds")
    if batch or (batch is None and device.type != "cpu" and not config.seq.get("warmup", 0)):
        agent = batched_or_not(agent_of(config, runs[0].settings), bool(batch), say)
    shared = None if agent is None else SharedSeeds.empty(len(runs), sum(p.numel() for p in agent.parameters()))
    check_folders(config, runs)
    seeds: list[Seed] = []
    try:
        for index, run in enumerate(runs):
            seeds.append(Seed.started(index, run, train, config, shared, [seed.ear for seed in seeds]))
        learner = None if agent is None or shared is None else BatchedLearner(agent, shared, device)
        if learner is not None:
            prepare_cpu(runs[0].settings.threads)
        stopped = watch(seeds, say, learner)
    except BaseException:
        _stop(seeds, signal.SIGTERM)
        for seed in seeds:
            seed.ear.close()  # who waits for an answer must not wait for ever
        raise
    return outcome(seeds, stopped, say)


def batched_or_not(agent: Agent, demanded: bool, say: Say) -> Learner | None:
    """The agent, if updates of several such are to be one batch; None, and why, where they cannot be.

    Raises:
        UserError: they cannot, and it was `demanded`.
    """
    try:
        return batchable(agent)
    except UserError as error:
        if demanded:
            raise
        say(f"each seed computes its own updates ({error})")
        return None


def agent_of(config: ConfigDict, settings: Settings) -> Agent:
    """An agent of the config on the CPU."""
    make_envs, _ = env_maker(config, settings.state_embedder, settings.obs_embedder)
    envs = make_envs(1, seed=0)
    try:
        sources = Sources(envs.spec_sizes, config, settings.state_embedder, settings.obs_embedder)
        return build_agent(sources, settings.seed, torch.device("cpu"))
    finally:
        envs.close()


def check_folders(config: ConfigDict, runs: Sequence[SeedRun]) -> None:
    """Looks into the folders that are there already, once what a killed command left behind has ended.

    Raises:
        UserError: one holds another run or a damaged summary, or belongs to a process that goes on.
    """
    deadline = time.monotonic() + LOCK_SECONDS
    for run in runs:
        folder = run.options.folder
        while folder.is_dir():
            try:
                os.close(lock_folder(folder))
                break
            except UserError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        read_summary(folder)
        if Run(folder).config_path.exists():
            open_run(config, run.settings, run.options).close()


@dataclass
class Seed:
    """One run as the parent sees it: its process, and what it has told.

    Attributes:
        index: its number among the seeds.
        total: env steps at which it is done; 0 until it is known.
        error: what ended it, where it was neither its end nor a signal.
    """

    index: int
    run: SeedRun
    process: ForkProcess
    ear: Connection
    total: int = 0
    done: int = 0
    shown: dict[str, float] = field(default_factory=dict)
    error: str | None = None

    @classmethod
    def started(
        cls,
        index: int,
        run: SeedRun,
        train: Train,
        config: ConfigDict,
        shared: SharedSeeds | None,
        ears: Sequence[Connection],
    ) -> Self:
        """Forks the process that trains it; with `shared` given its updates are to be computed here.

        `ears` are those of the seeds before it.
        """
        ear, mouth = multiprocessing.Pipe()
        arguments = (index, run, train, config, shared, mouth, [*ears, ear], os.getpid())
        process = multiprocessing.get_context("fork").Process(target=_child, args=arguments)
        process.start()
        mouth.close()  # the child alone holds it, so that its end is heard
        return cls(index, run, process, ear)

    @property
    def code(self) -> int:
        """The exit code; that of a signal that ended it is below 0."""
        self.process.join()
        return self.process.exitcode or 0

    def hear(self, say: Say) -> tuple[str, Any]:
        """Takes one message, and returns it; `gone` once there will be none."""
        try:
            kind, content = self.ear.recv()
        except (EOFError, OSError):
            return "gone", None
        if kind == "at":
            self.total, self.done, self.shown = content
        elif kind == "error":
            self.error = content
        elif kind == "warning":
            warnings.warn(content, stacklevel=2)  # the same of several seeds is shown once
        elif kind == "say" and "\n" not in content:  # reports are shown together at the end
            say(f"seed {self.run.settings.seed}: {content}")
        return kind, content


def watch(seeds: Sequence[Seed], say: Say, learner: BatchedLearner | None) -> int | None:
    """Listens until all have ended; returns the signal that was handed on to them, None if there was none."""
    listening = {seed.ear: seed for seed in seeds}
    training, waiting = {seed.index for seed in seeds}, dict[int, Packed]()  # waiting for an update
    bar = None
    with _handing_on(seeds) as received, ExitStack() as stack:
        while listening:
            for ear in wait(list(listening), timeout=1.0):
                seed = listening[ear]  # type: ignore[index]
                kind, content = seed.hear(say)
                if kind == "update":
                    waiting[seed.index] = content
                elif kind in ("leave", "gone"):
                    training.discard(seed.index)
                    waiting.pop(seed.index, None)
                if learner is not None and kind in ("leave", "gone"):
                    learner.leave(seed.index)
                if learner is not None and kind == "pull":
                    learner.pull(seed.index)
                    _answer(seed, None)
                if kind == "gone":
                    del listening[seed.ear]
                    if seed.code == USER_ERROR:
                        _stop(seeds, signal.SIGTERM)
            if learner is not None and waiting and waiting.keys() == training:
                for index, answer in learner.update(waiting).items():
                    _answer(seeds[index], answer)
                waiting.clear()
            total = sum(seed.total for seed in seeds)
            if bar is None and total:
                bar = stack.enter_context(
                    progress(total, sum(seed.done for seed in seeds), f"train {len(seeds)} seeds")
                )
            if bar is not None:
                bar.total = total
                bar.update(sum(seed.done for seed in seeds) - bar.n)
                bar.set_postfix(mean_of([seed.shown for seed in seeds if seed.shown]), refresh=False)
    return received[0] if received else None


def _answer(seed: Seed, content: Any) -> None:
    """Answers a process that may have ended meanwhile."""
    with suppress(OSError):
        seed.ear.send(content)


def mean_of(shown: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The means over seeds of what all of them show; of rates, the sum."""
    names = [name for name in shown[0] if all(name in row for row in shown)] if shown else []
    totals = {name: sum(row[name] for row in shown) for name in names}
    return {name: total if name.endswith("/s") else total / len(shown) for name, total in totals.items()}


def outcome(seeds: Sequence[Seed], stopped: int | None, say: Say) -> int:
    """Says what each has come to; the exit code, or the error that says more."""
    summaries = (read_summary(seed.run.options.folder) for seed in seeds)
    finished = [summary for summary in summaries if summary is not None]
    if finished:
        say(seeds_table(finished))
    for seed in seeds:
        if seed.code == USER_ERROR:
            raise UserError(seed.error or "")
    handed_on = () if stopped is None else (INTERRUPTED, *(-number for number in STOP_SIGNALS))
    for seed in seeds:
        if seed.code not in (0, UNFINISHED, *handed_on) and (stopped is not None or seed.code != DIVERGED):
            why = "" if seed.error is None else f": {seed.error}"
            warnings.warn(f"seed {seed.run.settings.seed} ended with code {seed.code}{why}", stacklevel=2)
    if stopped is not None and any(seed.code for seed in seeds):
        return INTERRUPTED if stopped == signal.SIGINT else UNFINISHED
    if diverged := [f"seed {seed.run.settings.seed}: {seed.error}" for seed in seeds if seed.code == DIVERGED]:
        raise DivergenceError("; ".join(diverged))
    codes = {seed.code for seed in seeds}
    return CRASHED if codes - {0, UNFINISHED} else max(codes)


def seeds_table(summaries: Sequence[Mapping[str, Any]]) -> str:
    """A short table of finished seeds and their mean."""
    first = summaries[0]
    lines = [f"{first['env']}, {first['method']}, {first['memory']}: {first['final_episodes']} greedy episodes a seed"]
    rows = [(f"seed {summary['seed']}", summary["final"]) for summary in summaries]
    rows.append(("mean", means([final for _, final in rows])))
    width, digits = max(len(who) for who, _ in rows), {"success": 2, "return": 2, "length": 1}
    for who, row in rows:
        told = "  ".join(f"{name} {row[name]:.{places}f}" for name, places in digits.items() if name in row)
        lines.append(f"  {who:<{width}}  {told}")
    return "\n".join(lines)


@contextmanager
def _handing_on(seeds: Sequence[Seed]) -> Iterator[list[int]]:
    """Hands stop signals on to all processes, which save and end; the list is of those received."""
    received: list[int] = []

    def hand_on(number: int) -> None:
        received.append(number)
        _stop(seeds, number)

    with handling(hand_on):
        yield received


def _stop(seeds: Sequence[Seed], number: int) -> None:
    for seed in seeds:
        if seed.process.is_alive() and seed.process.pid is not None:
            os.kill(seed.process.pid, number)


class _Told:
    """A progress bar whose display is another process."""

    def __init__(self, mouth: Connection, total: int, initial: int):
        self._mouth, self._at, self._shown = mouth, [total, initial], {}  # type: ignore[var-annotated]
        self._told_at = 0.0

    def __enter__(self) -> Self:
        self._tell()
        return self

    def __exit__(self, *error: object) -> None:
        self._tell()
        self._mouth.send(("leave", None))  # no update will be asked for any more

    def update(self, steps: int) -> None:
        """Counts; tells now and then."""
        self._at[1] += steps
        if time.monotonic() - self._told_at > TELL_SECONDS:
            self._tell()

    def set_postfix(self, shown: Mapping[str, float], refresh: bool = True) -> None:
        """What stands beside the bar."""
        self._shown = dict(shown)

    def _tell(self) -> None:
        self._mouth.send(("at", (*self._at, self._shown)))
        self._told_at = time.monotonic()


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """Ends a seed at a stop signal that nothing in it listens to, without a word."""
    raise Stopped(UNFINISHED)


def _child(
    index: int,
    run: SeedRun,
    train: Train,
    config: ConfigDict,
    shared: SharedSeeds | None,
    mouth: Connection,
    ears: Sequence[Connection],
    parent: int,
) -> None:
    """Trains one seed and tells the parent how it goes; ends with the exit code of a single run."""
    os.setpgid(0, 0)  # a terminal's Ctrl-C comes by way of the parent alone
    for ear in ears:  # the parent alone holds them, so that its end is heard
        ear.close()
    for number in (signal.SIGTERM, signal.SIGUSR1):  # the parent sends them, and says why
        signal.signal(number, _end)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(CRASHED)
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    warnings.showwarning = lambda message, *about: mouth.send(("warning", str(message)))

    def adapt(agent: Agent) -> Agent:
        return agent if shared is None else RemoteLearner(batchable(agent), shared, index, mouth)

    try:
        code = train(
            config,
            run.settings,
            replace(run.options, cuda=-1),
            say=lambda text: mouth.send(("say", text)),
            show=lambda total, initial, title: _Told(mouth, total, initial),
            adapt=adapt,
        )
    except (Exception, KeyboardInterrupt) as error:
        known = explain(error)
        if known is None:
            raise
        with suppress(OSError):
            mouth.send(("error", known[0]))
        code = known[1]
    sys.exit(code)
