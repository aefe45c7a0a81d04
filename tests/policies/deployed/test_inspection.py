"""What is kept of an episode while it is played, and what is said of it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from buffers.batch import Episode
from buffers.episode_buffer import EpisodeBuffer
from envs.base import Belief
from policies.build import build_policy
from policies.deployed.inspection import Judged, Played, judge, play, story
from policies.losses import masked_mean
from policies.models.sources import Sources
from tests.helpers.agents import SPEC, make_agent, make_config
from tests.helpers.envs import Countdown
from tests.helpers.episodes import random_episode
from torchkit.actions import ActionValues, Categorical, TanhGaussian


def test_play_keeps_what_was_to_be_seen_at_each_row():
    envs = Countdown(num_envs=1, horizon=6)
    policy = build_policy(Sources(envs.spec_sizes, make_config())).eval()
    played = play(policy, envs, 5, seed=3, draw=True)
    assert len({len(one.episode) for one in played}) > 1
    for number, one in enumerate(played):
        rows = np.arange(len(one.episode) + 1)
        np.testing.assert_array_equal(one.episode.obs, np.stack([0 * rows, 0 * rows + number, rows], axis=1))
        np.testing.assert_array_equal(one.saw_R, rows >= 2)
        assert [int(frame[0, 0, 0]) for frame in one.frames] == (10 * rows).tolist()
        np.testing.assert_array_equal(one.output_TX.argmax(axis=1), one.episode.action)
        assert one.terminated == (len(one.episode) < 6)
    assert play(policy, envs, 1, seed=3, draw=False)[0].frames == []


def test_what_is_stored_as_bytes_is_shown_as_numbers():
    envs = Countdown(num_envs=1, horizon=6)
    envs.spec_sizes = replace(envs.spec_sizes, state_storage=((0.0, 51.0, 8),))
    policy = build_policy(Sources(envs.spec_sizes, make_config())).eval()
    (one,) = play(policy, envs, 1, seed=3, draw=False)
    rows = len(one.episode) + 1
    np.testing.assert_allclose(one.episode.state, np.full((rows, 1), len(one.episode)), rtol=1e-6)


@pytest.mark.parametrize("variant", ["mi", "sac:mi"])
def test_an_episode_is_judged_as_an_update_judges_it(variant):
    agent = make_agent(variant, intrinsic__information_gain__weight=3.0)
    episode = random_episode(SPEC, 7, np.random.default_rng(0))
    judged = judge(agent, episode, SPEC)
    buffer = EpisodeBuffer(SPEC, 100, SPEC.max_episode_steps, seed=0)
    buffer.add(episode)
    batch = buffer.sample(3)  # three times the same
    metrics = agent.update(batch)
    assert judged.losses["state_prediction"].shape == (8,)
    mean = masked_mean(torch.from_numpy(judged.losses["state_prediction"]), torch.ones(8))
    torch.testing.assert_close(mean, metrics["loss/state_prediction"])
    paid = judged.bonuses["information_gain"].mean() / 3.0
    assert paid == pytest.approx(
        float(metrics["bonus/information_gain"]), abs=1e-7
    )  # a difference of errors of about 1


def test_the_actors_losses_are_judged_too():
    agent, episode = make_agent("sac:zp"), random_episode(SPEC, 7, np.random.default_rng(0))
    judged = judge(agent, episode, SPEC)
    buffer = EpisodeBuffer(SPEC, 100, SPEC.max_episode_steps, seed=0)
    buffer.add(episode)
    metrics = agent.update(buffer.sample(3))
    for name in ("self_prediction", "actor_self_prediction"):
        mean = judged.losses[name][np.isfinite(judged.losses[name])].mean()
        assert mean == pytest.approx(float(metrics[f"loss/{name}"]), rel=1e-5)


def test_a_loss_that_is_nowhere_in_the_episode_is_left_out():
    episode = random_episode(SPEC, 7, np.random.default_rng(0))  # not the expert's: nothing to clone
    assert judge(make_agent("sac:embed"), episode, SPEC).losses == {}


def test_a_time_limit_that_counts_as_an_end_does_so_here():
    potential = {"intrinsic__information_gain__bonus_target": "potential"}
    rng = np.random.default_rng(0)
    episode = random_episode(SPEC, SPEC.max_episode_steps, rng, terminated=False)
    last = [
        judge(make_agent("mi", time_limit_is_terminal=ends, **potential), episode, SPEC).bonuses["information_gain"]
        for ends in (False, True)
    ]
    np.testing.assert_array_equal(last[0][:-1], last[1][:-1])
    assert last[0][-1] != last[1][-1]
    assert episode.discount[-1] == 1  # it was not changed


def test_a_family_of_others_need_not_say_what_time_limits_are():
    agent = make_agent("mi")
    with agent.config.unlocked():
        del agent.config["time_limit_is_terminal"]
    assert judge(agent, random_episode(SPEC, 5, np.random.default_rng(0), False), SPEC).losses


def test_decisions_by_hand():
    output = torch.tensor([[0.25, 0.75]]).log()
    assert ActionValues().explained(output)[1]["Q"] is output
    np.testing.assert_allclose(Categorical().explained(output)[1]["probability"], [[0.25, 0.75]], rtol=1e-6)
    named = TanhGaussian().explained(torch.tensor([[0.5, np.log(0.3)]], dtype=torch.float32))[1]
    np.testing.assert_allclose(named["mean"], np.tanh([[0.5]]), rtol=1e-6)
    np.testing.assert_allclose(named["std before tanh"], [[0.3]], rtol=1e-6)


def test_when_the_fact_was_learned_is_said_with_what_it_paid():
    obs, reward = np.zeros((4, 1), np.float32), np.array([0, -0.25, 1], np.float32)
    episode = Episode(obs, obs, np.zeros(3, int), reward, np.array([1, 1, 0], np.float32))
    judged = Judged({"state_prediction": np.array([4, 3, 0.5, 0.5])}, {"information_gain": np.array([0.1, 2.5, 0])})
    belief = Belief(("left", "right"), np.array([[0.5, 0.5], [0.5, 0.5], [1, 0], [1, 0]]))
    told = story(Played(episode, np.zeros((3, 2)), np.array([False, False, True, True]), []), judged, belief)
    assert told == [
        "The hidden fact was first seen at step 2; for the action that led there the domain paid -0.25, "
        "information_gain paid +2.5.",
        "The loss state_prediction went from 3 to 0.5 by it.",
        "information_gain paid +2.6 in all, most, +2.5, for the action that led to step 2.",
        "The exact belief began with 0.693 nats over 2 facts; nothing was left to learn from step 2 on.",
    ]


def test_a_place_that_is_known_and_lost_again_was_not_the_last_to_learn():
    rows = np.zeros((3, 1), np.float32)
    episode = Episode(rows, rows, np.zeros(2, int), np.zeros(2, np.float32), np.ones(2, np.float32))
    played = Played(episode, np.zeros((2, 2)), None, [])
    sure, open_ = [1.0, 0.0], [0.5, 0.5]
    for told, when in (
        ((sure, open_, sure), "nothing was left to learn from step 2 on"),
        ((sure, sure, open_), "something was left to the end"),
        ((sure, sure, sure), "nothing was left to learn from step 0 on"),
    ):
        belief = Belief(("here", "there"), np.array(told), particles_RPS=np.zeros((3, 40, 2), np.float32))
        assert story(played, None, belief) == [f"The belief by 40 particles began with 0 nats over 2 facts; {when}."]


def test_a_fact_that_was_never_seen_or_always():
    rows = np.zeros((3, 1), np.float32)
    episode = Episode(rows, rows, np.zeros(2, int), np.zeros(2, np.float32), np.ones(2, np.float32))
    assert story(Played(episode, np.zeros((2, 2)), None, []), None, None) == []  # the env does not tell
    for saw, said in ((False, "The observations never showed"), (True, "was to be seen from the start")):
        told = story(Played(episode, np.zeros((2, 2)), np.full(3, saw), []), None, None)
        assert len(told) == 1
        assert said in told[0]
