"""What a robot may have otherwise than the simulator: a camera that is off, another mass, actions that come late."""

import gymnasium as gym
import numpy as np
import pytest

from envs.robot.shapes import PIXEL
from tests.helpers.robots import IDS, PLAIN, images


def looked(env, x=0.0, y=0.0, turn=0.0):
    """The depth image and the mask with the camera off by so much, the scene being what it is."""
    env._camera = np.array([x, y, turn])
    env._look()
    found = images(env.get_state())
    env._camera = np.zeros(3)
    return found


@pytest.mark.parametrize("env_id", IDS)
def test_a_camera_that_is_off_sees_the_same_shifted_and_turned(env_id, robots):
    env = robots(env_id)
    env.reset(seed=3, options={"scene": PLAIN[env_id]})
    env.step(np.full(5, 0.3))
    depth, mask = looked(env)
    assert mask.any() and (depth == 0).any()  # the gripper is painted in
    for seen, plain in zip(looked(env, x=2 * PIXEL, y=-PIXEL), (depth, mask), strict=True):
        np.testing.assert_allclose(seen[:-2, 1:], plain[2:, :-1], atol=1 / 768 + 1e-6)
        assert np.abs(seen - plain).max() > 0.02
    for turns in (1, 3):  # a camera that is turned one way sees the scene turned the other
        for seen, plain in zip(looked(env, turn=turns * np.pi / 2), (depth, mask), strict=True):
            differs = np.abs(seen - np.rot90(plain, -turns)) > 1 / 768 + 1e-6
            assert differs.mean() < 0.002  # at edges that run through the middle of pixels
            assert (np.abs(seen - plain) > 0.01).mean() > 0.01


@pytest.mark.parametrize("env_id", IDS)
def test_each_episode_draws_its_camera_and_mass_and_nothing_else_changes(env_id, robots):
    env, plain = robots(env_id, camera_shift=0.005, camera_turn=2.0, mass_spread=0.3), robots(env_id)
    drawn = []
    for seed in range(40 if env_id == IDS[0] else 5):
        env.reset(seed=seed)
        plain.reset(seed=seed)
        assert np.array_equal(env.scene, plain.scene) and env._first == plain._first
        drawn.append([*env._camera, env._mass])
    drawn = np.array(drawn)
    most = np.array([0.005, 0.005, np.deg2rad(2.0), 0.3])
    off = (drawn - [0, 0, 0, 1]) / most
    assert (np.abs(off) <= 1).all() and (off.std(axis=0) > 0.3).all()
    env.reset(seed=4)
    again = env._observation()
    env.reset(seed=4)
    assert np.array_equal(env._observation(), again)
    body, link = (env._unlocked, 0) if env_id.startswith("Drawer") else (env._moving, -1)
    of_plain = (plain._unlocked, 0) if env_id.startswith("Drawer") else (plain._moving, -1)
    plain.reset(seed=4)
    mass, nominal = (one._bullet.getDynamicsInfo(*where)[0] for one, where in ((env, (body, link)), (plain, of_plain)))
    assert mass == pytest.approx(nominal * env._mass) and mass != nominal


def test_a_late_action_does_what_it_would_have_done_in_time(robots):
    env, late = robots("BlockPushing-v0"), robots("BlockPushing-v0", latency=2)
    actions = np.random.default_rng(0).uniform(-0.5, 0.5, (3, 5))
    stay = np.array([1.0, 0.0, 0.0, 0.0, 0.0])  # the gripper as it was, open
    scene = {"scene": PLAIN["BlockPushing-v0"]}
    ends = []
    for one, played in ((env, [stay, stay, *actions]), (late, [*actions, stay, stay])):
        one.reset(seed=0, options=scene)
        for action in played:
            obs, *_ = one.step(action)
        ends.append(obs)
    assert np.array_equal(*ends)
    with pytest.raises(ValueError, match="finite numbers"):
        late.step(np.full(5, np.nan))
    late.reset(seed=0, options=scene)
    first = late._tool.copy()
    late.step(np.ones(5))
    np.testing.assert_allclose(late._tool, first, atol=1e-4)  # of the episode before nothing is left


@pytest.mark.parametrize(
    ("name", "value"),
    [("camera_shift", -0.1), ("camera_turn", 91), ("mass_spread", 1.0), ("latency", 11), ("latency", 0.5)],
)
def test_what_cannot_be_is_refused(name, value):
    with pytest.raises(ValueError, match=name):
        gym.make("BlockPulling-v0", **{name: value})
