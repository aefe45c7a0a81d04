from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from configs.envs import masked
from envs.make import horizon_of, make_env, make_vector_env
from envs.velocities import hidden_entries, velocity_entries
from utils.errors import UserError


def config_of(**fields):
    config = masked.get_config()
    with config.unlocked():
        for field, value in fields.items():
            config[field] = value
    return config


class Bodies(gym.Env):
    """Stands for an env of MuJoCo: positions and velocities, as far as the resolution of `velocity` looks."""

    def __init__(self, num_obs, nq=3, nv=3, structure=None):
        self.observation_space = spaces.Box(-np.inf, np.inf, (num_obs,))
        self.data = SimpleNamespace(qpos=np.zeros(nq), qvel=np.zeros(nv))
        if structure is not None:
            self.observation_structure = structure


# by finite differences where the state keeps what the observation is made of: (positions of the state) -> their place
CLASSIC = {
    "Acrobot-v1": (0, 1),
    "CartPole-v1": (0, 2),
    "MountainCar-v0": (0,),
    "MountainCarContinuous-v0": (0,),
    "Pendulum-v1": (0,),
}


@pytest.mark.parametrize("env_id", CLASSIC)
def test_what_is_hidden_of_classic_control_is_how_fast_the_rest_changes(env_id):
    env = gym.make(env_id).unwrapped
    env.reset(seed=0)
    env.action_space.seed(0)
    entries = velocity_entries(gym.make(env_id))
    positions, velocities, states = [], [], []
    for _ in range(12):
        obs = env.step(env.action_space.sample())[0]
        positions.append([env.state[i] for i in CLASSIC[env_id]])
        velocities.append(obs[list(entries)])
        states.append([value for i, value in enumerate(env.state) if i not in CLASSIC[env_id]])
    np.testing.assert_allclose(velocities, states, rtol=1e-5, atol=1e-6)
    moved, before, after = np.diff(positions, axis=0), np.array(velocities)[:-1], np.array(velocities)[1:]
    for k in range(len(entries)):  # some envs step by the velocity after, others by one in between
        speeds = (after, (before + after) / 2)
        assert max(np.corrcoef(moved[:, k], speed[:, k])[0, 1] for speed in speeds) > 0.95


def test_pendulum_shows_its_angle_and_tells_everything():
    envs = make_vector_env(config_of(), 3, seed=0)
    spec = envs.spec_sizes
    assert (spec.obs_dim, spec.state_dim, spec.action_dim, spec.discrete) == (2, 3, 1, False)
    assert spec.max_episode_steps == 200 == horizon_of(config_of())
    np.testing.assert_array_equal(envs.observation_space["state"].high[0], [1, 1, 8])
    np.testing.assert_array_equal(envs.observation_space["obs"].high[0], [1, 1])
    views, _ = envs.reset(seed=5)
    for t in range(200):
        np.testing.assert_array_equal(views["obs"], views["state"][:, :2])
        np.testing.assert_allclose(np.square(views["obs"]).sum(axis=1), 1, atol=1e-6)
        assert views["state"] in envs.observation_space["state"]
        before = views["state"]
        views, reward, terminated, truncated, info = envs.step(np.full((3, 1), 0.5, np.float32))
        assert info == {} and not terminated.any()
        assert truncated.all() == (t == 199)
        angle = np.arctan2(before[:, 1], before[:, 0])  # torque is 0.5 of the greatest, 2
        np.testing.assert_allclose(reward, -(angle**2 + 0.1 * before[:, 2] ** 2 + 0.001 * 1.0**2), rtol=1e-4, atol=1e-5)
        speed = np.clip(before[:, 2] + (15 * before[:, 1] + 3 * 1.0) * 0.05, -8, 8)
        np.testing.assert_allclose(views["state"][:, 2], speed, rtol=1e-4, atol=1e-4)


def test_indices_can_be_given_instead():
    assert hidden_entries(gym.make("Pendulum-v1"), (0, 2)) == (0, 2)
    for hidden in ("0,2", "(0, 2)", " 0, 2,"):
        env = make_env(config_of(hidden=hidden))
        views, _ = env.reset(seed=0)
        np.testing.assert_array_equal(views["obs"], views["state"][[1]])
    assert make_env(config_of(hidden="")).spec_sizes.obs_dim == 3
    with pytest.raises(UserError, match=r"config_env\.hidden: 'velocty' is neither 'velocity' nor indices such as 1,3"):
        make_env(config_of(hidden="velocty"))
    with pytest.raises(UserError, match=r"config_env\.hidden: no entry 7 among the 3 of Pendulum-v1"):
        make_env(config_of(hidden="7"))


def test_a_horizon_of_its_own_comes_before_that_of_the_id():
    assert make_env(config_of(horizon=30)).spec_sizes.max_episode_steps == 30
    assert horizon_of(config_of(id="MountainCarContinuous-v0")) == 999
    with pytest.raises(UserError, match=r"config_env\.horizon: Blackjack-v1 has no time limit of its own"):
        make_env(config_of(id="Blackjack-v1"))


def test_an_env_whose_velocities_are_not_known_asks_for_indices():
    message = r"config_env\.hidden: it is not known which entries of FrozenLake-v1 are velocities; give their indices"
    for make in (make_env, lambda config: make_vector_env(config, 1, seed=0)):
        with pytest.raises(UserError, match=message) as caught:
            make(config_of(id="FrozenLake-v1"))
        assert "\n" not in str(caught.value)


def test_an_observation_that_says_how_it_is_made_up_is_taken_at_its_word():
    structure = {"skipped_qpos": 2, "qpos": 3, "qvel": 2, "cinert": 2, "cvel": 3, "qfrc_actuator": 1}
    assert velocity_entries(Bodies(11, 5, 2, structure)) == (3, 4, 7, 8, 9)


def test_positions_and_velocities_are_told_apart_by_their_sizes():
    assert velocity_entries(Bodies(6)) == (3, 4, 5)
    assert velocity_entries(Bodies(5)) == (2, 3, 4)  # the first position is left out
    assert velocity_entries(Bodies(4, nq=3, nv=2)) == (2, 3)
    for num_obs in (3, 7, 20):  # three positions are too many to be left out; more than both; much more
        with pytest.raises(UserError, match="it is not known which entries of Bodies are velocities"):
            velocity_entries(Bodies(num_obs))
    assert hidden_entries(Bodies(6), "velocity") == (3, 4, 5)


def test_an_action_in_unit_bounds_arrives_to_the_last_bit():
    env = make_env(config_of(id="MountainCarContinuous-v0"))
    env.reset(seed=0)
    for action in (np.float32(1e-12), np.float32(-0.3), np.float32(0.1) / 3):
        assert env.actions.to_native(np.array([action])) == action
    assert env.actions.to_native(np.array([1.5], np.float32)) == 1


@pytest.mark.parametrize(
    "env_id",
    ["HalfCheetah-v5", "Hopper-v5", "Walker2d-v5", "Swimmer-v5", "Ant-v5", "Humanoid-v5", "HumanoidStandup-v5",
     "InvertedPendulum-v5", "InvertedDoublePendulum-v5", "Reacher-v5", "Pusher-v5"],
)  # fmt: skip
def test_what_is_hidden_of_mujoco_are_its_velocities(env_id):
    pytest.importorskip("mujoco")
    env = make_env(config_of(id=env_id))
    env.action_space.seed(0)
    views, _ = env.reset(seed=0)
    for _ in range(5):
        views, *_ = env.step(env.action_space.sample())
    data = env.unwrapped.data
    velocity = data.qvel[: {"Reacher-v5": 2, "Pusher-v5": 7}.get(env_id)]
    if env_id in ("Hopper-v5", "Walker2d-v5", "InvertedDoublePendulum-v5"):
        velocity = np.clip(velocity, -10, 10)
    if env_id.startswith("Humanoid"):
        velocity = np.concatenate([velocity, data.cvel[1:].ravel()])
    entries = velocity_entries(env.env)
    assert (np.abs(velocity) > 0).any()
    np.testing.assert_allclose(views["state"][list(entries)], velocity, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(views["obs"], np.delete(views["state"], entries))
    assert env.spec_sizes.max_episode_steps == gym.spec(env_id).max_episode_steps
