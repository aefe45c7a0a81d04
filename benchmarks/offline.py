"""Updates of the offline rows beside each other and SAC's, on one batch of whole episodes of continuous actions.

    python benchmarks/offline.py [--rows iql misa …] [--rounds 5] [--batch_size 32] [--length 50]

Milliseconds of the processor, one thread, the rows in turns: the median and, in brackets, the least; and how many times
as long as the first of them. No env is stepped.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.measure import machine, middle, ratio, turns  # noqa: E402 after the path
from benchmarks.settings import CPU  # noqa: E402
from buffers.batch import Episode  # noqa: E402
from buffers.episode_buffer import EpisodeBuffer  # noqa: E402
from configs.rl import offline, sac  # noqa: E402
from configs.seq import gru  # noqa: E402
from envs.base import EnvSpec  # noqa: E402
from policies.build import build_agent  # noqa: E402
from policies.models.sources import Sources  # noqa: E402
from utils.device import prepare_cpu  # noqa: E402

SPEC = EnvSpec("MadeUp-v0", obs_dim=11, state_dim=17, action_dim=3, discrete=False, max_episode_steps=1000)


def episode(rng: np.random.Generator, length: int) -> Episode:
    """Steps of random numbers."""
    obs, state = (rng.normal(size=(length + 1, dim)).astype(np.float32) for dim in (SPEC.obs_dim, SPEC.state_dim))
    action = rng.uniform(-1, 1, (length, SPEC.action_dim)).astype(np.float32)
    return Episode(obs, state, action, rng.normal(size=length).astype(np.float32), np.ones(length, np.float32))


def update(row: str, batch_size: int, length: int) -> Callable[[], Any]:
    """An update of `offline:ROW`, or of `sac`, on one batch."""
    rl = sac.get_config("history") if row == "sac" else offline.get_config(row)
    agent = build_agent(Sources(SPEC, ConfigDict({"rl": rl, "seq": gru.get_config(), "repr": None})), 0, CPU)
    buffer, rng = EpisodeBuffer(SPEC, batch_size * (length + 1), length, 0), np.random.default_rng(0)
    for _ in range(batch_size):
        buffer.add(episode(rng, length))
    return partial(agent.update, buffer.episodes(np.arange(batch_size)))


def main() -> None:
    """Prints a line a row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", default=["iql", "sac", "bc", "aawr", "cql", "misa"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--length", type=int, default=50)
    args = parser.parse_args()
    prepare_cpu(1)
    makers = {row: partial(update, row, args.batch_size, args.length) for row in args.rows}
    times = turns(makers, args.rounds)
    print(f"{machine()}; {args.batch_size} episodes of {args.length} steps")
    for row, spent in times.items():
        print(f"{row:16}{middle(spent):>16}{ratio(spent, times[args.rows[0]]):>14}")


if __name__ == "__main__":
    main()
