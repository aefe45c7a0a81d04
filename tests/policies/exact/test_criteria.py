"""Criteria of exploration terms: what is known of landscapes, exact returns, estimates, and faults of other code."""

import json

import numpy as np
import pytest

from policies.exact.criteria import Fork, Hill, Maze, coherence, local_maxima
from tests.helpers.scripts import assert_refused


def test_coherence_is_the_return_that_the_best_policy_by_the_objective_lacks():
    assert coherence(np.array([1.0, 5.0, 3.0]), np.array([0.0, 1.0, 2.0])) == 2.0
    assert coherence(np.array([[1.0, 5.0], [3.0, 2.0]]), np.array([[0.0, 9.0], [1.0, 2.0]])) == 0.0


def test_local_maxima_are_counted_once_each_plateaus_and_corners_included():
    assert local_maxima(np.array([0.0, 1.0, 0.5, 2.0, 0.0])) == 2
    assert local_maxima(np.array([0.0, 1.0, 1.0, 0.5])) == 1
    assert local_maxima(np.array([0.0, 1.0, 0.95, 2.0]), 0.1) == 1  # less deep than the tolerance
    assert local_maxima(np.array([[3.0, 0.0, 2.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])) == 3
    assert local_maxima(np.zeros((3, 3))) == 1
    x, y = np.meshgrid(np.linspace(-1, 1, 9), np.linspace(-1, 1, 9))
    assert local_maxima(-(x**2) - y**2) == 1


@pytest.fixture(scope="module")
def maze():
    return Maze()


@pytest.mark.parametrize(("problem", "theta"), [(Maze(), [0.8]), (Fork(), [0.6, 0.7])], ids=["maze", "fork"])
def test_returns_are_those_of_trajectories_and_scores_have_a_mean_of_none(problem, theta):
    score_NP, count_NSA = problem._played(np.array(theta), 20_000, np.random.default_rng(0))
    for term in problem.TERMS:
        reward_SA = problem.reward_S[:, None] + problem.paid(term, np.array(theta))
        played_N = count_NSA.reshape(len(count_NSA), -1) @ reward_SA.ravel()
        exact = problem.returns(np.array(theta), reward_SA)
        assert abs(played_N.mean() - exact) < 5 * played_N.std() / len(played_N) ** 0.5, term
    assert (np.abs(score_NP.mean(0)) < 5 * score_NP.std(0) / len(score_NP) ** 0.5).all()


def test_short_mazes_by_hand():
    """Two cells, moves always succeed, three steps: 0, then 1 with θ, stays there with θ and comes back with θ."""
    two, quarter, even = Maze(cells=2, success=1.0, horizon=3, discount=0.5), np.array([0.25]), np.array([0.5])
    np.testing.assert_allclose(two.visits(quarter), [1 + 0.375 + 0.1875, 0.125 + 0.0625])
    reward_SA = np.repeat(two.reward_S[:, None], 2, axis=1)
    assert two.returns(quarter, reward_SA) == pytest.approx(0.1875)
    assert two.returns(even, two.paid("policy", even)) == pytest.approx(1.75 * np.log(2))
    visits = two.visits(quarter)
    share = visits / visits.sum()
    assert two.returns(quarter, two.paid("marginal", quarter)) == pytest.approx(-1.75 * (share * np.log(share)).sum())
    assert two.paid("rnd", quarter) == pytest.approx(np.repeat(np.exp(-visits)[:, None], 2, axis=1))


def test_what_the_paper_says_of_the_maze(maze):
    """Without a term estimates say nothing where the reward is hardly ever reached; terms of states mend that, the
    policy's entropy only up to even odds. All are coherent here, and a weight that is too great is not.
    """
    theta_G1 = np.linspace(0.05, 0.95, 10)[:, None]
    judged = maze.judged(dict.fromkeys(Maze.TERMS, 0.02), theta_G1, 200)
    low = theta_G1[:, 0] < 0.3
    assert judged["none"].efficiency_X[low].max() == 0.0
    for term in ("marginal", "future", "count", "dense"):
        assert judged[term].efficiency_X[low].min() > 0.7, term
    assert judged["policy"].efficiency_X[low].min() > 0.9
    assert judged["policy"].attraction_X[low].min() > 0.9  # towards even odds is towards the reward
    assert judged["policy"].efficiency_X.min() < 0.5 < judged["dense"].efficiency_X.min()
    for term, one in judged.items():
        assert one.coherence == 0.0 and (one.maxima == 1 or term == "rnd"), term
        assert one.attraction() > 0.6, term
        np.testing.assert_array_equal(one.return_X, judged["none"].objective_X)
    strong = maze.judged({"policy": 5.0}, theta_G1, 1)["policy"]
    assert strong.coherence > 1.0


def test_the_fork_by_hand():
    """Three steps to the priest, six to the fork, one to heaven or hell; straight to the fork, luck."""
    fork, straight = Fork(), np.array([1 - 1e-12, 0.9])
    reward_SA = np.repeat(fork.reward_S[:, None], 2, axis=1)
    assert fork.returns(straight, reward_SA) == pytest.approx(0.95**10 * 0.8)
    assert fork.returns(straight, fork.paid("information", straight)) == pytest.approx(0.95**2 * np.log(2))
    guess = np.array([1e-12, 0.9])
    assert fork.returns(guess, reward_SA) == pytest.approx(0.0, abs=1e-9)
    visits_S = fork.visits(guess)
    assert visits_S.sum() == pytest.approx(sum(0.95**t for t in range(5)))  # four places, then heaven or hell: over
    assert fork.returns(straight, fork.paid("policy", straight)) == pytest.approx(
        0.95**9 * -(0.9 * np.log(0.9) + 0.1 * np.log(0.1))
    )


@pytest.mark.parametrize("weight", [0.1, 1.0, 10.0])
def test_at_the_fork_information_moves_no_optimum_and_what_is_paid_a_step_does(weight):
    axis = np.linspace(0.05, 0.95, 7)
    theta_XYP = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    judged = Fork().judged(dict.fromkeys(Fork.TERMS, weight), theta_XYP, 50)
    for term in ("none", "information"):
        assert judged[term].coherence == 0.0 and judged[term].maxima == 1, term
    for term in ("policy", "marginal", "future", "count"):
        assert judged[term].coherence > 0.05, term
    asks_often, hardly_asks = slice(-3, None), 1  # in 0.86 of the episodes and more, and in 0.02
    paid, visits = judged["information"].efficiency_X, judged["marginal"].efficiency_X
    assert paid[asks_often, 1:].min() > 0.7
    assert paid[hardly_asks].mean() < 0.75 < visits[hardly_asks].mean()


def test_equal_returns_are_no_estimate(maze):
    """At θ = 0.05 no trajectory is ever paid: rounding must not look like a direction."""
    one = maze.judged({"none": 0.0}, np.array([[0.05]]), 50)["none"]
    assert one.efficiency_X[0] == one.attraction_X[0] == 0.0


def test_the_hill_pays_one_where_it_starts_and_two_where_it_should_go():
    hill = Hill(4)
    np.testing.assert_allclose(-hill.SHAPE(np.array([-3.0, 0.0, 3.0])), [1.0, 0.0, 2.0], atol=1e-5)
    np.testing.assert_allclose(hill.SHAPE.deriv()(np.array([-3.0, 3.0])), 0.0, atol=1e-5)  # hollows: it rests there


def test_a_car_that_is_not_pushed_stays_and_one_that_is_pulled_arrives():
    hill = Hill(8)
    still, pulled = hill.place(np.array([0.0, -2.0]), np.array([1e-6, 0.5])).swapaxes(0, 1)
    assert np.abs(still + 3.0).max() < 1e-3
    assert np.abs(pulled[-1] - 3.0).max() < 1.5
    found = hill.returns(np.array([0.0, -2.0]), np.array([1e-6, 0.5]))
    total = (1 - 0.99**100) / 0.01
    assert found["none"][0] == pytest.approx(total, rel=1e-3)
    assert total < found["none"][1] < 2 * total
    assert found["marginal"][0] == found["future"][0] == 0.0
    assert found["policy"][1] == pytest.approx(total * 0.5 * np.log(2 * np.pi * np.e * 0.25))


def test_both_ends_of_the_valley_lie_in_a_bin():
    assert Hill(1).bins(np.array([-4.0, -3.99, 4.99, 5.0])).tolist() == [0, 0, 19, 19]


def test_the_script_draws_and_tells(scripts, tmp_path):
    flags = ("--grid=4", "--batches=5", "--trajectories=4", "--steps=30", "--seeds=2", "--out=drawn")
    done = scripts.run("scripts/exploration_criteria.py", *flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for name in ("maze", "fork", "hill", "gridworlds"):
        assert (tmp_path / "drawn" / f"{name}.png").stat().st_size > 10_000
        numbers = json.loads((tmp_path / "drawn" / f"{name}.json").read_text())
        assert all(one.get("coherence", 0) >= 0 and one for one in numbers.values())
    refused = scripts.run("scripts/exploration_criteria.py", "--problems=lake", "--out=drawn", cwd=tmp_path)
    assert_refused(refused, "--problems")
