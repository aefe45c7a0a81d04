"""Run folders as main.py leaves them, without running it."""

import json


def write_run(
    folder,
    success,
    seed=0,
    env="HeavenHell-v0",
    variant="mi",
    start_expert=0,
    finished=True,
    first=300,
    interval=2000,
    episodes=100,
    horizon=50,
    discount=0.95,
    rate=100.0,
    film=b"",
):
    """A run that evaluates at `first`, then a few steps after each multiple of `interval`, at `rate` steps a second."""
    folder.mkdir(parents=True)
    config = {
        "env": {"id": env, "horizon": horizon, "eval": {"episodes": episodes, "interval": interval}, "kwargs": {}},
        "rl": {"family": "dqn", "variant": variant, "discount": discount},
        "seq": {"memory": "gru"},
        "run": {"seed": seed, "start_expert": start_expert, "threads": seed},
    }
    (folder / "config.json").write_text(json.dumps({"config": config, "command": "main.py"}))
    lines = []
    for k, value in enumerate(success):
        step = k * interval + seed if k else first
        lines.append(
            {"step": step, "eval/return": 2 * value - 1, "eval/success": value, "eval/length": 50 - 20 * value}
        )
        lines.append(
            {"step": step, "loss/td": None, "train/success": 0.5, "updates": k, "clock/env_steps_per_second": rate}
        )
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if finished:
        final = {"return": 1.0, "success": success[-1], "length": 20.0, "informed": 1.0}
        (folder / "summary.json").write_text(json.dumps({"final": final, "env_steps": lines[-1]["step"]}))
    if film:
        (folder / "films").mkdir()
        (folder / "films" / f"{env}.gif".replace("/", "_")).write_bytes(film)
    return folder
