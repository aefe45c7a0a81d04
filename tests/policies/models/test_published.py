"""Weights of the public code: the same numbers come out of our networks as out of plain ones in the public form."""

import importlib
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from ml_collections import ConfigDict

from envs.base import EnvSpec
from envs.make import make_vector_env
from policies.acting.evaluate import GreedyPolicy
from policies.acting.rollout import run_episodes
from policies.build import build_agent
from policies.deployed.files import load_policy
from policies.models.on_disk import load_encoder, save_encoder
from policies.models.sources import Sources
from policies.models.views import Inputs
from tests.helpers.agents import make_config
from tests.helpers.configs import config_named
from tests.helpers.published import (
    WEIGHTS,
    needs_weights,
    public_agent,
    public_image,
    public_vector,
)
from torchkit.networks import Encoder, EncoderConfig
from utils.errors import UserError

IMAGES = {  # image, channels, kernels, strides, pools, flat size, by the specification of the published encoders
    "CarFlag-2D": ((2, 11, 11), (64, 128, 256), (2, 2, 2), (1, 1, 1), (2, 2, 1), 256),
    "Sphinx": ((2, 6, 6), (64, 128, 256), (2, 2, 2), (1, 1, 1), (1, 2, 1), 256),
    "BlockPulling": ((2, 84, 84), (32, 64, 64), (8, 4, 3), (4, 4, 1), (1, 1, 1), 576),
    "BlockPushing": ((2, 84, 84), (32, 64, 64), (8, 4, 3), (4, 4, 1), (1, 1, 1), 576),
}
SMALL = {  # channels that a test can afford; sides, kernels, strides and pools as published
    name: (shape, (3, 4, 5), kernels, strides, pools, 5 * flat // channels[-1])
    for name, (shape, channels, kernels, strides, pools, flat) in IMAGES.items()
}
SPEC = EnvSpec("Test-v0", 3, 3, 4, True, 12)


def image_of(sizes, out_dim):
    *layers, flat = sizes
    return public_image(*layers, out_dim, flat)


def save(module, path):
    torch.save(module.state_dict(), path)
    return path


@pytest.fixture
def vector(tmp_path):
    torch.manual_seed(0)
    module = public_vector(3, 7, 6)
    save(module, tmp_path / "s_encoder.pt")
    return tmp_path, module


@pytest.mark.parametrize("suffix", ["", "s_encoder.pt"])
def test_a_vector_encoder_gives_the_published_values(vector, suffix):
    folder, module = vector
    encoder = load_encoder(folder / suffix, "s_encoder", 3, "--flag", env_id="Anywhere-v0")
    assert encoder.config == EncoderConfig(3, 6, (7, 7))
    x = torch.randn(5, 2, 3)
    torch.testing.assert_close(encoder(x)[:, 1], module(x[:, 1]))


@pytest.mark.parametrize("told", [True, False], ids=["image told", "square image assumed"])
@pytest.mark.parametrize("name", ["CarFlag-2D", "Sphinx", "BlockPulling"])
def test_an_image_encoder_gives_the_published_values(tmp_path, name, told):
    torch.manual_seed(0)
    module, shape = image_of(SMALL[name], 6), SMALL[name][0]
    path, size = save(module, tmp_path / "any name.pt"), math.prod(shape)
    encoder = load_encoder(path, "o_encoder", size, "--flag", image_shape=shape if told else None)
    _, channels, kernels, strides, pools, _ = SMALL[name]
    assert encoder.config == EncoderConfig(size, 6, (), shape, channels, kernels, strides, pools)
    x = torch.randn(2, 3, size)
    torch.testing.assert_close(encoder(x), module(x.reshape(6, size)).view(2, 3, 6))


def test_other_strides_and_pools_come_from_config_repr(tmp_path):
    """A 2x9x5 image: neither square, nor with the layers of a published encoder."""
    torch.manual_seed(0)
    module = public_image((2, 9, 5), (3, 4), (3, 2), (2, 1), (1, 1), 6, 4 * 3 * 1)
    path = save(module, tmp_path / "o_encoder.pt")
    config_repr = importlib.import_module("configs.repr.sphinx").get_config()
    with config_repr.unlocked():
        config_repr.encoder.strides, config_repr.encoder.pools = (2, 1), (1, 1)
    encoder = load_encoder(path, "o_encoder", 90, "--flag", image_shape=(2, 9, 5), config_repr=config_repr)
    x = torch.randn(4, 90)
    torch.testing.assert_close(encoder(x), module(x))
    with pytest.raises(UserError, match=r"--flag: .*do not fit an image of .*--config_repr"):
        load_encoder(path, "o_encoder", 90, "--flag", image_shape=(2, 9, 5))


def test_the_agent_is_built_with_the_published_encoders(tmp_path):
    torch.manual_seed(0)
    modules = {name: image_of(SMALL["Sphinx"], 6) for name in ("s_encoder", "o_encoder")}
    for name, module in modules.items():
        save(module, tmp_path / f"{name}.pt")
    spec = EnvSpec("Images-v0", 72, 72, 4, True, 12, (2, 6, 6), (2, 6, 6))
    agent = build_agent(Sources(spec, make_config("mi"), str(tmp_path), str(tmp_path)), 0, torch.device("cpu"))
    x = torch.randn(3, 72)
    torch.testing.assert_close(agent.state_views.frozen["z_state"](x), modules["s_encoder"](x))
    torch.testing.assert_close(agent.policy.public.shortcuts["z_obs"](x), modules["o_encoder"](x))


def test_an_encoder_of_ours_goes_before_a_published_one_beside_it(vector):
    folder, _ = vector
    save_encoder(folder, "s_encoder", Encoder(EncoderConfig(3, 2)), {})
    assert load_encoder(folder, "s_encoder", 3, "--flag").out_dim == 2


WRONG_ENCODERS = {
    "missing layer": (lambda t: t.pop("blocks.fc0.0.bias"), "no published encoder .*fc0.0.bias is missing"),
    "foreign layer": (lambda t: t.update(other=torch.zeros(1)), "no published encoder .*other is unknown"),
    "gap": (lambda t: [t.pop(f"blocks.fc0.0.{k}") for k in ("weight", "bias")], "no published encoder"),
    "axes": (lambda t: t.update({"blocks.fc1.0.weight": torch.zeros(7)}), "no published encoder .*axes"),
    "nothing": (lambda t: t.update({"blocks.fc1.0.weight": torch.zeros(0, 7)}), "no published encoder .*axes"),
    "widths": (lambda t: t.update({"blocks.fc1.0.weight": torch.zeros(7, 8)}), "do not fit 3 numbers"),
    "bias": (lambda t: t.update({"blocks.fc1.0.bias": torch.zeros(8)}), "do not fit 3 numbers"),
    "input": (lambda t: t.update({"blocks.fc0.0.weight": torch.zeros(7, 9)}), "embeds 9 numbers, the domain has 3"),
    "empty": (lambda t: t.clear(), "no published encoder"),
}


@pytest.mark.parametrize("name", WRONG_ENCODERS)
def test_a_state_dict_that_is_no_such_encoder_names_the_flag(vector, name):
    spoil, message = WRONG_ENCODERS[name]
    tensors = dict(vector[1].state_dict())
    spoil(tensors)
    torch.save(tensors, vector[0] / "s_encoder.pt")
    with pytest.raises(UserError, match=f"^--flag: .*{message}"):
        load_encoder(vector[0], "s_encoder", 3, "--flag")


def test_an_image_encoder_for_another_image_names_the_flag(tmp_path):
    path = save(image_of(SMALL["Sphinx"], 6), tmp_path / "o_encoder.pt")
    for size, shape in ((162, (2, 9, 9)), (72, (2, 12, 3)), (108, (3, 6, 6)), (3, None), (4, None)):
        with pytest.raises(UserError, match=r"--flag: .*(do not fit|embeds images of 2 planes)"):
            load_encoder(path, "o_encoder", size, "--flag", image_shape=shape)


def test_the_encoder_of_the_state_is_not_taken_for_that_of_the_observation(vector):
    with pytest.raises(UserError, match=r"--flag: .*'s_encoder', not 'o_encoder'"):
        load_encoder(vector[0] / "s_encoder.pt", "o_encoder", 3, "--flag")


class Trap:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("kind", ["code", "module", "list", "numbers", "text", "cut", "nowhere"])
def test_a_file_that_holds_more_than_tensors_is_refused_and_runs_nothing(vector, kind):
    folder, module = vector
    path, sprung = folder / "s_encoder.pt", folder / "sprung"
    content = {
        "code": {"blocks.fc0.0.weight": Trap(sprung)},
        "module": module,
        "list": [1, 2],
        "numbers": {"blocks.fc0.0.weight": 1.0},
    }
    if kind in content:
        torch.save(content[kind], path)
    elif kind == "text":
        path.write_text("no pickle at all")
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    else:
        path.unlink()
    with pytest.raises(UserError, match=r"^--flag: .*s_encoder.pt") as refused:
        load_encoder(path, "s_encoder", 3, "--flag")
    assert "\n" not in str(refused.value)
    assert not sprung.exists()
    if kind == "code":  # the trap is a trap
        torch.load(path, weights_only=False)
        assert sprung.exists()


def public_history(raw, obs_TO, prev_action_TA, heads=2):
    """The GPT-2 memory of a published state dict, a step and a head at a time: (T, H)."""

    def w(name):
        return raw[f"critic.{name}.weight"], raw[f"critic.{name}.bias"]

    def norm(x, name):
        scale, shift = w(name)
        centred = x - x.mean(-1, keepdim=True)
        return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * scale + shift

    def stored_in_out(x, name):
        weight, bias = w(name)
        return x @ weight + bias

    action = F.relu(F.linear(prev_action_TA, *w("action_embedder.fc")))
    x = torch.cat([action, F.relu(F.linear(obs_TO, *w("observ_embedder.fc")))], dim=-1)
    T, width = x.shape
    positions = torch.zeros(T, width)
    for t in range(T):
        for i in range(0, width, 2):
            angle = t / 10_000 ** (i / width)
            positions[t, i], positions[t, i + 1] = math.sin(angle), math.cos(angle)
    x = x + positions
    layer = 0
    while f"critic.seq_model.transformer.h.{layer}.ln_1.weight" in raw:
        block = f"seq_model.transformer.h.{layer}"
        q, k, v = stored_in_out(norm(x, f"{block}.ln_1"), f"{block}.attn.c_attn").split(width, dim=-1)
        attended, size = torch.zeros(T, width), width // heads
        for h in range(heads):
            part = slice(h * size, (h + 1) * size)
            for t in range(T):
                share = torch.softmax(k[: t + 1, part] @ q[t, part] / size**0.5, dim=0)
                attended[t, part] = share @ v[: t + 1, part]
        x = x + stored_in_out(attended, f"{block}.attn.c_proj")
        y = stored_in_out(norm(x, f"{block}.ln_2"), f"{block}.mlp.c_fc")
        y = 0.5 * y * (1 + torch.tanh(math.sqrt(2 / math.pi) * (y + 0.044715 * y**3)))
        x = x + stored_in_out(y, f"{block}.mlp.c_proj")
        layer += 1
    return norm(x, "seq_model.transformer.ln_f")


def public_q(raw, obs_TO, prev_action_TA):
    """The action values of a published agent over one episode: (T, A)."""
    psi = public_psi(raw, "current_observ_embedder")
    x = torch.cat([public_history(raw, obs_TO, prev_action_TA), psi(obs_TO)], dim=-1)
    for name in ("qf.fc0", "qf.fc1"):
        x = F.relu(F.linear(x, raw[f"critic.{name}.weight"], raw[f"critic.{name}.bias"]))
    return F.linear(x, raw["critic.qf.last_fc.weight"], raw["critic.qf.last_fc.bias"])


def public_psi(raw, name):
    """One of the encoders inside a published agent."""
    prefix = f"critic.{name}."
    tensors = {key.removeprefix(prefix): value for key, value in raw.items() if key.startswith(prefix)}
    hidden, in_dim = tensors["blocks.fc0.0.weight"].shape
    module = public_vector(in_dim, hidden, len(tensors["blocks.embedder.embedder.bias"]))
    module.load_state_dict(tensors)
    return module


def episode(T, seed):
    """Observations (T, 3) and one-hot previous actions (T, 4), none at the first step."""
    generator = torch.Generator().manual_seed(seed)
    action = F.one_hot(torch.randint(4, (T,), generator=generator), 4).float()
    action[0] = 0
    return torch.randn(T, 3, generator=generator), action


def agent_config(layers=1):
    seq = {"vector__obs_dim": 8, "vector__action_dim": 8, "kwargs__layers": layers}
    return make_config("mi", "gpt", seq, head_dims=(12, 12))


@pytest.mark.parametrize("layers", [1, 2])
@torch.no_grad()
def test_a_policy_gives_the_published_action_values_stepped_through_episode_after_episode(tmp_path, layers):
    raw = public_agent(layers=layers)
    torch.save(raw, tmp_path / "policy.pt")
    policy, about = load_policy(str(tmp_path / "policy.pt"), SPEC, agent_config(layers))
    assert not policy.training
    assert about["config"]["seq"]["memory"] == "gpt"
    carry, given, wanted = None, [], []
    for seed, T in ((1, 9), (2, 5)):  # the second episode goes on with the carry of the first
        obs, action = episode(T, seed)
        wanted.append(public_q(raw, obs, action))
        for t in range(T):
            inputs = (obs[t, None], action[t, None], torch.zeros(1), torch.tensor([float(t == 0)]))
            q, carry = policy.step(Inputs(*inputs), carry)
            given.append(q[0])
    torch.testing.assert_close(torch.stack(given), torch.cat(wanted), rtol=1e-4, atol=1e-5)


def test_nothing_of_the_state_or_the_target_comes_into_the_policy(tmp_path):
    raw = public_agent()
    torch.save(raw, tmp_path / "policy.pt")
    policy, _ = load_policy(str(tmp_path / "policy.pt"), SPEC, agent_config())
    kept = list(policy.state_dict().values())
    hidden = [v for k, v in raw.items() if k.startswith(("critic.state_embedder", "critic.recon", "critic_target"))]
    assert not any(a.shape == b.shape and torch.equal(a, b) for a in hidden for b in kept)


WRONG_POLICIES = {
    "method": ({}, {"policy_inputs": ("history", "observation")}, "does not fit .*--config_rl .*dqn.py:mi"),
    "memory": ({}, {"memory": "gru"}, "does not fit .*--config_seq .*gpt.py"),
    "layers": ({"layers": 2}, {}, "does not fit"),
    "head": ({"head": 9}, {}, "does not fit"),
    "observations": ({"obs_dim": 5}, {}, "a policy for 5 observations and 4 actions; Test-v0 has 3 and 4"),
    "actions": ({"num_actions": 2}, {}, "a policy for 3 observations and 2 actions; Test-v0 has 3 and 4"),
}


@pytest.mark.parametrize("name", WRONG_POLICIES)
def test_a_policy_of_other_sizes_or_settings_is_refused(tmp_path, name):
    sizes, settings, message = WRONG_POLICIES[name]
    torch.save(public_agent(**sizes), tmp_path / "policy.pt")
    config = agent_config()
    if "memory" in settings:
        config = make_config("mi", settings["memory"], head_dims=(12, 12))
    else:
        with config.unlocked():
            config.rl.update(settings)
    with pytest.raises(UserError, match=f"^--policy_dir: .*{message}") as refused:
        load_policy(str(tmp_path / "policy.pt"), SPEC, config)
    assert "\n" not in str(refused.value)


def domain(name):
    return make_vector_env(config_named("envs", name), 2, seed=0).spec_sizes


@needs_weights
@pytest.mark.parametrize("name", ["s_encoder", "o_encoder"])
@pytest.mark.parametrize(
    "folder, env", [("HeavenHell", "heaven_hell"), ("CarFlag-2D", "car_flag_2d"), ("Sphinx", "sphinx"),
                    ("BlockPulling", None), ("BlockPushing", None)],
)  # fmt: skip
@torch.no_grad()
def test_the_published_encoders_load_and_give_their_own_values(folder, env, name):
    if folder == "HeavenHell":
        plain, size, shape = public_vector(3, 128, 32), 3, None
    else:
        plain, shape = image_of(IMAGES[folder], 32), IMAGES[folder][0]
        size = math.prod(shape)
    if env is not None:
        spec = domain(env)
        assert (spec.obs_dim, spec.state_dim) == (size, size)
        assert (spec.obs_image_shape, spec.state_image_shape) == (shape, shape)
    plain.load_state_dict(torch.load(WEIGHTS / folder / f"{name}.pt", weights_only=True, map_location="cpu"))
    encoder = load_encoder(WEIGHTS / folder, name, size, "--flag", image_shape=shape)
    x = torch.rand(3, size)
    torch.testing.assert_close(encoder(x), plain(x), rtol=1e-4, atol=1e-4)


@needs_weights
@torch.no_grad()
def test_the_published_policy_obeys_its_own_bellman_equation():
    """Its values fit its one-step targets, rewards with its bonus 10 (e_t - e_t+1) included, to 0.009 (rms).

    Success and length are blind to most conventions; this is not. Positions that count from 1 give 0.015, from 2 0.025,
    sines and cosines in halves 0.22, the observation's embedding before the action's 0.37.
    """
    file = WEIGHTS / "HeavenHell/policy_dqn_ours_gpt.pt"
    raw = torch.load(file, weights_only=True, map_location="cpu")
    modules = (importlib.import_module(f"configs.{m}") for m in ("envs.heaven_hell", "seq.gpt"))
    env, seq = (module.get_config() for module in modules)
    rl = importlib.import_module("configs.rl.dqn").get_config("mi")
    envs, rng = make_vector_env(env, 32, seed=0), np.random.default_rng(0)
    policy, _ = load_policy(str(file), envs.spec_sizes, ConfigDict({"env": env, "rl": rl, "seq": seq}))
    greedy, phi, public = GreedyPolicy(policy), public_psi(raw, "state_embedder"), policy.public
    fold = public.folds["history"]

    def mostly_greedy(*now):
        action, carry = greedy(*now)
        return np.where(rng.random(len(action)) < 0.05, rng.integers(4, size=len(action)), action), carry

    errors = []
    for done in run_episodes(envs, mostly_greedy, 64, seed=0):
        obs, state = (torch.as_tensor(x, dtype=torch.float32) for x in (done.obs, done.state))
        action, reward = torch.as_tensor(done.action).long(), torch.as_tensor(done.reward, dtype=torch.float32)
        previous = torch.cat([torch.zeros(1, 4), F.one_hot(action, 4).float()])
        embedded = [fold.action_embedder(previous), fold.obs_embedder(obs)]
        history = fold.memory.encode(torch.cat(embedded, dim=-1)[:, None])[:, 0]
        q = policy.head({"history": history, "z_obs": public.shortcuts["z_obs"](obs)})
        z = history
        for name in ("fc0", "fc1", "last_fc"):
            layer = f"critic.recon.reconstructor.{name}"
            z = F.linear(z if name == "fc0" else F.relu(z), raw[f"{layer}.weight"], raw[f"{layer}.bias"])
        e = 1 - F.cosine_similarity(z, phi(state)).abs()
        after = q[1:].max(dim=-1).values
        after[-1] = 0.0  # the end, or the time limit, which the public code takes for one
        target = reward + 10 * (e[:-1] - e[1:]) + 0.99 * after
        errors.append(q[torch.arange(len(action)), action] - target)
    assert torch.cat(errors).square().mean().sqrt() < 0.012
