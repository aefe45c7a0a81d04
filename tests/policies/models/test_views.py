"""Views: acting equals training, and the policy cannot see the state, not even by mistake."""

import inspect
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from buffers.batch import Rows
from configs.envs.heaven_hell import get_config
from envs.make import make_vector_env
from policies.acting.evaluate import GreedyPolicy, evaluate
from policies.acting.rollout import EpisodeStream
from policies.build import build_agent
from policies.deployed.files import load_policy, save_policy
from policies.models.heads import Head
from policies.models.policy import HistoryPolicy, to_tensors
from policies.models.sources import Sources
from policies.models.trunk import PUBLIC
from policies.models.views import Fold, Inputs, PublicViews, after_steps, before_steps
from tests.helpers.agents import (
    CPU,
    IMAGES,
    MEMORIES,
    SPEC,
    VARIANTS,
    make_agent,
    make_batch,
    make_config,
    write_embedders,
)
from torchkit.actions import ActionValues
from utils.errors import UserError


def heaven_hell(num_envs, seed=0):
    config = get_config()
    with config.unlocked():
        config.horizon = 15
    return make_vector_env(config, num_envs, seed=seed)


def step_through(policy, batch):
    """The head's outputs of a batch's rows when they arrive one at a time."""
    obs, carry, outputs = batch.obs.full(), None, []
    for t in range(len(obs)):
        now = Inputs(obs[t], batch.prev_action[t], batch.prev_reward[t], batch.start[t])
        out, carry = policy.step(now, carry)
        outputs.append(out)
    return torch.stack(outputs)


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_acting_step_by_step_sees_what_training_sees(variant, memory):
    agent, batch = make_agent(variant, memory, seq={"vector.reward_dim": 2}), make_batch()
    with torch.no_grad():
        trained = agent.online(batch, {})[1]
        acted = step_through(agent.policy, batch)
    real = batch.row_mask > 0
    torch.testing.assert_close(acted[real], trained[real], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_images_go_through_convolutions(variant):
    repr_name = "believer_grid" if variant == "believer" else "sphinx"
    scratch = {"z_obs": "scratch", "z_state": "random", "believer": "scratch"}
    config = make_config(variant, "gru", repr_name=repr_name, **scratch)
    with config.repr.unlocked():
        config.repr.encoder.update({"channels": (4,), "kernels": (2,), "strides": (1,), "pools": (1,)})
    agent, batch = build_agent(Sources(IMAGES, config), 0, CPU), make_batch(spec=IMAGES)
    assert any(isinstance(module, nn.Conv2d) for module in agent.policy.modules())
    metrics = agent.update(batch)
    assert all(torch.isfinite(value) for value in metrics.values())
    with torch.no_grad():
        acted, trained = step_through(agent.policy, batch), agent.online(batch, {})[1]
    torch.testing.assert_close(acted[batch.row_mask > 0], trained[batch.row_mask > 0], rtol=1e-5, atol=1e-5)


def test_the_previous_reward_is_an_input_where_it_has_an_embedding():
    batch = make_batch()
    for width in (0, 3):
        agent = make_agent(seq={"vector.reward_dim": width})
        q = agent.online(batch, {})[1]
        batch.prev_reward += 1.0
        assert torch.equal(q, agent.online(batch, {})[1]) == (width == 0)


def test_a_head_sees_its_inputs_only_and_in_their_order():
    head = Head(("b", "a"), {"a": 2, "b": 3, "c": 4}, (), 1)
    views = {"a": torch.randn(5, 2), "b": torch.randn(5, 3), "c": torch.full((5, 4), torch.nan)}
    expected = torch.cat([views["b"], views["a"]], -1) @ head.net[0].weight.T + head.net[0].bias
    torch.testing.assert_close(head(views), expected)


# The policy and the state


HUGE = 1e30


class Poisoned:
    """Envs whose published states are all the same huge number; a NaN would be refused."""

    def __init__(self, envs):
        self.envs = envs

    def __getattr__(self, name):
        return getattr(self.envs, name)

    def reset(self, **options):
        views, info = self.envs.reset(**options)
        return views | {"state": np.full_like(views["state"], HUGE)}, info

    def step(self, action):
        views, *rest = self.envs.step(action)
        return (views | {"state": np.full_like(views["state"], HUGE)}, *rest)


def heaven_hell_agent(variant, memory):
    agent = make_agent(variant, memory, spec=heaven_hell(1).spec_sizes)
    with torch.no_grad():
        for parameter in agent.policy.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return agent


@pytest.mark.parametrize("memory", ["gru", "gpt"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_states_of_nothing_but_noise_change_no_action_and_no_evaluation(variant, memory):
    played, rows = [], []
    for poison in (lambda envs: envs, Poisoned):
        agent = heaven_hell_agent(variant, memory)
        agent.env_steps = 30_000
        stream = EpisodeStream(poison(heaven_hell(6)), seed=1)
        episodes = [episode for _ in range(40) for _, episode in stream.step(agent.exploring())]
        played.append([(e.action.tolist(), e.obs.tolist(), e.reward.tolist()) for e in episodes])
        assert (episodes[0].state == np.float32(HUGE)).all() == (poison is Poisoned)
        rows.append(evaluate(agent.greedy(), poison(heaven_hell(4)), 9, seed=2))
    assert played[0] == played[1]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_agent_without_its_privileged_parts_acts_the_same(variant):
    whole, bare = heaven_hell_agent(variant, "gru"), heaven_hell_agent(variant, "gru")
    bare.load_checkpoint(whole.checkpoint())
    del bare.state_views, bare.online.critic, bare.parts, bare.target
    rows = [evaluate(agent.greedy(), heaven_hell(4), 8, seed=2) for agent in (whole, bare)]
    assert rows[0] == rows[1]


def test_nothing_of_the_policy_takes_a_state():
    for function in (HistoryPolicy.step, PublicViews.step, to_tensors, GreedyPolicy.__call__):
        assert not [name for name in inspect.signature(function).parameters if "state" in name]
    assert not [name for name in Inputs._fields if "state" in name]
    assert not [name for name in PUBLIC if "state" in name]


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_weight_of_the_policy_has_the_states_width(variant):
    agent = make_agent(variant)
    widths = {n for parameter in agent.policy.parameters() for n in parameter.shape}
    assert SPEC.state_dim not in widths
    shared = {id(p) for p in agent.policy.parameters()}
    for part in (agent.state_views, agent.online.critic or nn.Identity(), agent.extensions):
        assert not shared & {id(p) for p in part.parameters()}


def test_public_views_read_nothing_of_a_batchs_state():
    agent, batch = make_agent("mi"), make_batch()
    views = agent.policy.public(batch)
    blind = replace(batch, state=None)
    for name, view in agent.policy.public(blind).items():
        assert torch.equal(view, views[name])


class Peeking(Fold):
    """A view that somebody wrote who forgot what a policy may have."""

    out_dim = SPEC.state_dim

    def initial_carry(self, batch_size):
        return ()

    def forward(self, batch):
        return {"history": batch.state.full()}


def test_a_view_that_reaches_for_the_state_finds_none():
    batch = make_batch()
    views = PublicViews({"history": Peeking()}, {})
    for given in (batch, batch.public):
        with pytest.raises(AttributeError, match="no attribute 'state'"):
            views(given)
    assert not {"state", "reward", "discount", "expert"} & set(vars(batch.public))


def test_the_public_part_of_a_batch_is_the_same_data_and_has_the_same_padding():
    batch = make_batch()
    assert batch.public.obs is batch.obs and batch.public.real_rows is batch.real_rows
    assert make_batch().with_padding().public.real_rows is None


def test_heads_on_rows_before_and_after_steps_are_those_on_all_rows():
    """Few distinct rows stay few, and padding is left out."""
    batch, agent = make_batch(), make_agent("dqn:history")
    distinct, place = batch.obs.full().flatten(0, 1).unique(dim=0, return_inverse=True)
    batch.obs = Rows(distinct, place.view(batch.start.shape))
    views, head = agent.policy.public(batch), agent.policy.head
    everywhere, real = head(views, batch), batch.mask[..., None]
    for some, rows in ((before_steps, slice(None, -1)), (after_steps, slice(1, None))):
        seen = some(views)
        assert torch.equal(seen["observation"].few.full(), seen["observation"])
        torch.testing.assert_close(head(seen, batch), everywhere[rows] * real, atol=1e-6, rtol=1e-5)


def test_a_policys_head_may_read_public_views_alone():
    dims = {"observation": 3, "z_state": 4}
    views = PublicViews({}, {"observation": nn.Identity()})
    HistoryPolicy(views, Head(("observation",), dims, (), 2), ActionValues())
    with pytest.raises(AssertionError, match="z_state"):
        HistoryPolicy(views, Head(("observation", "z_state"), dims, (), 2), ActionValues())


@pytest.mark.parametrize("view", ["state", "z_state"])
def test_a_policy_that_asks_for_the_state_is_refused(view):
    with pytest.raises(UserError, match=rf"--config_rl.policy_inputs: '{view}' is privileged"):
        make_agent(policy_inputs=("history", view))


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_saved_policy_holds_nothing_privileged_and_acts_the_same_when_read(tmp_path, variant, memory):
    spec = heaven_hell(1).spec_sizes
    (tmp_path / "e").mkdir()
    embedders = write_embedders(tmp_path / "e", spec)
    config = make_config(variant, memory)
    agent = build_agent(Sources(spec, config, embedders, embedders), 0, CPU)
    with torch.no_grad():
        for parameter in agent.deployed.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    save_policy(tmp_path / "policy", agent.deployed, spec, config, {"note": 1})
    saved = load_file(tmp_path / "policy" / "policy.safetensors")
    assert saved.keys() == agent.deployed.state_dict().keys()
    privileged = [agent.state_views, agent.extensions, agent.online.critic or nn.Identity()]
    for part in privileged:
        for value in part.state_dict().values():
            assert not any(torch.equal(value, kept) for kept in saved.values() if value.numel() > 1)
    for file in (tmp_path / "e").iterdir():
        file.unlink()  # the policy needs neither of stage 2's files
    policy, about = load_policy(str(tmp_path), spec)
    assert about["note"] == 1
    assert not policy.training
    rows = [evaluate(p, heaven_hell(4), 8, seed=2) for p in (agent.greedy(), GreedyPolicy(policy))]
    assert rows[0] == rows[1]
    batch = make_batch((9, 4), spec=spec)
    with torch.no_grad():
        torch.testing.assert_close(step_through(policy, batch), step_through(agent.deployed, batch), rtol=0, atol=0)
