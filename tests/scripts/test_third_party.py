"""A third party's env through all three stages, as a user calls them: CartPole with both velocities hidden."""

import json
import os
import subprocess
import sys
from pathlib import Path

import minari
import numpy as np
import pytest
from safetensors.torch import load_file

from buffers.dataset import read_dataset

ROOT = Path(__file__).resolve().parents[2]
ENV = "--config_env=configs/envs/cartpole_hidden.py"
STAGE_3 = (
    "main.py", ENV, "--config_rl=configs/rl/dqn.py:mi", "--state_embedder_dir=repr", "--obs_embedder_dir=repr",
    "--train_episodes=1", "--num_envs=4", "--eval_episodes=2", "--film_episodes=1", "--save_dir=logs", "--run_name=run",
    "--config_rl.batch_size=4", "--config_rl.auxiliary.state_prediction.error=l2",
)  # fmt: skip


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """The folder in which all three stages were run, and what the last one printed."""
    folder = tmp_path_factory.mktemp("third_party")

    def call(script, *flags):
        env = os.environ | {"OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(ROOT / script), *flags]
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    call("main_collect_data.py", ENV, "--episodes=20", "--random_episodes=20", "--data_path=data")
    stage_2 = ("--config_repr=configs/repr/vector.py", "--data_path=data", "--save_dir=repr", "--num_epochs=2")
    call("main_pretrain_representations.py", ENV, *stage_2, "--config_repr.batch_size=100", "--report_steps=20")
    printed = call(*STAGE_3)
    return folder, printed, call


def test_stage_1_stores_the_full_state_beside_what_is_visible(stages):
    stored = read_dataset(stages[0] / "data")
    assert (stored.spec.env_id, stored.spec.obs_dim, stored.spec.state_dim) == ("CartPole-v1", 2, 4)
    np.testing.assert_array_equal(stored.obs, stored.state[:, [0, 2]])
    assert np.abs(stored.state[:, [1, 3]]).max() > 0.1
    assert minari.MinariDataset(stages[0] / "data" / "data").total_episodes == 20


def test_stage_2_embeds_each_view_in_its_own_size(stages):
    for name, size in (("s_encoder", 4), ("o_encoder", 2)):
        described = json.loads((stages[0] / "repr" / f"{name}.json").read_text())
        assert (described["env_id"], described["encoder"]["in_dim"]) == ("CartPole-v1", size)
    assert "CartPole-v1" in (stages[0] / "repr" / "report.md").read_text()


def test_stage_3_learns_from_the_state_and_keeps_a_policy_without_it(stages):
    run = stages[0] / "logs" / "default" / "run"
    summary = json.loads((run / "summary.json").read_text())
    assert summary["env"] == "CartPole-v1" and summary["final"]["return"] >= 8
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert any(row.get("bonus/information_gain_abs", 0) > 0 for row in rows)
    assert any("loss/state_prediction" in row for row in rows)
    described = json.loads((run / "policy" / "policy.json").read_text())
    assert described["spec"]["obs_dim"] == 2
    assert not [key for key in load_file(run / "policy" / "policy.safetensors") if "state" in key or "auxiliary" in key]


def test_the_same_command_finds_the_run_finished_and_the_policy_can_be_judged_again(stages):
    _, printed, call = stages
    table = printed[: printed.index("everything is in")]
    assert table in call(*STAGE_3)
    again = call("main.py", ENV, "--policy_dir=logs/default/run", "--eval_episodes=5", "--film_episodes=0")
    assert "success of 5 greedy episodes" in again and "CartPole-v1" in again
