"""Random actions that last: how long, how often, and what they are kept through."""

import numpy as np
import pytest
import torch

from policies.agents.exploration import EpsilonGreedy
from tests.helpers.agents import make_agent, make_batch
from utils.errors import UserError

A = 4


def play(zeta, epsilon, steps, num_envs=2000):
    """The actions (T, N) where -1, no action of any, seems best."""
    explore = EpsilonGreedy(A, zeta, torch.Generator().manual_seed(0))
    greedy, kept, taken = torch.full((num_envs,), -1), None, []
    for t in range(steps):
        start = torch.full((num_envs,), float(t == 0))
        action, kept = explore(greedy, epsilon, start, kept)
        taken.append(action)
    return torch.stack(taken)


def test_a_random_action_lasts_n_steps_with_probability_n_to_the_minus_zeta():
    taken = play(2.0, 1.0, 1, 100_000)
    assert np.bincount(taken[0], minlength=A) == pytest.approx(np.full(A, 25_000), rel=0.05)
    explore = EpsilonGreedy(A, 2.0, torch.Generator().manual_seed(0))
    greedy, start = torch.zeros(100_000, dtype=torch.int64), torch.ones(100_000)
    _, (_, left_N) = explore(greedy, 1.0, start, None)
    weight = np.arange(1, EpsilonGreedy.LONGEST + 1) ** -2.0
    found = np.bincount(left_N + 1, minlength=6)[1:6] / 100_000
    assert found == pytest.approx((weight / weight.sum())[:5], abs=0.006)


def test_while_an_action_is_kept_nothing_else_is_drawn_and_then_the_greedy_one_comes_back():
    explore = EpsilonGreedy(A, 2.0, torch.Generator().manual_seed(0))
    greedy, go_on = torch.full((3,), -1), torch.zeros(3)
    kept = torch.tensor([[2, 1, 3], [2, 1, 0]])
    first, kept = explore(greedy, 0.0, go_on, kept)
    assert first.tolist() == [2, 1, -1] and kept[1].tolist() == [1, 0, 0]
    second, kept = explore(greedy, 0.0, go_on, kept)
    assert second.tolist() == [2, -1, -1]


def test_a_new_episode_keeps_nothing():
    explore = EpsilonGreedy(A, 2.0, torch.Generator().manual_seed(0))
    action, kept = explore(torch.full((2,), -1), 0.0, torch.tensor([1.0, 0.0]), torch.tensor([[2, 2], [5, 5]]))
    assert action.tolist() == [-1, 2] and kept[1].tolist() == [0, 4]


def test_single_steps_are_plain_epsilon_greedy():
    taken = play(0.0, 0.4, 5)
    assert (taken >= 0).float().mean().item() == pytest.approx(0.4, abs=0.02)
    same = (taken[1:] == taken[:-1]) & (taken[1:] >= 0)
    assert same.float().mean().item() == pytest.approx(0.4 * 0.4 / A, abs=0.01)  # nothing lasts


@pytest.mark.parametrize("zeta", [0.0, 2.0])
def test_weights_say_which_random_actions_are_likely(zeta):
    explore = EpsilonGreedy(A, zeta, torch.Generator().manual_seed(0), (3, 1, 0, 2))
    action, _ = explore(torch.zeros(60_000, dtype=torch.int64), 1.0, torch.ones(60_000), None)
    assert np.bincount(action, minlength=A) == pytest.approx([30_000, 10_000, 0, 20_000], rel=0.05)


@pytest.mark.parametrize("weights", [(1, 1), (0, 0, 0, 0), (1, 1, -1, 1), (1, 1, float("nan"), 1), (1, 1, "a", 1)])
def test_weights_that_are_none_are_refused(weights):
    with pytest.raises(UserError, match=r"exploration\.weights.*4 actions"):
        EpsilonGreedy(A, 0.0, torch.Generator(), weights)


def test_what_lasts_goes_further_than_single_steps():
    """Of a walk on a line, at the same share of random actions."""
    moves = torch.tensor([1, 0, -1, 0])
    far = [moves[play(zeta, 1.0, 50)].cumsum(0).abs().amax(0).float().mean().item() for zeta in (0.0, 2.0)]
    assert far[1] > 1.5 * far[0]


def test_an_agents_kept_actions_are_part_of_its_carry():
    """Put down and taken up in the middle, it goes on as one that was not."""

    def step(agent, carry, t):
        obs = np.random.default_rng(t).normal(size=(8, 3))
        return agent.act(obs, np.zeros((8, A)), np.zeros(8), np.full(8, float(t == 0)), carry, explore=True)

    agent = make_agent(exploration__start=0.6, exploration__end=0.6)
    carry, seen = None, []
    for t in range(12):
        if t == 6:
            saved, kept = agent.checkpoint(), carry
        action, carry = step(agent, carry, t)
        seen.append(action)
    other = make_agent(seed=5, exploration__start=0.6, exploration__end=0.6)
    other.load_checkpoint(saved)
    carry = kept
    for t in range(6, 12):
        action, carry = step(other, carry, t)
        assert (action == seen[t]).all()
    _, after = agent.act(np.zeros((8, 3)), np.zeros((8, A)), np.zeros(8), np.zeros(8), carry, explore=False)
    assert len(after) == len(carry) - 1  # what acts greedily keeps nothing


@pytest.mark.parametrize("variant", ["history", "mi", "sac:history"])
def test_what_is_deployed_follows_what_learns_by_tau(variant):
    agent = make_agent(variant, tau=0.25)
    assert agent.deployed is not agent.policy
    before = [p.clone() for p in agent.deployed.parameters()]
    agent.update(make_batch())
    for old, new, online in zip(before, agent.deployed.parameters(), agent.policy.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.25 * (online - old))
    zeros = np.zeros((3, 3)), np.zeros((3, A)), np.zeros(3), np.ones(3)
    with torch.no_grad():
        for p in agent.deployed.parameters():
            p.zero_()
        agent.deployed.head.net[-1].bias[2] = 1.0
    assert agent.act(*zeros, None, explore=False)[0].tolist() == [2, 2, 2]
    online = make_agent(variant, deploy="online")
    assert online.deployed is online.policy
