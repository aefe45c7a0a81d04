"""Finite domains with a hidden fact: against files that others wrote, and the facts that are known of each."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import envs as _envs  # noqa: F401 registers the ids
from envs.finite import dense
from envs.heaven_hell_n import heaven_hell_model
from envs.pomdp_format import read_pomdp
from envs.shopping import shopping_model
from envs.t_maze import t_maze_model
from policies.exact.tabular import solve
from tests.helpers.pomdps import FILES, needs_files

IDS = ["HeavenHell-1-v0", "HeavenHell-4-v0", "Shopping-5-v0", "TMaze-v0"]


def make_vec(env_id, num_envs, **kwargs):
    return gym.make_vec(env_id, num_envs=num_envs, autoreset_mode=AutoresetMode.DISABLED, **kwargs)


def played(envs, act, seed=0):
    """Return, length and whether informed of one episode of each env."""
    envs.reset(seed=seed)
    total, length = np.zeros(envs.num_envs), np.zeros(envs.num_envs, int)
    going, informed, ended_itself = np.ones((3, envs.num_envs), bool)
    informed[:] = ended_itself[:] = False
    while going.any():
        _, reward, terminated, truncated, _ = envs.step(act())
        total += reward * going
        length += going
        informed |= going & envs.saw_information()
        ended_itself |= going & terminated
        ended = terminated | truncated
        going &= ~ended
        envs.reset(options={"reset_mask": ended})
    return total, length, informed, ended_itself


def by_expert(env_id, num, guess=False, **kwargs):
    envs = make_vec(env_id, num, **kwargs)
    return played(envs, lambda: envs.expert_action(np.full(num, guess)))


def by_chance(env_id, num, seed=0, **kwargs):
    envs, rng = make_vec(env_id, num, **kwargs), np.random.default_rng(seed + 100)  # not the seed of the starts
    return played(envs, lambda: rng.integers(envs.single_action_space.n, size=num), seed)


@pytest.mark.parametrize("env_id", IDS)
def test_gymnasium_finds_nothing_to_mend(env_id):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(env_id, render_mode="rgb_array").unwrapped)


@needs_files
@pytest.mark.parametrize(
    "file, model",
    [*((f"heavenhell_{n}", heaven_hell_model(n)) for n in (1, 2, 3, 4)), ("shopping_2.v1", shopping_model(2))],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_models_are_those_of_the_files_that_others_wrote(file, model):
    theirs = read_pomdp(FILES / f"{file}.pomdp")
    assert (model.actions, model.discount) == (theirs.actions, theirs.discount)
    np.testing.assert_array_equal(model.start_S, theirs.start_S)
    np.testing.assert_array_equal(model.reward_SA, theirs.reward_SA)
    for action in range(len(model.actions)):
        np.testing.assert_array_equal(dense(model.going_on(action)), dense(theirs.going_on(action)))
        np.testing.assert_array_equal(dense(model.observation_AEO[action]), dense(theirs.observation_AEO[action]))


@pytest.mark.parametrize("n, steps", [(1, 7), (2, 11), (3, 15), (4, 19)])
def test_the_expert_of_heaven_hell_asks_and_is_always_right(n, steps):
    total, length, informed, _ = by_expert(f"HeavenHell-{n}-v0", 100)
    assert (total == 1).all() and (length == steps).all() and informed.all()
    total, length, informed, _ = by_expert(f"HeavenHell-{n}-v0", 4000, guess=True)
    assert (length == 2 * n + 1).all() and not informed.any()
    assert abs(total.mean()) < 4 / np.sqrt(4000)


@pytest.mark.parametrize("n, rate", [(1, 0.985), (2, 0.789), (3, 0.541), (4, 0.352)])
def test_random_actions_end_heaven_hell_so_often(n, rate):
    total, _, _, ended = by_chance(f"HeavenHell-{n}-v0", 10_000)
    assert ended.mean() == pytest.approx(rate, abs=4 * np.sqrt(rate * (1 - rate) / 10_000) + 5e-4)
    assert abs(total.mean()) < 4 / np.sqrt(10_000)


def test_heaven_hell_step_by_step():
    """From the start to the priest and to heaven in the east, by hand."""
    env = gym.make("HeavenHell-1-v0")
    state = np.eye(12)[6]  # cell 0, heaven on the right
    obs, _ = env.reset(seed=0, options={"state": state})
    assert not obs.any() and obs.shape == (7,)
    seen, paid = [], []
    for action in (1, 2, 3, 0, 0, 2, 0):  # S E W N N E, and out
        obs, reward, terminated, _, info = env.step(action)
        seen.append(int(obs.argmax()))
        paid.append(reward)
    assert seen[:6] == [4, 6, 4, 0, 1, 3]
    assert paid == [0, 0, 0, 0, 0, 0, 1] and terminated and info["success"]


@pytest.mark.parametrize("n, value", [(5, 4.0), (6, 3.0)])
def test_who_asks_first_shops_for_so_much(n, value):
    total, length, informed, ended = by_expert(f"Shopping-{n}-v0", 20_000)
    assert total.mean() == pytest.approx(value, abs=4 * total.std() / np.sqrt(20_000))
    np.testing.assert_array_equal(total, 10 - 2 - (length - 2))  # the query and buying are two steps
    assert informed.all() and ended.all() and length.max() == 2 + 2 * (n - 1)


def test_a_shopper_who_guesses_goes_on_guessing():
    total, _, informed, ended = by_expert("Shopping-5-v0", 2000, guess=True)
    assert not informed.any()
    assert 0.3 < ended.mean() < 0.95 and total[ended].min() < -5


@pytest.mark.parametrize(
    "length, remembering, forgetting", [(10, 3.268, 1.593), (20, 2.670, 1.302), (50, 1.457, 0.710)]
)
def test_t_maze_is_worth_so_much(length, remembering, forgetting):
    solved = solve(t_maze_model(length), "vi")
    assert solved.start_value == pytest.approx(4 * 0.98**length, abs=1e-12) == pytest.approx(remembering, abs=5e-4)
    total, steps, informed, _ = by_expert("TMaze-v0", 100, length=length, max_episode_steps=3 * length)
    assert (total == 4).all() and (steps == length + 1).all() and informed.all()
    total, steps, _, _ = by_expert("TMaze-v0", 4000, guess=True, length=length, max_episode_steps=3 * length)
    assert 0.98**length * total.mean() == pytest.approx(forgetting, abs=4 * 2.05 / np.sqrt(4000) * 0.98**length)


def test_noise_in_the_t_maze_replaces_actions():
    model = t_maze_model(3, 0.2)
    at = 1  # of the treasure up
    np.testing.assert_allclose(model.transition_ASE[0][at, [0, 1, 2]], [0.05, 0.1, 0.85])  # 1 - 3λ/4 to the right
    np.testing.assert_allclose(model.reward_SA[at], [-0.01, -0.085 - 0.005, -0.01, -0.09])
    envs = make_vec("TMaze-v0", 20_000, length=3, noise=0.2)
    envs.reset(seed=0, options={"state": np.tile(np.eye(12)[at], (20_000, 1))})
    _, reward, _, _, _ = envs.step(np.zeros(20_000, int))
    place = envs.get_state().argmax(axis=1)
    np.testing.assert_allclose(np.bincount(place, minlength=3)[:3] / 20_000, [0.05, 0.1, 0.85], atol=0.01)
    np.testing.assert_array_equal(reward, np.where(place == at, -0.1, 0.0))
    assert by_expert("TMaze-v0", 2000, length=3, noise=0.2, max_episode_steps=12)[3].mean() > 0.9


def test_an_episode_of_the_t_maze_starts_in_no_arm():
    env = gym.make("TMaze-v0", length=3)
    env.reset(options={"state": np.eye(12)[3]})  # the junction
    for arm in (4, 5, 10, 11):
        with pytest.raises(ValueError, match="arm"):
            env.reset(options={"state": np.eye(12)[arm]})


@pytest.mark.parametrize("env_id", IDS)
def test_beliefs_and_factors_agree_about_the_hidden_fact(env_id):
    env, rng = gym.make(env_id), np.random.default_rng(0)
    obs, state, action, terminated, truncated = [env.reset(seed=1)[0]], [], [], False, False
    state.append(env.unwrapped.get_state())
    while not (terminated or truncated) and len(action) < 40:
        action.append(int(rng.integers(env.action_space.n)))
        now, _, terminated, truncated, _ = env.step(action[-1])
        obs.append(now)
        state.append(env.unwrapped.get_state())
    rules = env.unwrapped.rules
    belief = env.unwrapped.belief(np.stack(obs), np.array(action), terminated)
    found = env.unwrapped.factors(np.stack(obs), np.stack(state))
    fact, *_ = (
        factor for factor in found.values() if np.array_equal(factor.label_R, rules.fact_S[np.argmax(state, 1)])
    )
    of_fact_RK = np.stack(
        [belief.probability_RK[:, rules.fact_S == k].sum(axis=1) for k in range(rules.fact_S.max() + 1)]
    )
    assert (of_fact_RK[fact.label_R, np.arange(len(obs))] > 0).all()  # the truth is never ruled out
    told = np.flatnonzero(~fact.hidden_R)
    np.testing.assert_allclose(of_fact_RK[:, told].max(axis=0), 1)
    assert fact.hidden_R.any()


def test_sizes_that_there_are_not():
    for env_id, kwargs in (
        ("HeavenHell-1-v0", {"n": 0}),
        ("Shopping-5-v0", {"n": 1}),
        ("TMaze-v0", {"noise": 1.0}),
        ("TMaze-v0", {"length": 2.5}),
    ):
        with pytest.raises(ValueError, match="at least"):
            gym.make(env_id, **kwargs)
