"""How the cost of an update grows with each size, with fitted exponents."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import Section, least, short
from benchmarks.settings import made_up_episodes, make_agent, make_envs, random_episodes, replays
from policies.acting.rollout import EpisodeStream
from utils.device import prepare_cpu

TEXT = """
Milliseconds of the processor on one thread, the least of several calls, float32. The exponent k is that of cost ~
size^k by least squares in logarithms, over the upper half of the sizes, where fixed costs count for less. The work of
an update is of exponent 1 in T (2 in the attention of gpt), in B and in the number of envs, up to 2 in the hidden
size, and 0 in the number of stored rows.
"""
COLUMNS = ["size", "sizes", "milliseconds", "exponent"]


def make_update(T: int, B: int, memory: str = "gru", width: int = 0) -> Callable[[], Any]:
    """An update of `dqn:mi` on B made-up episodes of T steps."""
    spec, episodes = made_up_episodes(B, T)
    batch = replays(spec, episodes)[0].episodes(np.arange(B))
    return partial(make_agent(spec, "dqn", memory, width=width).update, batch)


def make_step(num_envs: int) -> Callable[[], Any]:
    """A step of that many envs of HeavenHell."""
    envs = make_envs(num_envs)
    agent, stream = make_agent(envs.spec_sizes, "dqn", "gru"), EpisodeStream(envs, 0)
    return partial(stream.step, agent.exploring())


def make_draw(rows: int) -> Callable[[], Any]:
    """A draw of 64 episodes from a replay of so many rows."""
    spec, episodes = random_episodes(500)
    buffer = replays(spec, episodes, capacity=2 * rows)[0]
    while buffer.num_steps < rows:
        for episode in episodes:
            buffer.add(episode)
    return partial(buffer.sample, 64)


SIZES: dict[str, tuple[tuple[int, ...], Callable[[int], Callable[[], Any]]]] = {
    "T, gru, B = 8": ((10, 30, 100, 300, 1000), lambda T: make_update(T, 8)),
    "T, gpt, B = 8": ((10, 30, 100, 300, 1000), lambda T: make_update(T, 8, "gpt")),
    "B, gru, T = 50": ((4, 8, 16, 32, 64, 128), lambda B: make_update(50, B)),
    "hidden size, T = 50, B = 16": ((32, 64, 128, 256, 512), lambda H: make_update(50, 16, width=H)),
    "envs, a step": ((1, 4, 16, 64, 256, 1024), make_step),
    "stored rows, a draw": ((25_000, 100_000, 400_000), make_draw),
}


def measure(folder: Path, repeats: int = 3) -> Section:
    """The table, and `growth.png`."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    prepare_cpu(1)
    rows = []
    figure, axes = plt.subplots(2, 3, figsize=(10, 6), layout="constrained")
    for axis, (name, (sizes, make)) in zip(axes.flat, SIZES.items()):
        costs = []
        for size in sizes:
            call = make(size)
            call()
            costs.append(least(call, repeats if size < 1000 or "T" not in name else 2))
        upper = slice(len(sizes) // 2 - (len(sizes) < 5), None)
        exponent = float(np.polyfit(np.log(sizes[upper]), np.log(costs[upper]), 1)[0])
        axis.loglog(sizes, costs, marker="o")
        axis.set(title=f"{name}\nexponent {exponent:.2f}", ylabel="ms")
        axis.grid(alpha=0.3, which="both")
        rows.append([name, ", ".join(f"{n:,}" for n in sizes), ", ".join(map(short, costs)), f"{exponent:.2f}"])
        print(rows[-1], flush=True)
    figure.savefig(folder / "growth.png", dpi=110)
    plt.close(figure)
    return Section("Growth", TEXT, COLUMNS, rows, ["performance/growth.png"])
