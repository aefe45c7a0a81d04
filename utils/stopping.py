"""Signals that ask a script to stop, remembered until it is at a point where it can."""

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

UNFINISHED = 75  # the exit code of what was stopped and waits to be taken up: "try again later" of sysexits.h
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
SOON = 0.01  # seconds, by when a callback has mostly returned


class Stopped(SystemExit):
    """A stop signal ends the script; any other SystemExit is a `sys.exit()` of ours or of others."""


@contextmanager
def handling(take: Callable[[int], None], numbers: Sequence[int] = STOP_SIGNALS) -> Iterator[None]:
    """Calls `take` with the number of each of these signals while the block runs; then handlers are as they were."""

    def handler(number: int, frame: FrameType | None) -> None:
        take(number)

    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@contextmanager
def never_lost() -> Iterator[None]:
    """While the block runs, a SystemExit or KeyboardInterrupt that is lost where a signal raised it comes again.

    In a destructor, or in a callback of a library such as a compiler's, Python passes over exceptions; a stop signal
    that comes just then would change nothing. For the main thread.
    """
    told, lost = sys.unraisablehook, list[BaseException]()

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        if not isinstance(unraisable.exc_value, SystemExit | KeyboardInterrupt):
            told(unraisable)
            return
        lost.append(unraisable.exc_value)
        signal.setitimer(signal.ITIMER_REAL, SOON)

    def again(number: int) -> None:
        raise lost[-1].with_traceback(None)

    with handling(again, (signal.SIGALRM,)):
        sys.unraisablehook = hook
        try:
            yield
        finally:
            sys.unraisablehook = told
            signal.setitimer(signal.ITIMER_REAL, 0.0)


class StopRequest:
    """The stop signal that has come while one was listening for it, None before.

    A KeyboardInterrupt may be lost where it is raised, in a destructor or in a callback of a library; a flag is not.
    """

    def __init__(self) -> None:
        self.number: int | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Takes the signals while the block runs; a second Ctrl-C interrupts at once."""

        def remember(number: int) -> None:
            if number == signal.SIGINT and self.number == signal.SIGINT:
                raise KeyboardInterrupt
            self.number = number

        with handling(remember):
            yield

    def interrupt(self, told: str = "") -> None:
        """Raises KeyboardInterrupt after a Ctrl-C, SystemExit with `UNFINISHED` after another stop signal.

        Says first what becomes of the work, if `told`.
        """
        if self.number is not None and told:
            sys.stdout.write(f"stopped by {signal.Signals(self.number).name} {told}\n")
        if self.number == signal.SIGINT:
            raise KeyboardInterrupt
        if self.number is not None:
            raise Stopped(UNFINISHED)
