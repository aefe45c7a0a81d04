"""The view of the history: a previous action that is not told, and an embedding of the observation that heads share."""

from dataclasses import replace

import pytest
import torch

from policies.deployed.files import load_policy, save_policy
from policies.models.views import Inputs
from tests.helpers.agents import CONTINUOUS, IMAGES, SPEC, make_agent, make_batch, make_config
from utils.errors import UserError

DROPS = 0.999999  # of all, as good as


@pytest.mark.parametrize("spec", [SPEC, CONTINUOUS])
def test_a_dropped_action_is_not_told_while_it_learns_and_told_when_it_acts(spec):
    agent, batch = make_agent("offline:bc", spec=spec, drop_action=DROPS), make_batch(spec=spec)
    none = torch.zeros_like(batch.prev_action)
    untold = replace(batch, prev_action=none)
    history = agent.policy.public.folds["history"]
    told = history(batch)["history"]
    history.train()
    torch.manual_seed(0)
    dropped = history(batch)["history"]
    history.eval()
    assert not torch.allclose(dropped, told)
    zero = history.obs_embedder(batch.obs.full()), history.action_embedder(none)
    expected = history.memory.encode(torch.cat([zero[1], zero[0]], dim=-1))
    torch.testing.assert_close(dropped, expected)
    if not spec.discrete:
        torch.testing.assert_close(dropped, history(untold)["history"])


def test_half_of_the_actions_are_dropped_and_bonuses_are_of_what_is_told():
    agent, batch = make_agent("sac:mi", spec=CONTINUOUS, drop_action=0.5), make_batch(spec=CONTINUOUS)
    assert agent.has_dropout
    found = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        metrics = {}
        agent._in_training_mode(True)
        agent.losses(batch, metrics)
        agent._in_training_mode(False)
        found.append({name: float(value.detach()) for name, value in metrics.items()})
    assert found[0]["bonus/information_gain_abs"] == found[1]["bonus/information_gain_abs"]
    assert found[0]["loss/td"] != found[1]["loss/td"]


@pytest.mark.parametrize("share", [1.0, -0.1])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(UserError, match=r"--config_rl\.drop_action"):
        make_agent(spec=SPEC, drop_action=share)


@pytest.mark.parametrize(("spec", "group"), [(SPEC, "vector"), (IMAGES, "image")])
def test_a_head_shares_the_memorys_embedding_of_the_observation(spec, group, tmp_path):
    shared = {f"{group}__shared": True}
    agent, batch = make_agent("history", spec=spec, seq=shared), make_batch(spec=spec)
    public = agent.policy.public
    assert public.shortcuts["observation"] is public.folds["history"].obs_embedder
    calls = []
    public.shortcuts["observation"].register_forward_hook(lambda *_: calls.append(1))
    with batch.encoding_once():
        views = public(batch)
    assert len(calls) == 1
    torch.testing.assert_close(views["observation"], batch.obs.through(public.shortcuts["observation"]))
    before = public.shortcuts["observation"](batch.obs.distinct).detach()
    for _ in range(2):
        agent.update(batch)
    target = agent.target.policy.public
    assert target.shortcuts["observation"] is target.folds["history"].obs_embedder
    assert not torch.equal(before, public.shortcuts["observation"](batch.obs.distinct))

    save_policy(tmp_path, agent.policy, spec, make_config(seq=shared), {})
    loaded, _ = load_policy(str(tmp_path))
    torch.testing.assert_close(loaded.public(batch)["observation"], public(batch)["observation"], rtol=0, atol=0)
    assert loaded.public.shortcuts["observation"] is loaded.public.folds["history"].obs_embedder


@pytest.mark.parametrize("spec", [SPEC, CONTINUOUS])
def test_what_was_done_is_added_up_in_training_as_when_it_acts(spec):
    inputs = {"policy_inputs": ("history", "travelled")}
    agent, batch = make_agent("offline:bc", spec=spec, drop_action=0.9, **inputs), make_batch(spec=spec)
    fold = agent.policy.public.folds["travelled"]
    found = fold.train()(batch)["travelled"]
    t, b = 5, 1  # the second episode has twelve steps
    action = batch.action[:, b]
    features = torch.nn.functional.one_hot(action, 4).float() if spec.discrete else action
    torch.testing.assert_close(found[t, b], features[:t].sum(0))
    assert not found[0].any()

    rows = zip(batch.obs.full(), batch.prev_action, batch.prev_reward, batch.start, strict=True)
    carry, stepped = None, []
    for row in rows:
        view, carry = fold.step(Inputs(*row), carry)
        stepped.append(view)
    torch.testing.assert_close(torch.stack(stepped), found)
    view, _ = fold.step(Inputs(batch.obs.full()[0], batch.prev_action[0], batch.prev_reward[0], batch.start[0]), carry)
    assert not view.any()  # a new episode
    begun = replace(batch, start=torch.zeros_like(batch.start))
    torch.testing.assert_close(fold(begun, carry)["travelled"], found + carry[0])
    torch.testing.assert_close(fold(batch, carry)["travelled"], found)


def test_what_is_shared_needs_no_memory_and_no_order():
    """Who reads the observation alone has no memory for its embedding's sake; which view is named first is the same."""
    for group, spec in (("vector", CONTINUOUS), ("image", replace(IMAGES, discrete=False))):
        shared = {f"{group}__shared": True}
        agent = make_agent("sac:embed", spec=spec, seq=shared)
        assert not agent.policy.public.folds and not agent.critic.public.folds
        either = [("history", "observation"), ("observation", "history")]
        for inputs in either:
            public = make_agent("offline:bc", spec=spec, seq=shared, policy_inputs=inputs).policy.public
            assert public.shortcuts["observation"] is public.folds["history"].obs_embedder
