"""Train short, test long: memories learn to tell a cue after 20 steps, and are asked after up to 10,000."""

import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.measure import Section
from torchkit.networks import mlp
from torchkit.sequence import MEMORIES, Memory
from torchkit.sequence.warmup import warm_up
from utils.device import prepare_cpu

TEXT = """
One of four cues is shown at the first of L + 2 steps, among two channels of noise that never stop; at the last, which
is marked, it is to be told. The share that is told rightly of 128 new sequences, each of three seeds (chance: 0.25).
Width 16, one layer (`hybrid`: two), an MLP of 32 at the end, 800 steps of Adam at 0.005 on batches of 32 with L = 20
alone; *warmed up* is 100 steps of `--config_seq.warmup` before. Seconds of the processor a seed, a warm-up included.
"""
CUES, NOISE, TRAINED, TESTED = 4, 2, 20, (20, 100, 1000, 5000, 10_000)
NAMES = ("gru", "gru, warmed up", "mingru", "lru", "bmru", "hybrid", "brc", "nbrc", "mgu")
SEEDS = 3


def sequences(count: int, L: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Inputs (L + 2, B, cues + mark + noise) and the cues (B,)."""
    cue_B = torch.randint(CUES, (count,), generator=generator)
    x_TBF = torch.zeros(L + 2, count, CUES + 1 + NOISE)
    x_TBF[0, :, :CUES] = F.one_hot(cue_B, CUES).float()
    x_TBF[-1, :, CUES] = 1.0
    x_TBF[:, :, CUES + 1 :] = torch.randn(L + 2, count, NOISE, generator=generator)
    return x_TBF, cue_B


def learned(name: str, seed: int, steps: int = 800) -> tuple[Memory, nn.Module]:
    """A memory and its head that have learned the task at L = 20."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    memory = MEMORIES[name.split(",")[0]](CUES + 1 + NOISE, out_dim=16)
    head = mlp(memory.out_dim, (32,), CUES)
    if "warmed" in name:

        def draw() -> tuple[Tensor, Tensor]:
            x_TBF, cue_B = sequences(32, TRAINED, generator)
            return x_TBF, torch.full_like(cue_B, len(x_TBF))

        warm_up(memory, draw, 100, generator)
    optimiser = torch.optim.Adam([*memory.parameters(), *head.parameters()], lr=5e-3)
    for _ in range(steps):
        x_TBF, cue_B = sequences(32, TRAINED, generator)
        loss = F.cross_entropy(head(memory.encode(x_TBF)[-1]), cue_B)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return memory, head


@torch.no_grad()
def recalled(memory: Memory, head: nn.Module, L: int, seed: int, count: int = 128) -> float:
    """The share of new sequences whose cue is told rightly."""
    x_TBF, cue_B = sequences(count, L, torch.Generator().manual_seed(1000 + seed))
    carry = memory.initial_carry(count)
    for part_TBF in x_TBF.split(1000):
        history_TBH, carry = memory(part_TBF, torch.zeros(part_TBF.shape[:2]), carry)
    return float((head(history_TBH[-1]).argmax(-1) == cue_B).float().mean())


def measure(folder: Path) -> Section:
    """The table; nothing is drawn into `folder`."""
    prepare_cpu(1)
    rows = []
    for name in NAMES:
        found: list[list[float]] = []
        began = time.process_time()
        trained = [learned(name, seed) for seed in range(SEEDS)]
        seconds = (time.process_time() - began) / SEEDS
        for L in TESTED:
            found.append([recalled(memory, head, L, seed) for seed, (memory, head) in enumerate(trained)])
        cells = [" ".join(f"{share:.2f}" for share in shares) for shares in found]
        rows.append([f"`{name}`" if "," not in name else f"`gru`,{name.partition(',')[2]}", *cells, f"{seconds:.0f}"])
        print(rows[-1], flush=True)
    return Section("Train short, test long", TEXT, ["memory", *(f"L = {L:,}" for L in TESTED), "s"], rows)
