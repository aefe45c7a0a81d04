"""Kinds of arguments of benchmarks, and the commands they run; what does not do is one line and exit code 2."""

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


def count(text: str) -> int:
    """How many, at least one.

    Raises:
        ArgumentTypeError: it is no such number.
    """
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def folder(text: str) -> Path:
    """One that is there.

    Raises:
        ArgumentTypeError: it is not.
    """
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {text!r}")
    return Path(text)


def result_of(name: str, command: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """What a command prints; where it fails this program ends with its name and the last line that it had to say."""
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        print(f"error: {name}: {said[-1].removeprefix('error: ')}", file=sys.stderr)
        sys.exit(2)
    return done.stdout
