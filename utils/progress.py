"""One progress line for people at a terminal and for logs."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol, TextIO

from tqdm import tqdm

TERMINAL_SECONDS = 0.5
LOG_SECONDS = 30.0

Say = Callable[[str], None]  # tells the user a line or more


class Bar(Protocol):
    """What shows how far a run is; tqdm's bars do."""

    def update(self, steps: int) -> Any:
        """So many steps more are done."""

    def set_postfix(self, shown: dict[str, float], refresh: bool = True) -> None:
        """What stands beside the bar."""


Show = Callable[[int, int, str], AbstractContextManager[Bar]]  # steps in all, steps done, title


def progress(total: int | None, initial: int = 0, desc: str = "", unit: str = "step", **options: Any) -> "tqdm[Any]":
    """A tqdm bar with rate and time left on stderr; in a log it is a plain line every 30 seconds.

    `initial` is where a resumed run starts. Call `.update(n)`, `.set_postfix(...)` and `.close()`.
    """
    live = sys.stderr.isatty()
    seconds = TERMINAL_SECONDS if live else LOG_SECONDS
    return tqdm(
        total=total,
        initial=initial,
        desc=desc,
        unit=unit,
        file=sys.stderr if live else _Lines(sys.stderr),
        mininterval=seconds,
        maxinterval=seconds,
        dynamic_ncols=live,
        ncols=None if live else 120,
        **options,
    )


class _Lines:
    """A stream in which each redrawing of the bar is a line of its own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Drops what only moves the cursor."""
        line = text.strip("\r\n ")
        if line:
            self._stream.write(f"{line}\n")

    def flush(self) -> None:
        """Hands on."""
        self._stream.flush()
