"""Memory in four rooms against a slow second version from maps of letters, and what is known of its maps."""

import warnings
from collections import deque

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import envs as _envs  # noqa: F401 registers the ids
from envs.four_rooms import COLOURS, IS_BAD, IS_GOOD, FourRoomsRules, visible
from tests.envs.test_hidden_fact import by_chance, by_expert, make_vec

IDS = ["MemoryFourRooms-7x7-v0", "MemoryFourRooms-9x9-v0"]
AHEAD = {"north": (-1, 0), "south": (1, 0), "west": (0, -1), "east": (0, 1)}
CLOCKWISE = ["north", "east", "south", "west"]


class Slowly:
    """One episode, read from a state: sets, loops and names."""

    def __init__(self, state, size):
        maps = state.reshape(12, size, size)
        self.size = size
        self.walls = {tuple(at) for at in np.argwhere(maps[1])}
        self.exits = {tuple(at): int(maps[4:8, *at].argmax()) for at in np.argwhere(maps[2])}
        (beacon,) = np.argwhere(maps[3])
        self.beacon, self.colour = tuple(beacon), int(maps[4:8, *beacon].argmax())
        heading, *self.at = np.argwhere(maps[8:])[0]
        self.heading = list(AHEAD)[heading]

    def turned(self, quarters):
        return CLOCKWISE[(CLOCKWISE.index(self.heading) + quarters) % 4]

    def step(self, action):
        if action in (4, 5):
            self.heading = self.turned(-1 if action == 4 else 1)
        else:
            down, right = AHEAD[self.turned((0, 2, -1, 1)[action])]
            there = (self.at[0] + down, self.at[1] + right)
            if there not in self.walls:
                self.at = there
        colour = self.exits.get(tuple(self.at))
        return -0.05 + (0 if colour is None else 5 if colour == self.colour else -5), colour is not None

    def cell(self, row, column):
        """The cell of the map at a place of the window."""
        (down, right), (down_right, right_right) = AHEAD[self.heading], AHEAD[self.turned(1)]
        ahead, aside = 6 - row, column - 3
        return self.at[0] + ahead * down + aside * down_right, self.at[1] + ahead * right + aside * right_right

    def sees(self):
        """The places of the window that two floods reach, up and left, and up and right."""
        found = set()
        for side in (-1, 1):
            queue, reached = deque([(6, 3)]), {(6, 3)}
            while queue:
                row, column = queue.popleft()
                at = self.cell(row, column)
                if at in self.walls or not (0 <= at[0] < self.size and 0 <= at[1] < self.size):
                    continue
                for there in ((row - 1, column), (row, column + side), (row - 1, column + side)):
                    if there[0] >= 0 and 0 <= there[1] < 7 and there not in reached:
                        reached.add(there)
                        queue.append(there)
            found |= reached
        return found

    def look(self):
        maps = np.zeros((8, 7, 7), np.float32)
        for place in self.sees():
            at = tuple(self.cell(*place))
            if not (0 <= at[0] < self.size and 0 <= at[1] < self.size):
                continue
            kind = 1 if at in self.walls else 2 if at in self.exits else 3 if at == self.beacon else 0
            maps[kind, *place] = 1
            if kind > 1:
                maps[4 + (self.exits[at] if kind == 2 else self.colour), *place] = 1
        return maps.ravel()


@pytest.mark.parametrize("env_id", IDS)
def test_every_step_is_that_of_the_slow_version(env_id):
    envs, rng = make_vec(env_id, 60), np.random.default_rng(0)
    obs, _ = envs.reset(seed=0)
    size = envs.rules.size
    slow = [Slowly(state, size) for state in envs.get_state()]
    ended_by = {True: 0, False: 0}
    for _ in range(40):
        np.testing.assert_array_equal(obs, [one.look() for one in slow])
        actions = rng.integers(6, size=60)
        obs, reward, terminated, _, info = envs.step(actions)
        expected = [one.step(action) for one, action in zip(slow, actions, strict=True)]
        np.testing.assert_allclose(reward, [paid for paid, _ in expected])
        np.testing.assert_array_equal(terminated, [ended for _, ended in expected])
        np.testing.assert_array_equal(info["success"], reward > 0)
        if terminated.any():
            for good in info["success"][terminated]:
                ended_by[bool(good)] += 1
            obs, _ = envs.reset(options={"reset_mask": terminated})
            states = envs.get_state()
            slow = [Slowly(states[n], size) if terminated[n] else one for n, one in enumerate(slow)]
    assert min(ended_by.values()) > 5


@pytest.mark.parametrize("env_id", IDS)
def test_gymnasium_finds_nothing_to_mend(env_id):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(env_id, render_mode="rgb_array").unwrapped)


@pytest.mark.parametrize(
    "cells, seen",
    [
        (".....\n.....\n.....", "11111\n11111\n11111"),  # all floor: all
        (".....\n.###.\n.#.#.", "00000\n01110\n01110"),  # boxed in: the block around
        (".....\n##.##\n##.##", "11111\n01110\n01110"),  # a corridor that opens: the whole row behind it
    ],
)
def test_sight_by_tables_of_the_original(cells, seen):
    clear = np.array([[letter == "." for letter in line] for line in cells.split()])[..., None]
    np.testing.assert_array_equal(visible(clear)[..., 0], [[x == "1" for x in line] for line in seen.split()])


def ways(kind_NC, size, barred):
    """The fewest steps (N, C) from the good exit to each cell, through what is neither wall nor barred."""
    num = len(kind_NC)
    steps = np.where(kind_NC == IS_GOOD, 0.0, np.inf).reshape(num, size, size)
    closed = np.isin(kind_NC, barred).reshape(num, size, size)
    while True:
        nearer = steps.copy()
        for axis, shift in ((1, 1), (1, -1), (2, 1), (2, -1)):  # borders are walls
            nearer = np.minimum(nearer, 1 + np.roll(steps, shift, axis))
        nearer[closed] = np.inf
        if np.array_equal(nearer, steps):
            return steps.reshape(num, -1)
        steps = nearer


def test_maps_are_as_they_are_known_to_be():
    rules, num = FourRoomsRules(), 20_000
    joint = rules.initial(np.random.default_rng(0), num)
    kind_NC, agent = joint[:, :49], joint[:, -4]
    floor = (kind_NC != 1).sum(axis=1)
    assert (floor == 20).all() and (kind_NC[:, 24] == 1).all()  # the crossing of the walls
    cells = [agent, *(np.argmax(kind_NC == kind, axis=1) for kind in (2, IS_GOOD, IS_BAD))]
    assert all((a != b).all() for i, a in enumerate(cells) for b in cells[:i])
    assert (joint[:, -2] != joint[:, -1]).all()
    assert np.bincount(joint[:, -2], minlength=4) / num == pytest.approx([0.25] * 4, abs=0.015)
    shortest = ways(kind_NC, 7, (1, IS_BAD))[np.arange(num), agent]
    solvable = np.isfinite(shortest)
    assert solvable.mean() == pytest.approx(0.987, abs=0.004)
    assert shortest[solvable].mean() == pytest.approx(4.36, abs=0.08)
    assert 12 <= shortest[solvable].max() <= 16
    assert (5 - 0.05 * shortest[solvable]).mean() == pytest.approx(4.78, abs=0.01)
    assert (5 - 0.05 * ways(kind_NC, 7, (1,))[np.arange(num), agent])[solvable].min() > 0


def test_uniform_actions_earn_what_their_steps_cost():
    """Both exits are as likely; so the mean is -0.05 times the mean length, 45. Theirs is -2.45, of fewer episodes."""
    total, length, _, _ = by_chance("MemoryFourRooms-7x7-v0", 4000)
    assert length.mean() == pytest.approx(45, abs=2.5)
    assert total.mean() == pytest.approx(-0.05 * length.mean(), abs=4 * total.std() / np.sqrt(4000))


@pytest.mark.parametrize("env_id", IDS)
def test_the_expert_finds_the_exit_of_the_beacons_colour(env_id):
    total, length, informed, ended = by_expert(env_id, 400)
    assert (total > 0).mean() > 0.96 and np.median(length) < 16 and ended.all()
    assert informed[total > 0].mean() > 0.98 and total.mean() < 4.65
    guessed, _, _, _ = by_expert(env_id, 400, guess=True)
    assert 0.4 < (guessed > 0).mean() < 0.6


def test_the_expert_goes_by_what_it_has_seen():
    """Whatever lies where it has not looked, it does the same: as here, the colours of exits, or what is behind it."""
    rules, rng = FourRoomsRules(), np.random.default_rng(0)
    joint = rules.initial(rng, 500)
    other = joint.copy()
    for row, changed in zip(joint, other, strict=True):
        seen = row[rules._seen][:49] == 1
        hidden = [cell for cell in np.flatnonzero(np.isin(row[:49], (2, 3, 4))) if not seen[cell]]
        if len(hidden) > 1:
            changed[np.roll(hidden, 1)] = row[hidden]
    assert (joint[:, :49] != other[:, :49]).any(axis=1).sum() > 200
    informed = rules.informative(joint)
    np.testing.assert_array_equal(informed, rules.informative(other))
    none, guess = np.zeros(500, bool), np.full(500, IS_GOOD)
    np.testing.assert_array_equal(
        rules.expert(joint, informed, guess, none), rules.expert(other, informed, guess, none)
    )


def test_states_factors_and_palettes():
    env = gym.make(IDS[0], palette=("blue", "yellow"))
    obs, _ = env.reset(seed=0)
    state = env.unwrapped.get_state()
    assert not state.reshape(12, 49)[4:6].any()  # neither red nor green
    again, _ = env.reset(options={"state": state})
    np.testing.assert_array_equal(env.unwrapped.get_state(), state)
    np.testing.assert_array_equal(again, obs)
    slow = Slowly(state, 7)
    found = env.unwrapped.factors(obs[None], state[None])
    assert found["colour"].label_R == [slow.colour] and list(COLOURS)[slow.colour] in ("blue", "yellow")
    assert found["colour"].hidden_R == [not obs.reshape(8, 49)[3].any()]
    assert found["cell"].label_R == [7 * slow.at[0] + slow.at[1]]
    with pytest.raises(ValueError, match="row 0 is not a state"):
        env.reset(options={"state": np.zeros_like(state)})
    at, (floor, wall) = state.reshape(12, 49), np.zeros((2, 12, 49), np.float32)
    floor[0] = wall[1] = 1
    corner, there = 0, np.flatnonzero(at[0])[0]  # changed: cell by cell what it is instead
    agent = at[8:].argmax() // 49
    for cell, kind, also in (
        (corner, floor, ()),  # a border that is open
        (corner, np.zeros_like(floor), ()),  # or nothing
        (there, at[:, np.flatnonzero(at[3])].repeat(49, axis=1), ()),  # a second beacon
        (there, at[:, np.flatnonzero(at[2])[:1]].repeat(49, axis=1), ()),  # a third exit
        (there, wall, (8 + agent,)),  # the agent is in a wall
    ):
        wrong = at.copy()
        wrong[:8, cell] = kind[:8, cell]
        if also:
            wrong[8:] = 0
            wrong[also[0], cell] = 1
        with pytest.raises(ValueError, match="row 0 is not a state"):
            env.reset(options={"state": wrong.ravel()})
    with pytest.raises(ValueError, match="at least two of red, green, blue, yellow"):
        gym.make(IDS[0], palette=("blue", "pink"))
    with pytest.raises(ValueError, match="size is 8"):
        gym.make(IDS[0], size=8)
