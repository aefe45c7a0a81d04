"""What a step of the robot's domains costs, and what it would cost the plain way, in one run.

    python benchmarks/robot.py [--episodes 10]

CPU time of one thread, so that other work on the machine counts for little. The plain way is 300 steps of the
simulation with 50 iterations of the solver and a picture by pybullet's renderer for each env step.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import pybullet

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.arguments import count  # noqa: E402 after the path
from envs import ROBOT  # noqa: E402

PLAIN_STEPS, PLAIN_ITERATIONS = 300, 50


def milliseconds(function: Callable[[], Any], repeats: int) -> float:
    """CPU time of one call, on average."""
    start = time.thread_time()
    for _ in range(repeats):
        function()
    return 1e3 * (time.thread_time() - start) / repeats


def cost(env_id: str, episodes: int) -> tuple[float, float, float]:
    """Milliseconds of an env step, of the plain way's simulation and of its picture."""
    env: Any = gym.make(env_id, disable_env_checker=True).unwrapped
    spent, steps = 0.0, 0
    for seed in range(episodes):
        env.reset(seed=seed)
        ended = False
        while not ended and env._steps < 50:
            action = env.expert_action()
            start = time.thread_time()
            ended = env.step(action)[2]
            spent += time.thread_time() - start
            steps += 1
    env.reset(seed=0)
    bullet = env._bullet
    bullet.setPhysicsEngineParameter(numSolverIterations=PLAIN_ITERATIONS)
    physics = PLAIN_STEPS * milliseconds(bullet.stepSimulation, 500)
    view = bullet.computeViewMatrix((0.5, 0, 1), (0.5, 0, 0), (-1, 0, 0))
    lens = [5.0, 0, 0, 0, 0, 5.0, 0, 0, 0, 0, -2.0, 0, 0, 0, -1.0, 1.0]
    picture = milliseconds(lambda: bullet.getCameraImage(84, 84, view, lens, renderer=pybullet.ER_TINY_RENDERER), 20)
    env.close()
    return 1e3 * spent / steps, physics, picture


def main() -> None:
    """Prints a line a domain."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=count, default=10)
    episodes = parser.parse_args().episodes
    print(f"{'':20}{'step ms':>10}{'plain ms':>10}{'(picture)':>10}{'ratio':>8}")
    for env_id in ROBOT:
        step, physics, picture = cost(env_id, episodes)
        plain = physics + picture
        print(f"{env_id:20}{step:10.2f}{plain:10.2f}{picture:10.2f}{plain / step:8.1f}")


if __name__ == "__main__":
    main()
