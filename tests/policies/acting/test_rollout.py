"""Rollouts: what a policy is handed, what comes out, and that short episodes get no advantage."""

import copy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.acting.rollout import EpisodeStream, ExpertPolicy, Guided, RandomPolicy, iterate_episodes, run_episodes
from tests.helpers.envs import Countdown


class Watching:
    """Random actions; keeps all that it was handed, and counts its steps in its carry."""

    def __init__(self, seed=0):
        self.rng, self.seen = np.random.default_rng(seed), []

    def __call__(self, obs_NO, prev_action_NA, prev_reward_N, start_N, carry):
        action = self.rng.integers(2, size=len(obs_NO))
        self.seen.append(tuple(copy.deepcopy(x) for x in (obs_NO, prev_action_NA, prev_reward_N, start_N, carry)))
        return action, (carry or 0) + 1


def test_a_policy_is_handed_the_rows_that_the_episode_keeps():
    policy, stream = Watching(), EpisodeStream(Countdown(), seed=0)
    for step in range(60):
        before = len(policy.seen)
        ended = stream.step(policy)
        assert len(policy.seen) == before + 1
        assert policy.seen[-1][4] == (step or None)
        for slot, episode in ended:
            rows = policy.seen[-len(episode) :]
            for t, (obs, prev_action, prev_reward, start, _) in enumerate(rows):
                np.testing.assert_array_equal(obs[slot], episode.obs[t])
                assert start[slot] == (t == 0)
                one_hot = np.eye(2)[episode.action[t - 1]] if t else np.zeros(2)
                np.testing.assert_array_equal(prev_action[slot], one_hot)
                assert prev_reward[slot] == (episode.reward[t - 1] if t else 0.0)


def test_episodes_are_whole_and_say_how_they_ended():
    policy = RandomPolicy(2, True, np.random.default_rng(0))
    episodes = run_episodes(Countdown(num_envs=3), policy, 200, seed=1)
    assert {len(e) for e in episodes} == {1, 2, 3, 4, 5}
    for episode in episodes:
        L = len(episode)
        assert episode.obs.shape == (L + 1, 3)
        assert episode.obs[:, 2].tolist() == list(range(L + 1))
        assert len(set(episode.obs[:, 1])) == len(set(episode.obs[:, 0])) == 1
        np.testing.assert_array_equal(episode.state, np.full((L + 1, 1), L))
        np.testing.assert_allclose(episode.reward, episode.action + 0.5 * np.arange(1, L + 1))
        assert episode.discount.tolist() == [1.0] * (L - 1) + [float(L == 5)]  # only a time limit bootstraps
        assert episode.success == (episode.action[-1] == 1)
        assert episode.informed == (L >= 2)
        assert not episode.expert


@given(num_envs=st.integers(1, 6), num_episodes=st.integers(0, 20), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_each_slot_plays_its_quota_of_its_first_episodes(num_envs, num_episodes, seed):
    policy = RandomPolicy(2, True, np.random.default_rng(0))
    played = list(iterate_episodes(Countdown(num_envs), policy, num_episodes, seed))
    assert len(played) == num_episodes
    for slot in range(num_envs):
        numbers = [int(episode.obs[0, 1]) for s, episode in played if s == slot]
        assert numbers == list(range(num_episodes // num_envs + (slot < num_episodes % num_envs)))


def test_the_mean_length_is_not_that_of_the_first_episodes_to_end():
    policy = RandomPolicy(2, True, np.random.default_rng(0))
    lengths = [len(e) for e in run_episodes(Countdown(num_envs=1000, horizon=9), policy, 1000, seed=0)]
    assert np.mean(lengths) == pytest.approx(5.0, abs=0.3)  # the first thousand to end would have about 3


class Pictured(Countdown):
    """Shows its three numbers as pixels that are stored in bytes, a little off what these can hold."""

    def __init__(self, **options):
        super().__init__(**options)
        self.spec_sizes = replace(self.spec_sizes, obs_image_shape=(1, 1, 3), obs_storage=((0.0, 51.0, 8),))

    def views(self):
        views = super().views()
        return views | {"obs": views["obs"] + np.float32(0.05)}


def test_images_are_kept_as_bytes_and_handed_to_the_policy_as_they_were_seen():
    policy, stream = Watching(), EpisodeStream(Pictured(), seed=0)
    slot, episode = next(pair for _ in range(40) for pair in stream.step(policy) if len(pair[1]) >= 3)
    assert episode.obs.dtype == np.uint8 and episode.state.dtype == np.float32
    seen = np.stack([now[0][slot] for now in policy.seen[-len(episode) :]])
    np.testing.assert_allclose(seen % 1, 0.05, atol=1e-5)
    np.testing.assert_array_equal(episode.obs[:-1], np.rint(seen * 5))  # 255 levels from 0 to 51


def before_bytes(state):
    """The state of a stream as it was when episodes in progress were kept as they were seen."""
    arrays, vectors = dict(state["arrays"]), dict(state["vectors"])
    seen = vectors.pop("_seen")
    arrays["_obs"] = arrays["_obs"].astype(np.float32) / 5
    arrays["_obs"][vectors["_t"], np.arange(len(seen))] = seen
    beyond = np.arange(len(arrays["_obs"]))[:, None] > vectors["_t"]
    arrays["_obs"][beyond] = -1000  # are of no episode, so that it does not matter what they could be stored as
    return state | {"arrays": arrays, "vectors": vectors}


@pytest.mark.parametrize(
    ("kind", "before"), [(Countdown, lambda state: state), (Pictured, lambda state: state), (Pictured, before_bytes)]
)
@pytest.mark.parametrize("steps", range(1, 14))
def test_a_stream_put_down_inside_episodes_goes_on_the_same(steps, kind, before):
    first, policy = EpisodeStream(kind(), seed=0), Watching()
    for _ in range(steps):
        first.step(policy)
    saved = copy.deepcopy((before(first.state_dict()), policy.rng.bit_generator.state))
    again, taken_up = EpisodeStream(kind(), seed=99), Watching(seed=99)
    again.load_state_dict(saved[0])
    taken_up.rng.bit_generator.state = saved[1]
    for _ in range(40):
        left, right = first.step(policy), again.step(taken_up)
        assert [slot for slot, _ in left] == [slot for slot, _ in right]
        for (_, a), (_, b) in zip(left, right, strict=True):
            for name in ("obs", "state", "action", "reward", "discount"):
                np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        here, there = first.state_dict()["arrays"], again.state_dict()["arrays"]
        for name in here:  # nothing of earlier episodes
            np.testing.assert_array_equal(here[name], there[name])
        np.testing.assert_array_equal(policy.seen[-1][0], taken_up.seen[-1][0])
    assert policy.seen[-1][4] == taken_up.seen[-1][4]


def test_random_actions_are_uniform_and_follow_their_generator():
    for discrete, shape in ((True, (5000,)), (False, (5000, 2))):
        act = [RandomPolicy(2, discrete, np.random.default_rng(s)) for s in (0, 0, 1)]
        a, b, c = (p(np.zeros((5000, 1)), None, None, None, None)[0] for p in act)
        assert a.shape == shape
        np.testing.assert_array_equal(a, b)
        assert (a != c).any()
        assert np.mean(a) == pytest.approx(0.5 if discrete else 0.0, abs=0.05)
        assert a.dtype == (np.int64 if discrete else np.float32)
        assert (np.min(a), np.max(a)) == (0, 1) if discrete else np.abs(a).max() <= 1


def test_an_expert_guesses_for_whole_episodes():
    envs = Countdown(num_envs=50)
    policy, stream = ExpertPolicy(envs, 0.3, np.random.default_rng(0)), EpisodeStream(envs, seed=0)
    guesses_of = {}
    for _ in range(60):
        keys = [(slot, int(number)) for slot, number in enumerate(envs.episode)]
        stream.step(policy)
        for key, guess in zip(keys, envs.guesses[-1], strict=True):
            guesses_of.setdefault(key, set()).add(bool(guess))
    assert all(len(found) == 1 for found in guesses_of.values())
    assert np.mean([found.pop() for found in guesses_of.values()]) == pytest.approx(0.3, abs=0.05)


class Saying:
    """Always the same action; counts its steps in its carry."""

    def __init__(self, action):
        self.action = action

    def __call__(self, obs_NO, prev_action_NA, prev_reward_N, start_N, carry):
        return np.full(len(obs_NO), self.action), (carry or 0) + 1


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_a_teacher_says_all_steps_and_acts_in_its_share(beta):
    student, stream = Watching(), EpisodeStream(Countdown(), seed=0)
    student.rng = np.random.default_rng(5)
    guided = Guided(student, Saying(1), beta, np.random.default_rng(0))
    ended = [episode for _ in range(400) for _, episode in stream.step(guided)]
    assert all((episode.advice == 1).all() and len(episode.advice) == len(episode) for episode in ended)
    acted = np.concatenate([episode.action for episode in ended]).mean()
    assert acted == pytest.approx(beta + (1 - beta) / 2, abs=0.05)
    assert stream._carry == (400, 400)
    assert [seen[4] for seen in student.seen[:3]] == [None, 1, 2]  # its own carry alone
    assert all(len(seen) == 5 and seen[0].shape[1] == 3 for seen in student.seen)


@pytest.mark.parametrize("steps", [1, 4])
def test_advice_is_there_again_when_a_stream_is_taken_up(steps):
    first, policy = EpisodeStream(Countdown(), seed=0), Guided(Watching(), Watching(1), 0.5, np.random.default_rng(0))
    for _ in range(steps):
        first.step(policy)
    saved = copy.deepcopy((first.state_dict(), policy))
    again = EpisodeStream(Countdown(), seed=99)
    again.load_state_dict(saved[0])
    for _ in range(20):
        for (_, a), (_, b) in zip(first.step(policy), again.step(saved[1]), strict=True):
            np.testing.assert_array_equal(a.advice, b.advice)
            np.testing.assert_array_equal(a.action, b.action)
