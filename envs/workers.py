"""N envs shared out to processes of their own; one that crashes is replaced, and its episodes go on where they were.

Dimension key: N envs, A actions.
"""

import multiprocessing
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.base import told
from envs.replayed import Beginning, Description, Played, ReplayedVectorEnv, StepResult, play
from envs.wrappers import AsymmetricWrapper, Bools
from utils.errors import UserError, staying

Job = tuple[int, tuple[Any, ...]]  # which of the worker's envs, and the arguments
PATIENCE = 300.0  # seconds for which a worker may be silent
ATTEMPTS = 2  # to replace one that has crashed
PAUSE = 3.0  # seconds before the second: memory may be short for a while


class Crashed(Exception):
    """A worker process has ended or is stuck."""


class Worker:
    """One process and its envs.

    Args:
        make: makes each env; it is pickled.
        num_envs: how many.
    """

    def __init__(self, make: Callable[[], AsymmetricWrapper], num_envs: int) -> None:
        self._make, self._num_envs = make, num_envs
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # a forked child could wait for ever for a thread's lock
        self._pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, self._make, self._num_envs), daemon=True)
        self.process.start()
        theirs.close()

    def send(self, task: str, jobs: Sequence[Job]) -> None:
        """Asks for something; a worker that is no longer there is noticed when the answer is awaited."""
        try:
            self._pipe.send((task, jobs))
        except OSError:
            pass

    def receive(self) -> list[Any]:
        """The answers, one for each job.

        Raises:
            Crashed: there are none.
            Exception: what the env raised.
        """
        try:
            if not self._pipe.poll(PATIENCE):
                raise Crashed(f"it has been silent for {PATIENCE:.0f} s")
            answers = self._pipe.recv()
        except (EOFError, OSError) as error:
            self.process.join(timeout=5)
            raise Crashed(f"exit code {self.process.exitcode}") from error
        if isinstance(answers, Exception):
            raise answers
        return list(answers)

    def restart(self) -> None:
        """A new process with new envs."""
        self.stop()
        self._start()

    def stop(self) -> None:
        """Ends the process."""
        self._pipe.close()
        if self.process.is_alive():
            self.process.kill()
        self.process.join()


class ProcessAsymmetricVectorEnv(ReplayedVectorEnv):
    """Envs in processes that work at the same time; what they do is the same as one after the other in this one.

    A worker that crashes is reported by a warning and replaced. What is known of each episode, its seed and actions, is
    played again, so that nothing is lost. Where that crashes as well, time and again, the worker's episodes are cut off
    before the step that could not be simulated (`lost_steps`).

    Args:
        make: makes each env; it is pickled.
        num_envs: N.
        processes: how many, at most N.
    """

    def __init__(self, make: Callable[[], AsymmetricWrapper], num_envs: int, processes: int) -> None:
        shares = np.array_split(np.arange(num_envs), min(processes, num_envs))
        self._worker_of = np.concatenate([np.full(len(share), w) for w, share in enumerate(shares)])
        self._place_of = np.concatenate([np.arange(len(share)) for share in shares])
        self._envs_of = [share.tolist() for share in shares]
        self._workers = [Worker(make, len(share)) for share in shares]
        self._saw: list[bool | None] = [None] * num_envs
        try:
            for worker in self._workers:
                worker.send("describe", [(0, ())])
            descriptions = [self._described(w) for w in range(len(self._workers))]
        except BaseException:
            self.close_extras()
            raise
        super().__init__(num_envs, descriptions[0])

    def _described(self, w: int) -> Description:
        """What a new worker says of its envs; one that does not come to it is replaced.

        Raises:
            UserError: none does.
        """
        worker, envs = self._workers[w], ", ".join(map(str, self._envs_of[w]))
        for attempt in range(ATTEMPTS + 1):
            try:
                description: Description = worker.receive()[0]
                return description
            except Crashed as crash:
                if attempt == ATTEMPTS:
                    raise UserError(
                        f"--num_envs: the process of env {envs} crashes while it starts ({crash}); is there memory for "
                        "so many?"
                    ) from crash
                warnings.warn(
                    f"the process of env {envs} crashed while it started ({crash}); another one takes its place",
                    RuntimeWarning,
                    stacklevel=4,
                )
                time.sleep(attempt * PAUSE)
                worker.restart()
                worker.send("describe", [(0, ())])
        raise AssertionError("one of the attempts returns or raises")

    def _ask(self, task: str, arguments: dict[int, tuple[Any, ...]]) -> dict[int, Any]:
        """The answers of these envs, all workers at once; crashed ones are replaced and asked again.

        Raises:
            UserError: a worker crashes whatever is done.
        """
        jobs: dict[int, dict[int, tuple[Any, ...]]] = {}
        for i, of_env in arguments.items():
            jobs.setdefault(int(self._worker_of[i]), {})[i] = of_env
        for w, given in jobs.items():
            self._workers[w].send(task, self._at_home(given))
        answers: dict[int, Any] = {}
        errors: list[Exception] = []
        for w, given in jobs.items():
            try:
                answers |= zip(given, self._workers[w].receive(), strict=True)
            except Crashed as crash:
                answers |= self._ask_again(w, task, given, crash)
            except Exception as error:  # noqa: BLE001 it is raised below, when all answers have been taken
                errors.append(error)
        if errors:
            raise errors[0]
        return answers

    def _at_home(self, given: dict[int, tuple[Any, ...]]) -> list[Job]:
        return [(int(self._place_of[i]), arguments) for i, arguments in given.items()]

    def _ask_again(self, w: int, task: str, given: dict[int, tuple[Any, ...]], crash: Crashed) -> dict[int, Any]:
        """The answers of a worker that has crashed, from a new one that has played the episodes so far again."""
        worker, envs = self._workers[w], ", ".join(map(str, self._envs_of[w]))
        known = {i: (int(self._seed[i]), self._start[i], self._actions[i]) for i in self._envs_of[w]}
        known = {i: beginning for i, beginning in known.items() if beginning[0] >= 0}
        for attempt in range(ATTEMPTS):
            warnings.warn(
                f"the process of env {envs} of {self.spec_sizes.env_id} crashed ({crash}); another one takes its place",
                RuntimeWarning,
                stacklevel=2,
            )
            time.sleep(attempt * PAUSE)
            try:
                self._replace(w, known)
                worker.send(task, self._at_home(given))
                return dict(zip(given, worker.receive(), strict=True))
            except Crashed as again:
                crash = again
        try:
            if task != "step":
                raise crash
            self._replace(w, {i: (seed, start, []) for i, (seed, start, _) in known.items()}, compare=False)
        except Crashed as last:
            raise UserError(
                f"--num_envs: the process of env {envs} of {self.spec_sizes.env_id} crashes again and again ({last}); "
                "is there memory for so many?"
            ) from last
        warnings.warn(
            f"the process of env {envs} crashed again ({crash}); its episodes are cut off", RuntimeWarning, stacklevel=2
        )
        return {i: (self._cut_off(i), self._saw[i]) for i in given}

    def _replace(self, w: int, known: dict[int, tuple[Any, ...]], compare: bool = True) -> None:
        """A new process, in which these beginnings have been played; what comes out differently is given up."""
        worker = self._workers[w]
        worker.restart()
        worker.send("play", self._at_home(known))
        answers = dict(zip(known, worker.receive(), strict=True))
        if compare:
            differs = [i for i, (played, _) in answers.items() if played.digest != self._digest[i]]
            self._give_up(np.array([i for i in differs if not self._ended[i]], np.intp))

    def _play(self, beginnings: Sequence[Beginning]) -> list[Played]:
        for i, *_ in beginnings:
            self._seed[i], self._actions[i] = -1, []  # of the episode that was, nothing is to be played again
        answers = self._ask("play", {i: (seed, start, actions) for i, seed, start, actions in beginnings})
        for i, (_, saw) in answers.items():
            self._saw[i] = saw
        return [answers[i][0] for i, *_ in beginnings]

    def _step(self, actions: NDArray[Any]) -> list[StepResult]:
        answers = self._ask("step", {i: (action,) for i, action in enumerate(actions)})
        self._saw = [answers[i][1] for i in range(self.num_envs)]
        return [answers[i][0] for i in range(self.num_envs)]

    def expert_action(self, guess_N: Bools) -> NDArray[Any]:
        answers = self._ask("expert", {i: (bool(guess),) for i, guess in enumerate(guess_N)})
        return np.stack([answers[i] for i in range(self.num_envs)])

    def saw_information(self) -> Bools | None:
        return told(self._saw)

    def _frame(self, index: int) -> Any:
        return self._ask("render", {index: ()})[index]

    def close_extras(self, **kwargs: Any) -> None:
        """Ends every process."""
        for worker in self._workers:
            worker.stop()


TASKS: dict[str, Callable[..., Any]] = {
    "describe": Description.of,
    "play": lambda env, *beginning: (play(env, *beginning), env.saw_information()),
    "step": lambda env, action: (StepResult.of(env, action), env.saw_information()),
    "expert": lambda env, guess: env.expert_action(guess),
    "render": lambda env: env.render(),
}


def _serve(pipe: Connection, make: Callable[[], AsymmetricWrapper], num_envs: int) -> None:
    """What a worker process does until its pipe is closed. What an env raises is an answer as well."""
    for number in (signal.SIGINT, signal.SIGUSR1):  # a Ctrl-C, or a cluster's call to all, is the parent's to deal with
        signal.signal(number, signal.SIG_IGN)
    envs: list[AsymmetricWrapper] = []
    try:
        while True:
            task, jobs = pipe.recv()
            try:
                with staying():
                    while len(envs) < num_envs:
                        envs.append(make())
                    answers: Any = [TASKS[task](envs[place], *arguments) for place, arguments in jobs]
            except Exception as error:  # noqa: BLE001 whatever it is, the parent is told
                error.add_note(traceback.format_exc())  # which does not come along otherwise
                answers = error
            pipe.send(answers)
    except (EOFError, OSError):
        pass
    for env in envs:
        env.close()
