"""What every family must do, of continuous and of discrete actions, each with all its rows."""

import copy

import numpy as np
import pytest
import torch

from buffers.batch import Rows
from policies.agents.distill import Distill
from policies.agents.dqn import DQN
from policies.agents.dreamer.dreamer import Dreamer
from policies.agents.learner import clip_gradients, has_dropout
from policies.auxiliary.self_prediction import SelfPrediction
from policies.build import FAMILIES, build_agent
from policies.models.sources import Sources
from tests.helpers.agents import (
    A2C_VARIANTS,
    CONTINUOUS,
    CPU,
    DISTILL_VARIANTS,
    DREAMER_VARIANTS,
    MEMORIES,
    SAC_VARIANTS,
    SPEC,
    VARIANTS,
    changed,
    make_agent,
    make_batch,
    make_config,
    weights,
)  # fmt: skip
from tests.helpers.runs import assert_identical
from torchkit.sequence import GRU
from utils.errors import DivergenceError, UserError

OFFLINE = ("offline:aawr_marginal", "offline:misa")  # all rows of it: test_offline.py
GRADIENT = (*SAC_VARIANTS, *A2C_VARIANTS, *DISTILL_VARIANTS, *OFFLINE)

DREAMING = (*DREAMER_VARIANTS, *(f"discrete {name}" for name in DREAMER_VARIANTS[:2]))
METHODS = (*VARIANTS, *GRADIENT, *(f"discrete {name}" for name in GRADIENT), *DREAMING)
WITH_MEMORIES = [(method, memory) for method in METHODS for memory in MEMORIES if method not in DREAMING]
WITH_MEMORIES += [(method, "gru") for method in DREAMING]  # which have none but the latent


def spec_of(method):
    return CONTINUOUS if method.startswith(("sac:", "a2c:", "distill:", "offline:", "dreamer:")) else SPEC


def agent_for(method, memory="gru", **options):
    """An agent of the row, on continuous actions but for DQN's rows and those that are called discrete."""
    if "a2c:informed" in method:
        options["critic__signal"] = ("1", "4")
    return make_agent(method.removeprefix("discrete "), memory, spec_of(method), **options)


def batch_for(method, **options):
    return make_batch(spec=spec_of(method), advised="elf" in method or "distill" in method, **options)


@pytest.mark.parametrize(("method", "memory"), WITH_MEMORIES)
def test_what_stands_on_padding_changes_nothing(method, memory):
    batch = batch_for(method)
    spoilt = copy.deepcopy(batch)
    over, over_rows = batch.mask == 0, batch.row_mask == 0
    assert over.any()
    for rows in (spoilt.obs, spoilt.state):
        rows.distinct[over_rows.flatten()] = 1e3
    spoilt.prev_action[over_rows] = 1e3
    spoilt.prev_reward[over_rows] = 1e3
    spoilt.action[over] = 3
    if hasattr(spoilt, "advice"):
        spoilt.advice[over] = 3
    spoilt.reward[over] = torch.nan
    spoilt.discount[over] = torch.nan
    results = []
    for each in (batch, spoilt):
        agent = agent_for(method, memory)  # and seeds the noise of fresh actions
        metrics = agent.update(each)
        results.append((metrics, weights(agent)))
    assert results[0][0].keys() == results[1][0].keys()
    for name, value in results[0][0].items():
        assert torch.equal(value, results[1][0][name]), name
    for name, value in results[0][1].items():
        assert torch.equal(value, results[1][1][name]), name


@pytest.mark.parametrize(("method", "memory"), WITH_MEMORIES)
def test_bfloat16_updates_stay_near_float32_ones(method, memory):
    results = {p: agent_for(method, memory, precision=p).update(batch_for(method)) for p in ("fp32", "bf16")}
    for name, value in results["fp32"].items():
        assert results["bf16"][name].dtype == torch.float32, name
        torch.testing.assert_close(results["bf16"][name], value, rtol=0.1, atol=0.05, msg=lambda m, n=name: f"{n}: {m}")


def test_rows_searched_for_doubles_give_the_same_update():
    batch = make_batch()
    few = copy.deepcopy(batch)
    for name in ("obs", "state"):
        full = getattr(batch, name).full()
        distinct, place = torch.unique(full.flatten(0, 1), dim=0, return_inverse=True)
        setattr(few, name, Rows(distinct, place.view(full.shape[:2])))
    for method in ("mi", "ua"):
        metrics = [make_agent(method).update(each) for each in (batch, few)]
        for name, value in metrics[0].items():
            torch.testing.assert_close(metrics[1][name], value, rtol=1e-4, atol=1e-5)


def test_the_separate_predictor_step_moves_the_predictor_and_nothing_else():
    agent = make_agent("mi", predictor_step="separate")
    assert agent.wants_aux_batch
    before = weights(agent)
    agent._predictor_step(make_batch())
    moved = changed(before, agent)
    assert moved == {name for name in before if name.startswith("parts.auxiliary") and ".unit." not in name}
    assert not any(p.grad is not None and p.grad.any() for p in agent.online.parameters())
    assert "loss/predictor_step" in agent.update(make_batch(), make_batch(seed=1))
    assert not make_agent("mi").wants_aux_batch
    assert not make_agent("history", predictor_step="separate").wants_aux_batch


@pytest.mark.parametrize("method", METHODS)
def test_an_update_moves_everything_that_should_learn(method):
    agent = agent_for(method)
    before = weights(agent)
    for _ in range(1 + (method in DREAMING)):  # a critic's first output is 0, whatever goes in
        agent.update(batch_for(method))
    frozen = "target." if agent.learns_from == "fresh_episodes" else "none."
    still = set(before) - changed(before, agent) - {name for name in before if name.startswith(frozen)}
    fixed = ("state_views", ".unit.", "belief.noise", "random_network_distillation.target")
    assert all(any(part in name for part in fixed) for name in still), still


def critic_values(agent, batch):
    """What the critics' heads give; of a DQN without a critic, Q; of a student, what it does."""
    given = agent.state_views(batch)
    if isinstance(agent, Dreamer):
        return [agent.critic(agent.policy.public(batch))]
    if not hasattr(agent, "critic") and not hasattr(agent, "online"):
        return [agent.policy.head(agent.policy.public(batch), batch)]
    if not hasattr(agent, "critic"):
        _, q, u = agent.online(batch, given)
        return [q if u is None else u]
    return agent.critic(agent.critic.views(batch, given), batch, torch.zeros(*batch.row_mask.shape, 2))


@pytest.mark.parametrize("method", METHODS)
def test_a_nan_in_the_state_reaches_only_what_may_see_it(method):
    """The policy's outputs are the same; agents that see no state at all make the same update."""
    agent, batch = agent_for(method), batch_for(method)
    spoilt = copy.deepcopy(batch)
    spoilt.state.distinct[:] = torch.nan
    outputs = [agent.policy.head(agent.policy.public(each), each) for each in (batch, spoilt)]
    assert torch.equal(*outputs)
    row = method.rpartition(":")[-1]
    by_loss = ("mi", "mi_cv", "believer", "elf", "informed", "both", "published")  # learn of it by a loss alone
    asymmetric = ("ua", "ua_vr", "ba", "ba_vr", "informed", "aawr", "aawr_state", "aawr_marginal")
    in_heads = method not in DREAMING and row in asymmetric
    assert all(bool(value.isnan().any()) == in_heads for value in critic_values(agent, spoilt))
    if in_heads or row in by_loss:
        with pytest.raises(DivergenceError):
            agent.update(spoilt)
        return
    plain, other = (agent_for(method) for _ in range(2))
    for one, each in ((plain, batch), (other, spoilt)):
        torch.manual_seed(0)
        one.update(each)
    assert all(torch.equal(a, b) for a, b in zip(weights(plain).values(), weights(other).values(), strict=True))


@pytest.mark.parametrize("most", [0.5, 100.0])
def test_gradients_are_clipped_as_torch_clips_them(most):
    torch.manual_seed(0)
    mine = [torch.nn.Parameter(torch.zeros(n, 3)) for n in (4, 1, 2)]
    for parameter in mine[:2]:  # the last one has none
        parameter.grad = torch.randn_like(parameter)
    theirs = copy.deepcopy(mine)
    for one, other in zip(mine, theirs):
        other.grad = None if one.grad is None else one.grad.clone()
    norm = clip_gradients(mine, most)
    assert torch.equal(norm, torch.nn.utils.clip_grad_norm_(theirs, most))
    assert all(torch.equal(one.grad, other.grad) for one, other in zip(mine[:2], theirs))
    assert mine[2].grad is None
    assert clip_gradients(mine[2:], most) == 0


@pytest.mark.parametrize("method", ["offline:iql", "offline:misa", "sac:history"])
def test_stored_actions_are_judged_before_steps_and_the_next_ones_after_them(method):
    agent, batch, sizes = make_agent(method, spec=CONTINUOUS), make_batch(spec=CONTINUOUS), []
    for critic in (agent.critic, agent.target):
        for head in critic.heads[:2]:
            head.register_forward_hook(lambda head, given, out: sizes.append(len(out)))
    agent.update(batch)
    assert len(sizes) >= 4
    assert set(sizes) == {len(batch.mask)}


def test_whatever_drops_values_is_known_to():
    class Own(torch.nn.Module):
        dropout = 0.1

    for silent in (torch.nn.Dropout(0.0), torch.nn.GRU(2, 2), torch.nn.Linear(2, 2)):
        assert not has_dropout(torch.nn.Sequential(silent))
    for drops in (torch.nn.Dropout(0.5), torch.nn.Dropout2d(1), torch.nn.GRU(2, 2, 2, dropout=0.5), Own()):
        assert has_dropout(torch.nn.Sequential(drops))


@pytest.mark.parametrize("method", METHODS)
def test_a_loss_that_is_not_finite_raises_and_changes_nothing(method):
    agent = agent_for(method)
    agent.update(batch_for(method))
    before = copy.deepcopy(agent.checkpoint())
    spoilt = batch_for(method)
    spoilt.reward[0, 0] = spoilt.obs.distinct[0] = torch.nan  # a student reads no reward
    with pytest.raises(DivergenceError, match="nan"):
        agent.update(spoilt)
    assert_identical(agent.checkpoint(), before)


def test_a_predictor_step_that_is_not_finite_raises_and_changes_nothing():
    agent = make_agent("mi", predictor_step="separate")
    agent.update(make_batch(), make_batch())
    before = copy.deepcopy(agent.checkpoint())
    spoilt = make_batch()
    spoilt.state.distinct[0] = torch.nan
    with pytest.raises(DivergenceError):
        agent.update(make_batch(), spoilt)
    assert_identical(agent.checkpoint(), before)


CHECKPOINTED = ["mi", "zp", "sac:mi", "sac:zp", "discrete sac:mi", "a2c:ua", "elf", "distill:dagger", "dreamer:both"]


@pytest.mark.parametrize("options", [{}, {"predictor_step": "separate"}])
@pytest.mark.parametrize("method", CHECKPOINTED)
def test_a_checkpointed_agent_goes_on_the_same(method, options):
    if options and method.startswith(("a2c", "distill", "dreamer")):
        pytest.skip("it has no step of its own for predictors")
    first, second = (agent_for(method, seed=seed, **options) for seed in (0, 1))
    aux = batch_for(method, seed=9) if options else None
    obs = [np.ones((5, 3)), np.zeros((5, spec_of(method).action_dim)), np.zeros(5), np.ones(5)]
    first.env_steps = 77
    first.update(batch_for(method), aux)
    first.act(*obs, None, True)
    second.load_checkpoint(copy.deepcopy(first.checkpoint()))
    for step in range(3):
        results = []
        for agent in (first, second):
            torch.manual_seed(step)
            results.append(agent.update(batch_for(method, seed=step), aux))
        assert_identical(*results)
        actions = [agent.act(*obs, None, True)[0].tolist() for agent in (first, second)]
        assert actions[0] == actions[1]
    assert_identical(first.checkpoint(), second.checkpoint())


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ({"values": torch.ones(12, 4)}, r"DQN.losses: values is of shape \(12, 4\); a scalar is needed"),
        ({"valeus": torch.ones(())}, r"DQN.losses: unknown value 'valeus' \(did you mean 'values'\?\)"),
    ],
)
def test_losses_that_are_none_are_one_line(monkeypatch, losses, message):
    monkeypatch.setattr(DQN, "losses", lambda self, batch, metrics: losses)
    with pytest.raises(UserError, match=f"^{message}"):
        agent_for("history").update(batch_for("history"))


@pytest.mark.parametrize(
    ("kind", "method", "base"),
    [(DQN, "losses", "Learner"), (SelfPrediction, "loss", "AuxiliaryLoss"), (GRU, "initial_carry", "Memory")],
)
def test_a_method_under_a_wrong_name_is_one_line(monkeypatch, kind, method, base):
    owner = next(one for one in kind.__mro__ if method in vars(one))
    monkeypatch.delattr(owner, method)
    with pytest.raises(UserError, match=f"^{kind.__name__} lacks {method}, which {base} leaves to be written$"):
        agent_for("zp")


class Silent(Distill):
    """A family of others, which learns neither from rewards nor in steps apart."""


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (
            "intrinsic.use",
            ("information_gain",),
            r"^--config_rl\.intrinsic\.use: silent learns from no bonus; leave it empty",
        ),
        ("predictor_step", "separate", r"^--config_rl\.predictor_step: silent has one batch for all; choose shared"),
        (
            "normalise",
            ("reward",),
            r"^--config_rl\.normalise: silent has no discount, which reward needs; leave it out",
        ),
    ],
)
def test_a_family_of_others_is_not_given_what_it_would_pass_over(field, value, message, monkeypatch):
    monkeypatch.setitem(FAMILIES, "silent", Silent)
    config = make_config("distill:clone")
    with config.rl.unlocked():
        config.rl.family = "silent"
        config.rl.update_from_flattened_dict({field: value})
        del config.rl["discount"]
    with pytest.raises(UserError, match=message):
        build_agent(Sources(SPEC, config), 0, CPU)
