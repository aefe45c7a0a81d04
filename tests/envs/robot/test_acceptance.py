"""What the specification asks of all three robot domains."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from buffers.augment import MIRROR, turn_actions, turn_images
from envs.robot.base import HIGH, LOW
from envs.robot.shapes import PIXELS
from tests.helpers.robots import IDS, PLAIN, SEEDS, attempt, contrast, fixed_pose, images, rotation


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


@pytest.mark.parametrize("first", ["movable", "fixed", "nearest"])
@pytest.mark.parametrize("env_id", IDS)
def test_experts_of_all_kinds_succeed(env_id, first, robots):
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


def mirrored(scene, env_id):
    """The scene in a mirror that stands along x, through the workspace's centre."""
    scene = scene.copy()
    if env_id != "DrawerOpening-v0":
        for i in (1, 2, 4, 5, *((7, 8) if env_id == "BlockPushing-v0" else ())):
            scene[i] *= -1
        return scene
    x, y, rotation, movable = scene  # the second chest stands to the left of the first, and in the mirror to the right
    beside = 0.12 * np.array([-np.sin(rotation), np.cos(rotation)])
    return np.array([x + beside[0], -(y + beside[1]), -rotation, 1 - movable])


@pytest.mark.parametrize("env_id", IDS)
def test_an_episode_in_a_mirror_is_one_that_the_augmentation_mirrors(env_id, robots):
    """A direct attempt, and the same actions as the augmentation mirrors them in the scene that is mirrored."""
    env = robots(env_id, action_dim=4, first="movable")
    flip, compared = torch.tensor([MIRROR], dtype=torch.float64), slice(2, -2)
    succeeded, alike = [], []
    for seed in SEEDS:
        env.reset(seed=seed)
        scene = env.scene.copy()
        actions, seen, success = [], [], False
        while not success and len(actions) < 50:
            seen.append((images(env.get_state()), env._yaw, env.saw_information()))
            actions.append(env.expert_action())
            success = env.step(actions[-1])[4]["success"]
        env.reset(options={"scene": mirrored(scene, env_id)})
        for step, action in enumerate(actions):
            picture, yaw, touched = seen[step]
            wanted = turn_images(torch.from_numpy(picture)[None], flip)[0].numpy()
            if not touched:
                assert (env._yaw + yaw + np.pi) % (2 * np.pi) - np.pi == pytest.approx(0.0, abs=0.03)
                for channel, small in ((0, 0.005), (1, 0.5)):
                    error = np.abs(images(env.get_state())[channel] - wanted[channel])[compared, compared] > small
                    assert error.mean() < (0.002 if step == 0 else 0.05)  # an arm arrives within 2 mm, half a pixel
            played = turn_actions(torch.from_numpy(action)[None], flip)[0].numpy()
            info = env.step(played)[4]
        succeeded.append(success)
        alike.append(info["success"] == success)
    assert np.mean(succeeded) >= 0.8 and np.mean(alike) >= 0.9


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
