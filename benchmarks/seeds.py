"""Time of `--num_seeds K` against one seed: the whole command, from its start to its report.

    python benchmarks/seeds.py [--num_seeds 8] [--train_episodes 400] [--repeats 3] [main.py's own flags …]

HeavenHell, `dqn:mi`, gru, with encoders of random weights; one thread a seed. The two commands take turns. Beside the
wall clock stands processor time: on a machine that has other work to do the second is the one to compare, and half of
its ratio is what two free cores would need. `--cuda=0` measures a GPU.
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)

from benchmarks.arguments import count, result_of  # noqa: E402 after the path

FLAGS = (
    "--config_env=configs/envs/heaven_hell.py", "--config_rl=configs/rl/dqn.py:mi", "--config_rl.z_obs=scratch",
    "--config_rl.z_state=random", "--config_repr=configs/repr/heaven_hell.py", "--config_seq=configs/seq/gru.py",
    "--film_episodes=0", "--seed=0",
)  # fmt: skip


def timed(num_seeds: int, flags: list[str]) -> tuple[float, float]:
    """Wall-clock and processor seconds of one command, its processes included."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(ROOT / "main.py"), *FLAGS, f"--save_dir={folder}", f"--num_seeds={num_seeds}"]
        env = os.environ | {"OMP_NUM_THREADS": "1"}
        result_of("main.py", [*command, *flags], cwd=ROOT, env=env)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - start, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Takes turns and prints a line a command, then the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num_seeds", type=count, default=8)
    parser.add_argument("--train_episodes", type=count, default=400)
    parser.add_argument("--repeats", type=count, default=3)
    options, flags = parser.parse_known_args()
    flags.append(f"--train_episodes={options.train_episodes}")
    times: dict[int, list[tuple[float, float]]] = {1: [], options.num_seeds: []}
    for _ in range(options.repeats):
        for num_seeds, seen in times.items():
            seen.append(timed(num_seeds, flags))
            print(f"{num_seeds} seeds: {seen[-1][0]:.1f} s, {seen[-1][1]:.1f} s of processor time", flush=True)
    one, many = times.values()
    for name, column in (("wall clock", 0), ("processor", 1)):
        ratios = [b[column] / a[column] for a, b in zip(one, many, strict=True)]
        print(f"{name}: {options.num_seeds} seeds take {median(ratios):.2f} x the time of one "
              f"({min(ratios):.2f} to {max(ratios):.2f}); {len(os.sched_getaffinity(0))} cores")  # fmt: skip


if __name__ == "__main__":
    main()
