"""How near an update comes to the rate of matrix products on the same machine."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.learner import CASES, make_update
from benchmarks.measure import Section, least, short
from torchkit.fast import kernels
from utils.device import prepare_cpu

TEXT = """
Floating-point operations of one update, counted by torch as it runs (products and convolutions), by the processor's
time on one thread, against the rate of float32 products of 1,024×1,024 matrices in the same process, between the
updates. *MKL*: the rate of the same products without `utils.device.use_fast_products`.

Where the rest goes, by torch's profiler in an update of `dqn:mi`, gru, of 40 ms: products 24, the GRU's kernels, whose
products are as fast as those of a library at this size, 8.6, ReLU and its derivative 1.8, copies 0.8, sums 0.7,
gathered rows 0.7, all else less than 0.3 each.
"""
COLUMNS = ["update", "GFLOP", "ms", "GFLOP/s", "products, GFLOP/s", "share", "products by MKL, GFLOP/s"]
SIZE = 1024
WEIGHT_OF = {"gru_forward": 2, "gru_backward": 1}  # which argument is the weight; the one before it begins with (T, B)


def operations(update: Callable[[], Any]) -> int:
    """Those of an update; torch does not see what the GRU's kernels do, a product (B, H) by (H, 3H) each step."""
    in_kernels = []

    def counted(name: str) -> Callable[..., None]:
        kernel, weight = getattr(kernels, name), WEIGHT_OF[name]

        def call(*arrays: Any) -> None:
            T, B = arrays[weight - 1].shape[:2]
            in_kernels.append(2 * T * B * arrays[weight].size)
            kernel(*arrays)

        return call

    with ExitStack() as stack:
        for name in WEIGHT_OF:
            stack.enter_context(patch.object(kernels, name, counted(name)))
        counter = stack.enter_context(FlopCounterMode(display=False))
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
            spent.append(least(update, 3))  # the first finds the caches full of products
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
