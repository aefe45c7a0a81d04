"""Timing side by side: each round calls every variant once, so that what else the machine does falls on all alike."""

import multiprocessing
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import torch

from utils.device import prepare_cpu

PRELOADED = ["benchmarks.learner", "benchmarks.acting", "benchmarks.stage2"]  # once for all variants


@dataclass(frozen=True)
class Variant:
    """Something to time in a process of its own: `make` builds it there and returns the call.

    What is `tuned` sets the processor up as the scripts do, the rest leaves it as torch does.
    """

    make: Callable[[], Callable[[], Any]]
    threads: int = 1
    tuned: bool = True


@dataclass(frozen=True)
class Times:
    """Milliseconds of each call: by the clock, and of the processor (all threads together).

    Where the call returns an integer, as many things were done in it, and the times are of one of them.
    """

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def _serve(pipe: Connection, variant: Variant) -> None:
    """Calls the variant as often as it is asked to, and answers with the times of each call."""
    if variant.tuned:
        prepare_cpu(variant.threads)
    else:
        torch.set_num_threads(variant.threads)
    call = variant.make()
    pipe.send(None)
    while calls := pipe.recv():
        times = []
        for _ in range(calls):
            wall, cpu = time.perf_counter(), time.process_time()
            done = call()
            spent = time.perf_counter() - wall, time.process_time() - cpu
            count = done if isinstance(done, int) else 1
            times.append(tuple(1e3 * seconds / count for seconds in spent))
        pipe.send(times)


def interleaved(variants: Mapping[str, Variant], rounds: int, warm_up: int = 2, in_a_row: int = 1) -> dict[str, Times]:
    """`rounds` turns of each variant, after `warm_up` turns that do not count.

    A turn is `in_a_row` calls, as in training; where they are several, one call more, which finds the caches as the
    other variant has left them, goes before them and does not count.
    """
    times = {name: Times() for name in variants}
    context, pipes, processes = multiprocessing.get_context("forkserver"), {}, []
    context.set_forkserver_preload(PRELOADED)
    for name, variant in variants.items():
        pipes[name], theirs = context.Pipe()
        processes.append(context.Process(target=_serve, args=(theirs, variant), daemon=True))
        processes[-1].start()
        theirs.close()
        pipes[name].recv()
    for r in range(warm_up + rounds):
        for name, pipe in pipes.items():
            pipe.send(in_a_row + (in_a_row > 1))
            for wall, cpu in pipe.recv()[-in_a_row:]:
                if r >= warm_up:
                    times[name].wall.append(wall)
                    times[name].cpu.append(cpu)
    for pipe in pipes.values():
        pipe.send(0)
    for process in processes:
        process.join()
    return times


def busy_cores(seconds: float = 1.0) -> float:
    """How many cores other programs keep busy now; where the system does not say, its load."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return os.getloadavg()[0]

    def spent() -> tuple[float, float]:
        ticks = [int(word) for word in stat.read_text().splitlines()[0].split()[1:9]]
        idle = ticks[3] + ticks[4]  # waiting for a disk included
        return sum(ticks), sum(ticks) - idle

    before = spent()
    time.sleep(seconds)
    total, busy = (now - then for now, then in zip(spent(), before, strict=True))
    return (os.cpu_count() or 1) * busy / max(1.0, total)


def turns(makers: Mapping[str, Callable[[], Callable[[], Any]]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of the processor of each call, all in this process, in turns, after one that does not count.

    Where a call returns an integer, as many things were done in it, and the times are of one of them.
    """
    calls = {name: make() for name, make in makers.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for r in range(rounds + 1):
        for name, call in calls.items():
            began = time.process_time()
            done = call()
            spent = 1e3 * (time.process_time() - began)
            if r:
                times[name].append(spent / done if isinstance(done, int) else spent)
    return times


def least(call: Callable[[], Any], repeats: int) -> float:
    """Milliseconds of the processor, the least of several calls."""
    times = []
    for _ in range(repeats):
        began = time.process_time()
        call()
        times.append(1e3 * (time.process_time() - began))
    return min(times)


def peak_of(call: Callable[[], Any]) -> float:
    """MB that a call takes at most beside what this process had before, on Linux."""
    status = Path("/proc/self/status")

    def kilobytes(field: str) -> int:
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(field))

    Path("/proc/self/clear_refs").write_text("5")  # the highest so far is forgotten
    before = kilobytes("VmRSS")
    call()
    return (kilobytes("VmHWM") - before) / 1024


def middle(values: list[float]) -> str:
    """The median and, in brackets, the least."""
    return f"{short(median(values))} ({short(min(values))})"


def short(value: float) -> str:
    """A number in three digits or so."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def ratio(slow: list[float], fast: list[float]) -> str:
    """How many times as long the slow one takes: of medians, in brackets of the least."""
    return f"{median(slow) / median(fast):.1f} ({min(slow) / min(fast):.1f})"


@dataclass
class Section:
    """What a benchmark says: a table, sentences above it, and pictures below."""

    title: str
    text: str
    columns: list[str]
    rows: list[list[str]]
    pictures: list[str] = field(default_factory=list)
    measured: str = ""

    def markdown(self) -> str:
        """The section as it stands in the document."""
        lines = [f"## {self.title}", "", self.text.strip(), ""]
        lines += [f"| {' | '.join(self.columns)} |", f"|{' --- |' * len(self.columns)}"]
        lines += [f"| {' | '.join(row)} |" for row in self.rows]
        lines += [f"\n![{self.title}]({picture})" for picture in self.pictures]
        return "\n".join([*lines, "", f"Measured {self.measured}."])

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def machine() -> str:
    """The machine in general words: no names, no addresses."""
    about = Path("/proc/cpuinfo")
    text = about.read_text() if about.exists() else ""
    wide = "with 512-bit vectors" if "avx512f" in text else "without 512-bit vectors"
    half = "and bfloat16 products" if "avx512_bf16" in text or "amx_bf16" in text else "and no bfloat16 products"
    cores = text.count("processor\t") or 1
    return (
        f"{cores} cores of a virtual {platform.machine()} processor {wide} {half}, no GPU; Python "
        f"{platform.python_version()}, torch {torch.__version__}"
    )
