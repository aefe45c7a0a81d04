"""A2C: losses by hand, and what theory says of critics that see the state (Baisero & Amato, 2022; Ebi et al., 2026)."""

import copy
import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from buffers.batch import EpisodeBatch
from envs.make import make_env, make_vector_env
from envs.replayed import SyncAsymmetricVectorEnv
from policies.agents.a2c import A2C
from policies.agents.actor_critic import Networks
from policies.extensions import Extensions
from policies.losses import policy_gradient
from policies.models.views import PrivilegedViews
from tests.helpers.agents import CONTINUOUS, CPU, SPEC, changed, make_agent, make_batch, make_config, weights
from tests.helpers.configs import config_named
from torchkit.actions import Categorical
from torchkit.distributions import log_prob_tanh_gaussian, sample_tanh_gaussian
from torchkit.sequence import GPT
from utils.errors import UserError


class FixedPolicy(nn.Module):
    def __init__(self, logits):
        super().__init__()
        self.logits, self.actions = nn.Parameter(torch.tensor(logits)[:, None]), Categorical()
        self.public = lambda batch: {}
        self.head = lambda views, batch: self.logits


class FixedCritic(nn.Module):
    def __init__(self, values):
        super().__init__()
        self.values = nn.Parameter(torch.tensor(values)[:, None, None])

    def views(self, batch, given):
        return {}

    def forward(self, views, batch):
        return [self.values]


def example():
    rows, ones = torch.zeros(3, 1, 1), torch.ones(2, 1)
    reward, discount = torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [0.0]])
    return EpisodeBatch.from_transitions(rows, rows, torch.tensor([[0], [1]]), reward, discount, ones, 2)


@pytest.mark.parametrize("return_lambda", [0.0, 0.5])
@pytest.mark.parametrize("discounted", [False, True])
def test_losses_by_hand(return_lambda, discounted):
    options = {"return_lambda": return_lambda, "discounted_gradient": discounted, "discount": 0.9}
    config = make_config("a2c:history", max_grad_norm=1e9, **options).rl
    policy, critic = FixedPolicy([[0.0, math.log(3.0)]] * 3), FixedCritic([1.0, 3.0, 9.0])
    agent = A2C(Networks(policy, critic, PrivilegedViews({}, {}), Extensions(), Extensions()), config, 0, CPU)
    agent.target = FixedCritic([7.0, 5.0, 9.0])
    metrics = agent.update(example())
    first = 1 + 0.9 * ((1 - return_lambda) * 5 + return_lambda * 2)
    assert metrics["q/target"].item() == pytest.approx((first + 2) / 2)
    assert metrics["loss/td"].item() == pytest.approx(((1 - first) ** 2 + (3 - 2) ** 2) / 2)
    gamma = 0.9 if discounted else 1.0
    actor = -((first - 1) * math.log(0.25) + gamma * (2 - 3) * math.log(0.75)) / 2
    assert metrics["loss/actor"].item() == pytest.approx(actor, rel=1e-5)
    assert metrics["policy/entropy"].item() == pytest.approx(-(0.25 * math.log(0.25) + 0.75 * math.log(0.75)))
    assert metrics["policy/entropy_weight"].item() == pytest.approx(config.entropy.start)


# A POMDP of two states that swap with probability 0.3, or stay for action 1; o tells s rightly with probability 0.8.
H, STAY, RIGHT, GAMMA = 3, (0.3, 0.9), 0.8, 0.9
REWARD = np.array([[1.0, -0.5], [-1.0, 2.0]])  # [s, a]


def trajectories():
    """Every (states, observations, actions) of H steps with its probability but for the policy's part."""
    for states in itertools.product((0, 1), repeat=H):
        for obs in itertools.product((0, 1), repeat=H):
            for actions in itertools.product((0, 1), repeat=H):
                p = 0.6 if states[0] == 0 else 0.4
                for t in range(H):
                    p *= RIGHT if obs[t] == states[t] else 1 - RIGHT
                    if t + 1 < H:
                        stay = STAY[actions[t]]
                        p *= stay if states[t + 1] == states[t] else 1 - stay
                yield states, obs, actions, p


def histories(obs, actions):
    return [(obs[: t + 1], actions[:t]) for t in range(H)]


def exact(policy):
    """All trajectories as rows: probability p (N,), rewards, returns to go, history numbers and states (N, H)."""
    number, rows = {}, []
    for states, obs, actions, p in trajectories():
        where = [number.setdefault(h, len(number)) for h in histories(obs, actions)]
        p *= np.prod([policy[h, a] for h, a in zip(where, actions, strict=True)])
        reward = [REWARD[s, a] for s, a in zip(states, actions, strict=True)]
        togo = [sum(GAMMA ** (k - t) * reward[k] for k in range(t, H)) for t in range(H)]
        rows.append((p, togo, where, states, actions, reward))
    columns = (np.array(column) for column in zip(*rows, strict=True))
    return dict(zip(("p", "togo", "where", "states", "actions", "reward"), columns, strict=True))


def conditional_mean(data, keys):
    """E[return to go | key] as (N, H), the keys of a step being what a critic sees there."""
    total, mass = {}, {}
    for n, t in np.ndindex(*data["togo"].shape):
        key = keys[n][t]
        total[key] = total.get(key, 0.0) + data["p"][n] * data["togo"][n, t]
        mass[key] = mass.get(key, 0.0) + data["p"][n]
    return np.array([[total[keys[n][t]] / max(mass[keys[n][t]], 1e-300) for t in range(H)] for n in range(len(keys))])


def expected_gradient(logits, data, value):
    """The exact expectation of the gradient of the code's loss, with one-step advantages from a critic's values."""
    value = np.concatenate([value, np.zeros((len(value), 1))], axis=1)
    advantage = data["reward"] + GAMMA * value[:, 1:] - value[:, :-1]
    where, action = torch.tensor(data["where"].T), torch.tensor(data["actions"].T)
    log_prob_TB = logits.log_softmax(-1)[where, action]
    loss_TB = policy_gradient(log_prob_TB, torch.tensor(advantage.T), GAMMA)
    (gradient,) = torch.autograd.grad((loss_TB * torch.tensor(data["p"])).sum(), logits)
    return gradient


def test_the_gradient_is_unbiased_with_a_critic_of_history_and_signal_and_biased_with_one_of_the_state():
    torch.manual_seed(0)
    count = sum(2 ** (t + 1) * 2**t for t in range(H))  # histories (o_0, a_0, …, o_t)
    logits = torch.randn(count, 2, dtype=torch.float64, requires_grad=True)
    data = exact(logits.detach().softmax(-1).numpy())
    assert data["p"].sum() == pytest.approx(1.0)
    where, states = data["where"].tolist(), data["states"].tolist()
    sees = {
        "history": where,
        "state and history": [list(zip(w, s, strict=True)) for w, s in zip(where, states, strict=True)],
        # half of the steps tell the state, the others nothing: a signal that depends on the state
        "signal and history": [
            [(h, s[t] if t % 2 else -1) for t, h in enumerate(w)] for w, s in zip(where, states, strict=True)
        ],
        "state": states,
    }
    # the true gradient: of the expected discounted return itself, through the probabilities of all trajectories
    w, a = torch.tensor(data["where"]), torch.tensor(data["actions"])
    chosen = logits.softmax(-1)[w, a].prod(-1)
    world = torch.tensor(data["p"]) / chosen.detach()
    (true,) = torch.autograd.grad((world * chosen * torch.tensor(data["togo"][:, 0])).sum(), logits)
    gradients = {name: -expected_gradient(logits, data, conditional_mean(data, keys)) for name, keys in sees.items()}
    for name in ("history", "state and history", "signal and history"):
        torch.testing.assert_close(gradients[name], true, rtol=1e-9, atol=1e-12, msg=name)
    assert (gradients["state"] - true).abs().max() > 0.01 * true.abs().max()


def test_the_frozen_critic_is_replaced_every_so_many_updates():
    agent = make_agent("a2c:ua", target_interval=3)
    for update in range(1, 7):
        before = weights(agent.target)
        agent.update(make_batch(seed=update))
        assert bool(changed(before, agent.target)) == (update % 3 == 0)
        if update % 3 == 0:
            assert not changed(weights(agent.critic), agent.target)


@pytest.mark.parametrize("variant", ["a2c:history", "a2c:ua"])
def test_the_critic_keeps_no_memory_between_updates(variant):
    agent, batch, other = make_agent(variant), make_batch(seed=1), make_batch(seed=2)
    first = agent.losses(batch, {})
    agent.losses(other, {})
    again = agent.losses(batch, {})
    assert first.keys() == again.keys() and all(torch.equal(first[name], again[name]) for name in first)


def test_dropout_is_in_what_learns_and_not_in_what_it_learns_from(monkeypatch):
    """What learns is in training mode: without it cuDNN refuses the gradient of a recurrent layer."""
    parts = {"auxiliary__use": ("state_prediction",), "intrinsic__use": ("information_gain",)}
    agent, plain = (make_agent("a2c:ua", "gpt", seq={"kwargs.dropout": rate}, **parts) for rate in (0.5, 0.0))
    memories = {
        id(net.public.folds["history"].memory): name
        for name, net in (("actor", agent.policy), ("critic", agent.critic), ("target", agent.target))
    }
    modes, encode = [], GPT.encode

    def watched(memory, *args):
        modes.append((memories[id(memory)], memory.training))
        return encode(memory, *args)

    batch, expected = make_batch(), plain.update(make_batch())
    monkeypatch.setattr(GPT, "encode", watched)
    metrics = agent.update(batch)
    assert modes == [("critic", True), ("actor", True), ("critic", False), ("actor", False), ("target", False)]
    assert metrics["loss/td"] != expected["loss/td"]
    assert metrics["bonus/information_gain"] == expected["bonus/information_gain"]
    assert not agent.policy.training and not agent.critic.training


def test_the_signal_is_the_named_features_and_nothing_else():
    agent, batch = make_agent("a2c:informed", critic__signal=("5", 2)), make_batch()
    assert agent.critic.heads[0].inputs == ("history", "observation", "signal")
    value = agent.critic(agent.critic.views(batch, {}), batch)[0]
    for entry in range(SPEC.state_dim):
        other = copy.deepcopy(batch)
        other.state.distinct[:, entry] += 1.0
        same = torch.equal(agent.critic(agent.critic.views(other, {}), other)[0], value)
        assert same == (entry not in (5, 2))


@pytest.mark.parametrize("normalise", [(), ("state",)])
def test_a_signal_of_sums_says_no_more_than_the_sums(normalise):
    spec = replace(SPEC, state_groups=(("side", (0, 0, 1, 1, -1, -1, -1)),))
    agent = make_agent("a2c:informed", spec=spec, critic__signal=("side",), normalise=normalise)
    batch = make_batch(spec=spec)
    value = agent.critic(agent.critic.views(batch, {}), batch)[0]
    for moved, same in (((0, 1), True), ((2, 3), True), ((5, 6), True), ((0, 2), False), ((0, 5), False)):
        other = copy.deepcopy(batch)
        other.state.distinct[:, moved] += torch.tensor([1.0, -1.0])
        found = agent.critic(agent.critic.views(other, {}), other)[0]
        assert torch.allclose(found, value, atol=1e-6) == same


def test_sums_beside_entries_are_not_left_unnormalised_without_a_word():
    spec = replace(SPEC, state_groups=(("side", (0, 0, 1, 1, -1, -1, -1)),))
    make_agent("a2c:informed", spec=spec, critic__signal=("side", "6"))
    with pytest.raises(UserError, match=r"critic.signal: side are sums of entries, which config_rl.normalise does not"):
        make_agent("a2c:informed", spec=spec, critic__signal=("side", "6"), normalise=("state",))


def test_a_signal_that_is_not_there_is_one_line():
    for signal, message in (((), "a tuple of features"), (("9",), "no feature '9'"), (("speed",), "0 to 6")):
        with pytest.raises(UserError, match=message):
            make_agent("a2c:informed", critic__signal=signal)
    with pytest.raises(UserError, match="critic_memory"):
        make_agent("a2c:history", critic_memory="shared")
    with pytest.raises(UserError, match="predictor_step"):
        make_agent("a2c:history", predictor_step="separate")
    with pytest.raises(UserError, match="--updates_per_step"):
        make_agent("a2c:history", updates_per_step=0.5)


DOMAINS = {
    "heaven_hell": ({"column": [0], "row": [1], "heaven": [2]}, "heaven"),
    "sphinx": ({"agent": list(range(36)), "goal": list(range(36, 72))}, "goal"),
    "car_flag_1d": ({"position": [0], "velocity": [1], "flag": [2]}, "flag"),
    "car_flag_2d_continuous": ({"agent": [0, 1], "flag": [2, 3]}, "flag"),
}


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_features_of_a_domain_are_where_their_names_say(domain):
    """The hidden feature is the part of the state that a first observation does not show."""
    entries, hidden = DOMAINS[domain]
    config = config_named("envs", domain)
    for envs in (make_vector_env(config, 50, seed=0), SyncAsymmetricVectorEnv([lambda: make_env(config)] * 50)):
        spec = envs.spec_sizes
        assert {
            name: [entry for group in spec.feature_groups(name) for entry in group] for name in spec.state_features
        } == entries
        views, _ = envs.reset(seed=0)
        differs = (views["obs"] != views["state"]).any(0)
        assert set(np.flatnonzero(differs)) <= set(entries[hidden])
        assert differs.any()


def test_features_are_equal_parts_of_the_state():
    spec = replace(SPEC, state_dim=8, state_features=("agent", "goal"))
    assert (spec.feature_groups("goal"), spec.feature_groups("3")) == ([[4], [5], [6], [7]], [[3]])


def test_stored_actions_have_the_density_that_they_were_drawn_with():
    torch.manual_seed(0)
    output = torch.randn(50, 4) * 0.4 - 0.5  # away from the edge, where float32 cannot tell actions apart
    action, log_prob = sample_tanh_gaussian(output, torch.randn(50, 2))
    torch.testing.assert_close(log_prob_tanh_gaussian(output, action), log_prob, rtol=1e-3, atol=1e-3)
    assert torch.isfinite(log_prob_tanh_gaussian(output, torch.ones(50, 2))).all()


@pytest.mark.parametrize("spec", [SPEC, CONTINUOUS])
def test_a_good_action_becomes_more_likely(spec):
    agent, batch = make_agent("a2c:history", spec=spec, entropy__start=0.0, entropy__end=0.0), make_batch(spec=spec)
    batch.reward[:] = 0.0
    batch.reward[0, 0] = 10.0

    def log_prob():
        output = agent.policy.head(agent.policy.public(batch), batch)
        return agent.actions.log_prob(output[:-1], batch.action)[0, 0].item()

    before = log_prob()
    for _ in range(5):
        agent.update(batch)
    assert log_prob() > before
