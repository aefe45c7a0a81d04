"""What exploration terms do to an objective, to its gradient estimates and to agents; pictures, and numbers beside.

The maze is a corridor whose returns are exact, the fork one with a priest who knows where heaven is, the hill a car in
a valley of two hollows: `policies/exact/criteria.py` says what is measured there. In gridworlds agents on tables learn
by each bonus, all seeds as one array.

Example: python scripts/exploration_criteria.py --out=docs/exploration
"""

import json
import sys
from pathlib import Path
from typing import Any

from absl import flags

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # the root, not scripts/

from utils.app import run
from utils.files import atomic_write, folder_for

PROBLEMS = ("maze", "fork", "hill", "gridworlds")
_OUT = flags.DEFINE_string("out", None, "the folder of pictures and numbers", required=True)
_PROBLEMS = flags.DEFINE_list("problems", list(PROBLEMS), f"what to look at, out of {', '.join(PROBLEMS)}")
_GRID = flags.DEFINE_integer("grid", 24, "policies along an axis of the grid", lower_bound=3)
_BATCHES = flags.DEFINE_integer("batches", 2000, "gradient estimates of each policy of maze and fork", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 30_000, "of each seed in gridworlds", lower_bound=1)
_SEEDS = flags.DEFINE_integer("seeds", 15, "in gridworlds", lower_bound=2)
_TRAJECTORIES = flags.DEFINE_integer("trajectories", 128, "of each policy of the hill", lower_bound=2)


def main() -> None:
    """Draws each problem and prints its table."""
    import matplotlib

    matplotlib.use("Agg")
    from scripts.reporting.criteria import fork, gridworlds, hill, maze
    from scripts.reporting.figures import write_figure
    from utils.errors import choose

    looks = {
        "maze": lambda: maze(_GRID.value, _BATCHES.value),
        "fork": lambda: fork(_GRID.value, _BATCHES.value),
        "hill": lambda: hill(_GRID.value, _TRAJECTORIES.value),
        "gridworlds": lambda: gridworlds(_STEPS.value, _SEEDS.value, lambda line: print(f"done: {line}", flush=True)),
    }
    out = folder_for(_OUT.value, "--out")
    for name in _PROBLEMS.value:
        look = choose(looks, name, "--problems")
        out.mkdir(parents=True, exist_ok=True)
        figure, numbers = look()
        write_figure(figure, out / f"{name}.png", dpi=110)
        atomic_write(out / f"{name}.json", json.dumps(numbers, indent=1) + "\n")
        print(_told(name, numbers))
        print(f"written: {out / f'{name}.png'}, {out / f'{name}.json'}")


def _told(name: str, numbers: dict[str, dict[str, Any]]) -> str:
    """A line for each term."""
    width = max(map(len, numbers))
    lines = [f"{term:{width}s}  " + ", ".join(f"{k} {v}" for k, v in found.items()) for term, found in numbers.items()]
    return "\n".join([f"{name}:", *lines])


if __name__ == "__main__":
    run(main)
