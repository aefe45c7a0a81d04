"""Env steps per second of each domain: one env by `gymnasium.make`, thousands by `gymnasium.make_vec`.

    python benchmarks/envs.py [--num_envs 10000] [--seconds 1] [--repeats 5] [--files configs/envs/tiger.pomdp]

Random actions; ended envs are reset, and the resets are part of the time. The median of the repeats is printed, with
the least and the most. Below it, what a step of 64 beliefs by particles takes, of the domains that tell such.
"""

import argparse
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # else `import envs` would find this file

from benchmarks.arguments import count  # noqa: E402 after the path
from envs import CONTINUOUS, FINITE, GRIDS  # noqa: E402
from envs.mountain_hike import MountainHikeRules  # noqa: E402
from envs.particles import AT_ONCE, ParticleFilter  # noqa: E402

CHUNK = 100  # steps between looks at the clock
FOLLOWED = 20  # steps of a belief


def random_actions(space: gym.Space[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Uniform actions of that many envs."""
    rng = np.random.default_rng(0)
    if isinstance(space, gym.spaces.Discrete):
        return rng.integers(space.n, size=shape)
    return rng.uniform(-1, 1, (*shape, *(space.shape or ()))).astype(np.float32)


def single_speed(env_id: str, kwargs: dict[str, Any], seconds: float) -> float:
    """Steps per second of one env."""
    env = gym.make(env_id, **kwargs)
    env.reset(seed=0)
    actions = random_actions(env.action_space, (CHUNK,))
    steps, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        steps += CHUNK
    return steps / elapsed


def vector_speed(env_id: str, kwargs: dict[str, Any], num_envs: int, seconds: float) -> float:
    """Env steps per second of `num_envs` envs together."""
    envs = gym.make_vec(env_id, num_envs=num_envs, autoreset_mode=AutoresetMode.DISABLED, **kwargs)
    envs.reset(seed=0)
    actions = random_actions(envs.single_action_space, (CHUNK, num_envs))
    steps, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        for action_N in actions:
            _, _, terminated, truncated, _ = envs.step(action_N)
            ended = terminated | truncated
            if ended.any():
                envs.reset(options={"reset_mask": ended})
        steps += CHUNK
    return steps * num_envs / elapsed


def belief_time(rules: MountainHikeRules) -> float:
    """Milliseconds of the processor that a step of `AT_ONCE` episodes' particles takes."""
    rng = np.random.default_rng(0)
    particles = ParticleFilter(rules, rules.particles, rng)
    joint = rules.initial(rng, AT_ONCE)
    cloud = particles.first(rules.observe(joint))
    start = time.process_time()
    for _ in range(FOLLOWED):
        action = rng.integers(4, size=AT_ONCE)
        joint = rules.step(rng, joint, action)
        cloud = particles.after(cloud, action, rules.observe(joint), rules.ends(joint))
    return 1e3 * (time.process_time() - start) / FOLLOWED


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num_envs", type=count, default=10_000)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement, at least")
    parser.add_argument("--repeats", type=count, default=5)
    parser.add_argument(
        "--files", nargs="*", default=["configs/envs/tiger.pomdp"], help="finite POMDPs to step as well"
    )
    args = parser.parse_args()
    domains: dict[str, tuple[str, dict[str, Any]]] = {
        env_id: (env_id, {}) for env_id in (*GRIDS, *CONTINUOUS, *FINITE) if env_id != "PomdpFile-v0"
    }
    domains |= {Path(path).name: ("PomdpFile-v0", {"path": path}) for path in args.files}
    sizes = {1: single_speed, 16: None, args.num_envs: None}
    print(f"{'env':<26}{'envs':>8}{'steps/s':>14}{'least':>14}{'most':>14}{'us/call':>10}")
    for name, (env_id, kwargs) in domains.items():
        for num_envs, measure in sizes.items():
            runs = [
                measure(env_id, kwargs, args.seconds)
                if measure
                else vector_speed(env_id, kwargs, num_envs, args.seconds)
                for _ in range(args.repeats)
            ]
            middle = median(runs)
            print(
                f"{name:<26}{num_envs:>8,}{middle:>14,.0f}{min(runs):>14,.0f}{max(runs):>14,.0f}"
                f"{1e6 * num_envs / middle:>10.1f}",
                flush=True,
            )
    print(f"{'beliefs by particles':<26}{'episodes':>8}{'ms/step':>14}{'least':>14}{'most':>14}")
    for varying in (False, True):
        rules = MountainHikeRules(varying)
        times = [belief_time(rules) for _ in range(args.repeats)]
        name = f"{'Varying' if varying else ''}MountainHike, {rules.particles}"
        print(f"{name:<26}{AT_ONCE:>8,}{median(times):>14.1f}{min(times):>14.1f}{max(times):>14.1f}")


if __name__ == "__main__":
    main()
