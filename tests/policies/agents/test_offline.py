"""Learning from stored episodes: losses by hand, what a bound adds, what cannot be asked for."""

import math
import re

import pytest
import torch
from torch import nn

from buffers.batch import EpisodeBatch
from policies.agents.actor_critic import Networks
from policies.agents.offline import Offline
from policies.extensions import Extensions
from policies.losses import advantage_weight, effective_share, expectile_error
from policies.models.heads import Critic, Head
from policies.models.views import PrivilegedViews
from tests.helpers.agents import (
    CONTINUOUS,
    CPU,
    OFFLINE_VARIANTS,
    SPEC,
    changed,
    make_agent,
    make_batch,
    make_config,
    numbered,
    weights,
)
from torchkit.actions import Categorical, TanhGaussian
from utils.errors import UserError


class Table(nn.Module):
    """A head of fixed outputs (3, 1, X) of the rows that it is asked for; of continuous actions `value + slope · a`."""

    inputs = ("action",)

    def __init__(self, rows, slope=0.0):
        super().__init__()
        self.rows, self.slope = nn.Parameter(torch.tensor(rows)[:, None]), slope


class FixedPolicy(nn.Module):
    def __init__(self, output, discrete):
        super().__init__()
        self.output = nn.Parameter(torch.tensor(output)[:, None])
        self.actions = Categorical() if discrete else TanhGaussian()
        self.public = numbered
        self.head = lambda views, batch: self.output[views["number"][:, 0, 0]]


class FixedCritic(nn.Module):
    def __init__(self, *heads):
        super().__init__()
        self.heads, self.public, self.views = nn.ModuleList(heads), None, numbered

    def forward(self, views, batch, action=None, which=slice(None)):
        number = views["number"][:, 0, 0]
        return [
            head.rows[number] + (head.slope * action.sum(-1, keepdim=True) if head.slope else 0.0)
            for head in list(self.heads)[which]
        ]


def fixed_agent(row, policy, critic, target=None, marginal=None, **options):
    options = {"discount": 0.9, "max_grad_norm": 1e9} | options
    config = make_config(f"offline:{row}", **options).rl
    networks = Networks(policy, critic, PrivilegedViews({}, {}), Extensions(), Extensions())
    agent = Offline(networks, marginal, config, 2 if policy.actions.discrete else 1, 0, CPU)
    if target is not None:
        agent.target = target
    return agent


def example(discrete=True):
    """Two steps, the second ends the episode: rewards 1 and 2."""
    rows = torch.zeros(3, 1, 1)
    action = torch.tensor([[0], [1]]) if discrete else torch.tensor([[[0.5]], [[-0.25]]])
    column = torch.ones(2, 1)
    return EpisodeBatch.from_transitions(
        rows, rows, action, torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [0.0]]), column, 2
    )


EVEN, SURE = [0.0, 0.0], [math.log(3.0), 0.0]  # probabilities (1/2, 1/2) and (3/4, 1/4)
Q1, Q2, V = [[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]], [[0.0, 5.0], [5.0, 3.0], [9.0, 9.0]], [[1.5], [2.0], [9.0]]
JUDGES = [[[2.5, 0.0], [0.0, 1.0], [9.0, 9.0]], [[2.0, 7.0], [7.0, 3.0], [9.0, 9.0]]]


def in_sample(row="awr", **options):
    critic = FixedCritic(Table(Q1), Table(Q2), Table(V))
    target = FixedCritic(*map(Table, JUDGES))
    return fixed_agent(row, FixedPolicy([EVEN, SURE, EVEN], True), critic, target, **options)


def test_cloning_by_hand():
    agent = fixed_agent("bc", FixedPolicy([EVEN, SURE, EVEN], True), FixedCritic())
    metrics = agent.update(example())
    assert metrics["loss/actor"].item() == pytest.approx((math.log(2) + math.log(4)) / 2)
    assert list(agent.optimisers) == ["actor"]


@pytest.mark.parametrize("expectile", [0.5, 0.9])
def test_losses_of_stored_actions_by_hand(expectile):
    agent = in_sample(expectile=expectile, inverse_temperature=2.0)
    metrics = agent.update(example())
    # Q regresses to r + γ V of the next row, 0 after the end: 1 + 0.9 · 2 and 2; taken are (1, 4) and (0, 3)
    td = ((1 - 2.8) ** 2 + (4 - 2) ** 2) / 2 + ((0 - 2.8) ** 2 + (3 - 2) ** 2) / 2
    assert metrics["loss/td"].item() == pytest.approx(td)
    assert metrics["q/target"].item() == pytest.approx((2.8 + 2) / 2)
    # the lesser target of the stored actions, (2, 1), less V (1.5, 2)
    advantage = (0.5, -1.0)
    value = (expectile * 0.25 + (1 - expectile) * 1.0) / 2
    assert metrics["loss/value"].item() == pytest.approx(value)
    weight = [math.exp(2 * a) for a in advantage]
    assert metrics["loss/actor"].item() == pytest.approx((weight[0] * math.log(2) + weight[1] * math.log(4)) / 2)
    # the policy's gradient by the first logit: w (π0 - 1[a = 0]) / 2
    assert agent.actor.output.grad[0, 0, 0].item() == pytest.approx(weight[0] * (0.5 - 1) / 2)
    assert agent.actor.output.grad[2].abs().sum() == 0
    # V's by its own loss alone: 2 τ (V - Q) and 2 (1 - τ) (V - Q), over 2 steps
    assert agent.critic.heads[2].rows.grad.flatten().tolist() == pytest.approx([-expectile * 0.5, (1 - expectile), 0])


def test_an_advantage_of_what_the_policy_sees_is_regressed_and_takes_the_others_place():
    marginal = FixedCritic(Table([[0.25, 7.0], [7.0, 1.0], [9.0, 9.0]]))
    agent = in_sample("aawr_marginal", marginal=marginal, inverse_temperature=1.0)
    metrics = agent.update(example())
    assert metrics["loss/marginal"].item() == pytest.approx(((0.25 - 0.5) ** 2 + (1.0 + 1.0) ** 2) / 2)
    expected = (math.exp(0.25) * math.log(2) + math.exp(1.0) * math.log(4)) / 2
    assert metrics["loss/actor"].item() == pytest.approx(expected)
    assert marginal.heads[0].rows.grad[0, 0].tolist() == pytest.approx([0.25 - 0.5, 0.0])


def test_weights_and_errors_by_hand():
    advantage = torch.tensor([-1.0, 0.0, 0.5, 100.0])
    found = {kind: advantage_weight(advantage, kind, 3.0, 100.0).tolist() for kind in ("exp", "indicator", "ones")}
    assert found["exp"] == pytest.approx([math.exp(-3), 1.0, math.exp(1.5), 100.0])
    assert found["indicator"] == [0.0, 0.0, 1.0, 1.0]
    assert found["ones"] == [1.0] * 4
    assert effective_share(torch.tensor([1.0, 3.0, math.nan]), torch.tensor([1.0, 1.0, 0.0])).item() == pytest.approx(
        0.8
    )
    assert effective_share(torch.zeros(2), torch.ones(2)).item() == 0.0
    # the expectile of 0, 1, 2, 7 by bisection of Σ |τ - 1[x < m]| (x - m) = 0
    values, low, high = torch.tensor([0.0, 1.0, 2.0, 7.0]), 0.0, 7.0
    for _ in range(60):
        middle = (low + high) / 2
        error = values - middle
        slope = (torch.where(error > 0, 0.9, 0.1) * error).sum()
        low, high = (middle, high) if slope > 0 else (low, middle)
    guess = torch.tensor(middle, requires_grad=True)
    expectile_error(values - guess, 0.9).sum().backward()
    assert guess.grad.item() == pytest.approx(0.0, abs=1e-4)
    assert middle == pytest.approx((0.1 * 3 + 0.9 * 7) / (0.3 + 0.9))


def constrained(row, **options):
    critic, target = FixedCritic(Table(Q1), Table(Q2)), FixedCritic(*map(Table, JUDGES))
    options = {"temperature__initial": 0.5} | options
    return fixed_agent(row, FixedPolicy([EVEN, SURE, EVEN], True), critic, target, **options)


def log_mean(rows, probabilities):
    return [math.log(sum(p * math.exp(q) for p, q in zip(ps, qs))) for ps, qs in zip(probabilities, rows)]


@pytest.mark.parametrize("bound", ["misa", "dv", "f"])
def test_discrete_losses_with_a_bound_by_hand(bound):
    agent = constrained("misa", bound__kind=bound)
    metrics = agent.update(example())
    # V(h_1) = Σ π min Q⁻, without an entropy
    targets = [1 + 0.9 * (0.75 * 0.0 + 0.25 * 1.0), 2.0]
    assert metrics["q/target"].item() == pytest.approx(sum(targets) / 2)
    probabilities = [(0.5, 0.5), (0.75, 0.25)]
    normaliser = {
        "misa": lambda rows: sum(log_mean(rows, probabilities)) / 2,
        "dv": lambda rows: math.log(sum(map(math.exp, log_mean(rows, probabilities))) / 2),
        "f": lambda rows: sum(math.exp(z - 1) for z in log_mean(rows, probabilities)) / 2,
    }[bound]
    least = [(0.0, 2.0), (3.0, 3.0)]
    gap = normaliser(least) - (0.0 + 3.0) / 2
    assert metrics["bound/gap"].item() == pytest.approx(gap, rel=1e-5)
    fit = (math.log(2) + math.log(4)) / 2
    assert metrics["bound/information"].item() == pytest.approx(-fit - gap, rel=1e-5)
    # the critics' gradient by Q1(h_0, 0): 2 (1 - y) / 2 of the error, and γ1 times what the bound adds
    e = math.exp
    weight = {
        "misa": 0.5 * e(1) / (0.5 * e(1) + 0.5 * e(2)) / 2,
        "dv": 0.5 * e(1) / (0.5 * e(1) + 0.5 * e(2) + 0.75 * e(3) + 0.25 * e(4)),
        "f": 0.5 * e(1 - 1) / 2,
    }[bound]
    expected = (1 - targets[0]) + 5.0 * (weight - 0.5)
    assert agent.critic.heads[0].rows.grad[0, 0, 0].item() == pytest.approx(expected, rel=1e-5)
    # the actor's by logit 0 of the first row: SAC's, and γ2 (d Z - d log π(a)); of Z by enumeration
    sac = 0.25 * ((0.5 * math.log(0.5) - 0.0) - (0.5 * math.log(0.5) - 2.0)) / 2
    step = 1e-6
    moved = [(1 / (1 + e(-step)), 1 / (1 + e(step))), probabilities[1]]
    before, probabilities[:] = normaliser(least), moved
    bent = (normaliser(least) - before) / step
    expected = sac + 0.5 * (bent - 0.5 / 2)
    assert agent.actor.output.grad[0, 0, 0].item() == pytest.approx(expected, rel=1e-3)


def test_conservative_critics_by_hand():
    agent = constrained("cql", bound__critic_weight=2.0)
    agent.update(example())
    e, target = math.exp, 1 + 0.9 * 0.25
    expected = (1 - target) + 2.0 * (e(1) / (e(1) + e(2)) / 2 - 0.5)  # log Σ e^Q - Q(a)
    assert agent.critic.heads[0].rows.grad[0, 0, 0].item() == pytest.approx(expected, rel=1e-5)
    assert agent.actor.output.grad[0, 0, 0].item() == pytest.approx(0.25 * 2.0 / 2, rel=1e-5)  # SAC's


@pytest.mark.parametrize("spec", [SPEC, CONTINUOUS])
def test_without_its_bound_and_with_hardly_an_entropy_it_is_sac(spec):
    """The same networks, the same noise: the same losses."""
    options = {"temperature__initial": 1e-9, "temperature__auto": False, "return_lambda": 0.0}
    free = {"bound__critic_weight": 0.0, "bound__actor_weight": 0.0, "actor_lr": 3e-4, "critic_lr": 3e-4}
    mine = make_agent("offline:misa", spec=spec, **options, **free)
    sac = make_agent("sac:history", spec=spec, **options)
    sac.load_state_dict({**sac.state_dict(), **mine.state_dict()})
    metrics = []
    for agent in (mine, sac):
        torch.manual_seed(0)
        metrics.append(agent.update(make_batch(spec=spec)))
    for name in ("loss/actor", "policy/entropy", "grad_norm/actor"):
        torch.testing.assert_close(metrics[0][name], metrics[1][name], rtol=1e-4, atol=1e-6)
    if spec is SPEC:  # else the next action has noise of its own
        torch.testing.assert_close(metrics[0]["loss/td"], metrics[1]["loss/td"], rtol=1e-4, atol=1e-6)


def test_what_samples_are_judged_by_is_what_the_critic_would_say_of_each():
    agent, batch = make_agent("offline:misa", spec=CONTINUOUS), make_batch(spec=CONTINUOUS)
    views = agent.critic.views(batch, agent.state_views(batch))
    action = torch.rand(5, *batch.row_mask.shape, 2) * 2 - 1
    one_by_one = [torch.stack([agent.critic(views, batch, a)[n] for a in action]).squeeze(-1) for n in range(2)]
    flat = {name: view.flatten(0, 1) for name, view in views.items()}
    together = agent.critic.of_samples(flat, action.flatten(1, 2))
    real = batch.row_mask.flatten() > 0
    for one, other in zip(one_by_one, together, strict=True):
        torch.testing.assert_close(one.flatten(1)[:, real], other[:, real], rtol=1e-4, atol=1e-6)


def quadratic(peak, curvature):
    """A critic of every view that is -c (a - peak)² / 2."""

    class Quadratic(nn.Module):
        def of_samples(self, views, action):
            return [-0.5 * curvature * (action - peak).square().sum(-1)] * 2

    return Quadratic()


@pytest.mark.parametrize("correction", ["snis", "hmc"])
def test_the_gradient_of_a_continuous_normaliser_is_that_of_a_grid(correction):
    agent = make_agent("offline:misa", spec=CONTINUOUS, bound__correction=correction, bound__rows=100_000)
    agent.critic = quadratic(0.5, 8.0)
    agent.config.bound.samples = 40
    R = 3000
    parameters = torch.tensor([0.2, 0.1, math.log(0.6), math.log(0.4)], requires_grad=True)
    batch = make_batch(spec=CONTINUOUS)
    batch.mask, batch.action = torch.ones(R, 1), torch.zeros(R, 1, 2)
    output = parameters.expand(R + 1, 1, 4)
    stored = [torch.zeros(R, 1)] * 2
    torch.manual_seed(0)
    _, of_actor = agent._bound(output, {}, stored, stored, batch, {})
    fit = agent._log_prob(output[:-1], batch).mean()
    (found,) = torch.autograd.grad(of_actor + fit, parameters)  # what is left is the normaliser's
    e = torch.linspace(-6, 6, 4001, dtype=torch.float64)
    expected = []
    for dim in range(2):
        mean, log_std = parameters.detach()[[dim, dim + 2]].double().requires_grad_()
        share = (-4.0 * (torch.tanh(mean + log_std.exp() * e) - 0.5).square() - 0.5 * e.square()).logsumexp(0)
        expected.append(torch.autograd.grad(share, (mean, log_std)))
    torch.testing.assert_close(
        found.view(2, 2).T.double(), torch.tensor(expected, dtype=torch.float64), atol=0.03, rtol=0.1
    )


def test_a_uniform_prior_weighs_samples_to_the_integral_over_the_box():
    agent = make_agent("offline:cql", spec=CONTINUOUS, bound__samples=4000)
    output = torch.tensor([[0.3, -0.2, math.log(0.5), math.log(0.8)]])
    torch.manual_seed(0)
    action, _, log_weight = agent._proposed(output)
    value = -3.0 * (action - 0.4).square().sum(-1)
    found = (value + log_weight).logsumexp(0).exp().item()
    a = torch.linspace(-1, 1, 20_001, dtype=torch.float64)
    assert found == pytest.approx(torch.trapezoid((-3.0 * (a - 0.4).square()).exp(), a).item() ** 2, rel=0.05)


@pytest.mark.parametrize("row", OFFLINE_VARIANTS)
def test_every_row_learns_all_that_it_has(row):
    for spec in (SPEC, CONTINUOUS):
        agent = make_agent(row, spec=spec)
        before = weights(agent)
        agent.update(make_batch(spec=spec))
        assert set(before) == changed(before, agent)


def test_no_gradient_goes_from_policy_to_critics_or_back():
    agent, batch = make_agent("offline:aawr"), make_batch()
    before = weights(agent)
    losses = agent.losses(batch, {})
    for name, others in (("actor", agent.critic), ("critic", agent.actor)):
        found = torch.autograd.grad(losses[name], list(others.parameters()), allow_unused=True, retain_graph=True)
        assert all(one is None for one in found)
    assert not changed(before, agent)
    assert not any(p.requires_grad for p in agent.target.parameters())
    assert len(agent.target.heads) == 2  # V bootstraps as it is


def test_a_state_that_says_what_the_observation_says_changes_no_marginal():
    """The head of what the policy sees has no view of the state."""
    agent = make_agent("offline:aawr_marginal")
    assert isinstance(agent.marginal, Critic)
    assert isinstance(agent.marginal.heads[0], Head)
    assert agent.marginal.heads[0].inputs == agent.policy.head.inputs == ("history", "observation")
    assert agent.critic.heads[2].inputs == ("history", "observation", "state")
    assert make_agent("offline:aawr_state").critic.heads[0].inputs == ("state",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"critics": "all"}, "--config_rl.critics: unknown value 'all'"),
        ({"bound__kind": "nwj"}, "--config_rl.bound.kind: unknown value 'nwj'"),
        ({"critic_memory": "shared"}, "--config_rl.critic_memory: offline critics have a memory of their own"),
        ({"critics": "none"}, "--config_rl.weight: without critics (critics=none)"),
        ({"critics": "none", "auxiliary__use": ("self_prediction",)}, "--config_rl.auxiliary.use: without critics"),
        ({"bound__correction": "hmc", "bound__kind": "dv"}, "--config_rl.bound.correction=hmc"),
    ],
)
def test_fields_that_do_not_go_together_are_one_line(options, message):
    with pytest.raises(UserError, match=f"^{re.escape(message)}"):
        make_agent("offline:awr", **options)
