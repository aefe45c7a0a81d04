"""The robot's domains: what spec and issue ask of all three, each with numbers or a slow obvious version of its own."""

import ctypes
import gc
import os
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pybullet
import pytest
import torch

import envs
from buffers.augment import turn_actions, turn_images
from envs.factors import factors
from envs.robot.arm import HOME
from envs.robot.base import HIGH, LOW, UNIT
from envs.robot.noise import perlin
from envs.robot.shapes import PIXELS, Body, Shape, height_map, pixel_centres

IDS = list(envs.ROBOT)
FULL = bool(os.environ.get("ROBOT_FULL"))  # by `make robot-full`: as much as the acceptance tests ask for
SEEDS = range(50 if FULL else 3)
FLAT = PIXELS * PIXELS


@pytest.fixture(scope="module")
def robots():
    """One env of each kind, made when first asked for; an env is what its last reset says."""
    made = {}

    def robot(env_id, **kwargs):
        key = (env_id, *kwargs.items())
        if key not in made:
            made[key] = gym.make(env_id, disable_env_checker=True, **kwargs).unwrapped
        return made[key]

    yield robot
    for env in made.values():
        env.close()


def images(flat):
    return flat.reshape(2, PIXELS, PIXELS)


def attempt(env, seed, guess=False, steps=50, **options):
    """One episode of the expert: observations, states, and whether it was solved."""
    obs, _ = env.reset(seed=seed, options=options)
    trace, states = [obs], [env.get_state()]
    for _ in range(steps):
        obs, reward, terminated, _, info = env.step(env.expert_action(guess))
        assert reward == float(info["success"])
        trace.append(obs)
        states.append(env.get_state())
        if terminated:
            break
    return np.array(trace), np.array(states), info["success"]


def fixed_pose(env):
    """Where every part of the fixed object is."""
    body = env._locked if hasattr(env, "_locked") else env._fixed
    links = [env._bullet.getLinkState(body, i)[:2] for i in range(env._bullet.getNumJoints(body))]
    return np.array([p for pose in [env._bullet.getBasePositionAndOrientation(body), *links] for p in pose[0]])


def moving_body(env):
    return env._unlocked if hasattr(env, "_unlocked") else env._moving


# the acceptance tests of the specification


@pytest.mark.parametrize("env_id", IDS)
def test_which_object_moves_shows_in_the_state_and_in_no_observation_before_contact(env_id, robots):
    env = robots(env_id)
    for seed in SEEDS:
        runs = []
        for movable in (0, 1):
            obs, _ = env.reset(seed=seed, options={"movable": movable})
            run = [(obs, env.get_state())]
            actions = np.random.default_rng(seed).uniform(-1, 1, (12, 5))
            actions[:, 3] = np.abs(actions[:, 3])  # it stays above the objects
            for action in actions:
                obs, _, terminated, _, _ = env.step(action)
                assert not terminated and not env.saw_information()
                run.append((obs, env.get_state()))
            runs.append(run)
        for (obs0, state0), (obs1, state1) in zip(*runs, strict=True):
            assert np.array_equal(obs0, obs1)
            assert np.array_equal(images(state0)[0], images(state1)[0])
            assert np.array_equal(images(state0)[0], images(obs0)[0])
        first, second = images(runs[0][0][1])[1], images(runs[1][0][1])[1]
        assert first.any() and second.any() and not (first * second).any()


@pytest.mark.parametrize("env_id", IDS)
def test_the_way_to_an_object_looks_the_same_until_it_is_touched(env_id, robots):
    """The same actions, those of a direct attempt, where this object moves and where it does not."""
    env = robots(env_id, first="movable")
    for seed in SEEDS:
        env.reset(seed=seed, options={"movable": 0})
        actions, obs = [], []
        while not env.saw_information():
            actions.append(env.expert_action())
            obs.append(env.step(actions[-1])[0])
        env.reset(seed=seed, options={"movable": 1})
        other = [env.step(action)[0] for action in actions]
        assert len(actions) > 3
        assert np.array_equal(obs[:-1], other[:-1])
        assert not np.array_equal(obs[-1], other[-1])


@pytest.mark.parametrize("env_id", IDS)
def test_the_fixed_object_stays_where_it_is(env_id, robots):
    env = robots(env_id, first="fixed")
    for seed in SEEDS:
        env.reset(seed=seed)
        before = fixed_pose(env)
        pressed = False
        for _ in range(20):
            env.step(env.expert_action(guess=True))
            pressed |= env._touches_fixed()
            assert np.abs(fixed_pose(env) - before).max() < 1e-3
        assert pressed


@pytest.mark.parametrize("first", ["movable", "fixed"])
@pytest.mark.parametrize("env_id", IDS)
def test_experts_of_both_kinds_succeed(env_id, first, robots):
    env = robots(env_id, first=first)
    solved, informed = [], []
    for seed in SEEDS:
        trace, _, success = attempt(env, seed)
        solved.append(success)
        informed.append(env.saw_information())
        assert len(trace) <= 51
    assert np.mean(solved) >= 0.9
    assert np.mean(informed) >= 0.9


def test_the_four_numbers_of_block_pulling_do_as_well(robots):
    for first in ("movable", "fixed"):
        env = robots("BlockPulling-v0", first=first, action_dim=4)
        assert np.mean([attempt(env, seed)[2] for seed in SEEDS]) >= 0.9
        assert env.expert_action().shape == (4,)


def turned(scene, names, angle):
    """The scene turned about the workspace's centre."""
    scene, cos, sin = scene.copy(), np.cos(angle), np.sin(angle)
    for i, name in enumerate(names):
        if name.endswith(("x", "x0", "x1")):
            x, y = scene[i] - 0.5, scene[i + 1]
            scene[i], scene[i + 1] = 0.5 + cos * x - sin * y, sin * x + cos * y
        elif "yaw" in name or name == "rotation":
            scene[i] += angle
    return scene


@pytest.mark.parametrize("angle", [np.pi / 2, 0.7, -2.0])
@pytest.mark.parametrize("env_id", IDS)
def test_turning_the_scene_turns_the_images_as_the_augmentation_does(env_id, angle, robots):
    env = robots(env_id, action_dim=4)  # closed, the gripper shows as one square
    row, column = np.mgrid[:PIXELS, :PIXELS] - (PIXELS - 1) / 2
    compared = (np.hypot(row, column) < 40) & (np.hypot(row, column) > 6)
    for seed in SEEDS:
        env.reset(seed=seed)
        scene, before = env.scene.copy(), images(env.get_state())
        env.reset(options={"scene": turned(scene, env.scene_names, angle)})
        after = images(env.get_state())
        augmented = turn_images(torch.from_numpy(before)[None], torch.tensor([angle], dtype=torch.float64))[0].numpy()
        for channel, small in ((0, 0.005), (1, 0.5)):
            wanted = augmented[channel]
            error = np.abs(after[channel] - wanted)[compared] > small
            # what differs lies on edges of one or the other, where a pixel is one thing or the other
            edge = np.maximum(*(contrast(image) for image in (after[channel], wanted)))
            assert not (error & (edge[compared] < small)).any()
            assert error.mean() < (1e-9 if angle == np.pi / 2 else 0.08)
            for shift in ((1, 0), (-1, 0), (0, 1), (0, -1)):
                assert error.mean() < (np.abs(after[channel] - np.roll(wanted, shift, (0, 1)))[compared] > small).mean()


@pytest.mark.parametrize("action_dim", [4, 5])
def test_an_action_that_the_augmentation_turns_moves_the_tool_so_in_the_turned_scene(action_dim, robots):
    env = robots("BlockPulling-v0", action_dim=action_dim)
    action = torch.tensor([1.0, 0.8, -0.4, 0.5, 0.0])[-action_dim:]
    for angle in (np.pi / 2, 0.7, -2.0):
        turn = torch.tensor(angle, dtype=torch.float64)
        shifts = []
        for scene, played in ((0.0, action), (angle, turn_actions(action, turn))):
            env.reset(options={"scene": turned(np.array(PLAIN["BlockPulling-v0"]), env.scene_names, scene)})
            before = env._tool
            env.step(played.numpy())
            shifts.append(env._tool - before)
        np.testing.assert_allclose(shifts[0], [0.04, -0.02, 0.025], atol=2e-3)
        np.testing.assert_allclose(shifts[1], rotation((0.0, 0.0, angle)) @ shifts[0], atol=2e-3)


@pytest.mark.parametrize("env_id", IDS)
def test_actions_are_scaled_and_clipped(env_id, robots):
    env = robots(env_id)
    env.reset(seed=0)
    opening, shift, turn = env._scaled(np.array([0.0, 1.0, -0.5, 0.25, -1.0]))
    assert opening == 0.5 and turn == -np.pi / 8
    np.testing.assert_allclose(shift, [0.05, -0.025, 0.0125])
    np.testing.assert_allclose(env._arm.tool()[0], [0.5, 0.0, 0.2], atol=1e-4)
    action = np.array([0.0, 0.4, -1.0, 0.6, 0.5])
    given = action.copy()
    env.step(action)
    assert np.array_equal(action, given)
    at, yaw = env._arm.tool()
    np.testing.assert_allclose(at, [0.52, -0.05, 0.23], atol=2e-3)
    assert yaw == pytest.approx(np.pi / 16, abs=0.01) and env._arm.opening() == pytest.approx(0.5, abs=0.05)
    for _ in range(6):
        env.step(np.array([5.0, 9.0, -9.0, 9.0, 0.0]))  # as much as 1, to the workspace's corner
    at, _ = env._arm.tool()
    np.testing.assert_allclose(at, [HIGH[0], LOW[1], HIGH[2]], atol=2e-3)
    assert env._arm.opening() == pytest.approx(1.0, abs=0.05)
    for bad in (np.zeros(4), np.full(5, np.nan), np.zeros((1, 5))):
        with pytest.raises(ValueError, match="an action is 5 finite numbers"):
            env.step(bad)
    four = robots("BlockPulling-v0", action_dim=4)
    assert four._scaled(np.array([1.0, 0.0, 0.0, 0.5]))[::2] == (0.0, np.pi / 16)


@pytest.mark.parametrize("env_id", IDS)
def test_a_seed_fixes_everything_whatever_was_played_before_and_beside(env_id, robots):
    env = robots(env_id)
    fresh, beside = (gym.make(env_id, disable_env_checker=True).unwrapped for _ in range(2))
    beside.reset(seed=8)
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    for seed in (3, 4):
        attempt(env, 100 + seed)  # another episode before
        played = [attempt(env, seed)]
        fresh.reset(seed=seed)
        trace = [fresh.reset(seed=seed)[0]]
        for _ in range(len(played[0][0]) - 1):
            trace.append(fresh.step(fresh.expert_action())[0])
            beside.step(beside.action_space.sample())
        assert np.array_equal(played[0][0], trace)
        assert not np.array_equal(attempt(env, seed + 10, steps=1)[0][0], trace[0])
    assert np.array_equal(np.random.get_state()[1], before)
    fresh.close()
    beside.close()


# the parts


def slow_height(shape, body, x, y):
    """The greatest height at (x, y) at which a fine comb of points lies inside the box."""
    z = np.linspace(0.0, 0.3, 6001)
    points = np.stack([np.full_like(z, x), np.full_like(z, y), z], axis=1)
    local = (points - body.position) @ body.rotation - np.array(shape.position)
    if shape.radius:
        inside = (np.hypot(local[:, 0], local[:, 2]) <= shape.radius) & (np.abs(local[:, 1]) <= shape.half[1])
    else:
        inside = (np.abs(local) <= np.array(shape.half)).all(axis=1)
    return z[inside].max() if inside.any() else 0.0


def rotation(rpy):
    return np.array(pybullet.getMatrixFromQuaternion(pybullet.getQuaternionFromEuler(rpy))).reshape(3, 3)


def test_height_map_against_points_inside():
    rng = np.random.default_rng(0)
    tilted = Shape((0.01, -0.02, 0.0), (0.05, 0.03, 0.02), label=1)
    lying = Shape((0.0, 0.0, 0.0), (0.02, 0.06, 0.02), label=2, radius=0.02)
    bodies = [
        Body(np.array([0.45, 0.05, 0.1]), rotation((0.4, -0.7, 1.0)), (tilted,)),
        Body(np.array([0.55, -0.06, 0.05]), rotation((0.0, 0.0, 0.6)), (lying,)),
    ]
    height, label = height_map(bodies, 0.5, 0.0)
    x, y = pixel_centres(0.5), pixel_centres(0.0)
    where = np.argwhere(label > 0)
    assert set(label.ravel()) == {0, 1, 2} and len(where) > 500
    for i, j in np.concatenate([rng.permutation(where)[:60], rng.integers(0, PIXELS, (40, 2))]):
        slow = max(slow_height(body.shapes[0], body, x[i], y[j]) for body in bodies)
        assert height[i, j] == pytest.approx(slow, abs=1e-4)
    # of pixels of 4.76 mm the centres of 20 are within 0.048 m
    straight = Body(np.array([0.5, 0.0, 0.025]), np.eye(3), (Shape((0.0, 0.0, 0.0), (0.048, 0.05, 0.025), label=1),))
    height, label = height_map([straight], 0.5, 0.0)
    assert np.array_equal(np.flatnonzero(label.any(axis=1)), np.arange(32, 52))
    assert set(np.unique(height)) == {0.0, 0.05}


def without_robot(env, look):
    """What `look` finds while the robot is far away."""
    bullet = env._bullet
    state = bullet.saveState()
    base = bullet.getBasePositionAndOrientation(env._arm.body)
    bullet.resetBasePositionAndOrientation(env._arm.body, (50, 50, 0), (0, 0, 0, 1))
    bullet.performCollisionDetection()
    found = look(bullet, *env._tool[:2])
    bullet.resetBasePositionAndOrientation(env._arm.body, *base)
    bullet.restoreState(state)
    bullet.removeState(state)
    return found


def cast_heights(bullet, x, y):
    """Heights (P, P) at which vertical rays hit something."""
    grid = np.stack([g.ravel() for g in np.meshgrid(pixel_centres(x), pixel_centres(y), indexing="ij")], axis=1)
    start, end = (np.column_stack([grid, np.full(len(grid), z)]) for z in (0.5, -0.5))
    hits = bullet.rayTestBatch(start.tolist(), end.tolist())
    return np.reshape([hit[3][2] for hit in hits], (PIXELS, PIXELS))


def rendered_parts(bullet, x, y):
    """Which body, and which of its links (-1: the base), pybullet's renderer shows (P, P)."""
    view = bullet.computeViewMatrix((x, y, 1), (x, y, 0), (-1, 0, 0))
    near, far = 0.5, 1.1
    lens = [5.0, 0, 0, 0, 0, 5.0, 0, 0, 0, 0, -2 / (far - near), 0, 0, 0, -(far + near) / (far - near), 1.0]
    flags = {"renderer": pybullet.ER_TINY_RENDERER, "flags": pybullet.ER_SEGMENTATION_MASK_OBJECT_AND_LINKINDEX}
    part = np.reshape(bullet.getCameraImage(PIXELS, PIXELS, view, lens, **flags)[4], (PIXELS, PIXELS))
    return part & ((1 << 24) - 1), (part >> 24) - 1


@pytest.mark.parametrize("env_id", IDS)
def test_pictures_are_those_of_rays_and_of_the_renderer(env_id, robots):
    """Heights against rays, but for edges, and the margin of 1 mm that the simulation adds to a rod; outlines against
    the renderer, whose pixels are up to one off.
    """
    env = robots(env_id, first="movable")
    for seed in SEEDS:
        env.reset(seed=seed)
        for _ in range(60):
            if env.step(env.expert_action())[2]:
                break
        height, label = height_map(env._bodies(), *env._tool[:2])
        difference = np.abs(height - without_robot(env, cast_heights))
        assert (difference > 3e-3).mean() < 0.02 and np.median(difference[height > 0.01]) < 1e-3
        body, link = without_robot(env, rendered_parts)
        seen = (body == moving_body(env)) & (link == (0 if env_id == "DrawerOpening-v0" else -1))
        mask = label == 1
        assert mask.sum() > 20 and (seen != mask).sum() < 0.5 * contrast(mask | seen).sum()
        for shift in ((2, 0), (-2, 0), (0, 2), (0, -2)):
            assert (np.roll(seen, shift, (0, 1)) != mask).sum() >= (seen != mask).sum()


def contrast(image):
    """How far each pixel and its eight neighbours are apart; of a mask the outline, on both of its sides."""
    return np.ptp([np.roll(image, (i, j), (0, 1)) * 1 for i in (-1, 0, 1) for j in (-1, 0, 1)], axis=0)


@pytest.mark.parametrize("env_id", IDS)
def test_values_are_levels_of_a_byte(env_id, robots):
    for noise in (False, True):
        env = robots(env_id, noise=noise)
        for flat in (env.reset(seed=1)[0], env.get_state()):
            for channel, unit in zip(images(flat), (UNIT, np.float32(1.0)), strict=True):
                level = np.rint(channel / unit).astype(np.uint8)
                assert np.array_equal(level.astype(np.float32) * unit, channel)
        assert env.observation_space.contains(env.reset(seed=1)[0]) and env.state_space.contains(env.get_state())


def test_the_depth_image_in_numbers(robots):
    """The tool at 0.2 m: floor 0.26 m away, a block's top 0.21, the goal 0.28, the gripper 0; in steps of 1/768 m."""
    env = robots("BlockPulling-v0")
    env.reset(options={"scene": [0.5, -0.1, 0.0, 0.5, 0.1, 0.0, 1]})
    depth, mask = images(env.get_state())
    assert depth[0, 0] == 200 * UNIT == pytest.approx(0.26, abs=1 / 1536)
    assert depth[42, 42 + 21] == pytest.approx(0.21, abs=1 / 1536) == depth[42, 42 - 21]
    assert mask[42, 63] == 1 and mask[42, 21] == 0 and 20 * 20 <= mask.sum() <= 21 * 21  # 0.1 m are 21 pixels
    rows, columns = np.nonzero(depth == 0)
    assert np.array_equal(np.unique(columns), np.arange(39, 45))  # six pixels wide
    assert np.array_equal(np.unique(rows), [*range(25, 31), *range(53, 59)])  # 28 apart
    env = robots("BlockPushing-v0", action_dim=4)
    env.reset(options={"scene": [0.4, -0.1, 0.0, 0.4, 0.1, 0.0, 0.6, 0.0, 0.0, 0]})
    depth, mask = images(env.get_state())
    assert depth[42 + 21, 42] == 215 * UNIT == pytest.approx(0.28, abs=1 / 1536)
    assert 18 * 18 <= (depth == 215 * UNIT).sum() <= 19 * 19  # 0.09 m are 18.9 pixels
    assert mask[21, 21] == 1 and mask[21, 63] == 0
    assert (depth == 0).sum() == 36


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


PLAIN = {  # nothing is turned; object 1 moves
    "BlockPulling-v0": [0.5, -0.1, 0.0, 0.5, 0.1, 0.0, 1],
    "BlockPushing-v0": [0.4, -0.1, 0.0, 0.4, 0.1, 0.0, 0.6, 0.0, 0.0, 1],
    "DrawerOpening-v0": [0.65, -0.06, 0.0, 1],
}


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
def test_films_show_camera_observation_and_state(env_id, robots):
    env = robots(env_id, render_mode="rgb_array")
    env.reset(seed=0, options={"movable": 0})
    frame = env.render()
    assert frame.shape == (252, 3 * 252 + 12, 3) and frame.dtype == np.uint8
    camera, seen, state = frame[:, :252], frame[:, 258:510], frame[:, 516:]
    assert len(np.unique(camera.reshape(-1, 3), axis=0)) > 20
    assert (seen[..., 0] == seen[..., 1]).all()
    mask = np.kron(images(env.get_state())[1], np.ones((3, 3))) > 0
    assert mask.any() and np.array_equal((seen != state).any(axis=2), mask)
    assert robots(env_id).render() is None


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


def test_which_object_is_near_is_open_where_one_clearly_is(robots):
    env = robots("BlockPulling-v0")
    for y, is_open in ((0.1, False), (0.12, True)):  # fixed at -0.1; a block's nearest side is 5 cm nearer
        env.reset(options={"scene": [0.5, -0.1, 0.0, 0.5, y, 0.0, 1]})
        near = factors(env, env.get_state()[None], env.get_state()[None])["near"]
        assert near.hidden_R.tolist() == [is_open]
    assert near.label_R.tolist() == [0]


def test_perlin_noise_is_smooth_and_small():
    rng = np.random.default_rng(0)
    frames = np.array([perlin(rng, PIXELS) for _ in range(300)])
    assert np.abs(frames).max() <= 1.0 + 1e-9 and 0.2 < frames.std() < 0.5
    assert np.abs(frames.mean(axis=0)).max() < 0.15
    assert np.abs(np.diff(frames, axis=1)).max() < 0.3 and not np.array_equal(frames[0], frames[1])
    # noise is 0 at its cells' corners: each axis has 1, 2, 4 or 6 cells, whatever the other has
    seen = {max(grids_of_zeros(frame), key=np.prod) for frame in frames}
    assert seen == {(rows, columns) for rows in (1, 2, 4, 6) for columns in (1, 2, 4, 6)}


def grids_of_zeros(frame):
    """Into how many rows and columns of cells the frame can be cut so that it is 0 at all of their corners."""
    counts = (1, 2, 3, 4, 6, 7, 12, 14, 21, 28, 42)
    return [(i, j) for i in counts for j in counts if not frame[:: PIXELS // i, :: PIXELS // j].any()]


def test_perlin_noise_by_hand():
    """One cell: with slopes that all point to its middle, and with slopes along the rows."""

    class Fixed:
        def __init__(self, angles):
            self.angles = np.array(angles)

        def choice(self, cells, count):
            return np.ones(count, int)

        def uniform(self, low, high, shape):
            assert (low, high, shape) == (0.0, 2.0 * np.pi, (2, 2))
            return self.angles

    inwards = perlin(Fixed([[np.pi / 4, -np.pi / 4], [3 * np.pi / 4, -3 * np.pi / 4]]), PIXELS)
    assert inwards[42, 42] == pytest.approx(1.0)  # √2 times a slope of 1 over half a diagonal, from each corner
    along = perlin(Fixed(np.zeros((2, 2))), PIXELS)
    assert along[21] == pytest.approx(np.sqrt(2) * (0.25 - 0.103515625))  # 6t⁵ - 15t⁴ + 10t³ at t = 1/4
    assert along[42] == pytest.approx(0.0)


def test_noise_is_of_7_mm(robots):
    noisy, clean = robots("BlockPulling-v0", noise=True), robots("BlockPulling-v0")
    depths = [images(env.reset(seed=5)[0])[0] for env in (noisy, clean)]
    expected = 0.007 * perlin(clean.np_random, PIXELS)  # after the same draws
    seen = depths[1] > 0
    np.testing.assert_allclose((depths[0] - depths[1])[seen], expected[seen], atol=1.01 / 768)  # both are rounded


def test_noise_changes_the_depth_and_hides_the_fact_as_well(robots):
    env = robots("BlockPulling-v0", noise=True)
    seen = []
    for movable in (0, 1):
        obs, _ = env.reset(seed=5, options={"movable": movable})
        seen.append([obs, env.step(np.zeros(5))[0]])
    assert np.array_equal(*seen)
    clean = robots("BlockPulling-v0").reset(seed=5)[0]
    difference = np.abs(images(clean)[0] - images(seen[0][0])[0])
    assert 0 < difference.max() < 0.009


@pytest.mark.parametrize("env_id", IDS)
def test_episodes_leave_nothing_behind(env_id):
    """Neither bodies nor saved states nor shapes: memory in use, from one window of episodes to the next."""
    warm_up, window, steps = (200, 400, 10) if FULL else (30, 25, 3)
    env = gym.make(env_id, disable_env_checker=True).unwrapped
    num_bodies, levels = env._bullet.getNumBodies(), np.zeros((warm_up + 2 * window, 2))
    for seed in range(len(levels)):
        env.reset(seed=seed)
        for _ in range(steps):
            env.step(env.expert_action())
        if (seed - warm_up) % window == 0:
            gc.collect()
        levels[seed] = in_use()
    assert env._bullet.getNumBodies() == num_bodies
    first, second = levels[warm_up:].reshape(2, window, 2).mean(axis=1)
    growth, blocks = (second - first) / window
    assert growth < 2e3  # bytes an episode; a collision shape takes 2.7 kB, a saved state 350 kB
    assert blocks < 5  # of Python's small objects
    env.close()
    env.close()


class Mallinfo(ctypes.Structure):
    """What glibc's `mallinfo2` returns."""

    _fields_ = (
        ("arena_ordblks_smblks_hblks", ctypes.c_size_t * 4),
        ("hblkhd", ctypes.c_size_t),  # bytes in maps of their own
        ("usmblks_fsmblks", ctypes.c_size_t * 2),
        ("uordblks", ctypes.c_size_t),  # bytes of the heap
        ("fordblks_keepcost", ctypes.c_size_t * 2),
    )


def in_use():
    """Bytes that were allocated and not freed (where the C library cannot tell: resident ones), and Python's blocks."""
    mallinfo = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo is None:
        resident = int(Path("/proc/self/statm").read_text().split()[1])
        return resident * os.sysconf("SC_PAGE_SIZE"), sys.getallocatedblocks()
    mallinfo.restype = Mallinfo
    info = mallinfo()
    return info.hblkhd + info.uordblks, sys.getallocatedblocks()


def test_closed_simulations_give_their_places_back():
    places = set()
    for _ in range(3):
        env = gym.make(IDS[0], disable_env_checker=True).unwrapped
        places.add(env._bullet._client)
        env.close()
    assert len(places) == 1
