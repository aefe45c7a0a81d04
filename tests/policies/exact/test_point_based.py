"""Bounds of the optimal value: against enumeration, value iteration, numbers worked out by hand, and another solver."""

from dataclasses import replace
from itertools import islice, pairwise

import numpy as np
import pytest

from envs.finite import dense
from envs.pomdp_format import read_pomdp
from policies.exact.bounds import AlphaVectors, Sawtooth, blind_policies, fast_informed_bound, qmdp
from policies.exact.dynamics import Dynamics
from policies.exact.point_based import Solver
from tests.helpers.pomdps import FILES, drawn_pomdp, needs_files
from tests.helpers.scripts import ROOT
from utils.errors import UserError


def tiger(**changes):
    continuing = read_pomdp(ROOT / "configs/envs/tiger.pomdp", continuing=True)
    return replace(continuing, **changes)


def bounds(model, gap, horizon=None, most=5000):
    """How the bounds went until they were so near."""
    history = []
    for now in islice(Solver(model, horizon).run(), most):
        history.append(now)
        if now.gap <= gap:
            return history
    raise AssertionError(f"still {now.gap} apart")


def enumerated(model, steps):
    """The optimal value with so many steps, by every history that there is."""

    def value(weight_S, left):
        """Not normalised: of unnormalised beliefs."""
        if not left or not weight_S.any():
            return 0.0
        worth = []
        for action, see_EO in enumerate(model.observation_AEO):
            joint_OE = dense(see_EO).T * (weight_S @ dense(model.going_on(action)))
            after = sum(value(joint_E, left - 1) for joint_E in joint_OE)
            worth.append(weight_S @ model.reward_SA[:, action] + model.discount * after)
        return max(worth)

    if model.first_SO is None:
        return value(model.start_S, steps)
    return sum(value(joint_S, steps) for joint_S in dense(model.first_SO).T * model.start_S)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("discount", [0.9, 1.0])
def test_bounds_with_a_horizon_meet_at_what_enumeration_gives(seed, discount):
    model = replace(drawn_pomdp(np.random.default_rng(seed), ends=0.3 * (seed % 2)), discount=discount)
    if seed == 2:
        model = replace(model, first_SO=None)
    expected = enumerated(model, 4)
    last = bounds(model, 1e-9, horizon=4)[-1]
    assert last.lower - 1e-9 <= expected <= last.upper + 1e-9


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("in_time", range(4))
def test_first_bounds_that_were_hurried_hold_and_meet_at_the_same(seed, in_time):
    model = replace(drawn_pomdp(np.random.default_rng(seed), ends=0.3 * (seed % 2)), discount=0.9)
    model = replace(model, reward_SA=model.reward_SA - (seed == 1))  # negative ones as well
    expected, asked = enumerated(model, 4), iter([False] * in_time)
    found = list(islice(Solver(model, 4, lambda: next(asked, True)).run(), 300))
    assert all(now.lower - 1e-9 <= expected <= now.upper + 1e-9 for now in found)
    assert found[0].gap > found[-1].gap and found[-1].gap < 1e-9


@pytest.mark.parametrize("in_time", [0, 1, 3])
def test_without_a_horizon_they_hold_wherever_time_is_up(in_time):
    asked = iter([False] * in_time)
    found = list(islice(Solver(tiger(), None, lambda: next(asked, True)).run(), 300))
    assert all(now.lower <= 19.3714 and now.upper >= 19.3713 for now in found)
    assert found[-1].gap < 0.1


@pytest.mark.parametrize("seed", range(4))
def test_bounds_without_a_horizon_hold_what_long_horizons_give(seed):
    model = replace(drawn_pomdp(np.random.default_rng(seed), ends=0.3 * (seed % 2)), discount=0.4)
    rest = 0.4**6 / 0.6 * np.abs(model.reward_SA).max()
    expected = enumerated(model, 6)
    for now in bounds(model, 1e-3):
        assert now.lower <= expected + rest and now.upper >= expected - rest
    assert abs(now.lower - expected) <= rest + 1e-3


def test_bounds_only_tighten_and_never_cross():
    for model, horizon in ((tiger(), None), (tiger(discount=1.0), 8)):
        history = bounds(model, 1e-3, horizon)
        for before, after in pairwise(history):
            assert after.lower >= before.lower - 1e-12 and after.upper <= before.upper + 1e-12
        assert all(now.gap >= -1e-9 for now in history)
        assert len(history) > 3


def test_where_the_state_is_seen_it_is_value_iteration():
    rng = np.random.default_rng(3)
    model = drawn_pomdp(rng, states=5, actions=3, ends=0.2)
    seen = np.eye(5)
    model = replace(model, observation_AEO=(seen,) * 3, observations=tuple("abcde"), first_SO=seen)
    value_S = np.zeros(5)
    for _ in range(400):
        value_S = np.max([model.reward_SA[:, a] + 0.9 * model.going_on(a) @ value_S for a in range(3)], axis=0)
    last = bounds(model, 1e-6)[-1]
    assert last.lower - 1e-9 <= model.start_S @ value_S <= last.upper + 1e-9
    dynamics = Dynamics(model)
    for bound_SA in (qmdp(dynamics), fast_informed_bound(dynamics)):  # equal where nothing is hidden
        np.testing.assert_allclose(bound_SA.max(axis=1), value_S, atol=1e-4)


def test_tiger_to_a_ten_thousandth():
    last = bounds(tiger(), 1e-4)[-1]
    assert last.lower - 1e-4 <= 19.3713 <= last.upper + 1e-4  # by another solver, to its last digit
    assert last.trials < 500 and last.alpha_vectors < 500


def test_tiger_with_one_and_two_steps_by_hand():
    # one step: listening, as a door is worth (10 - 100) / 2; two: listening twice, a door at 0.85 is worth -6.5
    for steps, value in ((1, -1.0), (2, -1.0 - 0.95)):
        last = bounds(tiger(), 1e-9, horizon=steps)[-1]
        np.testing.assert_allclose([last.lower, last.upper], value, atol=1e-9)


CORRIDOR = """discount: 0.9
values: reward
states: start first second end
actions: now later
observations: seen
start: start
T: now : * : end 1
T: later : start : first 1
T: later : first : second 1
T: later : second : end 1
T: later : end : end 1
T: now : first : second 1
T: now : first : end 0
O: * uniform
R: now : start : * : * {at_once}
R: * : second : * : * 1
"""


@pytest.mark.parametrize("at_once", [0.72, 0.74, 0.8, 0.82])
def test_what_lies_two_steps_ahead_is_discounted_twice(at_once, tmp_path):
    (tmp_path / "corridor.pomdp").write_text(CORRIDOR.format(at_once=at_once))
    now = bounds(read_pomdp(tmp_path / "corridor.pomdp"), 0.0, horizon=3)[-1]
    assert now.lower == pytest.approx(max(at_once, 0.9**2), abs=1e-12)


def test_first_bounds_of_tiger_by_hand():
    dynamics = Dynamics(tiger())
    # listening for ever costs 1 / 0.05; a door for ever pays -45 from the second step on
    expected = [[-20, -20], [-100 - 0.95 * 45 / 0.05, 10 - 0.95 * 45 / 0.05]]
    np.testing.assert_allclose(blind_policies(dynamics)[:2], expected)
    # who sees the tiger opens the other door, for 10 a step
    np.testing.assert_allclose(qmdp(dynamics), [[189, 90, 200], [189, 200, 90]], atol=1e-3)


def test_fast_informed_bound_of_tiger_by_hand():
    # u = max Q. Listening is followed by the best action for either sound: u again, as 0.85 u + 0.15 u; a door by
    # an observation that tells nothing: the best action for one half each, of listening -1 + 0.95 u = Q, or a door.
    found = fast_informed_bound(Dynamics(tiger()))
    (listen, bad, good), (other, good_too, bad_too) = found
    assert listen == pytest.approx(other) and good == pytest.approx(good_too) and bad == pytest.approx(bad_too)
    after = max(listen, (good + bad) / 2)
    assert good == pytest.approx(10 + 0.95 * after, abs=1e-3)
    assert bad == pytest.approx(-100 + 0.95 * after, abs=1e-3)
    assert listen == pytest.approx(-1 + 0.95 * good, abs=1e-3)  # 0.85 good + 0.15 good
    # so good = 10 + 0.95 (-1 + 0.95 good)
    assert good == pytest.approx((10 - 0.95) / (1 - 0.95**2), abs=1e-2)


def test_sawtooth_by_hand():
    bound = Sawtooth(np.array([[10.0], [20.0], [0.0]]))
    value, point, share = bound.best(np.array([[0.5, 0.5, 0.0]]))
    assert (value[0], point[0], share[0]) == (15.0, -1, 0.0)
    bound.add(np.array([0.5, 0.5, 0.0]), 9.0)  # 6 below the corners
    bound.add(np.array([0.0, 0.5, 0.5]), 9.0)  # 1 below them
    beliefs = np.array([[0.25, 0.75, 0.0], [0.2, 0.4, 0.4], [0.1, 0.45, 0.45], [1.0, 0.0, 0.0]])
    value, point, share = bound.best(beliefs)
    # shares of the first point 0.5, 0.4, 0.2 and 0; of the second 0, 0.8, 0.9 and 0
    np.testing.assert_allclose(value, [17.5 - 3.0, 10.0 - 2.4, 10.0 - 1.2, 10.0])
    np.testing.assert_array_equal(point[:3], 0)
    np.testing.assert_allclose(share, [0.5, 0.4, 0.2, 0.0])
    value, point, share = bound.best(beliefs[1:3], first=1)
    np.testing.assert_allclose(value, [10.0 - 0.8, 10.0 - 0.9])
    np.testing.assert_array_equal(point, 1)


def test_at_the_corners_one_action_is_taken_for_the_whole_belief():
    bound = Sawtooth(np.array([[10.0, 0.0], [0.0, 20.0]]))
    np.testing.assert_array_equal(bound.best(np.array([[0.5, 0.5], [0.8, 0.2]]))[0], [10.0, 8.0])  # not 15 and 12
    bound.add(np.array([0.5, 0.5]), 7.0)  # 8 below what the best of each corner gives
    value, _, share = bound.best(np.array([[0.5, 0.5], [0.8, 0.2], [0.6, 0.4]]))
    np.testing.assert_allclose(value, [7.0, 8.0, 7.6])  # the second is 12 - 0.4 * 8 = 8.8 by the point
    np.testing.assert_allclose(share, [1.0, 0.4, 0.8])


def test_of_many_points_the_chosen_one_gives_what_is_said_and_little_is_lost():
    rng = np.random.default_rng(0)
    bound = Sawtooth(rng.random((40, 1)) + 5)
    for belief in rng.dirichlet(np.full(40, 0.7), 200):
        bound.add(belief, belief @ bound.corner_S - rng.random())
    beliefs = rng.dirichlet(np.full(40, 0.7), 30)
    value, point, share = bound.best(beliefs)
    share_QM = (beliefs[:, None] / bound.beliefs.rows).min(axis=2)
    exact = beliefs @ bound.corner_S + (share_QM * bound.drops()).min(axis=1)
    every = np.arange(30)
    np.testing.assert_allclose(share, share_QM[every, point])
    np.testing.assert_allclose(value, beliefs @ bound.corner_S + share_QM[every, point] * bound.drops()[point])
    assert (value >= exact - 1e-12).all() and np.mean(value <= exact + 1e-9) > 0.7


def test_vectors_below_others_are_dropped_and_stood_for():
    alphas = AlphaVectors(2, 1)
    for vector in ([0, 0], [1, -1], [2, -1], [-1, 3], [2, 0]):
        alphas.add(np.array(vector, float), 0, 0)
    number, lives = alphas.prune(0)
    np.testing.assert_array_equal(lives, [False, False, False, True, True])  # the last is above the first three
    np.testing.assert_array_equal(number, [1, 1, 1, 0, 1])
    np.testing.assert_array_equal(alphas.vectors.rows, [[-1, 3], [2, 0]])
    value, best = alphas.best(np.array([[0.5, 0.5], [1.0, 0.0]]))
    np.testing.assert_array_equal(value, [1, 2])
    np.testing.assert_array_equal(best, [0, 1])


def test_sparse_matrices_give_the_same_bounds():
    sparse = pytest.importorskip("scipy.sparse")
    model = drawn_pomdp(np.random.default_rng(5), states=6)
    names = ("transition_ASE", "ends_ASE", "observation_AEO")
    thin = {name: tuple(sparse.csr_array(m) for m in getattr(model, name)) for name in names}
    thin["first_SO"] = sparse.csr_array(model.first_SO)
    for horizon in (None, 3):
        one, other = (list(islice(Solver(each, horizon).run(), 6))[-1] for each in (model, replace(model, **thin)))
        np.testing.assert_allclose([one.lower, one.upper], [other.lower, other.upper], atol=1e-9)


def test_a_graph_that_grew_too_large_starts_anew_and_keeps_its_bounds(monkeypatch):
    monkeypatch.setattr("policies.exact.point_based.MOST_NUMBERS", 300)
    history = list(islice(Solver(drawn_pomdp(np.random.default_rng(4), ends=0.0)).run(), 30))
    assert any(after.nodes < before.nodes for before, after in pairwise(history))
    for before, after in pairwise(history):
        assert after.lower >= before.lower - 1e-9 and after.upper <= before.upper + 1e-9


def test_undiscounted_rewards_need_a_horizon():
    with pytest.raises(UserError, match="--horizon"):
        Solver(tiger(discount=1.0))


def test_where_nothing_is_left_open_it_stops():
    model = replace(drawn_pomdp(np.random.default_rng(3), states=3, ends=0.0), discount=0.2)
    last = list(islice(Solver(model).run(), 2000))[-1]
    assert last.closed and last.gap <= 1e-12 * (1 + abs(last.upper)) and last.trials < 1999
    with pytest.raises(UserError, match="--discount"):
        Solver(replace(model, discount=0.0))


@needs_files
@pytest.mark.parametrize(
    ("name", "lower", "upper", "gap"),
    [
        ("tiger.original", 19.3713, 19.3714, 1e-4),
        ("1d", 1.2603, 1.2613, 1e-4),
        ("4x3", 1.8899, 1.8908, 2e-3),
        ("cheese", 3.4853, 3.4862, 1e-3),
        ("voicemail", 2.7289, 2.7299, 1e-4),
        ("loadunload", 4.5627, 4.5633, 1e-4),
        ("network", 293.185, 293.393, 12.0),
        ("shopping_2.v1", 229.44, 230.96, 1.0),
        ("heavenhell_1", 13.8586, 13.8587, 1e-2),
        ("heavenhell_3", 6.20, 6.93, 0.5),
    ],
)
def test_bounds_meet_those_of_another_solver(name, lower, upper, gap):
    last = bounds(read_pomdp(FILES / f"{name}.pomdp", continuing=True), gap)[-1]
    digit = 1e-4 if upper < 100 else 1e-3  # the last that it tells
    assert last.lower <= upper + digit and last.upper >= lower - digit
