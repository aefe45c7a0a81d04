"""Random and best returns worked out again, and the scores that they give."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from hypothesis import given
from hypothesis import strategies as st

from envs.car_flag import CarFlag2DRules
from envs.car_flag_continuous import CarFlag1DRules, CarFlag2DContinuousRules
from envs.four_rooms import IS_BEACON, IS_FLOOR, IS_GOOD, FourRoomsRules
from envs.heaven_hell import HeavenHellRules
from envs.sphinx import SphinxRules
from scripts.reporting.references import REFERENCES, Reference, reference_of
from tests.envs.reference import WORLDS
from tests.envs.test_hidden_fact import by_chance, by_expert
from tests.helpers.pomdps import optimal_returns

CONFIGS = Path(__file__).resolve().parents[3] / "configs" / "envs"
RETURNS = st.floats(-1e3, 1e3)


@given(RETURNS, st.floats(0.01, 1e3), RETURNS, RETURNS, st.floats(0.01, 100), RETURNS)
def test_a_score_does_not_hang_on_the_scale_of_returns(random, gap, one, other, scale, shift):
    reference = Reference(1, random, random + gap, "")
    moved = Reference(1, scale * random + shift, scale * (random + gap) + shift, "")
    assert reference.normalise(reference.random) == 0
    assert reference.normalise(reference.optimum) == pytest.approx(1)
    assert moved.normalise(scale * one + shift) == pytest.approx(reference.normalise(one), rel=1e-6, abs=1e-6)
    assert (reference.normalise(one) <= reference.normalise(other)) == (one <= other) or one == pytest.approx(other)
    values = np.array([one, other])  # a mean of scores is the score of the mean
    assert reference.normalise(values).mean() == pytest.approx(reference.normalise(values.mean()), rel=1e-6, abs=1e-6)


def random_return(rules, steps):
    """Of uniformly random actions on a grid, exact."""
    value_J = np.zeros(len(rules.next_JA))
    for _ in range(steps):
        value_J = (rules.reward_J + np.where(rules.ends_J, 0.0, value_J))[rules.next_JA].mean(axis=1)
    means = []
    for hidden in range(rules.num_hidden):
        cells = rules._start_cells_KM[hidden, : rules._start_count_K[hidden]]
        means.append(value_J[hidden * rules.num_cells + cells].mean())
    return np.mean(means)


@pytest.mark.parametrize(
    ("env", "rules"),
    [
        ("HeavenHell-v0", HeavenHellRules()),
        ("HeavenHell-6x9-v0", HeavenHellRules(6, 9)),
        ("Sphinx-v0", SphinxRules()),
        ("CarFlag-2D-v0", CarFlag2DRules()),
    ],
)
def test_random_returns_of_grids_are_exact(env, rules):
    assert REFERENCES[env].random == pytest.approx(random_return(rules, REFERENCES[env].horizon), abs=1e-12)


@pytest.mark.parametrize(
    ("env", "rules", "episodes"),
    [("CarFlag-1D-v0", CarFlag1DRules(), 2000), ("CarFlag-2D-Continuous-v0", CarFlag2DContinuousRules(), 20_000)],
)
def test_random_returns_of_continuous_domains_are_those_of_episodes(env, rules, episodes):
    rng = np.random.default_rng(0)
    joint, earned = rules.initial(rng, episodes), []
    for _ in range(REFERENCES[env].horizon):
        joint = rules.step(rng, joint, rng.uniform(-1, 1, (len(joint), *rules.action_space.shape)).astype(np.float32))
        over = rules.ends(joint)
        earned += rules.reward(joint)[over].tolist()
        joint = joint[~over]
    tolerance = 4 * np.std(earned + [0.0] * len(joint)) / np.sqrt(episodes)
    assert sum(earned) / episodes == pytest.approx(REFERENCES[env].random, abs=tolerance)


@pytest.mark.parametrize("env", ["CarFlag-7-v0", "Cleaner-v0"])
def test_random_returns_of_domains_with_numbered_actions_are_those_of_episodes(env):
    total, *_ = by_chance(env, 1000, seed=1)
    assert total.mean() == pytest.approx(REFERENCES[env].random, abs=4 * total.std() / np.sqrt(1000))
    total, *_ = by_expert(env, 100)
    assert (total == REFERENCES[env].optimum).all()


@pytest.mark.parametrize("size", [7, 9])
def test_returns_of_four_rooms_are_those_of_episodes_and_of_shortest_ways_with_any_colours(size):
    env, rules = f"MemoryFourRooms-{size}x{size}-v0", FourRoomsRules(size)
    reference = REFERENCES[env]
    total, length, *_ = by_chance(env, 4000, palette=("blue", "yellow"))
    assert -0.05 * length.mean() == pytest.approx(reference.random, abs=4 * 0.05 * length.std() / np.sqrt(4000))
    assert total.mean() == pytest.approx(reference.random, abs=4 * total.std() / np.sqrt(4000))
    total, *_ = by_expert(env, 2000, palette=("blue", "yellow"))
    assert total.mean() == pytest.approx(reference.lower, abs=4 * total.std() / np.sqrt(2000))
    joint = rules.initial(np.random.default_rng(0), 20_000)
    kind_NC = joint[:, : rules.num_cells + 1]
    walked_NC = np.isin(kind_NC, (IS_FLOOR, IS_BEACON, IS_GOOD))
    steps_N = 1 + rules._steps(joint, kind_NC == IS_GOOD, walked_NC).min(axis=1)
    best_N = np.where(np.isfinite(steps_N), 5 - 0.05 * steps_N, -5.0)  # where it is barred, to the end of time
    assert best_N.mean() == pytest.approx(reference.optimum, abs=4 * best_N.std() / np.sqrt(20_000))
    settings = {"env.horizon": "100", "env.hidden": "[]"}
    assert reference_of(env, settings | {"env.kwargs": '{"palette": ["blue", "yellow"]}'}) is reference
    assert reference_of(env, settings | {"env.kwargs": '{"size": 11}'}) is None


def test_the_random_return_of_cartpole_is_that_of_episodes():
    envs, rng = CartPoleVectorEnv(num_envs=1000, max_episode_steps=10**6), np.random.default_rng(0)
    envs.reset(seed=0)
    alive, length = np.ones(1000, bool), np.zeros(1000)
    for _ in range(REFERENCES["CartPole-v1"].horizon):
        length += alive
        alive &= ~envs.step(rng.integers(2, size=1000))[2]
    assert length.mean() == pytest.approx(REFERENCES["CartPole-v1"].random, abs=4 * length.std() / np.sqrt(1000))


@pytest.mark.parametrize(
    ("env", "rules"),
    [("HeavenHell-v0", HeavenHellRules()), ("HeavenHell-6x9-v0", HeavenHellRules(6, 9)), ("Sphinx-v0", SphinxRules())],
)
def test_optima_are_exact_from_every_start(env, rules):
    reference = REFERENCES[env]
    best = optimal_returns(rules, reference.horizon)[-1]
    assert set(best) == set(WORLDS[env].starts(WORLDS[env].hidden[0]))
    assert list(best.values()) == pytest.approx([reference.optimum] * len(best))


def test_references_hold_for_the_configs():
    seen = set()
    for path in sorted(CONFIGS.glob("[a-z]*.py")):
        module = runpy.run_path(str(path))
        for config in (module["get_config"](), *map(module["get_config"], module.get("VARIANTS", ()))):
            reference = REFERENCES.get(config.id)
            if reference is not None and config.horizon:  # a template takes the horizon of whatever env it is given
                seen.add(config.id)
                assert (config.horizon, tuple(config.hidden)) == (reference.horizon, reference.hidden)
                assert set(config.kwargs) <= set(reference.free)
    assert seen == set(REFERENCES)
