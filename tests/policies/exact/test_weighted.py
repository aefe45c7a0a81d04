"""Weighted regression with exact critics: numbers that others computed of the same definitions, and by hand."""

import numpy as np
import pytest

from envs.heaven_hell import HeavenHellRules
from policies.exact.weighted import Told, expectiles

TOLD = Told(HeavenHellRules())


def test_the_first_policy_comes_to_what_others_found():
    outcome = TOLD.played(TOLD.first_policy(0.7)[TOLD.agent_X])[1]
    assert outcome == pytest.approx((0.496, 0.155, 0.075), abs=1e-3)


@pytest.mark.parametrize(
    ("seen", "expectile", "inverse", "marginal", "theirs"),
    [
        ("history and state", 0.5, 3.0, False, (1.00, 0.00)),
        ("history and state", 0.7, None, False, (0.50, 0.50)),
        ("state", 0.9, 3.0, False, (0.22, 0.22)),
        ("history", 0.9, 10.0, False, (1.00, 0.00)),
        ("history and state", 0.9, 10.0, True, (1.00, 0.00)),
    ],
)
def test_forty_regressions_come_to_what_others_found(seen, expectile, inverse, marginal, theirs):
    how = {"seen": seen, "expectile": expectile, "inverse_temperature": inverse, "marginal": marginal}
    assert TOLD.iterated(40, **how)[:2] == pytest.approx(theirs, abs=0.02)


def test_experts_of_whom_some_guess_by_hand():
    """The start decides: up for a guess, down to ask; and a guess is right half of the time."""
    policy = TOLD.experts(0.78)
    start = TOLD.rules.cell_J[np.flatnonzero(TOLD.start_X)[0] % TOLD.rules.num_joint]
    assert policy[start].tolist() == pytest.approx([0, 0.78, 0, 0.22])
    outcome = TOLD.played(policy[TOLD.agent_X])[1]
    assert outcome[:2] == pytest.approx((0.22 + 0.39, 0.39))
    assert outcome.value == pytest.approx(0.22 * 0.95**13)
    # one regression, A(up) = 0 - V and A(down) = γ^13 - V: the odds are those of the data times exp(3 γ^13)
    learned = TOLD.regressed(policy, "history and state", 0.5, 3.0).policy_ZA[start]
    assert learned[3] / learned[1] == pytest.approx(0.22 / 0.78 * np.exp(3 * 0.95**13), rel=1e-5)


def test_expectiles_by_hand():
    value, likely = np.array([[1.0, -1.0, 0.0, 5.0]]), np.array([[0.5, 0.5, 0.0, 0.0]])
    assert expectiles(value, likely, 0.9) == pytest.approx([0.8])  # what is never stored counts for nothing
    assert expectiles(value, likely, 0.5) == pytest.approx([0.0])
    assert expectiles(value, np.zeros((1, 4)), 0.9) == pytest.approx([0.0])
