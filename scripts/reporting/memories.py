"""How memories act for longer than they were trained, as rows of a page: T-Maze of every run of the sweep, prolonged.

The runs are those of `configs/sweeps/memories.py:t_maze`, in the folders that are given.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from configs.envs.t_maze import get_config
from envs.base import AsymmetricVectorEnv
from envs.make import make_vector_env
from policies.acting.evaluate import GreedyPolicy, evaluate
from policies.deployed.files import load_policy
from utils.device import prepare_cpu
from utils.errors import UserError

TITLE = "Memories: trained on a short T-Maze, and let into longer ones"
LENGTHS, EPISODES = (10, 50, 200, 1000), 50
PERFORMANCE = Path(__file__).resolve().parents[2] / "docs/performance/sections.json"


def recalled() -> list[str]:
    """The table of `benchmarks/recall.py`, as it was measured, without what training took."""
    section = json.loads(PERFORMANCE.read_text())["recall"]
    *columns, _ = section["columns"]
    table = [f"| {' | '.join(row[: len(columns)])} |" for row in (columns, ["---"] * len(columns), *section["rows"])]
    return ["## Told after L steps", "", *section["text"].strip().splitlines(), "", *table, ""]


NOTES = [
    *recalled(),
    "## T-Maze by DQN",
    "",
    "A cue at the start of a corridor of L steps tells which arm at its end holds the treasure. `dqn:history`, 32 wide",
    "(`gpt`: 32, as its inputs; `hybrid`: two blocks), 64 demonstrations, 6,000 env steps and 2,000 updates of 32",
    "episodes, at L = 10 alone; *warmed* is `--config_seq.warmup=100`. The greedy policy at the end, by the share of",
    f"{EPISODES} episodes that find the treasure in 3 L steps: the mean over seeds, and in brackets each of them. Who",
    "forgets the cue and walks on has 0.5. The sweep is of 13 memories and three seeds; what is not in the table was",
    "not run, and one seed tells nothing of the next.",
]
COLUMNS = ("memory", "seeds", *(f"L = {length:,}" for length in LENGTHS))


def rows(folders: Sequence[str]) -> list[list[str]]:
    """A row a memory, the most faithful at the greatest length first.

    Raises:
        UserError: there are no runs.
    """
    runs = sorted(path.parent for folder in folders for path in Path(folder).glob("*/summary.json"))
    if not runs:
        raise UserError(f"--runs: no finished run in {', '.join(folders)}; a folder such as <sweep>/train is needed")
    prepare_cpu(1)
    by_memory: dict[str, list[list[float]]] = defaultdict(list)
    for run in runs:  # named <seed>_<memory>
        by_memory[run.name.partition("_")[2]].append([found_treasure(run, length) for length in LENGTHS])
    order = sorted(by_memory, key=lambda name: [-sum(run[i] for run in by_memory[name]) for i in (-1, -2, -3, 0)])
    return [[label(name), str(len(by_memory[name])), *cells(by_memory[name])] for name in order]


def label(name: str) -> str:
    """A memory of the sweep, as it is told."""
    return f"`{name.removesuffix('_warmed')}`{', warmed' * name.endswith('_warmed')}"


def cells(found: list[list[float]]) -> list[str]:
    """Of each length the mean over runs, and each."""
    return [f"{sum(col) / len(col):.2f} ({' '.join(f'{x:.2f}' for x in col)})" for col in zip(*found, strict=True)]


def found_treasure(run: Path, length: int) -> float:
    """The share of episodes of a greedy policy that find the treasure of a corridor of so many steps."""
    with closing(envs_of(length)) as envs:
        policy, _ = load_policy(str(run), envs.spec_sizes)
        return evaluate(GreedyPolicy(policy), envs, EPISODES, seed=0)["success"]


def envs_of(length: int) -> AsymmetricVectorEnv:
    """Corridors side by side."""
    config = get_config("10")
    with config.unlocked():
        config.kwargs.length, config.horizon = length, 3 * length
    return make_vector_env(config, EPISODES, seed=0)
