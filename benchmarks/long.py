"""Updates on long episodes: whole ones, and windows that begin with stored carries, by time and by memory."""

import multiprocessing
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.measure import Section, peak_of, short
from benchmarks.settings import made_up_episodes, make_agent
from buffers.episode_buffer import EpisodeBuffer
from utils.device import prepare_cpu

TEXT = """
One update of `dqn:mi` on 16 made-up episodes, on one thread: seconds of the processor, the second of two, and what it
takes at most beside what the process held before. *Windows* are of 100 steps after 50 that memories read before, from
stored carries (`--sampled_seq_len=100 --config_rl.burn_in=50 --config_rl.carry=stored`). *A row*: bytes of the replay
for a step, of which a stored carry of 128 numbers is 512.
"""
COLUMNS = ["memory", "T", "learned from", "s an update", "peak, MB", "bytes a row"]
B, WINDOW, BURN_IN = 16, 100, 50


class Case(NamedTuple):
    """A memory, the length of the episodes, and whether windows are drawn."""

    memory: str
    T: int
    windows: bool


CASES = [Case(memory, T, windows) for T in (1000, 10_000) for windows in (False, True) for memory in ("gru", "mingru")]


def measured(case: Case) -> tuple[float, float, int]:
    """Seconds, MB, and bytes a row; for a process of its own."""
    prepare_cpu(1)
    spec, episodes = made_up_episodes(B, case.T)
    agent = make_agent(spec, "dqn", case.memory)
    carry_dim = agent.policy.public.carry_dim if case.windows else 0
    window, burn_in = (WINDOW, BURN_IN) if case.windows else (case.T, 0)
    buffer = EpisodeBuffer(spec, B * (case.T + 1), window, 0, burn_in=burn_in, carry_dim=carry_dim)
    for episode in episodes:
        episode.carry = np.zeros((case.T, carry_dim), np.float32)
        buffer.add(episode)
    torch.manual_seed(0)
    took = peak_of(lambda: agent.update(buffer.sample(B)))
    began = time.process_time()
    agent.update(buffer.sample(B))
    return time.process_time() - began, took, buffer.row_bytes


def measure(folder: Path) -> Section:
    """The table; nothing is drawn into `folder`."""
    rows = []
    for case in CASES:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds, took, row = pool.apply(measured, (case,))
        what = "windows" if case.windows else "whole episodes"
        rows.append([f"`{case.memory}`", f"{case.T:,}", what, short(seconds), short(took), f"{row:,}"])
        print(rows[-1], flush=True)
    return Section("Long episodes", TEXT, COLUMNS, rows)
