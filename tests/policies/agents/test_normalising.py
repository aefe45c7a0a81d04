"""Running normalisation in agents: what it takes in, where it goes, and that the files of a policy have it."""

import numpy as np
import pytest
import torch

from buffers.batch import EpisodeBatch
from policies.deployed import export
from policies.deployed.files import load_policy, save_policy
from policies.models.sources import Sources
from policies.models.trunk import Trunk
from policies.training.batched_updates import batchable
from tests.helpers.agents import CONTINUOUS, IMAGES, SPEC, changed, make_agent, make_batch, make_config, weights
from torchkit.actions import ActionValues
from torchkit.normalise import RewardScale, RunningNorm
from utils.errors import UserError

ALL = {"normalise": ("obs", "state", "reward"), "seq": {"vector__reward_dim": 3}}
ROWS = [("ua", SPEC), ("mi", SPEC), ("sac:ua", CONTINUOUS), ("a2c:ua", SPEC)]


def agent_of(variant, spec, **overrides):
    return make_agent(variant, spec=spec, **ALL | overrides)


def stretched(spec):
    """A batch of numbers far from 0 and 1, which padding is not."""
    batch = make_batch(spec=spec)
    batch.obs.distinct = 50.0 * batch.obs.distinct - 7.0
    batch.reward = 300.0 * batch.reward + 40.0
    return batch


def norms(agent, of):
    return [module for module in agent.modules() if isinstance(module, RunningNorm) and module.of == of]


@pytest.mark.parametrize(("variant", "spec"), ROWS)
def test_statistics_are_those_of_the_real_rows_that_were_learned_from(variant, spec):
    agent, batch = agent_of(variant, spec), stretched(spec)
    real = batch.row_mask > 0
    for updates in (1, 2):
        agent.update(batch)
        for of in ("obs", "state"):
            rows = getattr(batch, of).full()[real].double()
            found = norms(agent, of)
            assert found or (variant, of) == ("mi", "state")
            assert of == "state" or norms(agent.deployed, of), "what is kept of the agent has its own"
            for norm in [*found, *norms(agent.deployed, of)]:  # target networks' as well
                assert norm.count == updates * len(rows)
                torch.testing.assert_close(norm.mean, rows.mean(0))
                torch.testing.assert_close(norm.squares / norm.count, rows.var(0, unbiased=False))
    returns = []
    for b in range(batch.mask.shape[1]):
        total = 0.0
        for reward in batch.reward[batch.mask[:, b] > 0, b].tolist():
            total = total * agent.config.discount + reward
            returns.append(total)
    scales = [module for module in agent.modules() if isinstance(module, RewardScale)]
    assert agent.reward_scale in scales and len(scales) > 1, "the memory reads rewards, too"
    for scale in scales:
        assert scale.returns.mean.item() == pytest.approx(np.mean(returns), rel=1e-6)


def test_rewards_are_learned_from_by_their_size_and_batches_stay_as_they_are():
    agent, batch, seen = agent_of("history", SPEC), stretched(SPEC), []
    losses = agent.losses
    agent.losses = lambda batch, metrics: seen.append(batch) or losses(batch, metrics)
    before = batch.reward.clone()
    agent.update(batch)
    assert isinstance(seen[0], EpisodeBatch) and torch.equal(batch.reward, before)
    torch.testing.assert_close(seen[0].reward, agent.reward_scale(batch.reward))
    assert seen[0].reward.abs().max() < batch.reward.abs().max() / 10


def test_what_is_not_asked_for_is_not_there():
    agent, batch = make_agent("ua"), stretched(SPEC)
    assert agent.reward_scale is None and not norms(agent, "obs")
    assert agent._normalised(batch) is batch
    only = make_agent("ua", normalise=("obs",))
    assert norms(only, "obs") and not norms(only, "state") and only.reward_scale is None


def test_a_scale_of_observations_changes_nothing_that_is_learned():
    """Two agents, one of which sees all numbers 1,000 times as large, come to the same values."""
    small, large = (agent_of("history", SPEC, normalise=("obs",)) for _ in range(2))
    for _ in range(3):
        batch, other = make_batch(), make_batch()
        other.obs.distinct = 1000.0 * other.obs.distinct + 5.0
        small.update(batch)
        large.update(other)
    for name, value in small.policy.state_dict().items():
        if name.rpartition(".")[2] not in ("mean", "squares", "count"):
            torch.testing.assert_close(large.policy.state_dict()[name], value, rtol=1e-3, atol=1e-5)


def test_it_goes_with_the_policy_into_its_files_and_into_what_is_exported(tmp_path):
    agent = agent_of("history", SPEC)
    for _ in range(3):
        agent.update(stretched(SPEC))
    config = make_config("history", **ALL)
    save_policy(tmp_path / "policy", agent.policy, SPEC, config, {})
    policy, _ = load_policy(str(tmp_path))
    assert not changed(weights(agent.policy), policy) and len(norms(policy, "obs")) == 2
    signature = export.signature_of(policy, SPEC, "value")
    assert [port.name for port in signature.inputs][:3] == ["obs", "prev_action", "prev_reward"]
    for kind, (suffix, *_) in export.FORMATS.items():
        step = export.write(policy, signature, kind, tmp_path / f"step{suffix}")
        rng, carry, theirs = np.random.default_rng(0), policy.public.initial_carry(3), {}
        for t in range(5):
            given = {port.name: port.zeros(3) for port in signature.inputs} | theirs
            given["obs"] = rng.normal(-7, 50, (3, 3)).astype(np.float32)
            given["prev_reward"] = rng.normal(0, 300, 3).astype(np.float32)
            given["start"] = np.full(3, t == 0, np.float32)
            _, output, *after = step(given)
            theirs = {f"carry_{i}": c for i, c in enumerate(after)}
            with torch.inference_mode():
                now = [torch.from_numpy(given[name]) for name in ("obs", "prev_action", "prev_reward", "start")]
                now[2] = now[2] * (t > 0)
                ours, carry = policy.step(export.Inputs(*now), carry)
            np.testing.assert_allclose(output, ours.numpy(), rtol=1e-4, atol=1e-5)


def test_it_is_in_the_checkpoint():
    agent, again = agent_of("ua", SPEC), agent_of("ua", SPEC, seed=3)
    agent.update(stretched(SPEC))
    again.load_checkpoint(agent.checkpoint())
    assert not changed(weights(agent), again)
    agent.update(stretched(SPEC)), again.update(stretched(SPEC))
    assert not changed(weights(agent), again)


def test_what_cannot_be_is_one_line():
    with pytest.raises(UserError, match=r"--config_rl\.normalise: unknown value 'actions'; choose from obs, re"):
        make_agent("history", normalise=("actions",))
    with pytest.raises(UserError, match=r"--config_rl\.normalise: obs is an image of Images-v0"):
        make_agent("history", spec=IMAGES, normalise=("obs",))
    with pytest.raises(UserError, match=r"--batch_seeds: .* normalise=\(\)"):
        batchable(make_agent("history", normalise=("obs",)))


def test_a_policy_of_before_acts_as_before():
    config = make_config("history")
    with config.rl.unlocked():
        del config.rl.normalise
    trunk = Trunk(Sources(SPEC, config), ActionValues())
    assert trunk.width("observation") and not norms(trunk.public(), "obs")
