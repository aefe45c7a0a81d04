"""Evaluation: statistics by hand, and films frame by frame."""

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from buffers.batch import Episode
from policies.acting.evaluate import ENDINGS, GreedyPolicy, evaluate, film, framed, means, statistics
from policies.acting.rollout import RandomPolicy
from tests.helpers.agents import make_agent
from tests.helpers.envs import Countdown


def episode(rewards, **flags):
    rows = np.zeros((len(rewards) + 1, 1), np.float32)
    reward = np.array(rewards, np.float32)
    return Episode(rows, rows, np.zeros(len(rewards), np.int64), reward, np.ones_like(reward), **flags)


def test_statistics_by_hand():
    found = statistics([episode([0, 1], success=True, informed=True), episode([0, 0, 0, -0.5])])
    assert found == {"return": 0.25, "success": 0.5, "length": 3.0, "informed": 0.5}


def test_what_no_episode_tells_is_no_number_and_what_some_tell_counts_for_all():
    untold = statistics([episode([0, 1]), episode([1])])
    assert untold == {"return": 1.0, "length": 1.5}
    # an env that tells of a success alone: one of four, and none of two
    rows = [{"success": True, "return": 3.0}, {"success": None, "return": 1.0}, {"return": 0.0}, {"return": 0.0}]
    assert means(rows) == {"success": 0.25, "return": 1.0}
    assert means(rows[2:]) == {"return": 0.0} and means([]) == {}


def test_an_evaluation_follows_its_seed():
    def row(seed):
        return evaluate(RandomPolicy(2, True, np.random.default_rng(0)), Countdown(), 20, seed)

    assert row(0) == row(0) != row(1)


def test_the_greedy_policy_takes_the_best_action_of_a_network():
    agent = make_agent("history")
    policy, rng = GreedyPolicy(agent.policy), np.random.default_rng(0)
    carries = [None, None]
    for t in range(5):
        now = rng.normal(size=(6, 3)), np.eye(4)[rng.integers(4, size=6)], rng.normal(size=6), np.full(6, t == 0)
        found, carries[0] = policy(*now, carries[0])
        expected, carries[1] = agent.greedy()(*now, carries[1])
        np.testing.assert_array_equal(found, expected)
    assert not torch.is_grad_enabled() or not carries[0][0].requires_grad


class Always:
    def __init__(self, action):
        self.action = action

    def __call__(self, obs_NO, prev_action_NA, prev_reward_N, start_N, carry):
        return np.full(len(obs_NO), self.action), carry


class Untold(Countdown):
    def step(self, actions):
        return (*super().step(actions)[:4], {})

    def saw_information(self):
        return None


@pytest.mark.parametrize(
    ("kind", "action", "colour"),
    [(Countdown, 1, ENDINGS[True]), (Countdown, 0, ENDINGS[False]), (Untold, 0, ENDINGS[None])],
)
def test_a_film_shows_every_step_and_frames_the_last_in_its_colour(tmp_path, kind, action, colour):
    envs = kind(num_envs=1)
    path = film(Always(action), envs, 3, seed=0, path=tmp_path / "film.gif", fps=4)
    again = Countdown(num_envs=1)
    again.reset(seed=0)
    expected = []
    for _ in range(3):
        length = int(again.length[0])
        expected += [*range(length)] + [length] * 4  # the last one held
        again.reset(options={"reset_mask": np.ones(1, bool)})
    # a GIF drops a frame that equals the one before, and holds that one longer
    shown = [t for i, t in enumerate(expected) if i == 0 or t != expected[i - 1]]
    frames = iio.imread(path)
    middles = [int(f[16, 16, 0]) // 10 for f in frames]
    assert [t for i, t in enumerate(middles) if i == 0 or t != middles[i - 1]] == shown
    last = frames[-1]
    assert np.abs(last[1, 1, :3].astype(int) - colour).max() < 12
    assert np.abs(frames[0][1, 1, :3].astype(int)).max() < 12


def test_a_frame_leaves_the_picture_itself_alone():
    picture = np.zeros((20, 20, 3), np.uint8)
    out = framed(picture, ENDINGS[True])
    assert picture.sum() == 0
    assert tuple(out[0, 10]) == ENDINGS[True]
    assert out[4:-4, 4:-4].sum() == 0
