"""What each intrinsic reward adds to an update of `dqn:history` on HeavenHell.

    python benchmarks/bonuses.py [--rounds 30]

A gru, batches of 16 whole episodes of 50 steps, one thread; the agents, in one process, take turns of five updates in a
row. Of each the median processor time of an update, and its ratio to that without a bonus.
"""

import argparse
import sys
import time
from pathlib import Path
from statistics import median

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.arguments import count  # noqa: E402 after the path
from benchmarks.settings import domain, make_agent, random_episodes, replays  # noqa: E402
from utils.device import prepare_cpu  # noqa: E402

ROWS = {  # the row, and settings of the future measure beside its defaults
    **{row: (row, {}) for row in ("history", "cv", "mv", "count", "rnd")},
    "cv given the state": ("cv", {"condition": "state"}),
    "cv of the memory's features": ("cv", {"features": ("history",)}),
}


def main() -> None:
    """Times all rows in turns and prints a line of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=count, default=30)
    rounds = parser.parse_args().rounds
    prepare_cpu(1)
    spec, episodes = random_episodes(64, 50)
    replay = replays(spec, episodes)[0]
    agents = {
        name: make_agent(spec, "dqn", "gru", domain(), row=row, intrinsic={"future_visitation": settings})
        for name, (row, settings) in ROWS.items()
    }
    batch = replay.sample(16)
    times: dict[str, list[float]] = {name: [] for name in agents}
    for turn in range(rounds + 2):
        for name, agent in agents.items():
            began = time.process_time()
            for _ in range(5):
                agent.update(batch)
            if turn >= 2:
                times[name].append((time.process_time() - began) / 5)
    for name, taken in times.items():
        ratios = [one / other for one, other in zip(taken, times["history"], strict=True)]
        print(f"{name:28s} {1e3 * median(taken):6.1f} ms, least {1e3 * min(taken):6.1f}; ratio {median(ratios):.2f}")


if __name__ == "__main__":
    main()
