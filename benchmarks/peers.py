"""Scans and blocks of others, from PyPI, beside ours; to be named, since they are installed for this alone.

pip install accelerated-scan==0.3.1 assoc-scan==0.0.6 mambapy==1.2.0
"""

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks.measure import Section, middle, turns
from torchkit.sequence import LRU, MinGRU
from torchkit.sequence.scan import _Scan, loop, scan
from utils.device import prepare_cpu
from utils.errors import first_line

TEXT = """
Milliseconds of the processor on one thread, forward and back: the median and, in brackets, the least, in turns; ratios
are this : ours of medians, above 1 where ours is faster. *Scan*: h_t = a_t h_(t-1) + u_t of T = 1,000, B = 16, 128
wide, gradients by a and u, each in the layout that its package wants. *Error*: the greatest difference from a loop in
double precision, a even from 0 to 1, u normal. *Block*: one layer 128 wide, B = 4, gradients by inputs and parameters;
`mambapy`'s has inner states of 256 × 16 numbers, ours of 128.

accelerated-scan 0.3.1 has kernels for a GPU alone: without CUDA its `warp` does not import ("CUDA_HOME environment
variable is not set"), nor without triton its `scalar`; `ref` is plain torch. mamba-ssm 2.3.2.post1 does not install
without a compiler for CUDA.
"""
COLUMNS = ["what", "T = 1,000", "ratio", "error"]
T, B, H, FEW = 1000, 16, 128, 4
Make = Callable[[], Callable[[], Any]]


def inputs() -> tuple[Tensor, Tensor]:
    """Decays and inputs (T, B, H)."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand(T, B, H, generator=generator), torch.randn(T, B, H, generator=generator)


def ours(decay: Tensor, entering: Tensor) -> Tensor:
    """By the kernel."""
    return scan(decay, entering)


def plain(decay: Tensor, entering: Tensor) -> Tensor:
    """By torch's operations."""
    states: Tensor = _Scan.apply(decay, entering, None, torch.zeros_like(entering[0]), False)
    return states


def accelerated(decay: Tensor, entering: Tensor) -> Tensor:
    """accelerated-scan's reference: its kernels need a GPU."""
    return import_module("accelerated_scan.ref").scan(decay, entering)


def associative(decay: Tensor, entering: Tensor) -> Tensor:
    """assoc-scan."""
    return import_module("assoc_scan").AssocScan()(decay, entering)


SCANS: dict[str, tuple[str | None, Callable[[Tensor, Tensor], Tensor], tuple[int, int, int]]] = {
    "scan, ours, compiled": (None, ours, (0, 1, 2)),
    "scan, ours, torch's operations": (None, plain, (0, 1, 2)),
    "scan, `accelerated-scan` {}, its `ref`": ("accelerated-scan", accelerated, (1, 2, 0)),
    "scan, `assoc-scan` {}": ("assoc-scan", associative, (1, 0, 2)),
}


def scan_pass(of: Callable[[Tensor, Tensor], Tensor], layout: tuple[int, int, int]) -> Callable[[], Any]:
    """Forward and back, in a layout of (T, B, H)."""
    decay, entering = (x.permute(layout).contiguous().requires_grad_() for x in inputs())
    gradient = torch.ones_like(entering)
    return lambda: torch.autograd.grad(of(decay, entering), (decay, entering), gradient)


def error(of: Callable[[Tensor, Tensor], Tensor], layout: tuple[int, int, int]) -> float:
    """The greatest difference from a loop in double precision."""
    decay, entering = inputs()
    found = of(*(x.permute(layout).contiguous() for x in (decay, entering)))
    return float((found.double() - loop(decay.double(), entering.double()).permute(layout)).abs().max())


def block_pass(name: str) -> Callable[[], Any]:
    """Forward and back of a block, by ours or by mambapy's."""
    torch.manual_seed(0)
    if name == "mambapy":
        package = import_module("mambapy.mamba")
        net, layout = package.Mamba(package.MambaConfig(d_model=H, n_layers=1)), (FEW, T, H)
        call: Callable[[Tensor], Tensor] = net
    else:
        net, layout = {"mingru": MinGRU, "lru": LRU}[name](H, H), (T, FEW, H)
        call = net.encode
    x = torch.randn(layout).requires_grad_()
    gradient = torch.randn(layout)
    return lambda: torch.autograd.grad(call(x), [x, *net.parameters()], gradient)


def released(package: str) -> str:
    """Its version, or that it is not there."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def measure(folder: Path, rounds: int = 3) -> Section:
    """The table; nothing is drawn into `folder`."""
    prepare_cpu(1)
    made: dict[str, Make] = {}
    failed: dict[str, str] = {}
    errors: dict[str, str] = {}
    packages: dict[str, str | None] = {}
    for name, (package, of, layout) in SCANS.items():
        packages[name] = package
        made[name] = lambda of=of, layout=layout: scan_pass(of, layout)  # type: ignore[misc]
    for name in ("mingru", "lru", "mambapy"):
        label = "block, `mambapy` {}" if name == "mambapy" else f"block, `{name}`"
        packages[label] = "mambapy" if name == "mambapy" else None
        made[label] = lambda name=name: block_pass(name)  # type: ignore[misc]
    for name in list(made):
        try:
            made[name]()()
            if name in SCANS:
                errors[name] = f"{error(*SCANS[name][1:]):.1g}"
        except (ImportError, OSError, RuntimeError, TypeError, ValueError) as problem:
            failed[name] = f"does not run here: {first_line(problem)}"
            del made[name]
    times = turns(made, rounds=rounds)
    rows = []
    for name, package in packages.items():
        label = name if package is None else name.format(released(package))
        if name in failed:
            rows.append([label, failed[name], "–", "–"])
            continue
        mine = "scan, ours, compiled" if name in SCANS else "block, `mingru`"
        ratio = median(times[name]) / median(times[mine])
        rows.append([label, middle(times[name]), f"{ratio:.2f}", errors.get(name, "–")])
        print(rows[-1], flush=True)
    return Section("Scans of others", TEXT, COLUMNS, rows)
