"""Exported steps against the policies that they were made from."""

import numpy as np
import pytest
import torch

from envs.make import make_vector_env
from policies.acting.evaluate import GreedyPolicy
from policies.build import build_policy
from policies.deployed import export
from policies.models.sources import Sources
from tests.helpers.agents import CONTINUOUS, SPEC, make_config
from tests.helpers.configs import config_named
from utils.errors import UserError

HORIZON = 12


def envs_of(domain, num_envs=10):
    config = config_named("envs", domain)
    with config.unlocked():
        config.horizon = HORIZON
    return make_vector_env(config, num_envs, seed=0)


def make_policy(spec, variant="history", memory="gru", seed=0, **overrides):
    """A policy whose outputs are of some size, as trained ones have."""
    torch.manual_seed(seed)
    policy = build_policy(Sources(spec, make_config(variant, memory, z_obs="scratch", **overrides))).eval()
    with torch.no_grad():
        for parameter in policy.head.parameters():
            parameter.mul_(4.0)
        policy.head.net[-1].weight.mul_(50.0 if policy.actions.first_bound < 0.01 else 3.0)
    return policy


def exported(policy, spec, folder, kind="onnx"):
    signature = export.signature_of(policy, spec, policy.actions.output)
    return export.write(policy, signature, kind, folder / f"step{export.FORMATS[kind][0]}"), signature


READING = {f"image__cnn__{name}": value for name, value in {"median": (0,), "clip": (-1.0, 0.5), "norm": True}.items()}
READING |= {"image__cnn__centre": (0.1, 0.2, 0.3), "image__cnn__spread": (0.5, 2.0, 1.0)}
SEEN = {"policy_inputs": ("history", "observation", "travelled")}
CASES = [
    ("heaven_hell", "mi", "markov", {}),
    ("heaven_hell", "mi", "mlp", {"seq": {"vector__reward_dim": 4}}),
    ("heaven_hell", "history", "gru", {"seq": {"vector__reward_dim": 4, "kwargs__layers": 2}}),
    ("heaven_hell", "mi", "lstm", {}),
    ("heaven_hell", "mi", "gpt", {"seq": {"vector__reward_dim": 4, "kwargs__layers": 2}}),
    ("sphinx", "history", "gpt", {}),
    ("sphinx", "sac:history", "gru", {}),
    ("car_flag_1d", "sac:mi", "lstm", {}),
    ("car_flag_2d_continuous", "a2c:history", "gru", {}),
    ("car_flag_1d", "sac:embed", "gru", {}),
    ("sphinx", "history", "gru", {"seq": {"image__cnn__centre": (0.1, 0.2), "image__cnn__spread": (0.5, 2.0)}}),
    ("car_flag_2d_continuous", "offline:bc", "gru", {"drop_action": 0.5, "mixture": 3, **SEEN}),
    ("sphinx", "history", "gru", {"seq": {"image__shared": True, **READING}}),
    ("sphinx", "history", "gru", {"seq": {"image__cnn__shrink": 2, "image__cnn__largest": (1,)}}),
    ("heaven_hell", "history", "mingru", {}),
    ("sphinx", "history", "lru", {"seq": {"kwargs__layers": 2}}),
    ("heaven_hell", "history", "bmru", {"seq": {"vector__reward_dim": 4}}),
    ("car_flag_1d", "sac:mi", "hybrid", {}),
    ("heaven_hell", "mi", "brc", {}),
    ("heaven_hell", "history", "nbrc", {"seq": {"kwargs__layers": 2}}),
    ("heaven_hell", "history", "mgu", {}),
    ("heaven_hell", "history", "frame_stack", {"seq": {"kwargs__frames": 3}}),
    ("heaven_hell", "history", "gru", {"seq": {"double": True, "kwargs__layers": 2}}),
    ("heaven_hell_n:1", "dreamer:informed", "gru", {}),
    ("car_flag_1d", "dreamer:both", "gru", {}),
]


SCRIPTED = (1, 2, 4, 7, 10, 11, 12, 13, 17, 19, 22)
EVERY = [(*case, "onnx") for case in CASES] + [(*CASES[i], "torchscript") for i in SCRIPTED]


@pytest.mark.parametrize(("domain", "variant", "memory", "overrides", "kind"), EVERY)
def test_every_head_and_memory_is_exported(domain, variant, memory, overrides, kind, tmp_path):
    envs = envs_of(domain)
    policy = make_policy(envs.spec_sizes, variant, memory, **overrides)
    step, signature = exported(policy, envs.spec_sizes, tmp_path, kind)
    largest, steps, precision = export.check(policy, step, signature, envs, 100, seed=0)
    assert largest <= 1e-5
    assert steps > 500
    assert precision == "single"
    one = envs_of(domain, 1)
    assert export.check(policy, step, signature, one, 2, seed=1).largest <= 1e-5
    assert signature.outputs[1].shape == ("N", policy.actions.out_dim(envs.spec_sizes.action_dim))


def names(signature):
    return [port.name for port in signature.inputs], [port.name for port in signature.outputs]


def test_only_what_is_read_is_an_input():
    def inputs(spec, *args, **overrides):
        return names(export.signature_of(make_policy(spec, *args, **overrides), spec, "value"))[0]

    assert inputs(SPEC) == ["obs", "prev_action", "start", "carry_0"]
    with_reward = {"vector__reward_dim": 3}
    assert inputs(SPEC, seq=with_reward) == ["obs", "prev_action", "prev_reward", "start", "carry_0"]
    assert inputs(SPEC, "history", "markov") == ["obs", "prev_action", "start"]
    assert inputs(SPEC, "history", "lstm")[3:] == ["carry_0", "carry_1"]
    assert inputs(CONTINUOUS, "sac:embed") == ["obs"]


def test_no_input_is_of_the_width_of_the_state():
    for variant in ("mi", "ua", "ba"):
        policy = make_policy(SPEC, variant, z_state="random")
        ports = export.signature_of(policy, SPEC, "value").inputs
        assert SPEC.state_dim not in {size for port in ports for size in port.shape}


@pytest.mark.parametrize("memory", ["gru", "lstm", "gpt", "lru", "mingru", "brc"])
def test_a_start_forgets_the_past(memory, tmp_path):
    policy = make_policy(SPEC, memory=memory, seq={"vector__reward_dim": 4})
    step, signature = exported(policy, SPEC, tmp_path)
    rng = np.random.default_rng(0)
    blank = {port.name: port.zeros(3) for port in signature.inputs}
    blank |= {"obs": rng.normal(size=(3, 3)).astype(np.float32), "start": np.ones(3, np.float32)}
    messy = {
        name: x if name in ("obs", "start") else (x + 3 if x.dtype == np.int64 else x + rng.normal(size=x.shape))
        for name, x in blank.items()
    }
    messy = {name: x.astype(blank[name].dtype) for name, x in messy.items()}
    np.testing.assert_array_equal(step(messy)[1], step(blank)[1])
    going_on = {"start": np.zeros(3, np.float32)}
    assert not np.allclose(step(messy | going_on)[1], step(blank | going_on)[1], atol=1e-4)


@pytest.mark.parametrize("kind", export.FORMATS)
@pytest.mark.parametrize(
    ("memory", "layers"), [("gru", 1), ("lstm", 2), ("gpt", 1), ("gpt", 2), ("hybrid", 2), ("mgu", 1)]
)
def test_a_start_forgets_an_observation_that_was_no_number(memory, layers, kind, tmp_path):
    policy = make_policy(SPEC, memory=memory, seq={"kwargs__layers": layers})
    step, signature = exported(policy, SPEC, tmp_path, kind)
    obs = np.random.default_rng(0).normal(size=(2, 11, 2, 3)).astype(np.float32)
    obs[0, 3, 0] = np.nan
    fresh = given = {port.name: port.zeros(2) for port in signature.inputs}
    seen = {}
    for episode, of_episode in ((0, obs[0]), (1, obs[1]), ("alone", obs[1])):
        given = fresh if episode == "alone" else given
        for t, now in enumerate(of_episode):
            action, output, *carry = step(given | {"obs": now, "start": np.full(2, t == 0, np.float32)})
            given = given | {f"carry_{i}": c for i, c in enumerate(carry)}
            seen.setdefault(episode, []).append((action, output))
    assert [int(action[0]) < 0 for action, _ in seen[0][:4]] == [False, False, False, True]
    assert all((action >= 0).all() for action, _ in seen[1])
    for ours, alone in zip(seen[1], seen["alone"], strict=True):
        np.testing.assert_array_equal(ours[0], alone[0])
        np.testing.assert_array_equal(ours[1], alone[1])


@pytest.mark.parametrize("kind", export.FORMATS)
def test_beyond_its_context_a_transformer_says_so(kind, tmp_path):
    policy = make_policy(SPEC, memory="gpt")
    assert export.context_of(policy) == SPEC.max_episode_steps + 1 == 13
    assert export.context_of(make_policy(SPEC)) is None
    step, signature = exported(policy, SPEC, tmp_path, kind)
    given = {port.name: port.zeros(2) for port in signature.inputs}
    given["start"][:] = 1
    for t in range(15):
        action, output, *carry = step(given)
        given |= {f"carry_{i}": c for i, c in enumerate(carry)}
        given["start"] = np.array([0, t == 4], np.float32)  # the second env begins anew
        assert np.isfinite(output[1]).all()
        assert action[1] >= 0
        assert np.isnan(output[0]).all() == (action[0] == -1) == (t >= 13)


def test_a_step_that_differs_is_refused(tmp_path):
    envs = envs_of("heaven_hell")
    policy, other = (make_policy(envs.spec_sizes, seed=seed) for seed in (0, 1))
    step, signature = exported(policy, envs.spec_sizes, tmp_path)
    with pytest.raises(UserError, match="off by"):
        export.check(other, step, signature, envs, 10, seed=0)

    def shifted(which, by):
        def call(given):
            out = step(given)
            return [x + by if i == which else x for i, x in enumerate(out)]

        return call

    for which, by in ((1, np.float32(1e-4)), (2, np.float32(1e-4)), (0, 1 - 2 * 4), (1, np.float32(np.nan))):
        with pytest.raises(UserError, match="off by"):
            export.check(policy, shifted(which, by), signature, envs, 10, seed=0)


@pytest.mark.parametrize("memory", ["gru", "lstm"])
def test_recurrent_nodes_are_of_the_form_that_runtimes_agree_on(memory, tmp_path):
    """Forwards, without lengths, peepholes, clipping or other activations; a GRU's reset gate after the product."""
    onnx = pytest.importorskip("onnx")
    spec = envs_of("heaven_hell").spec_sizes
    exported(make_policy(spec, memory=memory), spec, tmp_path)
    nodes = [n for n in onnx.load(tmp_path / "step.onnx").graph.node if n.op_type == memory.upper()]
    assert nodes
    for node in nodes:
        told = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        assert told.pop("direction", b"forward") == b"forward" and told.pop("hidden_size") > 0
        assert told == ({"linear_before_reset": 1} if memory == "gru" else {})
        assert node.input[4] == "" and len(node.input) <= 7  # no lengths, no peepholes


@pytest.mark.parametrize("memory", ["gru", "gpt", "mlp"])
def test_a_file_that_is_nearer_to_the_weights_than_the_policys_own_rounding_passes(memory, tmp_path, monkeypatch):
    envs = envs_of("heaven_hell")
    policy = make_policy(envs.spec_sizes, memory=memory)
    step, signature = exported(policy, envs.spec_sizes, tmp_path)
    exact = export.in_double(policy)
    assert next(exact.public.parameters()).dtype == torch.float64
    right = type(policy).step

    def rounded(self, now, carry):
        output, carry = right(self, now, carry)
        return output + 3e-5 * (now.obs_NO.dtype == torch.float32), carry

    monkeypatch.setattr(type(policy), "step", rounded)
    found = export.check(policy, step, signature, envs, 10, seed=0)
    assert (found.precision, found.largest < 2e-6) == ("double", True)

    def off(by):
        def call(given):
            action, output, *carry = step(given)
            return [action, output + np.float32(by), *carry]

        return call

    assert 2e-5 < export.check(policy, off(4e-5), signature, envs, 10, seed=0).largest < 5e-5
    with pytest.raises(UserError, match=r"off by .* in double precision, more than [56].*e-05"):
        export.check(policy, off(1e-4), signature, envs, 10, seed=0)
    monkeypatch.setattr(type(policy), "step", right)
    with pytest.raises(UserError, match=r"off by .* in double precision, more than 1e-05"):
        export.check(policy, off(3e-5), signature, envs, 10, seed=0)


def test_a_policy_that_is_off_by_far_in_single_precision_allows_no_more_than_a_thousandth(tmp_path, monkeypatch):
    envs = envs_of("heaven_hell")
    policy = make_policy(envs.spec_sizes)
    step, signature = exported(policy, envs.spec_sizes, tmp_path)
    right = type(policy).step

    def rounded(self, now, carry):
        output, carry = right(self, now, carry)
        return output + 0.1 * (now.obs_NO.dtype == torch.float32), carry

    def off(given):
        action, output, *carry = step(given)
        return [action, output + np.float32(2e-3), *carry]

    monkeypatch.setattr(type(policy), "step", rounded)
    with pytest.raises(UserError, match=r"more than 0.001"):
        export.check(policy, off, signature, envs, 10, seed=0)


@pytest.mark.parametrize("memory", ["lru", "hybrid"])
def test_a_long_episode_of_a_memory_that_sums_up_is_exported(memory, tmp_path):
    """Of 160 steps, over which rounding in single precision adds up to more than 1e-5 from one way to the other."""
    envs = make_vector_env(config_named("envs", "mountain_hike:varying"), 10, seed=0)
    policy = make_policy(envs.spec_sizes, memory=memory, seq={"kwargs__out_dim": 128})
    step, signature = exported(policy, envs.spec_sizes, tmp_path)
    found = export.check(policy, step, signature, envs, 30, seed=0)
    assert found.steps >= 160 * 30 and found.largest < 1e-4


def test_difference_by_hand():
    assert export.difference(np.array([1.0, 12.0]), np.array([0.75, 10.0])) == pytest.approx(0.25)
    assert export.difference(np.array([1.0, 14.0]), np.array([0.75, 10.0])) == pytest.approx(0.4)
    assert export.difference(np.array([np.nan]), np.array([0.0])) == np.inf
    assert export.difference(np.zeros((2, 0)), np.zeros((2, 0))) == 0


def test_the_greedy_policy_does_what_the_file_says(tmp_path):
    """Not by `check`: whole greedy episodes, action by action."""
    envs = envs_of("sphinx", 3)
    policy = make_policy(envs.spec_sizes, "history", "lstm")
    step, signature = exported(policy, envs.spec_sizes, tmp_path)
    greedy, ours = GreedyPolicy(policy), None
    given = {port.name: port.zeros(3) for port in signature.inputs}
    given["start"][:] = 1
    obs = envs.reset(seed=3)[0]["obs"]
    for _ in range(8):
        given["obs"] = obs
        expected, ours = greedy(obs, given["prev_action"], np.zeros(3), given["start"], ours)
        action, _, *carry = step(given)
        np.testing.assert_array_equal(action, expected)
        given |= {f"carry_{i}": c for i, c in enumerate(carry)}
        given |= {"prev_action": np.eye(4, dtype=np.float32)[action], "start": np.zeros(3, np.float32)}
        obs, _, terminated, truncated, _ = envs.step(action)
        obs = obs["obs"]
        if (terminated | truncated).any():
            break
