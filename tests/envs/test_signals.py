"""Named signals of the state: what a feature of a one-hot state, or of maps, is worth in the states that envs show."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces

from envs.base import EnvSpec, categories_told, groups_told
from envs.make import make_env, make_vector_env
from envs.replayed import SyncAsymmetricVectorEnv
from envs.views import categories_of
from tests.helpers.configs import config_named
from torchkit.networks import Sums
from utils.errors import UserError


def shown(name, signal, num=40, steps=12, one_hot=True):
    """The signal (R, G) and the states (R, S) of rows of random episodes."""
    config = config_named("envs", name)
    with config.unlocked():
        if "one_hot" in config.kwargs:
            config.kwargs.one_hot = one_hot
    native, single = make_vector_env(config, num, seed=0), SyncAsymmetricVectorEnv([lambda: make_env(config)])
    spec, rng = native.spec_sizes, np.random.default_rng(0)
    assert single.spec_sizes == spec
    states = [native.reset(seed=0)[0]["state"]]
    for _ in range(steps):
        views, _, terminated, truncated, _ = native.step(rng.integers(spec.action_dim, size=num))
        states.append(views["state"])
        if (terminated | truncated).any():
            native.reset(options={"reset_mask": terminated | truncated})
    state_RS = np.concatenate(states)
    sums = Sums(spec.feature_groups(signal), spec.state_dim)
    return sums(torch.from_numpy(state_RS)).numpy(), state_RS


@pytest.mark.parametrize(
    ("name", "signal", "size", "value"),
    [
        ("heaven_hell_n:2", "heaven", 2, lambda number: number // 10),
        ("heaven_hell_n:2", "cell", 10, lambda number: number % 10),
        ("shopping:5", "item", 25, lambda number: number % 25),
        ("shopping:5", "agent", 25, lambda number: number // 25),
        ("t_maze:20", "treasure", 2, lambda number: number // 23),
        ("t_maze:20", "place", 23, lambda number: number % 23),
    ],
)
def test_a_one_hot_state_says_its_features(name, signal, size, value):
    signal_RG, state_RS = shown(name, signal)
    np.testing.assert_array_equal(signal_RG, np.eye(size)[value(state_RS.argmax(axis=1))])
    assert len(np.unique(signal_RG, axis=0)) > 1


def test_a_state_that_is_a_number_has_no_groups():
    with pytest.raises(UserError, match="has no feature 'heaven'; there are state, and the numbers"):
        shown("heaven_hell_n:2", "heaven", one_hot=False)


def test_cleaner_tells_agents_and_dirt():
    agents_RG, state_RS = shown("cleaner", "agents")
    np.testing.assert_array_equal(agents_RG, state_RS[:, 3 * 169 :])
    dirt_RG, _ = shown("cleaner", "dirt")
    np.testing.assert_array_equal(dirt_RG, state_RS[:, 2 * 169 : 3 * 169].reshape(-1, 13, 13).sum(axis=2))
    assert dirt_RG[0].sum() == 71 and dirt_RG.sum(axis=1).min() < 71


@pytest.mark.parametrize("size", [7, 9])
def test_four_rooms_tell_colour_heading_and_cell(size):
    colour_RG, state_RS = shown(f"four_rooms:{size}x{size}", "colour")
    map_RKC = state_RS.reshape(len(state_RS), 12, size * size)
    at_beacon = np.einsum("rkc,rc->rk", map_RKC[:, 4:8], map_RKC[:, 3])
    np.testing.assert_array_equal(colour_RG == 2, at_beacon == 1)  # the beacon and the good exit
    np.testing.assert_array_equal(colour_RG.sum(axis=1), 3)
    assert len(np.unique(colour_RG, axis=0)) == 12  # of four colours two, in order
    heading_RG, _ = shown(f"four_rooms:{size}x{size}", "heading")
    cell_RG, _ = shown(f"four_rooms:{size}x{size}", "cell")
    where = map_RKC[:, 8:].reshape(len(state_RS), -1).argmax(axis=1)
    np.testing.assert_array_equal(heading_RG, np.eye(4)[where // size**2])
    np.testing.assert_array_equal(cell_RG, np.eye(size**2)[where % size**2])


def test_variables_that_mean_nothing_stand_before_the_groups():
    spec = make_env(config_named("envs", "irrelevant:t_maze")).spec_sizes
    own = make_env(config_named("envs", "t_maze:50")).spec_sizes
    for name in ("treasure", "place"):
        moved = [[entry + 1 for entry in group] for group in own.feature_groups(name)]
        assert spec.feature_groups(name) == moved


SPEC = EnvSpec("X-v0", 1, 3, 2, True, 5, state_features=("a", "b", "c"))


def test_what_a_network_reads_of_an_action_is_the_callers_own():
    for action in (1, np.int64(1), np.array([1]), [1]):
        first = SPEC.encode_action(action)
        assert first.dtype == np.float32 and first.reshape(-1).tolist() == [0.0, 1.0]
        first[...] = 7.0
        assert SPEC.encode_action(action).reshape(-1).tolist() == [0.0, 1.0]


def test_groups_are_named_with_the_features_and_not_kept_in_files():
    spec = replace(SPEC, state_groups=groups_told({"odd": np.array([-1, 0, -1]), "all": np.array([1, 0, 1])}, 3))
    assert (spec.feature_groups("odd"), spec.feature_groups("all"), spec.feature_groups("c")) == (
        [[1]], [[1], [0, 2]], [[2]],
    )  # fmt: skip
    assert spec.to_json() == SPEC.to_json() and EnvSpec(**spec.to_json()) == SPEC
    with pytest.raises(UserError, match="no feature 'even'; there are odd, all, a, b, c, and the numbers"):
        spec.feature_groups("even")


@pytest.mark.parametrize("wrong", [[0, 1], [0, 1, -2], [0.0, 1.0, 1.0], 3])
def test_groups_that_are_no_numbers_of_entries_are_refused(wrong):
    with pytest.raises(UserError, match=r"state_groups\['odd'\] is not a number for each of 3 entries"):
        groups_told({"odd": wrong}, 3)


@pytest.mark.parametrize(
    "domain", ["heaven_hell_n:1", "mountain_hike:varying", "four_rooms", "cleaner", "irrelevant", "t_maze"]
)
def test_of_the_entries_of_a_category_one_is_1(domain):
    envs = make_vector_env(config_named("envs", domain), 8, seed=0)
    spec = envs.spec_sizes
    assert spec.state_categories
    views, _ = envs.reset(seed=0)
    for _ in range(5):
        views, _, terminated, truncated, _ = envs.step(np.zeros(8, np.int64))
        for view, categories in (("obs", spec.obs_categories), ("state", spec.state_categories)):
            for first, number in categories:
                part = views[view][:, first : first + number]
                assert (np.sort(part, axis=1) == np.eye(number)[-1]).all(), view
        if (terminated | truncated).any():
            envs.reset(options={"reset_mask": terminated | truncated})


def test_categories_are_told_by_spaces_and_by_envs_and_kept_by_no_file():
    inner = spaces.Dict(
        a=spaces.Box(0.0, 1.0, (2,)), b=spaces.Tuple([spaces.Discrete(3), spaces.MultiDiscrete([2, 4])])
    )
    assert categories_of(inner) == ((2, 3), (5, 2), (7, 4))
    assert categories_told([(0, 2), (2, 1)], 3, "obs_categories") == ((0, 2), (2, 1))
    for wrong in ([(0, 4)], [(1, 2), (0, 1)], [(0, 0)], [3]):
        with pytest.raises(UserError, match=r"obs_categories=.* are not \(first, number\) of some of 3 entries"):
            categories_told(wrong, 3, "obs_categories")
    spec = replace(SPEC, obs_categories=((0, 1),), state_categories=((0, 3),))
    assert spec.to_json() == SPEC.to_json()
