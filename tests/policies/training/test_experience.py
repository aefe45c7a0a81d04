"""Where batches come from: the clock drives schedules, and what an experience has no use for is told."""

import warnings

import numpy as np
import pytest

from buffers.episode_buffer import EpisodeBuffer
from policies.agents.base import Agent
from policies.agents.dqn import DQN
from policies.training.experience import StoredData
from policies.training.resolve import resolve
from tests.helpers.agents import SPEC, make_agent, make_config
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
    for flag in ("train_episodes", "num_envs", "start_training"):
        with pytest.warns(RuntimeWarning, match=f"^--{flag} is not used by dqn:history$"):
            resolved(flag)


def test_windows_say_nothing_to_fresh_episodes(monkeypatch):
    monkeypatch.setattr(DQN, "learns_from", "fresh_episodes")
    with pytest.warns(RuntimeWarning, match=r"^--sampled_seq_len is not used by dqn:history$"):
        resolved("sampled_seq_len")


def test_an_experience_that_a_family_misspells_or_forgets_is_told(monkeypatch):
    monkeypatch.setattr(DQN, "learns_from", "stored")
    with pytest.raises(UserError, match=r"^DQN.learns_from: unknown value 'stored' \(did you mean 'stored_data'\?\);"):
        resolved()
    monkeypatch.delattr(DQN, "learns_from")
    assert not hasattr(Agent, "learns_from")
    with pytest.raises(
        UserError, match=r"^DQN.learns_from: unknown value ''; choose from fresh_episodes, replayed_envs"
    ):
        resolved()
