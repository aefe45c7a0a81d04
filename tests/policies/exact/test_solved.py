"""The policy of a solved POMDP: its belief against the exact filter, what it earns against the bounds, its files."""

import json
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from buffers.batch import PublicBatch, Rows
from configs.envs import pomdp_file
from envs.base import EnvSpec
from envs.finite import Filter, dense
from envs.finite_rules import FiniteRules
from envs.pomdp_format import read_pomdp
from policies.deployed.files import load_policy, save_policy
from policies.deployed.solved import solved_config, solved_policy
from policies.exact.histories import belief_graph, history_tree
from policies.exact.point_based import Solver, controller
from policies.exact.tabular import policy_evaluation, settled
from policies.models.exact_belief import ExactBelief, SolvedSizes
from policies.models.policy import to_tensors
from policies.models.views import Inputs
from tests.helpers.pomdps import drawn_pomdp
from tests.helpers.scripts import ROOT
from utils.errors import UserError

CPU = torch.device("cpu")


def solved(model, horizon=0, gap=1e-9, one_hot=True):
    """A policy, the bounds that it comes of, and the rules that show it its observations."""
    solver = Solver(model, horizon or None)
    last = next(now for now in islice(solver.run(), 2000) if now.gap <= gap)
    rules = FiniteRules(model, one_hot)
    sizes = (rules.obs_space.shape[0], rules.state_space.shape[0], len(model.actions))
    spec = EnvSpec("Drawn-v0", *sizes, discrete=True, max_episode_steps=20)
    config = solved_config(pomdp_file.get_config(), "bounds")
    return solved_policy(model, rules.observation_views, controller(solver), horizon, spec, config), last, rules, spec


def step(policy, rules, obs_N, prev_N, start, carry):
    """One step of the policy, of numbers of observations (-1: none) and actions."""
    shown = rules._shown(np.asarray(obs_N), rules.num_obs)
    previous = np.zeros((len(shown), len(rules.model.actions)))
    if not start:
        previous[np.arange(len(shown)), prev_N] = 1
    now = to_tensors(CPU, shown, previous, np.zeros(len(shown)), np.full(len(shown), float(start)))
    return policy.step(now, carry)


@pytest.mark.parametrize("one_hot", [True, False])
@pytest.mark.parametrize("first", [True, False])
def test_its_belief_is_that_of_the_filter(one_hot, first):
    model = drawn_pomdp(np.random.default_rng(1), states=5, actions=3, observations=4)
    model = model if first else replace(model, first_SO=None)
    policy, _, rules, _ = solved(model, gap=1.0, one_hot=one_hot)
    rng, exact = np.random.default_rng(0), Filter(model)
    joint = rules.initial(rng, 30)
    action_N = carry = belief_NS = None
    for t in range(12):
        obs_N = joint[:, 1].astype(int)
        _, carry = step(policy, rules, obs_N, action_N, t == 0, carry)
        belief_NS = exact.first(obs_N) if t == 0 else exact.after(belief_NS, action_N, obs_N)
        np.testing.assert_allclose(carry[0].numpy(), belief_NS, atol=1e-5)
        action_N = rng.integers(3, size=len(joint))
        joint = rules.step(rng, joint, action_N)
        going = ~rules.ends(joint)
        joint, action_N, belief_NS, carry = joint[going], action_N[going], belief_NS[going], [c[going] for c in carry]
    assert t == 11 and len(joint)


def earned(policy, rules, steps):
    """What the policy earns in so many steps, over all that may be seen."""
    model = rules.model

    def value(weight_S, obs, action, start, carry, left):
        if not left or not weight_S.any():
            return 0.0
        output, carry = step(policy, rules, [obs], [action], start, carry)
        action = int(policy.greedy(output)[0])
        joint_OE = dense(model.observation_AEO[action]).T * (weight_S @ dense(model.going_on(action)))
        after = sum(value(joint_E, o, action, False, carry, left - 1) for o, joint_E in enumerate(joint_OE))
        return float(weight_S @ model.reward_SA[:, action]) + model.discount * after

    if model.first_SO is None:
        return value(model.start_S, -1, 0, True, None, steps)
    first_OS = dense(model.first_SO).T * model.start_S
    return sum(value(joint_S, o, 0, True, None, steps) for o, joint_S in enumerate(first_OS))


@pytest.mark.parametrize("seed", range(3))
def test_with_a_horizon_it_earns_the_optimum(seed):
    policy, last, rules, _ = solved(drawn_pomdp(np.random.default_rng(seed), ends=0.2), horizon=4)
    assert earned(policy, rules, 4) == pytest.approx(last.lower, abs=1e-5)


def test_without_a_horizon_it_earns_the_lower_bound():
    model = replace(drawn_pomdp(np.random.default_rng(2), ends=0.0), discount=0.5)
    policy, last, rules, _ = solved(model, gap=1e-5)
    rest = 0.5**11 / 0.5 * np.abs(model.reward_SA).max()
    assert last.lower - rest - 1e-5 <= earned(policy, rules, 11) <= last.upper + rest + 1e-5


def worth(model, offset, horizon=0):
    """What a kept policy is worth where each step pays so much more, without that; over all beliefs, and certified."""
    paid = replace(model, reward_SA=model.reward_SA + offset)
    policy, last, *_ = solved(paid, horizon, gap=1e-3)
    histories = history_tree(model, horizon) if horizon else belief_graph(model)
    depth_H = depths(histories)
    left_H = horizon - depth_H if horizon else np.zeros(len(histories))
    view_HS = torch.from_numpy(np.column_stack([histories.belief_HS, left_H])).float()
    action_H = policy.head.net[0](view_HS).argmax(dim=1).numpy()
    q_HA = settled(policy_evaluation(histories, action_H))[0].q_HA
    steps = (1 - model.discount ** (horizon or np.inf)) / (1 - model.discount)
    return float(q_HA[0, action_H[0]]), last.lower - offset * steps


def depths(histories):
    """How many decisions came before each history of a tree."""
    depth_H = np.zeros(len(histories), int)
    for h, child_AO in enumerate(histories.child_HAO):
        depth_H[child_AO[child_AO > h]] = depth_H[h] + 1
    return depth_H


@pytest.mark.parametrize("offset", [0.0, -1e6, 1e6])
@pytest.mark.parametrize("horizon", [0, 5])
def test_a_constant_on_every_reward_costs_nothing_that_is_certified(offset, horizon):
    model = read_pomdp(ROOT / "configs/envs/tiger.pomdp", continuing=True)  # with ends, a constant changes what is best
    earned, certified = worth(model, offset, horizon)
    assert certified == pytest.approx(worth(model, 0.0, horizon)[1], abs=2e-3)
    assert earned >= certified - 1e-3


def test_whole_episodes_are_read_as_they_are_played():
    policy, _, rules, _ = solved(drawn_pomdp(np.random.default_rng(1)), gap=1.0)
    fold = policy.public.folds["exact_belief"]
    rng, num_T = np.random.default_rng(0), 5
    obs_TBO = torch.eye(rules.num_obs)[rng.integers(rules.num_obs, size=(num_T, 2))]
    prev_TBA = torch.eye(2)[rng.integers(2, size=(num_T, 2))]
    start_TB = torch.zeros(num_T, 2)
    start_TB[0] = 1

    none = torch.zeros(num_T, 2)
    batch = PublicBatch(
        obs=Rows.all_different(obs_TBO),
        prev_action=prev_TBA,
        prev_reward=none,
        start=start_TB,
        action=none[1:].long(),
        mask=none[1:],
    )
    whole = fold(batch)["exact_belief"]
    carry = None
    for t in range(num_T):
        now, carry = fold.step(Inputs(obs_TBO[t], prev_TBA[t], torch.zeros(2), start_TB[t]), carry)
        torch.testing.assert_close(now, whole[t])


def test_its_files_are_read_again_and_damage_is_told(tmp_path):
    policy, _, rules, spec = solved(drawn_pomdp(np.random.default_rng(1)), horizon=3)
    config = solved_config(pomdp_file.get_config(), "bounds")
    save_policy(tmp_path, policy, spec, config, {"settings": {}})
    again, _ = load_policy(str(tmp_path), spec)
    obs_N = np.arange(rules.num_obs)
    for one, other in zip(step(policy, rules, obs_N, 0, True, None), step(again, rules, obs_N, 0, True, None)):
        torch.testing.assert_close(one, other)
    about = json.loads((tmp_path / "policy.json").read_text())
    for changes in ({"states": -1}, {"states": 4}, {"vectors": "3"}, {"more": 1}):
        about_now = about | {"exact_belief": about["exact_belief"] | changes}
        (tmp_path / "policy.json").write_text(json.dumps(about_now))
        with pytest.raises(UserError, match="damaged"):
            load_policy(str(tmp_path))
    del about["exact_belief"]
    (tmp_path / "policy.json").write_text(json.dumps(about))
    with pytest.raises(UserError, match="exact_belief"):
        load_policy(str(tmp_path))


def test_what_no_state_explains_leaves_a_belief():
    policy, _, rules, _ = solved(drawn_pomdp(np.random.default_rng(1), observations=3), gap=1.0)
    output, carry = step(policy, rules, [0], None, True, None)
    for obs in (0, 1, 2, -1):
        output, carry = step(policy, rules, [obs], [0], False, carry)
        assert output.isfinite().all()
        torch.testing.assert_close(carry[0].sum(dim=1), torch.ones(1))


def test_what_no_state_explains_goes_on_by_the_action_or_from_the_start():
    """One state that a1 always ends in; 0 goes to 1 by half and else ends, and only 0 is seen as 0."""
    going = np.array([[0.0, 1.0], [0.0, 1.0]])
    model = replace(
        drawn_pomdp(np.random.default_rng(1), states=2),
        start_S=np.array([0.75, 0.25]),
        transition_ASE=(going, going),
        ends_ASE=(0.5 * going, going),
        observation_AEO=(np.eye(2),) * 2,
        first_SO=None,
    )
    policy, _, rules, _ = solved(model, gap=10.0)
    _, start = step(policy, rules, [-1], None, True, None)
    for action, expected in ((0, [0.0, 1.0]), (1, [0.75, 0.25])):
        _, carry = step(policy, rules, [0], [action], False, start)
        torch.testing.assert_close(carry[0], torch.tensor([expected]))


def test_many_observations_by_number_are_told_apart():
    sizes = SolvedSizes(states=5001, actions=1, views=5002, view_width=1, vectors=1, horizon=0)
    fold = ExactBelief(sizes)
    fold.view_VD.copy_(torch.arange(5002.0)[:, None])
    fold.first_VS[:5001] = torch.eye(5001)
    number = torch.tensor([4095, 4097, 4999, 5000])
    now = Inputs(number[:, None].float(), torch.ones(4, 1), torch.zeros(4), torch.ones(4))
    assert fold.step(now, None)[0][:, :-1].argmax(dim=1).tolist() == number.tolist()


def test_a_policy_that_would_not_fit_is_refused(monkeypatch):
    monkeypatch.setattr("policies.deployed.solved.MOST_NUMBERS", 10)
    with pytest.raises(UserError, match="--nokeep_policy"):
        solved(drawn_pomdp(np.random.default_rng(1)), gap=1.0)
