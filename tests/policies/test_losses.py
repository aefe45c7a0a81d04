"""Targets and losses against slow recursions, published numbers and numbers by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.losses import (
    lambda_returns,
    last_steps,
    masked_mean,
    prediction_error,
    spread,
    taken,
    tree_backup_returns,
)
from torchkit.networks import mlp

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def slow_return(t, reward, discount, value, greedy, lam, length):
    """G_t as one reads it: the one-step target, corrected by λ of what the next step's return adds to it."""
    target = reward[t] + discount[t] * value[t]
    if t + 1 < length and greedy[t + 1]:
        following = slow_return(t + 1, reward, discount, value, greedy, lam, length)
        target += discount[t] * lam * (following - value[t])
    return target


floats = st.floats(-3, 3, width=32)
steps = st.lists(st.tuples(floats, floats, st.booleans()), min_size=1, max_size=8)


@given(
    episodes=st.lists(steps, min_size=1, max_size=4),
    ends=st.lists(st.booleans(), min_size=4, max_size=4),
    lam=st.sampled_from([0.0, 0.3, 0.9, 1.0]),
    gamma=st.sampled_from([0.0, 0.9, 1.0]),
    garbage=st.sampled_from([0.0, 1e6, math.nan]),
)
@settings(max_examples=200, deadline=None)
def test_lambda_returns_equal_the_slow_recursion_whatever_stands_on_padding(episodes, ends, lam, gamma, garbage):
    T, B = max(map(len, episodes)), len(episodes)
    reward, discount, value, keep = (torch.full((T, B), garbage) for _ in range(4))
    mask = torch.zeros(T, B)
    for b, episode in enumerate(episodes):
        for t, (r, v, greedy) in enumerate(episode):
            terminated = ends[b] and t == len(episode) - 1
            reward[t, b], value[t, b], keep[t, b], mask[t, b] = r, v, float(greedy), 1.0
            discount[t, b] = 0.0 if terminated else gamma
    found = lambda_returns(reward, discount, value, keep, last_steps(mask), lam)
    for b, episode in enumerate(episodes):
        columns = [x[:, b].tolist() for x in (reward, discount, value, keep)]
        for t in range(len(episode)):
            expected = slow_return(t, *columns, lam, len(episode))
            assert found[t, b].item() == pytest.approx(expected, abs=1e-3, rel=1e-4)


def column(*values):
    return torch.tensor(values, dtype=torch.float32)[:, None]


def test_lambda_zero_is_the_one_step_target():
    reward, discount, value = column(1, 2, 3), column(0.9, 0.9, 0), column(10, 20, 30)
    found = lambda_returns(reward, discount, value, column(1, 1, 1), column(0, 0, 1), 0.0)
    torch.testing.assert_close(found, column(1 + 9, 2 + 18, 3))


def test_lambda_one_on_a_terminated_greedy_episode_is_the_discounted_sum_of_rewards():
    found = lambda_returns(column(1, 2, 4), column(0.5, 0.5, 0), column(7, 8, 9), column(1, 1, 1), column(0, 0, 1), 1.0)
    torch.testing.assert_close(found, column(1 + 1 + 1, 2 + 2, 4))


def test_a_truncated_episode_bootstraps_and_a_terminated_one_does_not():
    reward, value, keep, last = column(0, 1), column(5, 6), column(1, 1), column(0, 1)
    cut = lambda_returns(reward, column(0.5, 0.5), value, keep, last, 0.5)
    done = lambda_returns(reward, column(0.5, 0), value, keep, last, 0.5)
    # last step: 1 + 0.5·6 = 4, or 1; first step: 0.5 (0.5·5 + 0.5·G)
    torch.testing.assert_close(cut, column(2.25, 4))
    torch.testing.assert_close(done, column(1.5, 1))


def test_the_trace_is_cut_before_an_action_that_is_not_greedy():
    reward, discount, value = column(0, 0, 100), column(1, 1, 0), column(1, 2, 3)
    found = lambda_returns(reward, discount, value, column(1, 0, 1), column(0, 0, 1), 1.0)
    # step 1 was exploration: step 0 takes the bootstrap value instead; its own action need not be greedy
    torch.testing.assert_close(found, column(1, 100, 100))


def test_last_steps_of_episodes_of_different_lengths():
    mask = torch.tensor([[1.0, 1, 1], [1, 0, 1], [1, 0, 0]])
    assert last_steps(mask).tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]


# Asymmetric DQN worked out by hand (episode of three steps, two actions, γ = 0.9, ended by the domain).
REWARD, ACTION, DISCOUNT = column(0, 1, 2), torch.tensor([[0], [1], [0]]), column(0.9, 0.9, 0)
Q_TARGET = torch.tensor([[[1.0, 2]], [[3.0, 0]], [[5.0, 6]], [[-1.0, -2]]])  # the last row is read by nothing
U_TARGET = torch.tensor([[[7.0, 8]], [[9.0, 10]], [[11.0, 12]], [[-1.0, -2]]])


def published_targets(evaluate):
    value = taken(evaluate, Q_TARGET.argmax(-1))[1:]
    return lambda_returns(REWARD, DISCOUNT, value, torch.ones(3, 1), column(0, 0, 1), 0.0)


def squared_error_from_zero(target):
    return masked_mean((taken(torch.zeros(3, 1, 2), ACTION) - target).square(), torch.ones(3, 1)).item()


def test_asymmetric_dqn_takes_the_critics_value_of_qs_greedy_action():
    targets = published_targets(U_TARGET)
    torch.testing.assert_close(targets, column(8.1, 11.8, 2))
    assert squared_error_from_zero(targets) == pytest.approx(69.61667, abs=1e-4)


def test_plain_dqn_takes_the_maximum():
    targets = published_targets(Q_TARGET)
    torch.testing.assert_close(targets, column(2.7, 6.4, 2))
    assert squared_error_from_zero(targets) == pytest.approx(17.41667, abs=1e-4)


def test_tree_backup_returns_by_hand():
    """Two steps and an end, then one step that is cut off, with padding that is no number."""
    nan = torch.nan
    reward, discount = torch.tensor([[1.0, 2.0], [3.0, nan]]), torch.tensor([[0.5, 0.5], [0.0, nan]])
    value, q_taken = torch.tensor([[4.0, 6.0], [9.0, nan]]), torch.tensor([[7.0, 7.0], [2.0, nan]])
    chance, last = torch.tensor([[0.9, 0.9], [0.25, nan]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    returns = tree_backup_returns(reward, discount, value, q_taken, chance, last, 0.8)
    # G_1 = 3; G_0 = 1 + 0.5 (4 + 0.8 * 0.25 * (3 - 2)); of the other 2 + 0.5 * 6
    torch.testing.assert_close(returns, torch.tensor([[3.1, 5.0], [3.0, 0.0]]))


def test_tree_backup_returns_are_right_on_the_mean_whoever_acts():
    """Two actions, which pay 0 and 1 and noise, for two steps; π draws the second with 0.3, who acts with 0.9."""
    rng, pi = np.random.default_rng(0), np.array([0.7, 0.3])
    action = (rng.random((2, 100_000)) < 0.9).astype(int)
    q = np.array([[0.3, 1.3], [0.0, 1.0]])  # by step and action
    taken_TB = torch.tensor(np.stack([q[t][action[t]] for t in range(2)]), dtype=torch.float32)
    value = torch.tensor([[pi @ q[1]], [0.0]], dtype=torch.float32).expand(2, 100_000)
    last, ones = torch.zeros(2, 100_000), torch.ones(2, 100_000)
    last[1] = 1.0
    reward = torch.tensor(action + [[0.0], [1.0]] * rng.normal(size=(2, 100_000)), dtype=torch.float32)
    chance = torch.tensor(pi[action], dtype=torch.float32)
    discount = ones - last
    returns = tree_backup_returns(reward, discount, value, taken_TB, chance, last, 1.0)
    for first in (0, 1):
        of_first = returns[0][torch.tensor(action[0] == first)]
        assert of_first.std() > 0.01
        assert of_first.mean().item() == pytest.approx(
            q[0][first], abs=4 * of_first.std().item() / len(of_first) ** 0.5
        )


def test_the_spread_of_an_output_by_hand_and_none_where_nothing_that_is_seen_counts():
    output = torch.tensor([[[1.0, -2.0], [4.0, -2.0]], [[3.0, 6.0], [torch.nan, 99.0]]], requires_grad=True)
    mask = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    found = spread(output, mask)
    assert found.item() == (3.0 + 8.0) / 2 and not found.requires_grad
    dead = mlp(3, (8, 8), 2)
    dead[2].bias.data.fill_(-100.0)  # the second layer: no input brings it above 0
    assert spread(dead(torch.randn(2, 2, 3)), mask).item() == 0.0
    assert spread(mlp(3, (8, 8), 2)(torch.randn(2, 2, 3)), mask).item() > 0.0


def test_masked_mean_leaves_padding_out_and_its_gradient_too():
    loss = torch.tensor([[1.0, 5.0], [3.0, torch.nan]], requires_grad=True)
    mean = masked_mean(loss, torch.tensor([[1.0, 1.0], [1.0, 0.0]]))
    assert mean.item() == 3.0
    mean.backward()
    torch.testing.assert_close(loss.grad, torch.tensor([[1 / 3, 1 / 3], [1 / 3, 0.0]]))
    assert masked_mean(loss, torch.zeros(2, 2)).item() == 0.0


@pytest.mark.parametrize(
    ("kind", "same", "opposite", "orthogonal", "double"),
    [("cosine", 0.0, 2.0, 1.0, 0.0), ("abs_cosine", 0.0, 0.0, 1.0, 0.0), ("l2", 0.0, 100.0, 50.0, 25.0)],
)
def test_prediction_errors_by_hand(kind, same, opposite, orthogonal, double):
    z = torch.tensor([[3.0, 4.0]] * 4)
    prediction = torch.tensor([[3.0, 4.0], [-3.0, -4.0], [-4.0, 3.0], [6.0, 8.0]])
    found = prediction_error(prediction, z, kind)
    torch.testing.assert_close(found, torch.tensor([same, opposite, orthogonal, double]), **CLOSE)


@pytest.mark.parametrize("kind", ["cosine", "abs_cosine", "l2"])
def test_a_prediction_of_nothing_but_zeros_has_a_finite_error_and_gradient(kind):
    prediction = torch.zeros(2, 3, requires_grad=True)
    error = prediction_error(prediction, torch.tensor([[1.0, 2, 3], [0, 0, 0]]), kind)
    error.sum().backward()
    assert torch.isfinite(error).all()
    assert torch.isfinite(prediction.grad).all()
