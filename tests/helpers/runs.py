"""Run folders as main.py leaves them: written without running it, and compared."""

import json

import numpy as np
import torch
from safetensors.torch import load_file

from utils.checkpoint import load_checkpoint


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
            {"step": step, "loss/td": 1000 / k if k else None, "q/max": seed + k, "train/success": 0.5, "updates": k}
            | {"clock/env_steps_per_second": rate}
        )
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if finished:
        final = {"return": 1.0, "success": success[-1], "length": 20.0, "informed": 1.0}
        (folder / "summary.json").write_text(json.dumps({"final": final, "env_steps": lines[-1]["step"]}))
    if film:
        (folder / "films").mkdir()
        (folder / "films" / f"{env}.gif".replace("/", "_")).write_bytes(film)
    return folder


def metrics(path):
    """The rows of a run's metrics, without what the clock says."""
    file = path / "metrics.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return [{k: v for k, v in json.loads(line).items() if not k.startswith("clock/")} for line in lines]


def outcome(path):
    """All that a run comes to: policy, metrics, summary, and everything in its last checkpoint."""
    checkpoint = load_checkpoint(path / "checkpoint")
    del checkpoint["metrics_offset"]  # clocks take more or fewer digits
    return {
        "policy": load_file(path / "policy" / "policy.safetensors"),
        "metrics": metrics(path),
        "summary": json.loads((path / "summary.json").read_text()),
        "checkpoint": checkpoint,
    }


def assert_identical(found, expected, where=""):
    assert type(found) is type(expected), where
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key in expected:
            assert_identical(found[key], expected[key], f"{where}/{key}")
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected), where
        for i, (a, b) in enumerate(zip(found, expected, strict=True)):
            assert_identical(a, b, f"{where}/{i}")
    elif isinstance(expected, torch.Tensor):
        assert found.dtype == expected.dtype, where
        assert torch.equal(found, expected), where
    elif isinstance(expected, np.ndarray):
        np.testing.assert_array_equal(found, expected, err_msg=where)
    else:
        assert found == expected, where
