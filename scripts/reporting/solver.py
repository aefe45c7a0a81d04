"""What `scripts/solve.py` knows of files that others wrote, as rows of a page: other solvers beside ours.

The files are those of the folder POMDP_FILES of the environment; SARSOP and POMDP_SOLVE name programs, where these are
there.
"""

import math
import os
import re
import resource
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from envs.finite import Floats
from envs.pomdp_format import read_pomdp
from policies.exact.point_based import Progress, Solver, controller
from utils.errors import UserError

TITLE = "Certified bounds of the optimum, by point-based value iteration"
SECONDS, GAP = 60.0, 1e-4
EXACT_SECONDS = 20.0  # of pomdp-solve, which has no bounds before it is done
SARSOP_LINE = re.compile(r"^ *[\d.]+ +\d+ +\d+ +(\S+) +(\S+) +(\S+) +(\d+) +\d+ *$", re.MULTILINE)
NOTES = [
    "Bounds of the value at the start of the files that A. Cassandra and others wrote, in the folder that the variable",
    "POMDP_FILES names, where rows `reset` start anew;",
    f"until they were {GAP:g} apart, or {SECONDS:g} seconds of one core's time were used, reading the file left out:",
    "[policies/exact/point_based.py](../../policies/exact/point_based.py), by numpy alone. Other programs ran on the",
    "same cores meanwhile, which makes a second worth less.",
    "*Given*: the bounds of a SARSOP solver that came with the files, which was stopped early on heavenhell_3, and",
    "after 20 seconds on hallway.original. Vectors are those that are needed from the start on, points those of the",
    "upper bound, beliefs those that were looked at.",
    "",
    "In the same run, one after the other: *SARSOP*, `pomdpsol` of github.com/AdaCompNUS/sarsop (C++, the program that",
    f"the variable SARSOP names), with `--precision {GAP:g} --timeout {SECONDS:g}`; and *exactly*, pomdp-solve 5.5 by",
    "Cassandra (C, POMDP_SOLVE), incremental pruning over an endless horizon, whose value of the start is that of its",
    f"alpha vectors; – where it was not done in {EXACT_SECONDS:g} seconds. Seconds are a processor's, reading the file",
    "included.",
]
COLUMNS = (
    "file", "states, actions, observations", "given", "lower", "upper", "gap", "seconds", "vectors", "points",
    "beliefs", "SARSOP", "its gap", "its seconds", "its vectors", "exactly", "seconds exactly",
)  # fmt: skip
THEIRS = {
    "1d": "1.2603 to 1.2613",
    "4x3": "1.8899 to 1.8908",
    "cheese": "3.4853 to 3.4862",
    "hallway.original": "0.977 to 1.219",
    "heavenhell_1": "13.8586 to 13.8587",
    "heavenhell_3": "6.20 to 6.93",
    "loadunload": "4.5627 to 4.5633",
    "network": "293.185 to 293.393",
    "shopping_2.v1": "229.44 to 230.96",
    "tiger.original": "19.3713 to 19.3714",
    "voicemail": "2.7289 to 2.7299",
}


def rows() -> list[list[str]]:
    """A row a file, in the order of `COLUMNS`; up to two and a half minutes each.

    Raises:
        UserError: there are no files.
    """
    folder = Path(os.environ.get("POMDP_FILES", ""))
    files = sorted(folder.glob("*.pomdp"))
    if not os.environ.get("POMDP_FILES") or not files:
        raise UserError("--computed=solver: POMDP_FILES is to name a folder of .pomdp files")
    return [row(file) for file in files]


def row(file: Path) -> list[str]:
    """That of a file."""
    model = read_pomdp(file, continuing=True)
    began = time.process_time()
    solver = Solver(model)
    now = near(solver, began)
    seconds = time.process_time() - began
    sizes = f"{len(model.states)}, {len(model.actions)}, {len(model.observations)}"
    known = THEIRS.get(file.stem, "–")
    bounds = f"{now.lower:.5f}", f"{now.upper:.5f}", f"{now.gap:.2g}", f"{seconds:.1f}"
    ours = *bounds, str(len(controller(solver).action_K)), str(now.points), str(now.nodes)
    return [file.stem, sizes, known, *ours, *by_sarsop(file), *exactly(file, model.start_S)]


def near(solver: Solver, began: float) -> Progress:
    """The bounds when they are near enough, or time is up."""
    return next(now for now in solver.run() if now.closed or now.gap <= GAP or time.process_time() - began >= SECONDS)


def by_sarsop(file: Path) -> list[str]:
    """Bounds, gap, seconds and number of vectors by the program that SARSOP names; – without it."""
    program = os.environ.get("SARSOP")
    if not program:
        return ["–"] * 4
    with tempfile.TemporaryDirectory() as folder:
        limits = (f"--precision={GAP:g}", f"--timeout={SECONDS:g}", f"--output={folder}/policy")
        text, seconds = timed([program, *limits, str(file.resolve())], folder)
    found = SARSOP_LINE.findall(text)
    if not found:
        raise UserError(f"SARSOP: {program} told no bounds of {file.name}")
    lower, upper, gap, vectors = found[-1]
    return [f"{lower} to {upper}", f"{float(gap):.2g}", f"{seconds:.1f}", vectors]


def exactly(file: Path, start_S: Floats) -> list[str]:
    """The value and seconds by the program that POMDP_SOLVE names; – without it, and where it takes too long."""
    program = os.environ.get("POMDP_SOLVE")
    if not program:
        return ["–"] * 2
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "-pomdp", str(file.resolve()), "-o", f"{folder}/x", "-epsilon", "1e-9"]
        text, seconds = timed(command, folder, EXACT_SECONDS)  # its own -time_limit says so, and goes on
        if "Solution found" not in text:
            return ["–", f"{seconds:.1f}"]
        numbers = np.array(Path(folder, "x.alpha").read_text().split(), float)
    value_KS = numbers.reshape(-1, 1 + len(start_S))[:, 1:]  # before each vector the number of its action
    return [f"{(value_KS @ start_S).max():.5f}", f"{seconds:.1f}"]


def timed(command: Sequence[str], folder: str, most: float = 10 * SECONDS) -> tuple[str, float]:
    """What a program says, and its seconds of a processor; after so many of these it is ended."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(most), math.ceil(most) + 1))

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=limited
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.stdout, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
