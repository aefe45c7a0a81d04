"""What weighted regression comes to with exact critics, on HeavenHell, as rows of a page: theirs beside ours."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.grid import NUM_ACTIONS
from envs.heaven_hell import HeavenHellRules
from policies.exact.weighted import SEEN, Outcome, Told

GUESS_SHARE, INVERSE_TEMPERATURE = 0.78, 10.0  # of configs/sweeps/offline.py
TITLE = "Weighted regression with exact critics: who learns to ask"
NOTES = [
    "HeavenHell, 5×7: an agent that remembers, unlimited data, exact critics and an exact regression",
    "([policies/exact/weighted.py](../../policies/exact/weighted.py)), so that what is left is the objective: what",
    "critics see, the expectile τ of V, and how an advantage weighs, `exp(A / β)` or 1[A > 0]. γ = 0.95.",
    "",
    "First, forty regressions each on what the policy before does, mixed with 2 % of uniform actions, from one that",
    "walks at random until it was told and then goes 70 % straight: how often heaven / hell is reached after them.",
    "Theirs are numbers that others computed of the same definitions.",
    "",
    f"Then one regression on data of experts of whom {GUESS_SHARE:.0%} guess and the rest ask: heaven / hell by the",
    "greedy policy. What networks make of such episodes is in [offline.md](offline.md).",
]
COLUMNS = ("critics see", "τ", "weights", "theirs", "ours")
MARGINAL = "history and state, A averaged over states"
WEIGHTS = {"exp, 1/β = 1": 1.0, "exp, 1/β = 3": 3.0, "exp, 1/β = 10": 10.0, "indicator": None}
THEIRS = {
    ("history and state", 0.5): ("1.00/0.00", "1.00/0.00", "1.00/0.00", "1.00/0.00"),
    ("history and state", 0.7): ("0.97/0.01", "0.96/0.02", "1.00/0.00", "0.50/0.50"),
    ("history and state", 0.9): ("0.24/0.11", "0.22/0.22", "0.40/0.40", "0.50/0.50"),
    ("state", 0.5): ("0.47/0.36", "0.51/0.45", "0.51/0.48", "0.49/0.49"),
    ("state", 0.7): ("0.23/0.23", "0.38/0.38", "0.50/0.50", "0.50/0.50"),
    ("state", 0.9): ("0.13/0.12", "0.22/0.22", "0.40/0.40", "0.50/0.50"),
    ("history", 0.5): ("1.00/0.00",) * 4,
    ("history", 0.7): ("1.00/0.00",) * 4,
    ("history", 0.9): ("1.00/0.00",) * 4,
    (MARGINAL, 0.5): ("–", "1.00/0.00", "1.00/0.00", "1.00/0.00"),
    (MARGINAL, 0.7): ("–", "1.00/0.00", "1.00/0.00", "1.00/0.00"),
    (MARGINAL, 0.9): ("–", "1.00/0.00", "1.00/0.00", "0.33/0.33"),
}


def rows() -> list[list[str]]:
    """All rows, in the order of `COLUMNS`; some twenty seconds."""
    told = Told(HeavenHellRules())
    return [*_forty(told), *_of_experts(told)]


def _forty(told: Told) -> Iterator[list[str]]:
    for (seen, expectile), theirs in THEIRS.items():
        for (weights, inverse), said in zip(WEIGHTS.items(), theirs, strict=True):
            how: dict[str, Any] = {"expectile": expectile, "inverse_temperature": inverse, "marginal": seen == MARGINAL}
            ours = told.iterated(40, **how, seen=SEEN[0] if seen == MARGINAL else seen)
            yield [seen, f"{expectile:g}", weights, said, _both(ours)]


def _of_experts(told: Told) -> Iterator[list[str]]:
    data_ZA = told.experts(GUESS_SHARE)
    yield ["experts: none, cloned", "–", "1", "–", _both(_greedy(told, data_ZA))]
    for seen, expectile in THEIRS:
        if expectile == 0.7:
            continue
        known = SEEN[0] if seen == MARGINAL else seen
        learned = told.regressed(data_ZA, known, expectile, INVERSE_TEMPERATURE, marginal=seen == MARGINAL)
        weights = f"exp, 1/β = {INVERSE_TEMPERATURE:g}"
        yield [f"experts: {seen}", f"{expectile:g}", weights, "–", _both(_greedy(told, learned.policy_ZA))]


def _greedy(told: Told, policy_ZA: NDArray[np.float64]) -> Outcome:
    return told.played(np.eye(NUM_ACTIONS)[policy_ZA.argmax(1)][told.agent_X])[1]


def _both(outcome: Outcome) -> str:
    return f"{outcome.success:.2f}/{outcome.failure:.2f}"
