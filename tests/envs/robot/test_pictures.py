"""What the robot sees, against points, rays and the renderer; its noise; films."""

import numpy as np
import pybullet
import pytest

from envs.robot.base import UNIT
from envs.robot.noise import perlin
from envs.robot.shapes import PIXELS, Body, Shape, height_map, pixel_centres
from tests.helpers.robots import IDS, SEEDS, contrast, images, moving_body, rotation


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
