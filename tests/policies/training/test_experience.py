"""Where batches come from: the clock drives schedules, and what an experience has no use for is told."""

import copy
import warnings
from contextlib import closing

import numpy as np
import pytest
import torch

from buffers.episode_buffer import EpisodeBuffer
from envs.make import make_vector_env
from policies.agents.base import Agent
from policies.agents.dqn import DQN
from policies.training.experience.played import Plan
from policies.training.experience.stored import StoredData, StoredThenEnvs
from policies.training.resolve import resolve
from tests.helpers.agents import CPU, SPEC, make_agent, make_config
from tests.helpers.configs import config_named
from tests.helpers.episodes import random_episode
from utils.errors import UserError


def stored_data(num_updates=4):
    buffer = EpisodeBuffer(SPEC, 100, SPEC.max_episode_steps, seed=0)
    for _ in range(3):
        buffer.add(random_episode(SPEC, 5, np.random.default_rng(0), True))
    return StoredData(buffer, num_updates, batch_size=2, aux_batch_size=2)


def test_offline_the_updates_drive_what_follows_a_schedule():
    agent, experience, shares = make_agent("history", intrinsic__anneal_steps=4), stored_data(), []
    while experience.progress < experience.total:
        assert experience.advance(agent) == []
        shares.append(agent.bonus_share())
        assert len(list(experience.learn(agent))) == 1
    assert shares == [1.0, 0.75, 0.5, 0.25]


class Still(Agent):
    """Takes action 0, and keeps what it is given to learn from."""

    env_steps = 0

    def __init__(self):
        super().__init__()
        self.device, self.given = CPU, []

    def act(self, obs_NO, prev_action_NA, prev_reward_N, start_N, carry, explore):
        return np.zeros(len(obs_NO), np.int64), carry

    def update(self, batch, aux_batch=None):
        self.given.append(batch)
        return {}


def then_envs(envs, num_updates=3, steps=8, rate=0.5):
    spec, rng = envs.spec_sizes, np.random.default_rng(0)
    buffer = EpisodeBuffer(spec, 500, spec.max_episode_steps, seed=0)
    for _ in range(5):
        buffer.add(random_episode(spec, 4, rng, values=(7.0,)), protect=True)
    plan = Plan(steps, 0, 0, rate, 6, 6)
    return StoredThenEnvs(envs, buffer, plan, 0, num_updates, share=0.5)


def of_data(batch):
    """How many columns of a batch are of what was stored."""
    return int((batch.obs.full()[0, :, 0] == 7.0).sum())


def test_a_data_set_comes_first_and_is_half_of_each_batch_then():
    config = config_named("envs", "heaven_hell")
    with config.unlocked():
        config.horizon = 5
    with closing(make_vector_env(config, 2, seed=0)) as envs, closing(make_vector_env(config, 2, seed=0)) as others:
        experience, agent = then_envs(envs, steps=4), Still()
        assert experience.total == 3 + 4 * 5 * 0.5
        assert experience.unit == experience.clock == "updates"
        while experience.progress < experience.total:
            before = experience.progress
            experience.advance(agent)
            assert agent.env_steps == before
            list(experience.learn(agent))
            experience.check_counters()  # as a resumed run does, in both parts
            if experience.progress == 6:
                saved, seen = copy.deepcopy(experience.state_dict()), len(agent.given)
        assert experience.env_steps == 20
        assert experience.episodes == 4
        shares = [of_data(batch) for batch in agent.given]
        assert shares[:5] == [6] * 5  # before an episode has ended there is nothing else
        assert shares[-3:] == [3] * 3
        again, copied = then_envs(others, steps=4), Still()
        again.load_state_dict(saved)
        again.check_counters()
        again.updates += 1
        with pytest.raises(ValueError, match="updates"):
            again.check_counters()
        again.updates -= 1
        while again.progress < again.total:
            again.advance(copied)
            list(again.learn(copied))
        for one, other in zip(agent.given[seen:], copied.given, strict=True):
            assert torch.equal(one.obs.full(), other.obs.full())
            assert torch.equal(one.action, other.action)


def resolved(*given):
    config = make_config()
    with config.rl.unlocked():
        config.rl.num_updates = 3
    return resolve(config_named("envs", "heaven_hell"), config.rl, config.seq, None, set(), {}, given=given)


def test_flags_that_say_nothing_to_stored_data_are_warned_of(monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resolved("train_episodes", "start_training")
        monkeypatch.setattr(DQN, "learns_from", "stored_data")
        resolved("data_path", "seed")
    for flag in ("train_episodes", "num_envs", "start_training", "updates_per_step"):
        with pytest.warns(RuntimeWarning, match=f"^--{flag} is not used by dqn:history$"):
            resolved(flag)


def test_windows_say_nothing_to_fresh_episodes(monkeypatch):
    monkeypatch.setattr(DQN, "learns_from", "fresh_episodes")
    for flag in ("sampled_seq_len", "start_training"):
        with pytest.warns(RuntimeWarning, match=f"^--{flag} is not used by dqn:history$"):
            resolved(flag)


def test_an_experience_that_a_family_misspells_or_forgets_is_told(monkeypatch):
    monkeypatch.setattr(DQN, "learns_from", "stored")
    with pytest.raises(UserError, match=r"^DQN.learns_from: unknown value 'stored' \(did you mean 'stored_data'\?\);"):
        resolved()
    monkeypatch.delattr(DQN, "learns_from")
    assert not hasattr(Agent, "learns_from")
    with pytest.raises(
        UserError, match=r"^DQN.learns_from: unknown value ''; choose from fresh_episodes, relabelled_episodes, "
    ):
        resolved()
