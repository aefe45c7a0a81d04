"""Estimators of mutual information on samples whose information is known, as rows of a page: bias, spread, time."""

import math
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from torchkit.information import ESTIMATORS
from torchkit.information.base import Effort
from utils.progress import progress

PAIRS, SEEDS, STEPS, HIDDEN = 2000, 3, 120, (64, 64)
DIMS, CORRELATIONS = (1, 4, 20), (0.0, 0.6, 0.95)
PARTICLES, APART, WRONG = 32, 2.0, 0.2

Draw = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]


class Problem(NamedTuple):
    """Pairs of which the information is known, in nats."""

    name: str
    truth: float
    draw: Draw


def gaussian(dim: int, rho: float, num: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Standard normal x and y (num, dim), each component of y correlated with its own of x."""
    x, noise = (torch.randn(num, dim, generator=generator) for _ in "xy")
    return x, rho * x + math.sqrt(1 - rho**2) * noise


def particles(dim: int, rho: float, num: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The same x; of y a set of particles, which are drawn around it with variance 1."""
    x, y = gaussian(dim, rho, num, generator)
    return x, y[:, None] + torch.randn(num, PARTICLES, dim, generator=generator)


def mixture(num: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """X and y are normal around the same one of two centres, `2 APART` from each other."""
    centre = APART * (2.0 * torch.randint(2, (num, 1), generator=generator) - 1)
    return centre + torch.randn(num, 1, generator=generator), centre + torch.randn(num, 1, generator=generator)


def discrete(values: int, wrong: float, num: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """One of so many values, and the same or with probability `wrong` one drawn anew; one-hot."""
    x, other = (torch.randint(values, (num,), generator=generator) for _ in "xy")
    y = torch.where(torch.rand(num, generator=generator) < wrong, other, x)
    return torch.eye(values)[x], torch.eye(values)[y]


def of_gaussian(dim: int, rho: float) -> float:
    """Its information."""
    return -0.5 * dim * math.log1p(-(rho**2)) + 0.0


def of_mixture() -> float:
    """That of `mixture`, by quadrature."""
    x = np.linspace(-APART - 8, APART + 8, 1601)
    of_centre = np.exp(-0.5 * (x - np.array([[APART], [-APART]])) ** 2) / math.sqrt(2 * math.pi)
    joint, single = 0.5 * np.einsum("cx,cy->xy", of_centre, of_centre), of_centre.mean(axis=0)
    ratio = np.log(np.maximum(joint, 1e-300)) - np.log(np.maximum(np.outer(single, single), 1e-300))
    return float((joint * ratio).sum() * (x[1] - x[0]) ** 2)


def of_discrete(values: int, wrong: float) -> float:
    """That of `discrete`."""
    right, other = 1 - wrong + wrong / values, wrong / values
    return math.log(values) + right * math.log(right) + (values - 1) * (other * math.log(other) if other else 0.0)


def problems() -> list[Problem]:
    """All of them, in the order of the rows."""
    found = [
        Problem(f"Gaussian, d = {dim}, ρ = {rho:g}", of_gaussian(dim, rho), partial(gaussian, dim, rho))
        for dim in DIMS
        for rho in CORRELATIONS
    ]
    known = 0.8 / math.sqrt(1 + 1 / PARTICLES)  # the mean of the particles says all that they say
    return [
        *found,
        Problem(f"{PARTICLES} particles, d = 1, ρ = 0.8", of_gaussian(1, known), partial(particles, 1, 0.8)),
        Problem("mixture of two", of_mixture(), mixture),
        Problem(f"8 values, {WRONG:.0%} drawn anew", of_discrete(8, WRONG), partial(discrete, 8, WRONG)),
        Problem("64 values, always the same", of_discrete(64, 0.0), partial(discrete, 64, 0.0)),
    ]


KINDS = {"lower": "a lower", "upper": "an upper", "neither": "no"}
TITLE = "Estimators of mutual information, on samples whose information is known"
NOTES = [
    "Nats: the mean over draws and, after ±, the greatest distance of one from it",
    f"([torchkit/information](../../torchkit/information)). Each draw has {PAIRS:,} pairs, {PAIRS // 2:,} of which",
    f"choose the networks' weights, in {STEPS} steps of 256, while the others tell the estimate: log n is",
    f"{math.log(PAIRS // 2):.1f}. Draws: {SEEDS}. Particle sets are mean-pooled (deep sets); – is what an estimator",
    "does not take. Seconds are those of one fit on one core, on which other programs ran as well: compare them to",
    "each other.",
    "",
    "Beside them torch-mist 0.2.17 on the first draw of two rows, as many steps, widths and pairs (not remade by the",
    "command): d = 1, ρ = 0.6: mine 0.23, nwj 0.23, infonce 0.23, smile 0.23, js 0.22, club 0.73; d = 4, ρ = 0.6: mine",
    "0.76, nwj 0.74, infonce 0.70, smile 0.73, js 0.72, club 2.71.",
    "",
    "What each is of the information in the limit of many pairs, and where it cannot be trusted:",
    "",
    *(f"- `{name}`: {KINDS[kind.bound]} bound; {kind.doubt}."
      for name, kind in ESTIMATORS.items()),
]  # fmt: skip
COLUMNS = ("pairs", "nats", *(f"`{name}`" for name in ESTIMATORS))


def rows() -> list[list[str]]:
    """A row a problem, and one of seconds; minutes."""
    table, seconds = [], {name: list[float]() for name in ESTIMATORS}
    asked = problems()
    with progress(len(asked) * len(ESTIMATORS), 0, "estimators") as bar:
        for problem in asked:
            told = []
            for name in ESTIMATORS:
                told.append(_told(problem, name, seconds[name]))
                bar.update(1)
            table.append([problem.name, f"{problem.truth:.2f}", *told])
    return [*table, ["seconds", "", *(f"{np.mean(of_one):.1f}" for of_one in seconds.values())]]


def _told(problem: Problem, name: str, seconds: list[float]) -> str:
    found = []
    for seed in range(SEEDS):
        x, y = problem.draw(PAIRS, torch.Generator().manual_seed(seed))
        began = time.process_time()
        try:
            found.append(ESTIMATORS[name](Effort(steps=STEPS, hidden_dims=HIDDEN, lr=4e-3, seed=seed)).fit(x, y))
        except ValueError:
            return "–"
        seconds.append(time.process_time() - began)
    mean = float(np.mean(found))
    return f"{mean:.2f} ± {max(abs(value - mean) for value in found):.2f}"
