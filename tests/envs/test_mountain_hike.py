"""Mountain Hike, whose numbers are worked out by hand, and variables that mean nothing before any domain."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import envs as _envs  # noqa: F401 registers the ids
from envs.mountain_hike import altitude
from tests.envs.test_hidden_fact import by_expert, make_vec

IDS = ["MountainHike-v0", "VaryingMountainHike-v0"]


@pytest.mark.parametrize("env_id", [*IDS, "Irrelevant-v0"])
def test_gymnasium_finds_nothing_to_mend(env_id):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*Box observation space m[a-z]+ value is.*infinity")
        check_env(gym.make(env_id, render_mode="rgb_array").unwrapped)


def test_altitudes_by_hand():
    """At the middle of the first ridge the density is 1 / (2π √0.005) = 2.2508; at the start that of the second,

    exp(-0.32) / (2π √0.01) = 1.1557; far from all it is nearly 0.
    """
    places = np.array([[0, 0], [-0.8, -0.8], [-1, 0]])
    np.testing.assert_allclose(
        altitude(places), [-np.exp(-2.2508) - 0.02, -np.exp(-1.1557) - 0.34, -1 - 0.22], atol=1e-3
    )


@pytest.mark.parametrize("env_id", IDS)
def test_steps_go_as_far_as_said(env_id):
    num = 40_000
    envs = make_vec(env_id, num)
    obs, _ = envs.reset(seed=0)
    assert obs.mean() == pytest.approx(altitude(np.array([-0.8, -0.8])), abs=0.002)
    assert obs.std() == pytest.approx(0.1, abs=0.002)
    before = envs.get_state()
    turn = before[:, 2:].argmax(axis=1) if before.shape[1] > 2 else np.zeros(num, int)
    assert env_id == IDS[0] or np.bincount(turn) / num == pytest.approx([0.25] * 4, abs=0.01)
    obs, reward, terminated, _, _ = envs.step(np.ones(num, int))  # east, clockwise by the turn
    after = envs.get_state()
    for k, way in enumerate([(0.1, 0), (0, -0.1), (-0.1, 0), (0, 0.1)][: turn.max() + 1]):
        moved = (after - before)[turn == k, :2]
        np.testing.assert_allclose(moved.mean(axis=0), way, atol=0.003)
        np.testing.assert_allclose(moved.std(axis=0), 0.05, atol=0.002)
    np.testing.assert_allclose(reward, altitude(after[:, :2]), atol=1e-5)
    np.testing.assert_array_equal(after[:, 2:], before[:, 2:])
    assert not terminated.any() and (obs[:, 0] - reward).std() == pytest.approx(0.1, abs=0.002)


def test_the_goal_ends_it_and_pays_nothing():
    envs = make_vec("MountainHike-v0", 2000)
    envs.reset(seed=0, options={"state": np.tile([0.55, 0.8], (2000, 1))})
    _, reward, terminated, _, info = envs.step(np.ones(2000, int))
    near = np.hypot(*(envs.get_state() - 0.8).T) <= 0.2
    np.testing.assert_array_equal(terminated, near)
    np.testing.assert_array_equal(info["success"], near)
    assert 0.5 < near.mean() < 0.95 and (reward[near] == 0).all() and (reward[~near] < 0).all()
    envs = make_vec("MountainHike-v0", 500)
    envs.reset(seed=0, options={"state": np.tile([-0.98, 0], (500, 1))})
    envs.step(np.full(500, 3))
    assert envs.get_state()[:, 0].min() == -1  # the border
    with pytest.raises(ValueError, match="row 0 is not a state"):
        gym.make("MountainHike-v0").reset(options={"state": np.array([0.8, 0.8])})


@pytest.mark.parametrize("env_id", IDS)
def test_the_expert_gets_there_and_a_guess_of_the_turn_one_time_in_four(env_id):
    total, length, _, ended = by_expert(env_id, 1000)
    assert ended.mean() > (0.9 if env_id == IDS[0] else 0.99) and length.mean() < 50
    assert total.mean() == pytest.approx(-19.5, abs=1)
    _, _, _, ended = by_expert(env_id, 1000, guess=True)
    assert ended.mean() > 0.9 if env_id == IDS[0] else ended.mean() == pytest.approx(0.25, abs=0.06)


def test_irrelevant_variables_are_a_random_walk_that_changes_nothing_else():
    num = 20_000
    envs, plain = (
        make_vec("Irrelevant-v0", num, domain="HeavenHell-1-v0", variables=2),
        make_vec("HeavenHell-1-v0", num),
    )
    obs, _ = envs.reset(seed=0)
    state = envs.get_state()
    assert obs.shape == (num, 2 + 7) and state.shape == (num, 2 + 12)
    plain.reset(seed=0, options={"state": state[:, 2:]})
    rng, walk = np.random.default_rng(0), [state[:, :2]]
    for _ in range(6):  # no episode ends before
        actions = rng.choice(np.array([1, 2, 3]), num)  # never north, never to an exit
        ours, theirs = envs.step(actions), plain.step(actions)
        np.testing.assert_array_equal(ours[0][:, 2:], theirs[0])
        np.testing.assert_array_equal(envs.get_state()[:, 2:], plain.get_state())
        np.testing.assert_array_equal(envs.saw_information(), plain.saw_information())
        np.testing.assert_array_equal(envs.expert_action(), plain.expert_action())
        for a, b in zip(ours[1:4], theirs[1:4], strict=True):
            np.testing.assert_array_equal(a, b)
        walk.append(envs.get_state()[:, :2])
        assert (ours[0][:, :2] - walk[-1]).std() == pytest.approx(1, abs=0.02)
    np.testing.assert_allclose([place.var() for place in walk], 0.1 * np.arange(1, 8), rtol=0.05)
    assert np.diff(walk, axis=0).var() == pytest.approx(0.1, rel=0.02)


def test_beliefs_behind_irrelevant_variables_are_those_of_the_domain():
    env = gym.make("Irrelevant-v0", domain="TMaze-v0", of={"length": 3})
    obs, _ = env.reset(seed=0)
    belief = env.unwrapped.belief(obs[None], np.zeros(0, int), False)
    assert belief.probability_RK.shape == (1, 12) and belief.probability_RK.max() == 1  # the cue has told
    assert env.unwrapped.model is None
    assert set(env.unwrapped.factors(obs[None], env.unwrapped.get_state()[None])) == {"treasure", "place"}


def test_domains_that_variables_cannot_stand_before():
    for domain, said in (
        ("Sphinx-v0", "has images"),
        ("CartPole-v1", "is not rules"),
        ("Irrelevant-v0", "is not rules"),
    ):
        with pytest.raises(ValueError, match=said):
            gym.make("Irrelevant-v0", domain=domain)
    with pytest.raises(ValueError, match="variables is 0"):
        gym.make("Irrelevant-v0", variables=0)
