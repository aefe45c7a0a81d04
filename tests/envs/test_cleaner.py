"""Cleaner against a slow simulation cell by cell, and what is known of its maze."""

import itertools
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import envs as _envs  # noqa: F401 registers the ids
from envs.cleaner import MAZE
from tests.envs.test_hidden_fact import by_chance, by_expert, make_vec

LINES = MAZE.split()
FLOOR = {(r, c) for r, line in enumerate(LINES) for c, letter in enumerate(line) if letter == "."}
STEP = {0: (-1, 0), 1: (1, 0), 2: (0, -1), 3: (0, 1)}


class Slowly:
    """One episode, of sets and loops."""

    def __init__(self):
        self.dirty, self.agents = set(FLOOR), [(1, 1), (1, 1)]

    def step(self, action):
        cleaned = 0
        for agent, move in enumerate((action // 4, action % 4)):
            r, c = self.agents[agent]
            there = (r + STEP[move][0], c + STEP[move][1])
            if there in FLOOR:
                self.agents[agent] = there
            cleaned += self.agents[agent] in self.dirty
            self.dirty.discard(self.agents[agent])
        return cleaned

    def look(self):
        seen = []
        for mine, other in (self.agents, self.agents[::-1]):
            for down, right in itertools.product((-1, 0, 1), repeat=2):
                at = (mine[0] + down, mine[1] + right)
                if at == mine:
                    seen += [1, 0, 0]
                elif at == other:
                    seen += [0, 0, 1]
                elif at not in FLOOR:
                    seen += [0, 0, 0]
                else:
                    seen += [0, 1, 0] if at in self.dirty else [1, 1, 1]
        return seen

    def state(self):
        maps = np.zeros((5, 13, 13))
        for at in itertools.product(range(13), repeat=2):
            maps[1 if at not in FLOOR else 2 if at in self.dirty else 0][at] = 1
        for agent, at in enumerate(self.agents):
            maps[3 + agent][at] = 1
        return maps.ravel()


def test_every_step_is_that_of_the_slow_simulation():
    envs, rng, slow = make_vec("Cleaner-v0", 8), np.random.default_rng(0), [Slowly() for _ in range(8)]
    obs, _ = envs.reset(seed=0)
    together = 0
    for _ in range(200):
        np.testing.assert_array_equal(obs, [one.look() for one in slow])
        np.testing.assert_array_equal(envs.get_state(), [one.state() for one in slow])
        actions = rng.integers(16, size=8)
        obs, reward, terminated, _, info = envs.step(actions)
        np.testing.assert_array_equal(reward, [one.step(action) for one, action in zip(slow, actions, strict=True)])
        together += sum(one.agents[0] == one.agents[1] for one in slow)
        assert not terminated.any() and not info["success"].any()
    assert 10 < together < 1500


def test_gymnasium_finds_nothing_to_mend():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make("Cleaner-v0", render_mode="rgb_array").unwrapped)


def test_the_maze_is_a_tree_of_which_two_clean_all_in_56_steps():
    """Who need not come back walks each edge twice but those to a deepest leaf; each leaf is one or the other's."""
    parent, queue = {(1, 1): None}, [(1, 1)]
    for r, c in queue:
        for down, right in STEP.values():
            if (at := (r + down, c + right)) in FLOOR and at not in parent:
                parent[at] = (r, c)
                queue.append(at)
    edges = sum((r, c + 1) in FLOOR for r, c in FLOOR) + sum((r + 1, c) in FLOOR for r, c in FLOOR)
    assert (len(FLOOR), edges, len(parent)) == (71, 70, 71)
    paths = {}
    for leaf in FLOOR - set(parent.values()):
        paths[leaf], at = [], leaf
        while parent[at] is not None:
            paths[leaf].append(at)
            at = parent[at]
    assert (len(paths), max(map(len, paths.values()))) == (9, 24)

    def walk(leaves):
        return 2 * len(set().union(*(paths[leaf] for leaf in leaves))) - max((len(paths[x]) for x in leaves), default=0)

    assert walk(paths) == 116
    shares = itertools.product((0, 1), repeat=9)
    both = (
        [[leaf for leaf, whose in zip(paths, share, strict=True) if whose == k] for k in (0, 1)] for share in shares
    )
    assert min(max(map(walk, pair)) for pair in both) == 56


def test_the_expert_cleans_all_with_time_left():
    total, length, _, _ = by_expert("Cleaner-v0", 2)
    assert (total == 71).all() and (length == 200).all()
    total, _, _, _ = by_expert("Cleaner-v0", 2, max_episode_steps=59)
    assert (total == 71).all()


def test_the_start_is_cleaned_by_who_bumps_into_a_wall():
    env = gym.make("Cleaner-v0")
    env.reset(seed=0)
    obs, reward, *_ = env.step(0)  # both up: a wall
    assert reward == 1 and obs[:27].reshape(3, 3, 3)[1, 1].tolist() == [1, 0, 0]
    assert env.step(5)[1] == 1  # both down, the second upon the first
    assert env.step(0)[1] == 0


@pytest.mark.parametrize("horizon, mean", [(200, 22.1), (100, 13.5)])
def test_uniform_actions_clean_so_much(horizon, mean):
    """The specification says 22.8 and 13.0, of fewer episodes by a standard deviation of 7: these are 22.13 ± 0.05."""
    total, _, _, ended = by_chance("Cleaner-v0", 1000, max_episode_steps=horizon)
    assert total.mean() == pytest.approx(mean, abs=4 * total.std() / np.sqrt(1000))  # over 4,000 episodes
    assert not ended.any() and (horizon == 100 or 6.5 < total.std() < 8.5)


def test_states_that_there_are_not():
    env = gym.make("Cleaner-v0")
    env.reset(seed=0)
    state = env.unwrapped.get_state()
    env.step(7)
    env.reset(options={"state": state})
    np.testing.assert_array_equal(env.unwrapped.get_state(), state)
    with pytest.raises(ValueError, match="row 0 is not a state"):
        env.reset(options={"state": np.zeros_like(state)})
    with pytest.raises(ValueError, match="a state has shape"):
        env.reset(options={"state": np.zeros(3)})
    found = env.unwrapped.factors(np.zeros((1, 54)), state[None])
    assert {name: int(factor.label_R[0]) for name, factor in found.items()} == {"agent_1": 0, "agent_2": 0, "dirt": 7}
