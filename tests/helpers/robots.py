"""Episodes of the robot domains, and how much of them tests look at."""

import os

import numpy as np
import pybullet

import envs
from envs.robot.shapes import PIXELS

IDS = list(envs.ROBOT)
FULL = bool(os.environ.get("ROBOT_FULL"))  # by `make robot-full`: as much as the acceptance tests ask for
SEEDS = range(50 if FULL else 3)
FLAT = PIXELS * PIXELS
PLAIN = {  # nothing is turned; object 1 moves
    "BlockPulling-v0": [0.5, -0.1, 0.0, 0.5, 0.1, 0.0, 1],
    "BlockPushing-v0": [0.4, -0.1, 0.0, 0.4, 0.1, 0.0, 0.6, 0.0, 0.0, 1],
    "DrawerOpening-v0": [0.65, -0.06, 0.0, 1],
}


def images(flat):
    return flat.reshape(2, PIXELS, PIXELS)


def contrast(image):
    """How far each pixel and its eight neighbours are apart; of a mask the outline, on both of its sides."""
    return np.ptp([np.roll(image, (i, j), (0, 1)) * 1 for i in (-1, 0, 1) for j in (-1, 0, 1)], axis=0)


def rotation(rpy):
    return np.array(pybullet.getMatrixFromQuaternion(pybullet.getQuaternionFromEuler(rpy))).reshape(3, 3)


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
