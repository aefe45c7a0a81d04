"""A third party's env through all three stages as a user calls them, CartPole with both velocities hidden; a memory."""

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
from tests.helpers.scripts import assert_refused

ROOT = Path(__file__).resolve().parents[2]
ENV = "--config_env=configs/envs/cartpole_hidden.py"
SHORT = (
    ENV, "--train_episodes=1", "--num_envs=4", "--eval_episodes=2", "--film_episodes=1", "--save_dir=logs",
    "--run_name=run",
)  # fmt: skip
STAGE_3 = (
    "main.py", *SHORT, "--config_rl=configs/rl/dqn.py:mi", "--state_embedder_dir=repr", "--obs_embedder_dir=repr",
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


def test_what_the_env_does_not_tell_is_no_number_anywhere(stages, scripts):
    folder, printed, _ = stages

    def run(*words):
        done = scripts.run(*words, cwd=folder)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    said = run("main_collect_data.py", ENV, "--episodes=4", "--random_episodes=4", "--data_path=few")
    assert [line.split()[3:5] for line in said.splitlines() if line.startswith(("random", "all"))] == [["–", "–"]] * 2
    stored = read_dataset(folder / "few")
    assert stored.success is None and stored.informed is None and stored.episode(0).success is None
    assert "success" not in stored.metadata["coverage"]["all"]
    said = printed + run("main.py", ENV, "--policy_dir=logs/default/run", "--eval_episodes=2", "--film_episodes=0")
    seeds = (ENV, "--train_episodes=1", "--eval_episodes=2", "--film_episodes=0", "--config_rl.head_dims=(4,)")
    said += run("main.py", *seeds, "--num_seeds=2", "--updates_per_step=0.01", "--cuda=-1", "--group=seeds")
    assert "return" in said and "success" not in said
    run("scripts/inspect_episode.py", "logs/default/run", "--episodes=1")
    page = (folder / "logs/default/run/inspect/episodes.html").read_text()
    episode = json.loads(page.split('id="data">')[1].split("</script>")[0])["episodes"][0]
    assert episode["success"] is None and episode["saw"] == []
    assert not any("hidden fact" in sentence for sentence in episode["story"])
    run("scripts/report.py", "logs/seeds", "logs/default", "--out=report")
    lines = (folder / "report/table.md").read_text().splitlines()
    cells = [line.split(" | ") for line in lines if line.startswith("| CartPole-v1 | dqn:history")]
    assert cells[0][5:8] == ["–", "–", "–"]  # success after training, its IQM, and of the last evaluations
    for file in folder.glob("logs/*/*/*.json*"):
        if file.name in ("metrics.jsonl", "summary.json"):
            assert "success" not in file.read_text() and "informed" not in file.read_text()
            assert "steps_to_0.9" not in file.read_text()


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
    assert "return of 5 greedy episodes" in again and "CartPole-v1" in again


MAIN_WITH_FADING = """
import runpy, sys
import torch
from torchkit.sequence import MEMORIES, Memory
from torchkit.sequence.base import forget
from utils.errors import UserError

class Fading(Memory):
    def __init__(self, in_dim, keep):
        super().__init__()
        if not 0 <= keep < 1:
            raise UserError(f"keep={keep}: a share from 0 to below 1 is needed")
        self.out_dim, self.keep = in_dim, keep

    def initial_carry(self, batch_size):
        return (torch.zeros(batch_size, self.out_dim),)

    def forward(self, x_TBF, start_TB, carry=None):
        (sum_BF,) = self.initial_carry(x_TBF.shape[1]) if carry is None else carry
        rows = []
        for x_BF, start_B in zip(x_TBF, start_TB):
            sum_BF = x_BF + self.keep * forget(sum_BF, start_B)
            rows.append(sum_BF)
        return torch.stack(rows), (sum_BF,)

MEMORIES["fading"] = Fading
del sys.argv[0]  # what is left is main.py and its flags
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_a_memory_of_a_third_party_needs_no_edit_of_shared_code(tmp_path):
    config = (ROOT / "configs/seq/gru.py").read_text()
    config = config.replace('memory("gru", out_dim=128, layers=1)', 'memory("fading", keep=0.5)')
    assert "fading" in config
    (tmp_path / "fading.py").write_text(config)

    def main(*flags):
        words = (str(ROOT / "main.py"), *SHORT, "--config_seq=fading.py", *flags)
        env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", MAIN_WITH_FADING, *words]
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)

    assert_refused(main("--config_seq.kwargs.keep=1.5"), "--config_seq.kwargs.keep=1.5: a share from 0 to below 1")
    done = main()
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "logs/default/run/summary.json").read_text())
    assert (summary["memory"], summary["method"]) == ("fading", "dqn:history")
