"""How near an update comes to the rate of matrix products on the same machine."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.learner import CASES, make_update
from benchmarks.measure import Section, least, short
from torchkit import kernels
from torchkit.sequence import gru_scan
from utils.device import prepare_cpu

TEXT = """
Floating-point operations of one update, counted by torch as it runs (products and convolutions), by the processor's
time on one thread, against the rate of float32 products of 1,024×1,024 matrices in the same process, between the
updates. *MKL*: the rate of the same products without `utils.device.use_fast_products`.

Where the rest goes, by torch's profiler in an update of `dqn:mi`, gru: ReLU and its derivative 3.3 ms, tanh 2.1, the
loops over steps 2.6, sums 1.6, copies 1.4, gathered rows 0.9, sigmoid 0.6, all else a few; the remainder is products
that run below the rate of large square ones (a step of the GRU, 64×128×384: 145 GFLOP/s).
"""
COLUMNS = ["update", "GFLOP", "ms", "GFLOP/s", "products, GFLOP/s", "share", "products by MKL, GFLOP/s"]
SIZE = 1024


def operations(update: Callable[[], Any]) -> int:
    """Those of an update; torch does not see what the GRU's kernels do, a product (B, H) by (H, 3H) each step."""
    in_kernels = []

    def counted(kernel: Callable[..., None], num_before: int) -> Callable[..., None]:
        def call(*arrays: Any) -> None:
            steps, weight = arrays[num_before - 1].shape[:2], arrays[num_before]
            in_kernels.append(2 * math.prod(steps) * weight.size)
            kernel(*arrays)

        return call

    with (
        patch.object(
            gru_scan, "gru_forward", counted(kernels.gru_forward, 2)
        ),  # after the inputs and their places (T, B)
        patch.object(gru_scan, "gru_backward", counted(kernels.gru_backward, 1)),  # after the gradient (T, B, H)
        FlopCounterMode(display=False) as counter,
    ):
        update()
    return counter.get_total_flops() + sum(in_kernels)


def measure(folder: Path, rounds: int = 5) -> Section:
    """All cases of the learner."""
    from utils.device import use_fast_products

    prepare_cpu(1)
    a = torch.randn(SIZE, SIZE)
    product = partial(torch.mm, a, a)
    rows = []
    for case, (family, *_) in CASES.items():
        update = make_update(case)
        update()
        total = operations(update) / 1e9
        spent, rate, plain = [], [], []
        for _ in range(rounds if family == "dqn" else 3):
            spent.append(least(update, 1))
            rate.append(2 * SIZE**3 / 1e6 / least(product, 3))
            use_fast_products(False)
            plain.append(2 * SIZE**3 / 1e6 / least(product, 3))
            use_fast_products()
        ms = min(spent)
        share = f"{100 * total / ms * 1e3 / max(rate):.0f} %"
        rows.append(
            [case, short(total), short(ms), short(1e3 * total / ms), short(median(rate)), share, short(median(plain))]
        )
    return Section("Near the limit", TEXT, COLUMNS, rows)
