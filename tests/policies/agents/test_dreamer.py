"""Dreamer: losses by hand, the exact belief of a POMDP in what it tells, and all that acts from history alone."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import policies.agents.dreamer.dreamer as module
from buffers.episode_buffer import EpisodeBuffer
from envs.make import make_vector_env
from policies.acting.rollout import run_episodes
from policies.agents.dreamer.imagination import Imagined, ReturnScale, imagine
from policies.auxiliary.world_model import Decoder
from policies.deployed.files import load_policy, save_policy
from policies.models.views import Inputs
from tests.helpers.agents import CONTINUOUS, IMAGES, SPEC, make_agent, make_batch, make_config, weights
from tests.helpers.configs import config_named
from torchkit.actions import Categorical
from torchkit.two_hot import TwoHot
from utils.errors import UserError


def test_the_scale_of_returns_by_hand():
    scale = ReturnScale(rate=0.1)
    first = scale.after(torch.arange(21.0))  # its percentiles are 1 and 19
    torch.testing.assert_close(first, torch.tensor([1.0, 19.0]))
    assert ReturnScale.of(first).item() == 18.0
    torch.testing.assert_close(scale.after(torch.zeros(21)), torch.zeros(2))  # nothing was kept yet
    scale.keep(first)
    after = scale.after(torch.full((21,), 11.0))
    torch.testing.assert_close(after, torch.tensor([0.9 * 1 + 0.1 * 11, 0.9 * 19 + 0.1 * 11]))
    assert ReturnScale.of(after).item() == pytest.approx(16.2)
    assert ReturnScale.of(torch.tensor([0.2, 0.5])).item() == 1.0  # small returns are not blown up


class Fixed(nn.Module):
    """Outputs of each imagined row, whatever the latents are."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs = nn.Parameter(torch.tensor(outputs)[:, None])

    def forward(self, views, batch=None):
        return self.outputs[: len(views["latent"])]


@pytest.mark.parametrize("goes_on", [1.0, 0.0])
def test_losses_of_a_dream_by_hand(monkeypatch, goes_on):
    discount, lam, eta, slow_weight = 0.9, 0.5, 0.3, 0.7
    options = {
        "discount": discount,
        "return_lambda": lam,
        "entropy__start": eta,
        "entropy__end": eta,
        "slow_critic": slow_weight,
    }
    agent = make_agent("dreamer:informed", **options)
    agent.two_hot = TwoHot(5, limit=2.0)  # at 0 and ±(e - 1), ±(e² - 1)
    v, sure = math.e - 1, 40.0
    agent.critic = Fixed([[0.0, 0.0, sure, 0.0, 0.0], [0.0, 0.0, 0.0, sure, 0.0], [0.0, 0.0, sure, 0.0, 0.0]])
    agent.slow = Fixed([[0.0, 0.0, sure, 0.0, 0.0]] * 2)
    agent.policy.head = Fixed([[0.0, math.log(3.0)]] * 2)
    dream = Imagined(torch.zeros(3, 1, agent.latent.out_dim), torch.tensor([[0], [1]]))
    monkeypatch.setattr(module, "imagine", lambda *given: dream)
    monkeypatch.setattr(agent.world_model, "reward", lambda latent: torch.tensor([[11.0], [2.0]]))
    monkeypatch.setattr(agent.world_model, "continuation", lambda latent: torch.tensor([[1.0], [0.5]]))
    metrics = {}
    losses = agent._dreamed_losses(torch.zeros(1, agent.latent.out_dim), torch.tensor([goes_on]), metrics)

    last = 2.0 + 0.9 * 0.5 * 0.0
    first = 11.0 + 0.9 * ((1 - lam) * v + lam * last)
    scale = 0.9 * (first - last)  # from the 5th to the 95th percentile of two numbers
    assert metrics["q/scale"].item() == pytest.approx(scale)
    weight = [goes_on, 0.9 * goes_on]
    total = max(1.0, sum(weight))
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    actor = [-(first - 0) / scale * math.log(0.25), -(last - v) / scale * math.log(0.75)]
    expected = sum(w * (a - eta * entropy) for w, a in zip(weight, actor, strict=True)) / total
    assert losses["actor"].item() == pytest.approx(expected, rel=1e-5)
    to_last = (last - v) / (math.e**2 - 1 - v)  # `first` is beyond the last bin
    critic = [sure + slow_weight * 0.0, to_last * sure + slow_weight * sure]
    expected = sum(w * c for w, c in zip(weight, critic, strict=True)) / total
    assert losses["critic"].item() == pytest.approx(expected, rel=1e-5)


def test_a_dream_draws_actions_by_the_actor_and_goes_on_by_the_model():
    agent = make_agent("dreamer:observed")
    start = torch.zeros(4000, agent.latent.out_dim)
    act = lambda latent: torch.tensor([0.0, 0.0, math.log(2.0), -50.0]).expand(len(latent), 4)  # noqa: E731
    dream = imagine(agent.latent.model, act, Categorical(), start, 2)
    assert dream.latent.shape == (3, 4000, agent.latent.out_dim)
    assert dream.action.shape == (2, 4000)
    shares = torch.bincount(dream.action[0], minlength=4) / 4000
    torch.testing.assert_close(shares, torch.tensor([0.25, 0.25, 0.5, 0.0]), atol=0.03, rtol=0)
    again = agent.latent.model.imagine(start, nn.functional.one_hot(dream.action[0], 4).float())
    size = agent.latent.model.sizes.deterministic
    torch.testing.assert_close(dream.latent[1, :, :size], again[:, :size])


def test_categories_cost_their_cross_entropy_and_the_rest_the_square_in_symlog():
    decoder = Decoder(2, (3,), 5, ((1, 3),))
    output = torch.tensor([2.0, 0.0, math.log(2.0), 0.0, 0.5])
    target = torch.tensor([[math.e - 1, 0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 1 - math.e]])
    expected = [(2 - 1) ** 2 + 0.5**2 - math.log(0.5), 2**2 + 1.5**2]  # in the second nothing has been seen yet
    torch.testing.assert_close(decoder.error(output.expand(2, 5), target), torch.tensor(expected))


class Listening:
    """Listens for the tiger nine times in ten."""

    def __init__(self):
        self.rng = np.random.default_rng(0)

    def __call__(self, obs, prev_action, prev_reward, start, carry):
        heard = self.rng.random(len(obs)) < 0.9
        return np.where(heard, 0, self.rng.integers(3, size=len(obs))), carry


def test_what_the_latent_tells_of_the_state_is_the_exact_belief():
    config = config_named("envs", "pomdp_file")
    with config.unlocked():
        config.kwargs.path, config.horizon = "configs/envs/tiger.pomdp", 6
    envs = make_vector_env(config, 20, seed=0)
    spec = envs.spec_sizes
    assert (spec.obs_categories, spec.state_categories) == (((0, 2),), ((0, 2),))
    buffer = EpisodeBuffer(spec, 10_000, 6, 0)
    for episode in run_episodes(envs, Listening(), 600, 0):
        buffer.add(episode)
    sizes = {"deterministic": 16, "groups": 4, "classes": 4, "hidden": 16}
    options = {f"latent__{name}": size for name, size in sizes.items()}
    options |= {"auxiliary__world_model__hidden_dims": (32,), "model_lr": 3e-3, "imagined_steps": 1}
    agent = make_agent("dreamer:informed", spec=spec, **options)
    for _ in range(200):
        agent.update(buffer.sample(32))
    batch = buffer.episodes(np.arange(200))
    obs = batch.obs.full()
    evidence = ((obs[..., 0] - obs[..., 1]) * batch.prev_action[..., 0]).cumsum(0)  # heard left, less heard right
    exact = 1 / (1 + (0.15 / 0.85) ** evidence)
    with torch.no_grad():
        latent = agent.policy.public(batch)["latent"]
        told = agent.world_model.decoders["state"].net(latent).softmax(-1)[..., 0]
    going_on = torch.cat([torch.ones_like(batch.discount[:1]), batch.discount]) * batch.row_mask > 0
    pairs = torch.stack([told[going_on], exact[going_on]])
    assert torch.corrcoef(pairs)[0, 1] > 0.9
    assert (pairs[0] - pairs[1]).abs().mean() < 0.15  # of a belief that knows nothing more than 0.3
    assert (0.5 - pairs[1]).abs().mean() > 0.25


@pytest.mark.parametrize("spec", [SPEC, CONTINUOUS, IMAGES])
def test_acting_is_the_view_step_by_step(spec):
    agent, batch = make_agent("dreamer:both", spec=spec), make_batch(spec=spec)
    agent.update(batch)
    whole, carry, obs = agent.policy.public(batch)["latent"], None, batch.obs.full()
    for t in range(len(obs)):
        now = Inputs(obs[t], batch.prev_action[t], batch.prev_reward[t], batch.start[t])
        if carry is not None and t == 0:
            carry = tuple(torch.full_like(c, torch.nan) for c in carry)
        views, carry = agent.policy.public.step(now, carry)
        real = batch.row_mask[t] > 0
        torch.testing.assert_close(views["latent"][real], whole[t][real])
    broken = tuple(torch.full_like(c, torch.nan) for c in carry)
    first, _ = agent.policy.public.step(
        Inputs(obs[0], batch.prev_action[0], batch.prev_reward[0], batch.start[0]), broken
    )
    torch.testing.assert_close(first["latent"], whole[0])


@pytest.mark.parametrize("method", ["dreamer:both", "dreamer:informed"])
def test_episodes_of_one_step_are_learned_from(method):
    agent = make_agent(method)
    metrics = agent.update(make_batch((1, 1), terminated=(True, False)))
    assert all(bool(value.isfinite()) for value in metrics.values())


def test_heads_learn_on_the_latent_and_the_world_model_alone_trains_it():
    agent, batch = make_agent("dreamer:both"), make_batch()
    agent.update(batch)
    losses = agent.losses(batch, {})
    model = agent.parameters_of["model"]
    for name in ("actor", "critic"):
        mine = torch.autograd.grad(losses[name], agent.parameters_of[name], retain_graph=True)
        assert any(bool(gradient.any()) for gradient in mine)
        others = torch.autograd.grad(losses[name], model, retain_graph=True, allow_unused=True)
        assert all(gradient is None for gradient in others)
    named = {id(p): name for name, p in agent.named_parameters()}
    reached = torch.autograd.grad(losses["model"], model, allow_unused=True)
    assert not [named[id(p)] for p, gradient in zip(model, reached, strict=True) if gradient is None]


def test_a_saved_policy_acts_as_the_agent(tmp_path):
    agent = make_agent("dreamer:both")
    agent.update(make_batch())
    config = make_config("dreamer:both")
    save_policy(tmp_path, agent.deployed, SPEC, config, {})
    loaded, _ = load_policy(str(tmp_path), SPEC, config)
    assert weights(loaded).keys() == weights(agent.policy).keys()
    assert not any("decoder" in name or "reward" in name for name in weights(loaded))
    batch = make_batch(seed=3)
    with torch.no_grad():
        views = [policy.head(policy.public(batch)) for policy in (loaded, agent.policy)]
    assert torch.equal(*views)


def test_another_family_can_have_the_latent():
    options = {
        "policy_inputs": ("latent",),
        "auxiliary__use": ("world_model",),
        "auxiliary__world_model__decode": "both",
    }
    agent = make_agent("history", **options)
    metrics = agent.update(make_batch())
    assert metrics["loss/world_model"] > 0
    assert metrics["auxiliary/world_model/kl"] > 0
    with pytest.raises(UserError, match=r"^--config_rl.auxiliary.use: the latent learns by world_model alone"):
        make_agent("history", policy_inputs=("latent",))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"policy_inputs": ("history",)},
            r"policy_inputs: dreamer's actor learns in dreams, of latents; choose \('latent',\)",
        ),
        ({"auxiliary__use": ()}, r"auxiliary.use: dreamer's latent learns by its world model"),
        ({"intrinsic__use": ("information_gain",)}, "intrinsic.use: dreamer learns from no bonus; leave it empty"),
        ({"predictor_step": "separate"}, "predictor_step: dreamer has one batch for all; choose shared"),
        (
            {"auxiliary__world_model__decode": "inof"},
            r"auxiliary.world_model.decode: unknown value 'inof' \(did you mean 'info'\?\)",
        ),
        ({"auxiliary__world_model__bins": 2}, "auxiliary.world_model.bins=2: at least 3 is needed"),
        ({"latent__groups": 0}, "latent.groups=0: at least 1 is needed"),
    ],
)
def test_what_cannot_be_is_one_line(options, message):
    with pytest.raises(UserError, match=message):
        make_agent("dreamer:informed", **options)
