"""Car-Flag by seven forces against the exact optimum, by dynamic programming where nothing is known but (x, v)."""

import gymnasium as gym
import numpy as np
import pytest

import envs as _envs  # noqa: F401 registers the ids
from tests.envs.test_hidden_fact import by_chance, by_expert, make_vec, played

GAMMA = 0.99
UNIT = 5e-4  # positions and velocities stay on a lattice: a third of the greatest change of velocity


def steps_to(flag, x, v):
    """The steps to a flag from (x, v) on the lattice, at full force, one slow loop for all."""
    x, v, steps, going = x.copy(), v.copy(), np.zeros(len(x), int), np.ones(len(x), bool)
    while going.any():
        v = np.clip(v + 3 * flag, -140, 140)
        x = np.where(going, np.clip(x + v, -2200, 2200), x)
        steps += going
        going &= flag * x < 2000
    return steps


def best_of_history():
    """The best discounted value from each start that is half a unit off the lattice's points, doubled: 2x is odd.

    Until the sign is read the position and the velocity are all that there is to know.
    """
    x, v = np.meshgrid(np.arange(-900, 601) + 0.5, np.arange(-80, 121), indexing="ij")
    told = 0.5 * sum(GAMMA ** (steps_to(flag, x.ravel(), v.ravel()) - 1.0) for flag in (-1, 1)).reshape(x.shape)
    value = np.where(x >= 600, told, 0.0)
    forces = np.arange(-3, 4)
    after_v = np.clip(v[..., None] + forces, -80, 120)
    after_x = x[..., None] + after_v
    beyond = after_x >= 600  # told there, as the sign is longer than a step
    sight = 0.5 * sum(GAMMA ** (steps_to(f, after_x[beyond], after_v[beyond]) - 1.0) for f in (-1, 1))
    row = np.clip(after_x + 899.5, 0, 1500).astype(int)
    while True:
        follows = value[row, after_v + 80]
        follows[beyond] = sight
        best = np.where(x >= 600, told, GAMMA * follows.max(axis=-1))
        if np.abs(best - value).max() < 1e-12:
            return value[(x[:, 0] > -400) & (x[:, 0] < 400), 80]
        value = best


def test_the_optimum_and_what_the_expert_leaves_of_it():
    assert best_of_history().mean() == pytest.approx(0.5728, abs=5e-4)
    start = np.arange(-400, 400) + 0.5
    informed = GAMMA ** (steps_to(1, start, np.zeros(800)) - 1.0)
    assert informed.mean() == pytest.approx(0.7004, abs=5e-4)
    total, length, told, _ = by_expert("CarFlag-7-v0", 20_000)
    assert (total == 1).all() and told.all()
    assert 0.55 < (GAMMA ** (length - 1.0)).mean() < 0.5728 + 0.002


def test_full_force_until_told_reads_the_sign_in_time():
    for horizon, value in ((160, 1.0), (100, 0.987)):
        envs = make_vec("CarFlag-7-v0", 4000, max_episode_steps=horizon)
        heads = lambda envs=envs: np.where(envs.saw_information(), np.where(envs.get_state()[:, 2] > 0, 6, 0), 6)  # noqa: E731
        total, length, _, _ = played(envs, heads)
        assert total.mean() == pytest.approx(value, abs=4 * np.sqrt(0.013 / 4000))
        short, long = length[length < 50], length[(length >= 50) & (total > 0)]
        assert (short.min(), short.max()) == (33, 40)
        assert (long.min(), long.max()) == (67, 101 if horizon == 160 else 99)


@pytest.mark.parametrize("horizon, rate", [(160, 0.38), (100, 0.10)])
def test_random_forces_reach_a_flag_so_often(horizon, rate):
    total, _, _, ended = by_chance("CarFlag-7-v0", 4000, max_episode_steps=horizon)
    assert ended.mean() == pytest.approx(rate, abs=4 * np.sqrt(rate * (1 - rate) / 4000) + 5e-3)
    assert abs(total.mean()) < 4 * np.sqrt(rate / 4000)


def test_forces_by_number():
    env = gym.make("CarFlag-7-v0")
    for action, force in enumerate((-1, -2 / 3, -1 / 3, 0, 1 / 3, 2 / 3, 1)):
        env.reset(seed=0, options={"state": np.array([0, 0, 1], np.float32)})
        obs, *_ = env.step(action)
        assert obs[1] == pytest.approx(0.0015 * force, abs=1e-9)
    env = gym.make("CarFlag-7-v0", disable_env_checker=True)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="6 force 3/3"):
        env.step(7)
