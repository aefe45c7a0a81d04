"""Beliefs by particles against Kalman's filter, the exact filter of finite domains, and a fine grid."""

from dataclasses import replace
from math import erf

import gymnasium as gym
import numpy as np
import pytest

import envs as _envs  # noqa: F401 registers the ids
from configs.envs import irrelevant, mountain_hike
from envs.base import Past
from envs.factors import Factor
from envs.finite_rules import OBS, STATE, FiniteRules
from envs.irrelevant import IrrelevantRules, filtered
from envs.make import make_env, make_vector_env
from envs.mountain_hike import GOAL, MOVES, REACH, SLIP, START, STEP, MountainHikeRules, altitude
from envs.particles import ParticleFilter, systematic
from envs.t_maze import t_maze_model

HAZE = 0.1
NOBODY = np.zeros(0, np.int64)  # of actions


def filter_of(rules, particles, seed=0):
    return ParticleFilter(rules, particles, np.random.default_rng(seed))


def walked(rules, num, steps, seed=0):
    """Pasts of random actions, each up to its end or `steps`."""
    rng = np.random.default_rng(seed)
    joint = rules.initial(rng, num)
    going, obs, actions = np.ones(num, bool), [[o] for o in rules.observe(joint)], [[] for _ in range(num)]
    ended = np.zeros(num, bool)
    for _ in range(steps):
        action = rng.integers(rules.action_space.n, size=num)
        joint = rules.step(rng, joint, action)
        for n in np.flatnonzero(going):
            obs[n].append(rules.observe(joint)[n])
            actions[n].append(action[n])
        ended |= going & rules.ends(joint)
        going &= ~ended
    return [Past(np.stack(o), np.array(a, int), bool(end)) for o, a, end in zip(obs, actions, ended)]


def test_systematic_draws_by_hand():
    rng, weight_NP = np.random.default_rng(0), np.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]])
    for _ in range(20):
        np.testing.assert_array_equal(systematic(rng, weight_NP, 4), [[0, 0, 1, 2], [1, 1, 1, 1]])
    weight_NP = np.tile([0.15, 0.6, 0.25], (4000, 1))  # 0.3, 1.2 and 0.5 of two: rounded down or up, right on average
    times_NP = np.stack([np.bincount(row, minlength=3) for row in systematic(rng, weight_NP, 2)])
    assert (abs(times_NP - 2 * weight_NP) < 1).all()
    np.testing.assert_allclose(times_NP.mean(axis=0), [0.3, 1.2, 0.5], atol=0.03)


class Line:
    """A place on a line: x' = 0.9 x + u + N(0, 0.2²), seen with N(0, 0.5²), from N(0, 1); never ends."""

    fact_sizes = {"side": 2}

    def initial(self, rng, num):
        return rng.standard_normal((num, 1))

    def hypotheses(self, joint):
        return joint[None]

    def checked(self, action, num):
        return action

    def move(self, rng, joint, action):
        return 0.9 * joint + action + 0.2 * rng.standard_normal(joint.shape)

    def ends(self, joint):
        return np.zeros(len(joint), bool)

    def log_likelihood(self, joint, obs):
        return -0.5 * ((obs - joint)[:, 0] / 0.5) ** 2

    def observe(self, joint):
        return joint

    state = observe

    def factors(self, obs, state):
        return {"side": Factor((state[:, 0] > 0).astype(np.int64), np.ones(len(state), bool))}


def kalman(obs_R, action_T):
    """Means and variances at each row."""
    mean, variance, found = 0.0, 1.0, []
    for row, obs in enumerate(obs_R):
        if row:
            mean, variance = 0.9 * mean + action_T[row - 1], 0.81 * variance + 0.04
        gain = variance / (variance + 0.25)
        mean, variance = mean + gain * (obs - mean), (1 - gain) * variance
        found.append((mean, variance))
    return np.array(found)


def test_on_a_linear_gaussian_domain_it_is_kalmans_filter():
    rng, pasts = np.random.default_rng(3), []
    for rows in (12, 12, 7, 1):
        x_R1, action_T1 = Line().initial(rng, 1), 0.3 * rng.normal(size=(rows - 1, 1))
        for action in action_T1:
            x_R1 = np.append(x_R1, Line().move(rng, x_R1[-1:], action), axis=0)
        pasts.append(Past(x_R1 + 0.5 * rng.normal(size=(rows, 1)), action_T1, False))
    exact_N = [kalman(past.obs_RO[:, 0], past.action_T[:, 0]) for past in pasts]

    def errors(particles):
        found = []
        for row, cloud in enumerate(filter_of(Line(), particles).follow(pasts)):
            weight_NP, x_NP = cloud.weights(), cloud.joint[:, 0, :, 0]
            mean_N = (weight_NP * x_NP).sum(axis=1)
            variance_N = (weight_NP * (x_NP - mean_N[:, None]) ** 2).sum(axis=1)
            found += [np.stack([mean_N, variance_N], axis=1) - [exact[row] for exact in exact_N[: len(cloud)]]]
        return abs(np.concatenate(found))

    few, many = errors(200), errors(40_000)
    assert len(few) == 12 + 12 + 7 + 1
    assert many.max() < 0.02
    assert many.mean() < 0.2 * few.mean()  # 0.07 as 1 / √P


class SmallDensities(Line):
    """As `Line`, where every density is e⁻²⁰⁰⁰ as large, which is 0 in any precision."""

    def log_likelihood(self, joint, obs):
        return super().log_likelihood(joint, obs) - 2000.0


def test_what_densities_have_in_common_changes_no_belief():
    rng = np.random.default_rng(0)
    pasts = [Past(rng.normal(size=(9, 1)), 0.3 * rng.normal(size=(8, 1)), False)]
    for one, other in zip(*(filter_of(rules, 200).follow(pasts) for rules in (Line(), SmallDensities())), strict=True):
        np.testing.assert_allclose(one.weights(), other.weights(), atol=1e-9)
        assert other.weights().std() > 0


class SeenAtTimes(FiniteRules):
    """T-Maze whose places are mistaken now and then, by particles."""

    def __init__(self, particles):
        model = t_maze_model(3, 0.3)
        self.look_SO = 0.8 * model.first_SO + 0.05
        super().__init__(replace(model, observation_AEO=(self.look_SO,) * 4, first_SO=self.look_SO))
        self.particles, self.fact_sizes = particles, {"state": self.num_states}

    def log_likelihood(self, joint, obs):
        return np.log(self.look_SO[joint[:, STATE].astype(int), obs.argmax(axis=1)])


def test_on_a_finite_domain_it_is_the_exact_filter_the_nearer_the_more_particles():
    pasts = walked(SeenAtTimes(1), 40, 12)
    assert len({len(past.obs_RO) for past in pasts}) > 3 and any(past.terminated for past in pasts)
    exact = SeenAtTimes(1)
    truth_NK = np.stack([exact.belief(*past).probability_RK[-1] for past in pasts])

    def off(particles):
        told = filter_of(SeenAtTimes(1), particles).last(pasts)
        return abs(np.concatenate([one.probability_RK for one in told]) - truth_NK)

    few, many = off(100), off(10_000)
    assert many.max() < 0.05 and many.mean() < 0.003
    assert many.mean() < 0.25 * few.mean()  # 0.1 as 1 / √P


GRID = np.linspace(-1, 1, 101)
X_CC, Y_CC = np.meshgrid(GRID, GRID, indexing="ij")
OVER_CC = np.hypot(X_CC - GOAL[0], Y_CC - GOAL[1]) <= REACH


def shift(by):
    """Pr(cell after | cell before) of one axis (C, C), clipped to the square."""
    edge = np.append((GRID[1:] + GRID[:-1]) / 2, np.inf)
    up_to = np.vectorize(erf)((edge - GRID[:, None] - by) / SLIP / np.sqrt(2)) / 2 + 0.5
    return np.diff(up_to, axis=1, prepend=0)


def by_grid(past, turn):
    """The place's distribution (C, C) if the actions are turned so, and the evidence of that."""
    cell = [int(np.argmin(abs(GRID - at))) for at in START]
    belief_CC, evidence = np.zeros((101, 101)), 1.0
    belief_CC[cell[0], cell[1]] = 1.0
    height_CC = altitude(np.stack([X_CC, Y_CC], axis=-1))
    for row, obs in enumerate(past.obs_RO[:, 0]):
        if row:
            by_x, by_y = STEP * MOVES[(past.action_T[row - 1] + turn) % 4]
            belief_CC = shift(by_x).T @ belief_CC @ shift(by_y)
            belief_CC = belief_CC * ~OVER_CC
        belief_CC = belief_CC * np.exp(-0.5 * ((obs - height_CC) / HAZE) ** 2)
        evidence *= belief_CC.sum()
        belief_CC = belief_CC / belief_CC.sum()
    return belief_CC, evidence


@pytest.mark.parametrize("varying", [False, True])
def test_on_mountain_hike_it_is_the_filter_of_a_fine_grid(varying):
    rules = MountainHikeRules(varying)
    east_and_north = np.array([1, 1, 0, 1, 1, 0, 1, 1, 0, 0])
    rng = np.random.default_rng(1)
    joint = rules.joint_of(rng, rules.state(rules.initial(rng, 1)))
    joint[:, 2] = 0
    seen = [rules.observe(joint)[0]]
    for action in east_and_north:
        joint = rules.step(rng, joint, np.array([action]))
        seen.append(rules.observe(joint)[0])
    past = Past(np.stack(seen), east_and_north, False)
    told = filter_of(rules, 40_000).last([past])[0]
    grids, evidence = zip(*(by_grid(past, turn) for turn in range(rules.turns)))
    share = np.array(evidence) / sum(evidence)
    truth_CC = np.tensordot(share, grids, 1)
    state_PS = told.particles_RPS[-1].astype(np.float64)
    truth = [(truth_CC * X_CC).sum(), (truth_CC * Y_CC).sum()]
    np.testing.assert_allclose(state_PS[:, :2].mean(axis=0), truth, atol=0.01)
    spread = [np.sqrt((truth_CC * (at - mean) ** 2).sum()) for at, mean in zip((X_CC, Y_CC), truth)]
    np.testing.assert_allclose(state_PS[:, :2].std(axis=0), spread, atol=0.01)
    assert min(spread) > 0.05  # there was something to find out
    if varying:
        by_turn = told.probability_RK[-1] @ np.eye(4)[told.features["turn"]]
        np.testing.assert_allclose(by_turn, share, atol=0.02)
        np.testing.assert_allclose(state_PS[:, 2:].mean(axis=0), by_turn, atol=1e-3)  # drawn by these weights


def test_that_it_went_on_is_conditioned_on_and_so_is_that_it_ended():
    rules = MountainHikeRules()
    told = filter_of(rules, 4000)
    cloud = told.first(np.zeros((2, 1), np.float32))
    cloud.joint[..., :2] = [0.5, 0.8]  # about half of the steps to the east reach the goal
    seen = np.full((2, 1), altitude(np.array([0.6, 0.8])))
    after = told.after(cloud, np.array([1, 1]), seen, np.array([False, True]))
    ended = rules.ends(after.flat()).reshape(2, -1)
    assert 0.2 < ended.mean() < 0.8
    np.testing.assert_allclose((after.weights() * ended).sum(axis=1), [0, 1], atol=1e-12)


def test_no_turn_is_lost_and_those_of_a_turn_do_not_change():
    rules = MountainHikeRules(varying=True)
    pasts = sorted(walked(rules, 5, 30), key=lambda past: -len(past.obs_RO))
    for cloud in filter_of(rules, 400).follow(pasts):
        np.testing.assert_array_equal(cloud.joint[..., 2], np.broadcast_to(np.arange(4)[:, None], (len(cloud), 4, 100)))
        assert np.isfinite(cloud.log_weight_NGP).any(axis=2).all()
        np.testing.assert_allclose(cloud.weights().sum(axis=1), 1.0)


def test_many_at_once_are_as_each_for_itself(monkeypatch):
    monkeypatch.setattr("envs.particles.AT_ONCE", 4)
    rules = MountainHikeRules(varying=True, particles=40_000)
    pasts = [
        past._replace(obs_RO=past.obs_RO[: 1 + n], action_T=past.action_T[:n])
        for n, past in enumerate(walked(rules, 9, 8))
    ]
    together = rules.last_beliefs(pasts)
    for n in (0, 5, 8):
        alone = rules.belief(*pasts[n])
        assert alone.probability_RK.shape == (1 + n, 256) and together[n].probability_RK.shape == (1, 256)
        np.testing.assert_allclose(together[n].probability_RK[0], alone.probability_RK[-1], atol=0.05)
        means = [one.particles_RPS[-1].mean(axis=0) for one in (together[n], alone)]
        np.testing.assert_allclose(*means, atol=0.04)


def test_it_draws_of_its_own_and_tells_the_same_again():
    config = mountain_hike.get_config("varying")
    envs, env = make_vector_env(config, 3, seed=0), make_env(config)
    views, _ = envs.reset(seed=1)
    assert set(views) == {"obs", "state"} and views["obs"].shape == (3, 1)  # nothing of a belief to act on
    before, everyone = str(envs.state_dict()), str(np.random.get_state())
    pasts = [Past(obs[None], NOBODY, False) for obs in views["obs"]]
    first, again = env.last_beliefs(pasts), env.last_beliefs(pasts)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.particles_RPS, other.particles_RPS)
        np.testing.assert_array_equal(one.probability_RK, other.probability_RK)
    assert str(envs.state_dict()) == before and str(np.random.get_state()) == everyone


def test_behind_irrelevant_variables_it_is_that_of_the_domain_and_these_are_kalmans():
    rules = IrrelevantRules("VaryingMountainHike-v0", 2, {"particles": 80})
    pasts = walked(rules, 3, 6)
    own = rules.inner.last_beliefs([past._replace(obs_RO=past.obs_RO[:, 2:]) for past in pasts])
    for past, one, inner in zip(pasts, rules.last_beliefs(pasts), own, strict=True):
        np.testing.assert_array_equal(one.particles_RPS, inner.particles_RPS)
        np.testing.assert_array_equal(one.irrelevant_RD, filtered(past.obs_RO[:, :2])[-1:])
        assert one.particles_RPS.shape == (1, 80, 6) and one.kind == "belief by 80 particles"
    env = make_env(irrelevant.get_config("mountain_hike"))
    obs = env.reset(seed=0)[0]["obs"]
    belief = env.belief(obs[None], NOBODY, False)
    assert belief.particles_RPS.shape == (1, 1000, 2)
    assert belief.entropy() == 0 and belief.names[belief.probability_RK.argmax()] == "x 0, y 0"  # where it starts


def test_what_no_particle_explains_is_passed_over():
    rules = SeenAtTimes(50)
    rules.look_SO = np.where(rules.look_SO < 0.1, 0.0, rules.look_SO)
    seen = np.eye(4, dtype=np.float32)[[0, 3, 0]]  # from the cue to the junction at once
    told = ParticleFilter(rules, 50, np.random.default_rng(0))
    with np.errstate(divide="ignore"), pytest.warns(UserWarning, match="none explained 1 rows"):
        belief = told.episode(Past(seen[:2], np.array([0]), False))
    np.testing.assert_allclose(belief.probability_RK.sum(axis=1), 1.0)
    assert rules.initial(np.random.default_rng(0), 1)[0, OBS] in (0, 1)


def test_too_few_particles_and_episodes_out_of_order_are_refused():
    with pytest.raises(ValueError, match="particles is 3; at least 4"):
        gym.make("MountainHike-v0", particles=3)
    pasts = [Past(np.zeros((rows, 1), np.float32), np.zeros(rows - 1, int), False) for rows in (2, 3)]
    with pytest.raises(ValueError, match="the longer episodes come first"):
        next(filter_of(MountainHikeRules(), 4).follow(pasts))
