"""DQN and Asymmetric DQN: targets by hand, where gradients go, and what padding must not do."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from buffers.batch import EpisodeBatch, Rows
from policies.agents.dqn import DQN
from policies.extensions import Extensions, IntrinsicReward
from policies.models.views import PrivilegedViews
from tests.helpers.agents import (
    CPU,
    MEMORIES,
    SPEC,
    VARIANTS,
    changed,
    make_agent,
    make_batch,
    make_config,
    weights,
    write_embedders,
)  # fmt: skip


class Table(nn.Module):
    """Networks whose values are the entries of a table, whatever the batch."""

    def __init__(self, q, u=None):
        super().__init__()
        self.q = nn.Parameter(torch.tensor(q)[:, None])
        self.u = None if u is None else nn.Parameter(torch.tensor(u)[:, None])

        self.policy = nn.Identity()

    def forward(self, batch, given):
        return {}, self.q, self.u


# The published example: three steps, two actions, γ = 0.9. The last row is read by nothing.
Q_TARGET, U_TARGET = ([[1.0, 2], [3, 0], [5, 6], [-9, -8]], [[7.0, 8], [9, 10], [11, 12], [-9, -8]])
ZEROS = [[0.0, 0]] * 4


def example(terminated=True, action=(0, 1, 0)):
    rows, ones = torch.zeros(4, 1, 1), torch.ones(3, 1)
    discount = ones.clone()
    discount[-1] = 0.0 if terminated else 1.0
    reward = torch.tensor([[0.0], [1.0], [2.0]])
    return EpisodeBatch.from_transitions(rows, rows, torch.tensor(action)[:, None], reward, discount, ones, 2)


class MadeUp(IntrinsicReward):
    weight = 10.0

    def reward(self, views, batch):
        return torch.tensor([[1.0], [-2.0], [3.0]])


def table_agent(q_online, q_slow, u_online=None, u_slow=None, **overrides):
    config = make_config(discount=0.9, max_grad_norm=1e9, **({"return_lambda": 0.0, "double_q": False} | overrides)).rl
    agent = DQN(Table(q_online, u_online), PrivilegedViews({}, {}), Extensions(), config, 2, 0, CPU)
    agent.target = Table(q_slow, u_slow)
    return agent


def targets(agent, batch):
    with torch.no_grad():
        return agent._targets(agent.online.q, batch, {}, torch.zeros_like(batch.reward)).returns_TB[:, 0].tolist()


def test_asymmetric_dqn_has_the_published_losses_for_q_and_u_alike():
    agent = table_agent(ZEROS, Q_TARGET, ZEROS, U_TARGET)
    assert targets(agent, example()) == pytest.approx([8.1, 11.8, 2.0])
    metrics = agent.update(example())
    assert metrics["loss/td"].item() == pytest.approx(69.61667, abs=1e-4)
    assert metrics["loss/critic"].item() == pytest.approx(69.61667, abs=1e-4)
    assert metrics["q/target"].item() == pytest.approx((8.1 + 11.8 + 2) / 3)


def test_dqn_has_the_published_loss():
    agent = table_agent(ZEROS, Q_TARGET)
    assert targets(agent, example()) == pytest.approx([2.7, 6.4, 2.0])
    metrics = agent.update(example())
    assert metrics["loss/td"].item() == pytest.approx(17.41667, abs=1e-4)
    assert "loss/critic" not in metrics


@pytest.mark.parametrize(("all_actions", "expected"), [(True, 93.16667), (False, 90.0)])
def test_with_reduced_variance_q_regresses_to_u_of_the_same_step(all_actions, expected):
    """The published numbers: the mean of U⁻² over steps, of all actions or of those taken (7, 10, 11)."""
    options = {"q_target": "critic", "vr_all_actions": all_actions}
    agent = table_agent(ZEROS, Q_TARGET, ZEROS, U_TARGET, **options)
    metrics = agent.update(example())
    assert metrics["loss/td"].item() == pytest.approx(expected, abs=1e-4)
    assert metrics["loss/critic"].item() == pytest.approx(69.61667, abs=1e-4)  # U learns as before
    gradient = torch.tensor([[-7.0, -8], [-9, -10], [-11, -12]])[:, None] / 3
    if not all_actions:
        gradient = 2 * gradient * torch.tensor([[1.0, 0], [0, 1], [1, 0]])[:, None]
    torch.testing.assert_close(agent.online.q.grad[:3], gradient)
    assert agent.target.u.grad is None


def test_the_released_history_target_is_the_next_value_for_all_actions():
    """D1 of the released code: no reward, no discount, no ending, the errors of both actions summed.

    argmax Q⁻ is 0, 1, 1 on the rows 1 … 3.
    """
    agent = table_agent(ZEROS, Q_TARGET, ZEROS, U_TARGET, q_target="released")
    metrics = agent.update(example())
    assert metrics["loss/td"].item() == pytest.approx(2 * (9**2 + 12**2 + 8**2) / 3, abs=1e-4)
    assert metrics["loss/critic"].item() == pytest.approx(69.61667, abs=1e-4)


@pytest.mark.parametrize("critic_memory", ["shared", "separate"])
def test_the_critics_loss_shapes_the_memory_of_q_where_it_is_shared(critic_memory):
    """As published: with one history both losses train the weights that Q reads; with two, U's does not."""
    agent, batch = make_agent("ua", critic_memory=critic_memory), make_batch()
    _, _, u = agent.online(batch, {})
    memory = list(agent.policy.public.folds["history"].memory.parameters())
    grads = torch.autograd.grad(u.square().sum(), memory, allow_unused=True)
    assert all((g is not None and g.abs().sum() > 0) == (critic_memory == "shared") for g in grads)


def test_the_gradient_reaches_the_taken_actions_values_only():
    agent = table_agent(ZEROS, Q_TARGET, ZEROS, U_TARGET)
    agent.update(example())
    # d/dq of the mean of (q - y)²: -2 y / 3, at the same step as the target (not one step on, nor all actions)
    expected = torch.zeros(4, 1, 2)
    expected[0, 0, 0], expected[1, 0, 1], expected[2, 0, 0] = -5.4, -11.8 * 2 / 3, -4 / 3
    torch.testing.assert_close(agent.online.q.grad, expected)
    torch.testing.assert_close(agent.online.u.grad, expected)


def test_double_q_lets_the_online_network_choose_and_the_target_network_judge():
    online = [[0.0, 1], [1, 0], [1, 0], [0, 1]]  # would choose 1, 0, 0, 1
    assert targets(table_agent(online, Q_TARGET, double_q=True), example()) == pytest.approx([2.7, 1 + 0.9 * 5, 2.0])
    assert targets(table_agent(online, Q_TARGET, double_q=False), example()) == pytest.approx([2.7, 6.4, 2.0])
    both = table_agent(online, Q_TARGET, ZEROS, U_TARGET, double_q=True)
    assert targets(both, example()) == pytest.approx([0.9 * 9, 1 + 0.9 * 11, 2.0])


def test_a_time_limit_bootstraps_from_the_row_after_the_last_action():
    q = [*Q_TARGET[:3], [10.0, 20.0]]
    assert targets(table_agent(ZEROS, q), example(terminated=False)) == pytest.approx([2.7, 6.4, 2 + 0.9 * 20])


def test_lambda_returns_follow_the_stored_actions_as_long_as_they_are_greedy():
    # greedy by q⁻: 1, 0, 1. Stored 1, 0, 1: no cut.
    full = table_agent(ZEROS, Q_TARGET, return_lambda=0.5)
    last = 2.0
    middle = 1 + 0.9 * (0.5 * 6 + 0.5 * last)
    first = 0.9 * (0.5 * 3 + 0.5 * middle)
    assert targets(full, example(action=(1, 0, 1))) == pytest.approx([first, middle, last])
    assert targets(full, example(action=(0, 0, 1))) == pytest.approx([first, middle, last])
    # stored 1, 1, 1: step 1 explored, so step 0 takes the bootstrap value
    assert targets(full, example(action=(1, 1, 1))) == pytest.approx([0.9 * 3, middle, last])
    uncut = table_agent(ZEROS, Q_TARGET, return_lambda=0.5, cut_traces=False)
    assert targets(uncut, example(action=(1, 1, 1))) == pytest.approx([first, middle, last])


def test_the_bonus_is_part_of_the_target_with_its_weight():
    agent = table_agent(ZEROS, Q_TARGET)
    agent.parts = Extensions(intrinsic={"made_up": MadeUp()})
    metrics = agent.update(example())
    assert metrics["q/target"].item() == pytest.approx((2.7 + 6.4 + 2 + 10 * 2) / 3)
    assert metrics["bonus/made_up"].item() == pytest.approx(2 / 3)
    assert metrics["bonus/made_up_abs"].item() == pytest.approx(2.0)


def test_the_bonus_falls_to_nothing_where_it_is_annealed():
    """The targets of the made-up bonus above, at half of its weight half-way, and at none of it in the end."""
    for env_steps, share in ((0, 1.0), (50, 0.5), (100, 0.0), (200, 0.0)):
        agent = table_agent(ZEROS, Q_TARGET, intrinsic__anneal_steps=100)
        agent.parts, agent.env_steps = Extensions(intrinsic={"made_up": MadeUp()}), env_steps
        metrics = agent.update(example())
        assert metrics["q/target"].item() == pytest.approx((2.7 + 6.4 + 2 + share * 10 * 2) / 3)
        assert metrics["bonus/made_up"].item() == pytest.approx(2 / 3)


def test_the_target_network_follows_by_polyak_averaging():
    agent = make_agent("ua", tau=0.25)
    before = weights(agent.target)
    for step in range(2):
        agent.update(make_batch(seed=step))
        online = weights(agent.online)
        for name, value in weights(agent.target).items():
            torch.testing.assert_close(value, before[name] + 0.25 * (online[name] - before[name]), msg=name)
        before = weights(agent.target)
    assert all(parameter.grad is None for parameter in agent.target.parameters())


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("memory", MEMORIES)
def test_a_padded_batch_has_the_loss_of_its_episodes_one_by_one(variant, memory, monkeypatch):
    lengths = (3, 12, 1, 7)
    batch = make_batch(lengths)
    agent = make_agent(variant, memory, lr=0.0, tau=0.0)
    learning = [name for name, one in agent.extensions.intrinsic.items() if not one.under_vmap]
    for name in learning:  # another reward after each update
        agent.extensions.intrinsic[name].weight = 0.0
    monkeypatch.setattr(torch, "randn", torch.zeros)  # no noise: each row's own would be another
    together = agent.update(batch)
    alone = []
    for b, length in enumerate(lengths):
        cut = {name: getattr(batch, name)[:length, b : b + 1] for name in ("action", "reward", "discount", "mask")}
        rows = (Rows.all_different(x.full()[: length + 1, b : b + 1]) for x in (batch.obs, batch.state))
        alone.append(agent.update(EpisodeBatch.from_transitions(*rows, **cut, num_actions=4)))
    for name, value in together.items():
        if name == "grad_norm" or any(one in name for one in learning):
            continue
        if name == "policy/spread":  # no mean: as far as all of them reach together
            assert value >= max(metrics[name] for metrics in alone) - 1e-6
            continue
        counts = [length + (name in ("loss/state_prediction", "loss/belief_elbo")) for length in lengths]
        mean = sum(n * metrics[name] for n, metrics in zip(counts, alone, strict=True)) / sum(counts)
        torch.testing.assert_close(value, mean, rtol=1e-4, atol=1e-5, msg=lambda m, name=name: f"{name}: {m}")


@pytest.mark.parametrize("source", ["trainable", "frozen", "scratch"])
def test_phi_never_learns_and_psi_learns_unless_frozen(tmp_path, source):
    agent = make_agent("mi", embedders=write_embedders(tmp_path), z_obs=source)
    read = make_agent("mi", embedders=write_embedders(tmp_path), z_obs="frozen")
    psi, phi = agent.policy.public.shortcuts["z_obs"], agent.state_views.frozen["z_state"]
    from_file = weights(read.policy.public.shortcuts["z_obs"])
    assert bool(changed(from_file, psi)) == (source == "scratch")
    before = weights(psi), weights(phi)
    for step in range(3):
        agent.update(make_batch(seed=step))
    assert not changed(before[1], phi)
    assert all(parameter.grad is None for parameter in phi.parameters())
    assert bool(changed(before[0], psi)) == (source != "frozen")


def gradients(agent, batch):
    agent.update(batch)
    return {name: p.grad.clone() for name, p in agent.named_parameters() if p.grad is not None}


def test_the_auxiliary_weight_scales_the_gradient_into_the_memory_and_not_that_of_the_predictor():
    options = {"max_grad_norm": 1e9, "intrinsic__use": ()}
    at = {
        w: gradients(make_agent("mi", auxiliary__state_prediction__weight=w, **options), make_batch())
        for w in (0.0, 0.5, 1.0)
    }
    without = gradients(make_agent("mi", auxiliary__use=(), **options), make_batch())
    memory = [name for name in at[0.0] if name.startswith("online.policy.public.folds.history.memory")]
    predictor = [name for name in at[0.0] if name.startswith("parts.auxiliary")]
    assert memory
    assert predictor
    for name in memory:
        torch.testing.assert_close(at[0.0][name], without[name], rtol=0, atol=0)
        torch.testing.assert_close(at[0.5][name], (at[0.0][name] + at[1.0][name]) / 2, rtol=1e-4, atol=1e-6)
        assert not torch.equal(at[0.0][name], at[1.0][name])
    for name in predictor:
        assert at[0.0][name].abs().sum() > 0
        torch.testing.assert_close(at[0.0][name], at[1.0][name], rtol=0, atol=0)


@pytest.mark.parametrize("variant", ["ua", "ba"])
def test_the_gradient_of_q_does_not_see_the_state(variant):
    """Two batches that differ in the state alone differ in the targets, not in Q; U differs."""
    agent, batch = make_agent(variant), make_batch()
    other = copy.deepcopy(batch)
    other.state.distinct[:] = torch.randn_like(other.state.distinct)
    (_, q, u), (_, q_other, u_other) = agent.online(batch, {}), agent.online(other, {})
    assert torch.equal(q, q_other)
    assert not torch.equal(u, u_other)


def test_the_state_only_critic_reads_the_state_only():
    agent, batch = make_agent("ba"), make_batch()
    other = copy.deepcopy(batch)
    other.obs.distinct[:] = 7.0
    other.prev_action[:] = 0.0
    torch.testing.assert_close(agent.online(batch, {})[2], agent.online(other, {})[2], rtol=0, atol=0)


def test_epsilon_falls_linearly_with_env_steps():
    agent = make_agent(exploration__start=0.9, exploration__end=0.1, exploration__steps=200)
    found = []
    for agent.env_steps in (0, 50, 100, 200, 999):
        found.append(agent.epsilon())
    assert found == pytest.approx([0.9, 0.7, 0.5, 0.1, 0.1])
    at_once = make_agent(exploration__steps=0)
    at_once.env_steps = 1
    assert at_once.epsilon() == pytest.approx(0.1)


def act(agent, count, explore):
    zeros = np.zeros((count, 3)), np.zeros((count, 4)), np.zeros(count), np.ones(count)
    return agent.act(*zeros, None, explore)[0]


def test_exploring_draws_epsilon_of_the_actions_uniformly():
    agent = make_agent(exploration__start=0.4, exploration__end=0.4)
    greedy = act(agent, 1, explore=False)[0]
    actions = act(agent, 8000, explore=True)
    shares = np.bincount(actions, minlength=4) / 8000
    expected = np.full(4, 0.1) + 0.6 * (np.arange(4) == greedy)
    assert np.abs(shares - expected).max() < 0.025
    assert (act(agent, 100, explore=False) == greedy).all()
    agent.config.exploration.start = agent.config.exploration.end = 0.0
    assert (act(agent, 100, explore=True) == greedy).all()


@pytest.mark.learning
def test_updates_learn_a_small_task():
    """The reward is paid for action 2: after some updates Q says so."""
    agent, batch = make_agent("history", discount=0.0, lr=1e-2), make_batch((12, 12, 12, 12))
    batch = replace(batch, reward=(batch.action == 2).float())
    for _ in range(150):
        metrics = agent.update(batch)
    assert metrics["loss/td"].item() < 0.02
    assert (agent.online(batch, {})[1][:-1].argmax(-1) == 2).float().mean() > 0.9


def test_dropout_is_off_when_acting_and_in_the_target_network():
    agent = make_agent("mi", "gpt", seq={"kwargs__dropout": 0.5})
    agent.update(make_batch())
    assert not any(module.training for module in agent.modules())
    assert SPEC.max_episode_steps + 1 == agent.policy.public.folds["history"].memory.context
