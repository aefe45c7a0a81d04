"""SAC: targets, actor and temperature by hand, what each loss trains, and who sees the state."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from buffers.batch import EpisodeBatch
from policies.agents.actor_critic import Networks
from policies.agents.sac import SAC, target_entropy
from policies.extensions import Extensions
from policies.models.views import PrivilegedViews
from tests.helpers.agents import (
    CONTINUOUS,
    CPU,
    SPEC,
    changed,
    make_agent,
    make_batch,
    make_config,
    numbered,
    weights,
)  # fmt: skip
from torchkit.actions import Categorical, TanhGaussian
from torchkit.distributions import mode_tanh_gaussian, sample_tanh_gaussian
from utils.errors import UserError

LOG_2PI = math.log(2 * math.pi)


class FixedPolicy(nn.Module):
    """A policy whose head's outputs are the entries of a table, at the rows that it is asked for."""

    def __init__(self, output, discrete):
        super().__init__()
        self.output = nn.Parameter(torch.tensor(output)[:, None])
        self.actions = Categorical() if discrete else TanhGaussian()
        self.public = numbered
        self.head = lambda views, batch: self.output[views["number"][:, 0, 0]]


class FixedCritic(nn.Module):
    """Twin critics of fixed values; of continuous actions `value + slope · a`."""

    def __init__(self, values, slope=None):
        super().__init__()
        self.values = nn.ParameterList([nn.Parameter(torch.tensor(v)[:, None]) for v in values])
        self.slope, self.public, self.views = slope, None, numbered

    def forward(self, views, batch, action):
        extra = 0 if self.slope is None else self.slope * action.sum(-1, keepdim=True)
        return [v[views["number"][:, 0, 0]] + extra for v in self.values]


def fixed_agent(policy, critic, target, **options):
    options = {"discount": 0.9, "temperature__initial": 0.5, "max_grad_norm": 1e9} | options
    config = make_config("sac:history", **options).rl
    networks = Networks(policy, critic, PrivilegedViews({}, {}), Extensions(), Extensions())
    agent = SAC(networks, config, 2 if policy.actions.discrete else 1, 0, CPU)
    agent.target = target
    return agent


def example(discrete):
    """Two steps, the second ends the episode: rewards 1 and 2."""
    rows = torch.zeros(3, 1, 1)
    action = torch.tensor([[0], [1]]) if discrete else torch.tensor([[[0.5]], [[-0.25]]])
    column = torch.ones(2, 1)
    return EpisodeBatch.from_transitions(
        rows, rows, action, torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [0.0]]), column, 2
    )


def test_discrete_losses_by_hand():
    even, sure = [0.0, 0.0], [math.log(3.0), 0.0]  # probabilities (1/2, 1/2) and (3/4, 1/4)
    policy = FixedPolicy([even, sure, even], discrete=True)
    critic = FixedCritic([[[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]], [[0.0, 5.0], [5.0, 3.0], [9.0, 9.0]]])
    target = FixedCritic([[[0.0, 0.0], [10.0, 20.0], [9.0, 9.0]], [[0.0, 0.0], [12.0, 18.0], [9.0, 9.0]]])
    agent = fixed_agent(policy, critic, target)
    metrics = agent.update(example(discrete=True))
    # V(h_1) = Σ π (min Q⁻ - α log π), α = 1/2
    entropy_1 = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    soft = 0.75 * 10 + 0.25 * 18 + 0.5 * entropy_1
    targets = [1 + 0.9 * soft, 2.0]
    assert metrics["q/target"].item() == pytest.approx(np.mean(targets))
    # each critic's taken values: (1, 4) and (0, 3)
    td = ((1 - targets[0]) ** 2 + (4 - 2) ** 2) / 2 + ((0 - targets[0]) ** 2 + (3 - 2) ** 2) / 2
    assert metrics["loss/td"].item() == pytest.approx(td)
    # Σ π (α log π - min Q): min Q = (0, 2) and (3, 3)
    actor = (0.5 * math.log(0.5) - 1.0) / 2 + (-0.5 * entropy_1 - 3.0) / 2
    assert metrics["loss/actor"].item() == pytest.approx(actor)
    assert metrics["policy/entropy"].item() == pytest.approx((math.log(2) + entropy_1) / 2)
    # d/d(logit 0) of the first row's share: π0 π1 ((l0 - l1) with l = α log π - min Q; here -0 + 2), over 2 steps
    assert policy.output.grad[0, 0, 0].item() == pytest.approx(0.25 * 2.0 / 2)
    assert policy.output.grad[2].abs().sum() == 0  # the row after the last action is nobody's


def test_continuous_losses_by_hand():
    # mean 0.3, log std log 0.2
    row = [0.3, math.log(0.2)]
    policy = FixedPolicy([row] * 3, discrete=False)
    critic = FixedCritic([[[1.0], [2.0], [9.0]], [[0.5], [3.0], [9.0]]], slope=2.0)
    target = FixedCritic([[[0.0], [4.0], [9.0]], [[0.0], [5.0], [9.0]]], slope=1.0)
    agent = fixed_agent(policy, critic, target)
    torch.manual_seed(3)
    noise = torch.randn(3, 1, 1)
    torch.manual_seed(3)
    metrics = agent.update(example(discrete=False))
    raw = 0.3 + 0.2 * noise[:, 0, 0].numpy().astype(np.float64)
    action = np.tanh(raw)
    density = np.exp(-0.5 * ((raw - 0.3) / 0.2) ** 2) / (0.2 * math.sqrt(2 * math.pi)) / (1 - action**2)
    log_prob = np.log(density)
    targets = [1 + 0.9 * (4.0 + action[1] - 0.5 * log_prob[1]), 2.0]
    assert metrics["q/target"].item() == pytest.approx(np.mean(targets), rel=1e-5)
    taken = np.array([[1 + 2 * 0.5, 2 - 2 * 0.25], [0.5 + 2 * 0.5, 3 - 2 * 0.25]])
    assert metrics["loss/td"].item() == pytest.approx(((taken - targets) ** 2).mean(1).sum(), rel=1e-5)
    least = np.array([0.5, 2.0]) + 2 * action[:2]
    assert metrics["loss/actor"].item() == pytest.approx((0.5 * log_prob[:2] - least).mean(), rel=1e-5)
    # the mean moves the action: d/dμ = α (-d/dμ log(1 - tanh²u)) - slope (1 - a²); log N(u) does not change with μ
    slope = 0.5 * 2 * action[0] - 2.0 * (1 - action[0] ** 2)
    assert policy.output.grad[0, 0, 0].item() == pytest.approx(slope / 2, rel=1e-4)
    assert all(value.grad is not None for value in critic.values)
    # the critics learn by their own loss alone: d/dq of the mean of (q - y)²
    assert critic.values[0].grad[0, 0, 0].item() == pytest.approx(taken[0, 0] - targets[0], rel=1e-5)


def test_the_temperature_falls_while_the_entropy_is_above_its_floor_and_rises_below():
    for floor, rises in ((0.1, False), (0.9, True)):
        policy = FixedPolicy([[math.log(3.0), 0.0]] * 3, discrete=True)  # 0.811 of log 2
        critic = FixedCritic([[[0.0, 0.0]] * 3] * 2)
        agent = fixed_agent(policy, critic, copy.deepcopy(critic), temperature__target_share=floor)
        agent.update(example(discrete=True))
        assert (agent.log_alpha.exp().item() > 0.5) == rises
        # loss α (H - H*): its slope in log α is itself
        entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
        assert agent.log_alpha.grad.item() == pytest.approx(0.5 * (entropy - floor * math.log(2)), rel=1e-5)
        fixed = fixed_agent(policy, critic, copy.deepcopy(critic), temperature__auto=False)
        fixed.update(example(discrete=True))
        assert fixed.log_alpha.exp().item() == pytest.approx(0.5)


def test_the_floor_of_the_entropy():
    temperature = make_config("sac:history", temperature__target_entropy=-0.5, temperature__target_share=0.2).rl
    assert target_entropy(temperature.temperature, 3, discrete=False) == -1.5
    assert target_entropy(temperature.temperature, 3, discrete=True) == pytest.approx(0.2 * math.log(3))


def test_lambda_returns_follow_the_whole_episode():
    policy = FixedPolicy([[0.0, 0.0]] * 3, discrete=True)
    critic = FixedCritic([[[1.0, 1.0]] * 3] * 2)
    agent = fixed_agent(policy, critic, FixedCritic([[[4.0, 4.0]] * 3] * 2), return_lambda=0.5)
    metrics = agent.update(example(discrete=True))
    soft = 4 + 0.5 * math.log(2)
    first = 1 + 0.9 * (0.5 * soft + 0.5 * (2.0 + 0.5 * math.log(2)))
    assert metrics["q/target"].item() == pytest.approx((first + 2) / 2)


def test_the_density_of_a_squashed_gaussian_is_one_and_agrees_with_a_histogram():
    torch.manual_seed(0)
    output = torch.tensor([0.4, -0.7, math.log(0.6), math.log(0.3)]).expand(200_000, 4)
    action, log_prob = sample_tanh_gaussian(output, torch.randn(200_000, 2))
    assert action.abs().max() < 1
    # E[1/p] over the support that a grid of actions covers is its area: 2 x 2 in all
    inside = (action[:, 0].abs() < 0.9) & (action[:, 1] > -0.95) & (action[:, 1] < 0.3)
    area = (inside / log_prob.exp()).mean().item()
    assert area == pytest.approx(1.8 * 1.25, rel=0.02)
    assert torch.equal(mode_tanh_gaussian(output[:1]), torch.tanh(output[:1, :2]))


def test_extreme_outputs_keep_finite_densities_and_gradients():
    output = torch.tensor([[40.0, 50.0], [-40.0, -50.0], [0.0, 2.0]], requires_grad=True)
    action, log_prob = sample_tanh_gaussian(output, torch.full((3, 1), 3.0))
    assert torch.isfinite(log_prob).all()
    (log_prob.sum() + action.sum()).backward()
    assert torch.isfinite(output.grad).all()


@pytest.mark.parametrize("spec", [SPEC, CONTINUOUS])
def test_a_shared_memory_is_trained_by_the_critics_loss_alone(spec):
    agent = make_agent("sac:history", spec=spec, critic_memory="shared", critic_lr=0.0, deploy="online")
    assert agent.shared
    assert agent.critic.public is agent.policy.public
    before = weights(agent)
    agent.update(make_batch(spec=spec))
    moved = changed(before, agent)
    assert moved == {name for name in before if name.startswith("actor.head")} | {"log_alpha"}
    agent = make_agent("sac:history", spec=spec, critic_memory="shared", actor_lr=0.0)
    before = weights(agent)
    agent.update(make_batch(spec=spec))
    moved = changed(before, agent)
    assert {name for name in before if "actor.public.folds.history" in name} <= moved
    assert not any(name.startswith("actor.head") for name in moved)


def test_separate_memories_learn_from_their_own_losses():
    for lr, moving in (("actor_lr", "critic"), ("critic_lr", "actor")):
        agent = make_agent("sac:history", spec=CONTINUOUS, deploy="online", **{lr: 0.0})
        before = weights(agent)
        agent.update(make_batch(spec=CONTINUOUS))
        moved = {name.split(".")[0] for name in changed(before, agent)} - {"log_alpha", "target"}
        assert moved == {moving}


def test_the_actor_may_carry_the_auxiliary_loss_too():
    agent = make_agent("sac:mi", spec=CONTINUOUS, auxiliary__use_actor=("state_prediction",))
    before = weights(agent)
    metrics = agent.update(make_batch(spec=CONTINUOUS))
    assert {"loss/state_prediction", "loss/actor_state_prediction"} <= metrics.keys()
    moved = changed(before, agent)
    assert any(name.startswith("actor_parts") for name in moved)
    two = [agent.extensions.auxiliary["state_prediction"], agent.actor_extensions.auxiliary["state_prediction"]]
    assert not torch.equal(*(part.net[0].weight for part in two))


def soft_returns(reward, discount, value, entropy, lengths, return_lambda):
    """The λ-returns of each episode by their definition: the entropy of a step counts with what follows it."""
    returns = torch.zeros_like(reward)
    for b, length in enumerate(lengths):
        following = None
        for t in reversed(range(length)):
            soft = value[t, b] + entropy[t, b]
            mixed = (
                soft if following is None else (1 - return_lambda) * soft + return_lambda * (following + entropy[t, b])
            )
            returns[t, b] = following = reward[t, b] + discount[t, b] * mixed
    return returns


@pytest.mark.parametrize("return_lambda", [0.0, 0.7, 1.0])
def test_an_update_is_that_of_its_losses_on_a_recurrent_agent(return_lambda):
    """The target of a real agent, against its own networks called one by one."""
    agent = make_agent("sac:mi", spec=CONTINUOUS, return_lambda=return_lambda)
    batch = make_batch(spec=CONTINUOUS)
    before = copy.deepcopy(agent)
    torch.manual_seed(1)
    metrics = agent.update(batch)
    agent = before
    torch.manual_seed(1)
    with torch.no_grad():
        given = agent.state_views(batch)
        output = agent.policy.head(agent.policy.public(batch), batch)
        action, log_prob = sample_tanh_gaussian(output, torch.randn(*output.shape[:2], 2))
        views = agent.critic.views(batch, given)
        agent.extensions.extend(views, batch)
        bonus = agent.extensions.bonus(views, batch, {})
        judged = agent.target(agent.target.views(batch, given), batch, action)
        alpha = agent.log_alpha.exp()
        value, entropy = torch.minimum(*judged)[1:, :, 0], -alpha * log_prob[1:]
        lengths = batch.mask.sum(0).int().tolist()
        y = soft_returns(batch.reward + bonus, 0.99 * batch.discount, value, entropy, lengths, return_lambda)
    expected = (y * batch.mask).sum() / batch.mask.sum()
    assert metrics["q/target"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_an_actors_loss_that_cannot_reach_its_memory_is_refused():
    for row, loss in (("mi", "state_prediction"), ("zp", "self_prediction")):
        with pytest.raises(UserError, match=rf"auxiliary.use_actor: {loss} cannot reach a memory"):
            make_agent(f"sac:{row}", spec=CONTINUOUS, critic_memory="shared", auxiliary__use_actor=(loss,))
    cloning = {"critic_memory": "shared", "auxiliary__use_actor": ("behaviour_cloning",)}  # it shapes the head
    make_agent("sac:history", spec=CONTINUOUS, **cloning).update(make_batch(spec=CONTINUOUS))


def test_shared_views_that_the_critics_do_not_read_are_refused():
    with pytest.raises(UserError, match=r"critic_memory=shared: .*critic_inputs lack history"):
        make_agent("sac:ba", spec=CONTINUOUS, critic_memory="shared")


@pytest.mark.parametrize("spec", [SPEC, CONTINUOUS])
def test_exploring_samples_the_policy_and_greedy_takes_its_mode(spec):
    agent = make_agent("sac:history", spec=spec)
    obs = [np.random.default_rng(0).normal(size=(3, 3)).repeat(2000, 0), np.zeros((6000, spec.action_dim))]
    obs += [np.zeros(6000), np.ones(6000)]
    greedy, _ = agent.act(*obs, None, explore=False)
    drawn, _ = agent.act(*obs, None, explore=True)
    assert (greedy.reshape(3, 2000, -1) == greedy.reshape(3, 2000, -1)[:, :1]).all()
    output = agent._policy_step(*obs, None, explore=False)[0].detach()
    if spec.discrete:
        assert greedy.dtype == np.int64
        share = np.stack([np.bincount(row, minlength=4) / 2000 for row in drawn.reshape(3, 2000)])
        np.testing.assert_allclose(share, output.softmax(-1)[::2000].numpy(), atol=0.05)
    else:
        assert greedy.shape == drawn.shape == (6000, 2)
        np.testing.assert_allclose(greedy, np.tanh(output[:, :2].numpy()), rtol=1e-5)
        raw = np.arctanh(drawn.astype(np.float64)).reshape(3, 2000, 2)
        np.testing.assert_allclose(raw.std(1), output[::2000, 2:].exp().numpy(), rtol=0.1)
