"""The warm-up of an agent's memories: what follows them is as warm as they are."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from buffers.episode_buffer import EpisodeBuffer
from policies.auxiliary.self_prediction import SelfPrediction
from policies.training.warmup import WarmUp
from tests.helpers.agents import SPEC, make_agent
from tests.helpers.episodes import random_episode
from torchkit.normalise import RunningNorm


class Explored:
    """Twenty random episodes."""

    def explored(self, check_stop, purpose):
        rng, buffer = np.random.default_rng(0), EpisodeBuffer(SPEC, 1000, 12, 0)
        for _ in range(20):
            buffer.add(random_episode(SPEC, 12, rng, True))
        return buffer


@pytest.mark.parametrize("variant", ["ua", "sac:ua", "a2c:ua", "zp", "sac:zp"])
def test_targets_and_slow_copies_are_as_warm_as_what_they_follow(variant):
    agent = make_agent(variant)
    before = {name: value.clone() for name, value in agent.named_parameters()}
    WarmUp(3, 0)(agent, Explored(), lambda: None)
    memories = [name for name in before if ".memory." in name]
    assert memories and not [name for name in memories if torch.equal(before[name], agent.get_parameter(name))]
    followed = [(mine, its) for pair in agent.followers for mine, its in zip(*pair, strict=True)]
    if variant.startswith("a2c"):
        followed += zip(agent.target.parameters(), agent.critic.parameters(), strict=True)
    for module in agent.modules():
        if isinstance(module, SelfPrediction):
            followed += zip(module.slow.parameters(), module._memory[0].parameters(), strict=True)
    assert all(torch.equal(mine, its) for mine, its in followed)


@pytest.mark.parametrize("variant", ["ua", "sac:ua"])
def test_a_memory_is_warmed_by_what_it_will_read_where_running_statistics_are_asked_for(variant):
    agent = make_agent(variant, normalise=("obs", "state", "reward"))
    episodes = Explored().explored(None, "").episodes(np.arange(20))
    WarmUp(1, 0)(agent, Explored(), lambda: None)
    norms = [module for module in agent.modules() if isinstance(module, RunningNorm) and module.of != "reward"]
    assert {norm.of for norm in norms} == {"obs", "state"}
    for norm in norms:
        rows = getattr(episodes, norm.of).full()[episodes.row_mask > 0].double()
        assert torch.allclose(norm.mean, rows.mean(0)) and torch.allclose(norm.variance, rows.var(0, correction=0))
    assert float(agent.reward_scale.returns.count) == float(episodes.mask.sum())


@pytest.mark.parametrize("normalise", [(), ("obs",)])
def test_no_more_episodes_are_asked_for_at_once_than_a_step_takes(normalise, monkeypatch):
    """Of a data set that does not fit into memory there is no room for more."""
    monkeypatch.setattr("policies.training.warmup.SEQUENCES", 8)
    asked, episodes = [], Explored().explored(None, "")
    read = episodes.episodes

    def counted(number_B, **given):
        asked.append(len(number_B))
        return read(number_B, **given)

    monkeypatch.setattr(episodes, "episodes", counted)
    agent = make_agent("ua", normalise=normalise)
    WarmUp(1, 0)(agent, SimpleNamespace(explored=lambda *_: episodes), lambda: None)
    assert max(asked) == 8 and asked[:3] == [8, 8, 4]
