"""The exact belief against every start that there is, played through the same actions."""

import numpy as np
import pytest

from configs.envs import cartpole_hidden, heaven_hell
from envs.base import Belief
from envs.car_flag import CarFlag2DRules
from envs.car_flag_continuous import CarFlag1DEnv
from envs.heaven_hell import HeavenHellRules
from envs.make import make_env
from envs.sphinx import SphinxRules

NONE = np.zeros(0, np.int64)  # of actions
NO_DICE = np.random.default_rng(0)  # for rules that draw nothing


def by_enumeration(rules, actions, start):
    """Weights all joint states in which an episode may start, and drops those that look or end differently."""
    count_K = rules._start_KC.sum(axis=1)
    hidden, cell = np.nonzero(rules._start_KC)
    joint, weight = hidden * rules.num_cells + cell, 1.0 / count_K[hidden]
    truth, beliefs, obs = np.array([start]), [], []
    for t in range(len(actions) + 1):
        same = (rules.observe(joint) == rules.observe(truth)).all(axis=1) & (rules.ends(joint) == rules.ends(truth)[0])
        weight = weight * same
        belief = np.bincount(hidden, weight, minlength=rules.num_hidden)
        beliefs.append(belief / belief.sum())
        obs.append(rules.observe(truth)[0])
        if t == len(actions) or rules.ends(truth)[0]:
            return np.stack(obs), np.stack(beliefs), bool(rules.ends(truth)[0])
        truth, joint = (
            rules.step(NO_DICE, truth, actions[t : t + 1]),
            rules.step(NO_DICE, joint, np.full(len(joint), actions[t])),
        )
    raise AssertionError


@pytest.mark.parametrize("rules_type", [HeavenHellRules, SphinxRules, CarFlag2DRules])
def test_belief_is_bayes_over_all_starts(rules_type):
    rules, rng = rules_type(), np.random.default_rng(0)
    lengths, ended = [], 0
    for start in rules.initial(rng, 2 if rules_type is CarFlag2DRules else 8):
        actions = rng.integers(4, size=40)
        obs, expected, terminated = by_enumeration(rules, actions, start)
        belief = rules.belief(obs, actions[: len(obs) - 1], terminated)
        np.testing.assert_allclose(belief.probability_RK, expected, atol=1e-12)
        assert len(belief.names) == rules.num_hidden == len(set(belief.names))
        lengths.append(len(obs))
        ended += terminated
    assert max(lengths) == 41 or ended  # whole episodes, some of them with an end


def test_where_the_agent_starts_tells_of_the_flag():
    rules = CarFlag2DRules()
    corner = rules.belief(rules.observe(np.array([5 * 121 + 0])), NONE, terminated=False)
    near = np.flatnonzero(corner.probability_RK[0] == 0)
    assert [rules.goal_K[k] for k in near] == [0, 1, 11]  # less than two steps away
    assert np.unique(corner.probability_RK[0]).size > 2  # a flag in a corner leaves more starts than others


def test_the_priest_tells_all():
    rules = HeavenHellRules()
    joint = np.array([1 * 35 + 24])
    obs = [rules.observe(joint)[0]]
    for action in (3, 0, 0, 0):
        joint = rules.step(NO_DICE, joint, np.array([action]))
        obs.append(rules.observe(joint)[0])
    belief = rules.belief(np.stack(obs), np.array([3, 0, 0, 0]), terminated=False)
    np.testing.assert_array_equal(belief.probability_RK, [[0.5, 0.5]] * 4 + [[0, 1]])
    np.testing.assert_allclose(belief.entropy(), [np.log(2)] * 4 + [0])
    assert belief.names == ("goal in row 0, column 0", "goal in row 0, column 6")


def test_rows_that_no_episode_has():
    rules = HeavenHellRules()
    with pytest.raises(ValueError, match="row 0 is no observation"):
        rules.belief(np.full((1, 3), 0.37, np.float32), NONE, terminated=False)
    left, right = rules.observe(np.array([34, 35 + 34]))
    with pytest.raises(ValueError, match="no state explains row 1"):
        rules.belief(np.stack([left, right]), np.array([0]), terminated=False)


def test_the_flag_on_a_line():
    env = CarFlag1DEnv()
    obs = np.array([[0, 0, 0], [0.4, 0, -1], [0.8, 0, 0]], np.float32)
    np.testing.assert_array_equal(env.belief(obs, np.zeros((2, 1)), False).probability_RK, [[0.5, 0.5], [1, 0], [1, 0]])


def test_the_wrapper_asks_the_env_unless_it_hides_something():
    config = heaven_hell.get_config()
    env = make_env(config)
    views, _ = env.reset(seed=0)
    assert isinstance(env.belief(views["obs"][None], NONE, False), Belief)
    with config.unlocked():
        config.hidden = (2,)
    assert make_env(config).belief(views["obs"][None, :2], NONE, False) is None
    assert make_env(cartpole_hidden.get_config()).belief(np.zeros((1, 2)), NONE, False) is None
