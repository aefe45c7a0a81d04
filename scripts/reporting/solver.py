"""What `scripts/solve.py` knows of files that others wrote, as rows of a page: their solver's bounds beside ours.

The files are those of the folder POMDP_FILES of the environment.
"""

import os
import time
from pathlib import Path

from envs.pomdp_format import read_pomdp
from policies.exact.point_based import Progress, Solver, controller
from utils.errors import UserError

TITLE = "Certified bounds of the optimum, by point-based value iteration"
SECONDS, GAP = 60.0, 1e-4
NOTES = [
    "Bounds of the value at the start of the files that A. Cassandra and others wrote, in the folder that the variable",
    "POMDP_FILES names, where rows `reset` start anew;",
    f"until they were {GAP:g} apart, or {SECONDS:g} seconds of one core's time were used, reading the file left out:",
    "[policies/exact/point_based.py](../../policies/exact/point_based.py), by numpy alone. Other programs ran on the",
    "same cores meanwhile, which makes a second worth less.",
    "Theirs are the bounds of a SARSOP solver, which was stopped early on heavenhell_3, and after 20 seconds on",
    "hallway.original. Vectors are those that are needed from the start on, points those of the upper bound, beliefs",
    "those that were looked at.",
]
COLUMNS = (
    "file", "states, actions, observations", "theirs", "lower", "upper", "gap", "seconds", "vectors", "points",
    "beliefs",
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
    """A row a file, in the order of `COLUMNS`; up to a minute each.

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
    return [
        file.stem, sizes, known, *bounds, str(len(controller(solver).action_K)), str(now.points), str(now.nodes)
    ]  # fmt: skip


def near(solver: Solver, began: float) -> Progress:
    """The bounds when they are near enough, or time is up."""
    return next(now for now in solver.run() if now.closed or now.gap <= GAP or time.process_time() - began >= SECONDS)
