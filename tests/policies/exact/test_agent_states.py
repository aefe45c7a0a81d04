"""Critics of agent states: the exact visitation and fixed points by simulation and by hand, and the bound."""

from dataclasses import replace

import numpy as np
import pytest

from envs.t_maze import t_maze_model
from policies.exact.agent_states import window_states
from scripts.reporting.aliasing import DISCOUNT, decodable, drawn, linear, td, walk

CASES = [drawn(seed) for seed in range(8)]


def test_the_chain_is_that_of_episodes_that_are_played():
    case, rng, runs = CASES[0], np.random.default_rng(0), 20_000
    S, Z, A = case.sizes
    model, start = case.model, case.start_SZ.reshape(-1)
    pair_N = rng.choice(S * Z, runs, p=start)
    s_N, z_N = np.divmod(pair_N, Z)
    counts, weight, total = np.zeros((S, Z, A)), 1.0, np.zeros(runs)

    def draw(share_NK):
        return (share_NK.cumsum(axis=1) < rng.random((runs, 1))).sum(axis=1).clip(max=share_NK.shape[1] - 1)

    for _ in range(40):
        a_N = draw(case.policy_ZA[z_N])
        np.add.at(counts, (s_N, z_N, a_N), weight)
        total += weight * model.reward_SA[s_N, a_N]
        s_N = draw(np.array(model.transition_ASE)[a_N, s_N])
        o_N = draw(np.array(model.observation_AEO)[a_N, s_N])
        z_N, weight = case.next_ZAO[z_N, a_N, o_N], weight * DISCOUNT
    np.testing.assert_allclose(case.visits_Y.reshape(S, Z, A), counts / counts.sum(), atol=0.006)
    assert case.start_value() == pytest.approx(total.mean(), abs=0.1)


def test_the_symmetric_fixed_point_is_one_and_falls_towards_the_truth_with_more_steps():
    for case in CASES:
        value_W = case.fixed_point_W()
        onward_W = case.mean_WY @ (case.reward_Y + DISCOUNT * case.chain_YY @ case.lift_YW @ value_W)
        np.testing.assert_allclose(onward_W, value_W)
        assert (
            case.alias_error(200) < 1e-8 < 1e-3 < case.alias_error(1)
        )  # of so many steps nothing is left to bootstrap
        assert case.alias_error(1) < case.alias_bound(1)
        assert case.alias_error(4) < case.alias_bound(4) < case.alias_bound(1)


def test_where_the_agent_state_tells_the_state_there_is_no_alias_term():
    for case in map(decodable, CASES):
        assert case.alias_error() < 1e-9
        assert case.alias_bound() < 1e-9


def test_the_longer_the_window_the_less_is_aliased():
    policy_A = np.array([0.4, 0.4, 0.1, 0.1])
    windows = [window_states(t_maze_model(1, 0.0, DISCOUNT), length, policy_A) for length in (1, 2, 3)]
    assert windows[0].sizes[1] == 3  # up, down, junction
    errors = [case.alias_error() for case in windows]
    assert errors[0] > errors[1] > errors[2] > 0
    assert all(error < case.alias_bound() for error, case in zip(errors, windows))


def test_sampled_td_comes_to_its_fixed_point_and_linear_features_of_full_rank_to_the_same():
    case = walk(1)  # whose episodes end
    floor, few, many = case.alias_error(), *(np.mean(td(case, count, False)) for count in (300, 3000))
    assert floor - 0.05 < many < few
    assert many == pytest.approx(floor, abs=0.4)
    assert np.mean(td(case, 3000, True)) < np.mean(td(case, 300, True))
    case = CASES[0]
    symmetric, asymmetric = linear(case, 36, 0)
    assert symmetric == pytest.approx(case.alias_error()) and asymmetric < 1e-8


def test_natural_actor_critic_moves_towards_what_the_critic_prefers():
    case = replace(CASES[0], policy_ZA=np.full((3, 2), 0.5))
    after = case.improved(np.array([1.0, 0.0] * 3), rate=np.log(3.0))
    np.testing.assert_allclose(after.policy_ZA, [[0.75, 0.25]] * 3)
    assert case.improved(case.true_W, 1.0).start_value() > case.start_value()
