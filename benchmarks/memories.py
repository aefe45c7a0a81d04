"""What memories cost beside the GRU: whole sequences forward and back, acting, and how it grows with length."""

import multiprocessing
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.measure import Section, middle, peak_of, short, turns
from benchmarks.settings import make_agent, make_envs
from policies.acting.rollout import EpisodeStream
from torchkit.sequence import MEMORIES, Memory
from utils.device import prepare_cpu

TEXT = """
Milliseconds of the processor on one thread: the median and, in brackets, the least; all memories of a column in one
process, in turns, so that what else the machine does falls on all alike. Ratios are gru : this, of medians. The first
columns are forward and back: `encode` of made-up inputs, 128 wide as the memory is, in which no row stands twice, and
the gradients of parameters and inputs. `hybrid` has two blocks, the others have one layer; `mingru`, `lru` and `bmru`
are a block with a gated unit of two more matrices. *Peak*: what a pass at T = 1,000, B = 16 takes at most beside what
the process held before. *Exponent*: k of cost ~ T^k from T = 100 to 10,000 at B = 1, by least squares in logarithms.
*Acting*: a step of 64 envs of HeavenHell with `dqn:mi`, ε = 1, the envs included.

Why none is five times as fast as this `gru`, or more: of its 78 ms its six matrices are 45 at 209 GFLOP/s, the rate of
products alone under Near the limit, and a fifth of it is what two matrices take; a block has four, 30 ms.
"""
COLUMNS = [
    "memory",
    "T = 1,000, B = 16",
    "ratio",
    "peak, MB",
    "T = 50, B = 64",
    "ratio",
    "exponent",
    "acting",
    "ratio",
]
WIDTH = 128
LENGTHS = (100, 300, 1000, 3000, 10_000)
SLOW = ("gpt",)  # not beyond 1,000 steps
NAMES = ("gru", "lstm", "gpt", "mingru", "lru", "bmru", "hybrid", "brc", "nbrc", "mgu")


def make_memory(name: str, T: int) -> Memory:
    """A memory by the settings of its config's file, as wide as its inputs."""
    torch.manual_seed(0)
    return MEMORIES[name](WIDTH, context=T) if name == "gpt" else MEMORIES[name](WIDTH)


def make_pass(name: str, T: int, B: int) -> Callable[[], Any]:
    """Forward and back over B sequences of T steps."""
    memory, x_TBF = make_memory(name, T), torch.randn(T, B, WIDTH).requires_grad_()
    gradient = torch.randn(T, B, memory.out_dim)
    return lambda: torch.autograd.grad(memory.encode(x_TBF), [x_TBF, *memory.parameters()], gradient)


def make_steps(name: str, num_envs: int = 64, rounds: int = 50) -> Callable[[], int]:
    """Env steps of an agent that acts at random but computes its values."""
    envs = make_envs(num_envs)
    agent, stream = make_agent(envs.spec_sizes, "dqn", name), EpisodeStream(envs, 0)

    def call() -> int:
        for _ in range(rounds):
            stream.step(agent.exploring())
        return rounds

    return call


def peak(name: str, T: int, B: int) -> float:
    """MB that a pass takes at most beside what was there before; for a process of its own, on Linux."""
    make_pass(name, 2, B)()
    return peak_of(make_pass(name, T, B))


def exponent(name: str) -> str:
    """That of the cost over the lengths, with the range where it is not all of them."""
    lengths = [T for T in LENGTHS if T <= 1000 or name not in SLOW]
    found = turns({str(T): partial(make_pass, name, T, 1) for T in lengths}, rounds=5)
    cost = [min(found[str(T)]) for T in lengths]
    k = float(np.polyfit(np.log(lengths), np.log(cost), 1)[0])
    return f"{k:.2f}" + ("" if lengths[-1] == LENGTHS[-1] else f" to {lengths[-1]:,}")


def measure(folder: Path, rounds: int = 9) -> Section:
    """The table; nothing is drawn into `folder`."""
    prepare_cpu(1)
    long = turns({name: partial(make_pass, name, 1000, 16) for name in NAMES}, rounds=rounds)
    print({name: short(median(times)) for name, times in long.items()}, flush=True)
    brief = turns({name: partial(make_pass, name, 50, 64) for name in NAMES}, rounds=3 * rounds)
    print({name: short(median(times)) for name, times in brief.items()}, flush=True)
    acting = turns({name: partial(make_steps, name) for name in NAMES}, rounds=rounds)
    rows = []
    for name in NAMES:
        row = [f"`{name}`"]
        for times in (long, brief, acting):
            row += [middle(times[name]), f"{median(times['gru']) / median(times[name]):.2f}"]
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            row.insert(3, short(pool.apply(peak, (name, 1000, 16))))
        row.insert(6, exponent(name))
        rows.append(row)
        print(row, flush=True)
    return Section("Memories", TEXT, COLUMNS, rows)
