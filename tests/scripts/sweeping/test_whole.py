"""The quick sweep, killed and mended, against the unbroken one."""

import json
import os
import signal

import pytest

from tests.helpers.scripts import wait_until
from tests.helpers.sweeps import assert_same, child_of, metrics, tiny


@pytest.fixture(scope="module")
def broken_and_mended(scripts, tmp_path_factory):
    """A sweep of which one run was killed, and which was then submitted again."""
    folder = tmp_path_factory.mktemp("sweep")
    sweep = scripts.start("scripts/sweep.py", *tiny(folder), "--jobs=2", cwd=folder)
    run = folder / "quick/train/history_s0"
    try:
        wait_until(lambda: (run / "metrics.jsonl").exists() and len(metrics(run)) > 2, 240)
        os.kill(child_of(sweep.pid, "history_s0"), signal.SIGKILL)
        first = sweep.wait()
    finally:
        if sweep.done is None:
            sweep.kill(signal.SIGTERM)
            sweep.wait()
    stamps = {path: path.stat().st_mtime_ns for path in folder.glob("quick/*/*/summary.json")}
    shown = scripts.run("scripts/sweep.py", *tiny(folder), "--status", cwd=folder)
    second = scripts.run("scripts/sweep.py", *tiny(folder), cwd=folder)
    return folder, first, stamps, shown, second


def test_a_killed_run_is_told_of_and_is_all_that_runs_again(broken_and_mended):
    folder, first, stamps, shown, second = broken_and_mended
    assert first.returncode == 1, first.stdout + first.stderr
    assert "4 jobs: 1 failed, 3 done" in first.stdout
    assert "killed by SIGKILL" in first.stdout
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines()[-1] == "4 jobs: 1 failed, 3 done"
    assert second.returncode == 0, second.stdout + second.stderr
    assert {path.parent.name for path in stamps} == {"all", "mi_s0"}
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    counts = {path.stem: json.loads(path.read_text())["starts"] for path in folder.glob("quick/jobs/*/*.json")}
    assert counts == {"all": 1, "mi_s0": 1, "history_s0": 2}
    config = json.loads((folder / "quick/train/mi_s0/config.json").read_text())["config"]
    assert config["run"]["state_embedder"] == str(folder / "quick/pretrain/all")


@pytest.fixture(scope="module")
def unbroken(scripts, broken_and_mended, tmp_path_factory):
    """The same training as of history_s0, by main.py alone and in one go."""
    folder = tmp_path_factory.mktemp("unbroken")
    record = json.loads((broken_and_mended[0] / "quick/jobs/train/history_s0.json").read_text())
    done = scripts.run(*record["command"], f"--save_dir={folder}", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "quick/train/history_s0"


def test_the_mended_run_is_the_unbroken_one(broken_and_mended, unbroken):
    assert_same(broken_and_mended[0] / "quick/train/history_s0", unbroken)


SIGNALS = """
from ml_collections import ConfigDict

ENV = "--config_env=configs/envs/heaven_hell_n.py:1"


def get_config():
    test = (ENV, "--data_path={collect}", "--features=cell", "--trees=2", "--permutations=19")
    return ConfigDict({
        "name": "asked",
        "axes": {"seed": (0, 1)},
        "stages": {
            "collect": {
                "script": "main_collect_data.py",
                "over": ("seed",),
                "flags": (ENV, "--episodes=20", "--random_episodes=20", "--seed={seed}"),
            },
            "signals": {"script": "scripts/signals.py", "over": ("seed",), "flags": test},
        },
    })
"""


def test_a_script_in_a_folder_is_a_stage_that_is_not_run_again(scripts, tmp_path):
    pytest.importorskip("sklearn")
    (tmp_path / "asked.py").write_text(SIGNALS)
    flags = (f"--config_sweep={tmp_path / 'asked.py'}", f"--save_dir={tmp_path}")
    first = scripts.run("scripts/sweep.py", *flags, cwd=tmp_path)
    assert first.returncode == 0, first.stdout + first.stderr
    found = {path: path.stat().st_mtime_ns for path in tmp_path.glob("asked/signals/*/signals.json")}
    assert len(found) == 2 and all(json.loads(path.read_text())["env"] == "HeavenHell-1-v0" for path in found)
    again = scripts.run("scripts/sweep.py", *flags, cwd=tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    assert {path: path.stat().st_mtime_ns for path in found} == found
