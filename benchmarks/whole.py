"""A whole run of `dqn:mi` on HeavenHell, from the start of the program to its last evaluation, against a plain program.

    python benchmarks/whole.py --encoders=data/encoders/heaven_hell [--train_episodes 1200] [--seeds 0] [--programs …]

Both take as many env steps and updates, and 100 greedy episodes after every 2,000 steps; the plain one plays one env
and learns by `benchmarks/straightforward.py` on one thread, ours is `main.py`, in float32 and in bfloat16, on one
thread and on two. The programs take turns. Prints a line a program, and at the end the ratios by the clock.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)

from benchmarks.arguments import count, result_of  # noqa: E402 after the path
from benchmarks.measure import busy_cores  # noqa: E402

RANDOM_EPISODES, LEARNED = 10, 0.9  # before training; the success that counts as learned
PROGRAMS: dict[str, list[str] | None] = {  # flags of main.py; None for the plain program
    "plain": None,
    "ours": [],
    "ours, bf16": ["--config_rl.precision=bf16"],
    "ours, two threads": ["--threads=2"],
    "ours, bf16, two threads": ["--config_rl.precision=bf16", "--threads=2"],
}


def plain(encoders: str, train_episodes: int, seed: int) -> dict[str, Any]:
    """The plain program; returns its evaluations."""
    import numpy as np
    import torch

    from benchmarks.settings import domain, make_agent, make_envs
    from benchmarks.straightforward import PlainDQN, PlainReplay, play
    from envs.make import make_env

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    config_env, rng = domain(), np.random.default_rng(seed)
    env, test_env, spec = make_env(config_env), make_env(config_env), make_envs(1).spec_sizes
    agent = make_agent(spec, "dqn", "gru", config_env, embedders=encoders, predictor_step="separate")
    learner, replay = PlainDQN(agent), PlainReplay(spec, seed)
    learned: Any = learner.agent
    success: list[tuple[int, float]] = []

    def evaluate(steps: int) -> None:
        episodes = [play(test_env, spec, learned.policy, 0.0, rng, 1_000_000 + i) for i in range(100)]
        success.append((steps, float(np.mean([episode.success for episode in episodes]))))

    steps = 0
    for episode in range(RANDOM_EPISODES):
        replay.add(play(env, spec, learned.policy, 1.0, rng, episode))
        steps += len(replay.episodes[-1])
    first, updates, every = steps, 0, config_env.eval.interval
    while steps < first + train_episodes * spec.max_episode_steps:
        learned.env_steps = steps
        replay.add(play(env, spec, learned.policy, learned.epsilon(), rng, len(replay.episodes)))
        before, steps = steps, steps + len(replay.episodes[-1])
        while updates < int(steps * learned.config.updates_per_step):
            learner.update(replay.sample(learned.config.batch_size), replay.sample(64))
            updates += 1
        if steps // every > before // every:
            evaluate(steps)
    evaluate(steps)
    return {"updates": updates, "steps": steps, "success": success}


def ours(encoders: str, train_episodes: int, seed: int, flags: list[str]) -> dict[str, Any]:
    """`main.py` in a process of its own; returns its evaluations."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, "main.py", "--config_env=configs/envs/heaven_hell.py"),
            *("--config_rl=configs/rl/dqn.py:mi", "--config_seq=configs/seq/gru.py", "--film_episodes=0"),
            *(f"--state_embedder_dir={encoders}", f"--obs_embedder_dir={encoders}", f"--seed={seed}"),
            *(f"--train_episodes={train_episodes}", f"--save_dir={folder}", "--group=whole", "--run_name=run"),
        ]
        result_of("main.py", [*command, *flags], cwd=ROOT)
        rows = [json.loads(line) for line in (Path(folder) / "whole/run/metrics.jsonl").read_text().splitlines()]
    success = [(row["step"], row["eval/success"]) for row in rows if "eval/success" in row]
    return {"updates": max(row.get("updates", 0) for row in rows), "steps": success[-1][0], "success": success}


def main() -> None:
    """Takes turns; with --plain it is the plain program itself."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoders", required=True, help="folder of stage 2's embedders of HeavenHell")
    parser.add_argument("--train_episodes", type=count, default=1200)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--programs", nargs="+", choices=list(PROGRAMS), default=list(PROGRAMS), help="plain runs besides"
    )
    parser.add_argument("--plain", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    encoders = str(Path(options.encoders).resolve())
    if options.plain:
        print(json.dumps(plain(encoders, options.train_episodes, options.seeds[0])))
        return
    times: dict[str, list[float]] = {}
    for seed in options.seeds:
        for name in dict.fromkeys(["plain", *options.programs]):
            flags = PROGRAMS[name]
            busy, began = busy_cores(), time.perf_counter()
            if flags is None:
                command = [sys.executable, __file__, "--plain", f"--encoders={encoders}", f"--seeds={seed}"]
                command.append(f"--train_episodes={options.train_episodes}")
                out = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
                result = json.loads(out.splitlines()[-1])
            else:
                result = ours(encoders, options.train_episodes, seed, flags)
            seconds = time.perf_counter() - began
            times.setdefault(name, []).append(seconds)
            success = result["success"]
            first = next((steps for steps, value in success if value >= LEARNED), None)
            last = sum(value for _, value in success[-10:]) / len(success[-10:])
            print(f"{name}, seed {seed}: {seconds:.0f} s, {result['steps']:,} steps, {result['updates']:,} updates; "
                  f"success of the last ten evaluations {last:.2f}, {LEARNED} first at {first} steps; "
                  f"{busy:.1f} of {os.cpu_count()} cores in use by others at its start", flush=True)  # fmt: skip
    for name in list(times)[1:]:
        ratios = [a / b for a, b in zip(times["plain"], times[name], strict=True)]
        print(f"{name}: {median(ratios):.1f} times as fast ({min(ratios):.1f} to {max(ratios):.1f})")


if __name__ == "__main__":
    main()
