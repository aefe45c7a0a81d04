"""Arm, scenes and objects in numbers; what counts as solved, as lost and as hidden."""

import gymnasium as gym
import numpy as np
import pybullet
import pytest

from envs.factors import factors
from envs.robot.arm import HOME
from envs.robot.base import HIGH, LOW
from tests.helpers.robots import FLAT, IDS, PLAIN, SEEDS, attempt


def test_forward_and_inverse_kinematics_agree_with_the_simulation(robots):
    arm = robots("BlockPulling-v0")._arm
    at, yaw = arm.tool(HOME)
    np.testing.assert_allclose([*at, yaw], [0.45, 0.0, 0.20, 0.03], atol=3e-3)
    rng = np.random.default_rng(0)
    corners = np.stack(np.meshgrid(*zip(LOW, HIGH, strict=True)), axis=-1).reshape(8, 3)
    for goal in [*corners, *rng.uniform(LOW, HIGH, (8, 3))]:
        turn = rng.uniform(-1.5, 1.5)
        joints = arm.solve(goal, turn, arm.rest_joints)
        arm.reset(joints, 0.0)
        position, quaternion = arm._bullet.getLinkState(arm.body, 7, computeForwardKinematics=1)[4:6]
        flip = pybullet.getQuaternionFromEuler((np.pi, 0, 0))
        tool, upright = pybullet.multiplyTransforms(position, quaternion, (0, 0.022, 0.23), flip)
        np.testing.assert_allclose(tool, goal, atol=5e-5)
        np.testing.assert_allclose(pybullet.getEulerFromQuaternion(upright), [0, 0, turn], atol=1e-4)


def test_free_moves_arrive(robots):
    env = robots("BlockPulling-v0")
    rng = np.random.default_rng(0)
    env.reset(options={"scene": [0.35, -0.15, 0, 0.35, 0.15, 0, 0]})
    for _ in range(40):
        action = rng.uniform(-1, 1, 5)
        target = np.clip(env._tool + 0.05 * action[1:4], [0.45, -0.2, 0.1], HIGH)
        action[1:4] = (target - env._tool) / 0.05
        yaw = env._yaw + np.pi / 8 * action[4]
        env.step(action)
        assert np.abs(env._tool - target).max() < 2.5e-3
        assert abs((env._yaw - yaw + np.pi) % (2 * np.pi) - np.pi) < 0.02


@pytest.mark.parametrize("env_id", IDS)
def test_guessing_stays_with_the_first_object(env_id, robots):
    env = robots(env_id, first="fixed")
    assert not attempt(env, 0, guess=True, steps=25)[2]
    assert env.saw_information() and env._steps == 25
    either = robots(env_id)
    firsts = []
    for seed in range(30):
        either.reset(seed=seed)
        firsts.append(either._first == either.movable)
    assert 8 <= sum(firsts) <= 22


@pytest.mark.parametrize("env_id", IDS)
def test_the_nearest_object_comes_first_whichever_moves(env_id, robots):
    env = robots(env_id, first="nearest")
    movable_first, nearest = [], []
    for seed in range(30):
        firsts, pictures = [], []
        for movable in (0, 1):
            pictures.append(env.reset(seed=seed, options={"movable": movable})[0])
            firsts.append(env._first)
        assert firsts[0] == firsts[1] and np.array_equal(*pictures)
        scene = env.scene
        if env_id == "DrawerOpening-v0":  # the second chest stands to the left of the first
            x, y, rotation, _ = scene
            places = [(x, y), (x - 0.12 * np.sin(rotation), y + 0.12 * np.cos(rotation))]
        else:
            places = [scene[0:2], scene[3:5]]
        away = [np.hypot(x - 0.5, y) for x, y in places]  # the tool starts over the workspace's centre
        assert away[firsts[0]] == min(away)
        env.reset(seed=seed)
        movable_first.append(env._first == env.movable)
        nearest.append(env._first)
    assert 8 <= sum(movable_first) <= 22 and 0 < sum(nearest) < 30


@pytest.mark.parametrize("env_id", IDS)
def test_scenes_are_drawn_as_described(env_id, robots):
    env = robots(env_id)
    scenes = []
    for seed in range(300):
        env.np_random = np.random.default_rng(seed)
        scenes.append(env._draw())
    scenes = np.array(scenes)
    if env_id == "BlockPulling-v0":
        assert np.array_equal(scenes[:, 0], scenes[:, 3]) and (np.abs(scenes[:, 1] - scenes[:, 4]) > 0.17).all()
        assert scenes[:, 0].min() > 0.385 and scenes[:, 0].max() < 0.615 and np.abs(scenes[:, [1, 4]]).max() < 0.115
    elif env_id == "BlockPushing-v0":
        first, second, goal = scenes[:, :2], scenes[:, 3:5], scenes[:, 6:8]
        apart = np.linalg.norm(first - second, axis=1)
        ways = np.linalg.norm(first - goal, axis=1), np.linalg.norm(second - goal, axis=1)
        assert apart.min() > 0.12 and min(ways[0].min(), ways[1].min()) > 0.09
        assert (ways[0] + apart - ways[1] > 0.1).all() and (ways[1] + apart - ways[0] > 0.1).all()
        assert (np.abs(scenes[:, [0, 3]] - 0.5) < 0.14).all() and (np.abs(goal - [0.5, 0]) < 0.135).all()
    else:
        away = scenes[:, :2] - [0.5, 0.0]
        cos, sin = np.cos(scenes[:, 2]), np.sin(scenes[:, 2])
        u, v = cos * away[:, 0] + sin * away[:, 1], cos * away[:, 1] - sin * away[:, 0]
        assert u.min() > 0.15 and u.max() < 0.2 and np.abs(v).max() < 0.1
    movable = [env.reset(seed=seed) and env.movable for seed in range(60)]
    assert 18 <= sum(movable) <= 42


@pytest.mark.parametrize("env_id", IDS)
def test_a_wrong_start_or_argument_is_refused(env_id, robots):
    env = robots(env_id)
    with pytest.raises(ValueError, match=r"give options\['scene'\]"):
        env.reset(options={"state": np.zeros(2 * FLAT)})
    with pytest.raises(ValueError, match="finite numbers: "):
        env.reset(options={"scene": [0.0]})
    with pytest.raises(ValueError, match="which object moves is 0 or 1"):
        env.reset(options={"movable": 2})
    with pytest.raises(ValueError, match="action_dim is 4 or 5"):
        gym.make(env_id, action_dim=3)
    with pytest.raises(ValueError, match="first is 'either'"):
        gym.make(env_id, first="left")


@pytest.mark.parametrize(
    ("env_id", "solved", "not_yet"),
    [
        ("BlockPulling-v0", (0.5, 0.0007, 0.025), (0.5, 0.0013, 0.025)),  # metres between the blocks; 0.001 is contact
        ("BlockPushing-v0", (0.6, 0.049, 0.025), (0.6, 0.051, 0.025)),  # from the goal; 0.05 is there
        ("BlockPushing-v0", (0.551, 0.0, 0.025), (0.549, 0.0, 0.025)),
        ("BlockPushing-v0", (0.6, 0.0, 0.034), (0.6, 0.0, 0.036)),  # upright at 0.025; 0.01 more is not on the floor
        ("DrawerOpening-v0", 0.051, 0.049),  # out by more than 0.05
    ],
)
def test_success_begins_where_the_task_says(env_id, solved, not_yet, robots):
    env = robots(env_id)
    assert step_after_moving(env, solved) == (1.0, True, False, True)
    assert step_after_moving(env, not_yet) == (0.0, False, False, False)


@pytest.mark.parametrize(("env_id", "margin"), [("BlockPulling-v0", 0.0), ("BlockPushing-v0", 0.05)])
def test_a_block_is_lost_so_far_outside_the_workspace_and_ends_the_episode_without_reward(env_id, margin, robots):
    env = robots(env_id)
    reach = 0.2 + margin
    for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        for beyond, is_lost in ((-0.001, False), (0.001, True)):
            away = reach + beyond
            at = (0.5 + x * away, 0.1, env.half[2]) if x else (0.65, y * away, env.half[2])
            assert step_after_moving(env, at) == (0.0, is_lost, False, False)


def step_after_moving(env, where):
    """Reward, terminated, truncated and success of a step in which the arm stays above, after the object that moves,
    or its drawer, was put somewhere; nothing falls, slides or is pushed.
    """
    env.reset(options={"scene": PLAIN[env.spec.id]})
    gravity = env._bullet.getPhysicsEngineParameters()["gravityAccelerationZ"]
    env._bullet.setGravity(0, 0, 0)
    if env.spec.id == "DrawerOpening-v0":
        env._bullet.resetJointState(env._unlocked, 0, where)
    else:
        env._bullet.resetBasePositionAndOrientation(env._moving, where, (0, 0, 0, 1))
    _, reward, terminated, truncated, info = env.step(np.zeros(5))
    env._bullet.setGravity(0, 0, gravity)
    return reward, terminated, truncated, info["success"]


@pytest.mark.parametrize("env_id", IDS)
def test_the_simulation_and_the_gripper_in_numbers(env_id, robots):
    env = robots(env_id)
    parameters = env._bullet.getPhysicsEngineParameters()
    assert [parameters[f"gravityAcceleration{axis}"] for axis in "XYZ"] == [0.0, 0.0, -10.0]
    assert parameters["fixedTimeStep"] == 1 / 240 and parameters["numSubSteps"] == 0
    for link in range(8, 14):  # both fingers and their tips
        dynamics = env._bullet.getDynamicsInfo(env._arm.body, link)
        assert (dynamics[1], dynamics[7]) == (0.8, 0.1)  # lateral and spinning friction
    for finger, sign in ((8, -1), (11, 1)):
        env._arm.reset(env._arm.rest_joints, 1.0)
        assert env._bullet.getJointState(env._arm.body, finger)[0] == pytest.approx(sign * 0.2)  # an open finger


@pytest.mark.parametrize(
    ("env_id", "size", "mass", "friction"),
    [("BlockPulling-v0", (0.1, 0.1, 0.05), 0.5, 0.5), ("BlockPushing-v0", (0.05, 0.05, 0.05), 0.02, 1.0)],
)
def test_blocks_in_numbers(env_id, size, mass, friction, robots):
    env = robots(env_id)
    env.reset(options={"scene": PLAIN[env_id]})
    for body, its_mass, y in ((env._moving, mass, 0.1), (env._fixed, 0.0, -0.1)):
        low, high = env._bullet.getAABB(body)
        np.testing.assert_allclose(np.subtract(high, low), size, atol=1e-6)
        np.testing.assert_allclose(np.add(high, low) / 2, [PLAIN[env_id][0], y, size[2] / 2], atol=1e-6)
        assert env._bullet.getDynamicsInfo(body, -1)[:2] == (its_mass, friction)


def test_drawers_in_numbers(robots):
    """The reference's chest at 0.15, but for the handle; rays feel the margin of 1 mm around a drawer's parts."""
    env = robots("DrawerOpening-v0")
    bullet = env._bullet
    env.reset(options={"scene": PLAIN["DrawerOpening-v0"]})
    for body, y in ((env._locked, -0.06), (env._unlocked, 0.06)):  # 0.12 apart, open towards -x
        low, high = bullet.getAABB(body, -1)
        np.testing.assert_allclose(np.subtract(high, low), [0.1065, 0.114, 0.054], atol=1e-6)
        np.testing.assert_allclose(np.add(high, low) / 2, [0.65, y, 0.027], atol=1e-6)
        low, high = bullet.getAABB(body, 0)
        np.testing.assert_allclose(low[1:], [y - 0.0525, 0.027 - 0.0225], atol=1.1e-3)  # of its walls
        np.testing.assert_allclose(high, [0.65 + 0.0525, y + 0.0525, 0.027 + 0.0225], atol=1.1e-3)
        rod, between, height = 0.65 - 0.0525 - 0.05, 0.65 - 0.0525 - 0.025, 0.027
        for start, end, hit in (
            ((rod, y - 0.06, height), (rod, y, height), (rod, y - 0.05, height)),  # the rod is 0.10 long
            ((rod, y, 0.1), (rod, y, 0.0), (rod, y, height + 0.0075)),
            ((rod - 0.05, y, height), (rod, y, height), (rod - 0.0075, y, height)),
            ((between, y - 0.06, height), (between, y, height), (between, y - 0.04, height)),  # 0.01 wide, at 0.035
            ((between, y, height), (between, y + 0.06, height), (between, y + 0.03, height)),
            ((between, y + 0.035, 0.1), (between, y + 0.035, 0.0), (between, y + 0.035, height + 0.005)),
        ):
            [(found, link, _, position, _)] = bullet.rayTestBatch([start], [end])
            assert (found, link) == (body, 0)
            np.testing.assert_allclose(position, hit, atol=1.5e-3)
        joint = bullet.getJointInfo(body, 0)
        assert (joint[2], joint[8], joint[9]) == (pybullet.JOINT_PRISMATIC, 0.0, 0.1)
    assert bullet.getDynamicsInfo(env._unlocked, 0)[:2] == (0.1, 0.5)
    bullet.resetJointState(env._unlocked, 0, 0.0, targetVelocity=0.5)
    for _ in range(60):
        bullet.stepSimulation()
    out, speed = bullet.getJointState(env._unlocked, 0)[:2]
    assert abs(speed) < 1e-3
    assert out == pytest.approx(0.5**2 / (2 * 0.3 / 0.1), abs=2e-3)  # 0.3 N stop 0.1 kg; 0.5 m/s are gone after 0.042 m


@pytest.mark.parametrize("env_id", IDS)
def test_the_hidden_factor_is_whether_the_nearest_object_moves(env_id, robots):
    env = robots(env_id, first="fixed")
    for seed in SEEDS:
        for movable in (0, 1):
            env.reset(seed=seed, options={"movable": movable})
            states = [env.get_state()]
            while not env.saw_information():  # on its way to the fixed object
                env.step(env.expert_action())
                states.append(env.get_state())
            near = factors(env, np.array(states), np.array(states))["near"]
            assert near.label_R[-2] == 0
            assert near.hidden_R.any() and not near.hidden_R[-1]  # it was above the objects, and pushed in the end
    env.first = "movable"
    env.reset(seed=0)
    while not env.saw_information():
        before = env.get_state()
        env.step(env.expert_action())
    env.first = "fixed"
    assert factors(env, before[None], before[None])["near"].label_R.tolist() == [1]


def test_a_drawer_that_is_seen_to_be_out_is_not_hidden(robots):
    env = robots("DrawerOpening-v0")
    hidden = {0.0: [], 0.005: [], 0.04: []}  # metres
    for seed in range(40):
        for out, found in hidden.items():
            env.reset(seed=seed)
            env._bullet.resetJointState(env._unlocked, 0, out)
            env._look()
            found.append(factors(env, env.get_state()[None], env.get_state()[None])["near"].hidden_R[0])
    closed, little, much = (np.array(found) for found in hidden.values())
    assert closed.mean() > 0.5
    assert little.mean() < 0.1 and much.mean() < 0.1  # what is out may be beyond the picture's border


@pytest.mark.parametrize("env_id", IDS)
def test_what_is_shown_of_the_hidden_factor_does_not_tell_it(env_id, robots):
    env = robots(env_id)
    for seed in SEEDS:
        states = []
        for movable in (0, 1):
            env.reset(seed=seed, options={"movable": movable})
            states.append(env.get_state())
        near = factors(env, np.array(states), np.array(states))["near"]
        assert near.label_R.sum() == 1
        np.testing.assert_array_equal(near.shown_RK[0], near.shown_RK[1])
        nearer, other = near.shown_RK[0].reshape(2, 3)
        assert nearer[2] == 1 and (not other[2] or np.hypot(*nearer[:2]) < np.hypot(*other[:2]) + 0.1)


def test_the_places_that_are_shown_are_those_of_the_objects(robots):
    env = robots("BlockPulling-v0")
    env.reset(options={"scene": [0.5, -0.1, 0.0, 0.45, 0.12, 0.0, 1]})
    x, y = env._tool[:2]
    expected = [(0.5 - x) / 0.2, (-0.1 - y) / 0.2, 1, (0.45 - x) / 0.2, (0.12 - y) / 0.2, 1]  # rows along x
    near = factors(env, env.get_state()[None], env.get_state()[None])["near"]
    np.testing.assert_allclose(near.shown_RK[0], expected, atol=0.03)
    assert near.take(np.array([False])).shown_RK.shape == (0, 6)


def test_which_object_is_near_is_open_where_one_clearly_is(robots):
    env = robots("BlockPulling-v0")
    for y, is_open in ((0.1, False), (0.12, True)):  # fixed at -0.1; a block's nearest side is 5 cm nearer
        env.reset(options={"scene": [0.5, -0.1, 0.0, 0.5, y, 0.0, 1]})
        near = factors(env, env.get_state()[None], env.get_state()[None])["near"]
        assert near.hidden_R.tolist() == [is_open]
    assert near.label_R.tolist() == [0]
