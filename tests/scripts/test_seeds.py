"""`--num_seeds`: each seed is its run alone, bit for bit, and none takes another down."""

import os
import signal
import subprocess
import sys

import pytest
import torch

from tests.helpers.runs import assert_identical, metrics, outcome
from tests.helpers.scripts import ROOT, assert_refused, wait_until

SEEDS = (3, 4, 5)
PATIENCE = 180.0  # seconds: three processes share what cores there are
FLAGS = (
    "--config_env=configs/envs/heaven_hell.py", "--config_env.horizon=16", "--config_env.eval.interval=70",
    "--train_episodes=18", "--num_envs=5", "--batch_size=4", "--start_training=2", "--eval_episodes=3",
    "--updates_per_step=0.1", "--film_episodes=0", "--config_rl.head_dims=(16,)", "--cuda=-1", "--group=g",
)  # fmt: skip
ALONE = (
    "--config_env=configs/envs/third_party.py", "--config_env.id=Alone-v0", "--config_env.state_fn=",
    "--config_env.vector_entry=tests.helpers.strangers:Alone", "--config_env.obs_keys=seen",
    "--config_env.state_keys=all", "--config_env.horizon=4", "--config_env.eval.interval=20",
)  # fmt: skip
DIVERGING = """
import runpy, sys
from policies.agents.dqn import DQN
update = DQN.update
def failing(self, batch, aux_batch=None):
    if self._rng.initial_seed() == {seed} and self.env_steps > 150:
        self.config.unlock()
        self.config.discount = float("nan")
    return update(self, batch, aux_batch)
DQN.update = failing
runpy.run_path("main.py", run_name="__main__")
"""
FAILING = """
import runpy
from policies.agents.dqn import DQN
def failing(self, batch, metrics):
    raise ArithmeticError("a broken loss")
DQN.losses = failing
runpy.run_path("main.py", run_name="__main__")
"""


class Runs:
    """Commands in one folder."""

    def __init__(self, scripts, folder):
        self.scripts, self.folder = scripts, folder

    def path(self, name):
        return self.folder / "g" / name

    def start(self, *flags, script="main.py"):
        return self.scripts.start(script, *FLAGS, f"--save_dir={self.folder}", "--checkpoint_minutes=0", *flags)

    def several(self, name, *flags, **options):
        return self.start(f"--run_name={name}", "--seed=3", "--num_seeds=3", *flags, **options)

    def alone(self, name, seed, *flags):
        return self.start(f"--run_name={name}", f"--seed={seed}", *flags)

    def lines(self, name):
        return min(len(metrics(self.path(f"{name}_s{seed}"))) for seed in SEEDS)


@pytest.fixture(scope="module")
def runs(scripts, tmp_path_factory):
    made = Runs(scripts, tmp_path_factory.mktemp("seeds"))
    for process in [made.alone(f"alone_s{seed}", seed) for seed in SEEDS]:
        done = process.wait()
        assert done.returncode == 0, done.stderr
    made.expected = {seed: outcome(made.path(f"alone_s{seed}")) for seed in SEEDS}
    return made


def assert_as_alone(runs, name):
    for seed in SEEDS:
        assert_identical(outcome(runs.path(f"{name}_s{seed}")), runs.expected[seed])


def test_each_seed_is_its_run_alone_bit_for_bit(runs):
    done = runs.several("whole").wait()
    assert done.returncode == 0, done.stderr
    assert_as_alone(runs, "whole")
    assert all(f"seed {seed}  success" in done.stdout for seed in SEEDS)
    assert "mean" in done.stdout
    assert "train 3 seeds: " in done.stderr
    assert len({str(row) for row in (runs.expected[seed]["metrics"] for seed in SEEDS)}) == 3
    again = runs.several("whole").wait()
    assert again.returncode == 0
    assert "seed 4  success" in again.stdout


def test_default_folders_are_those_of_single_runs_and_a_report_reads_them(runs, scripts):
    done = runs.start("--seed=3", "--num_seeds=2", "--train_episodes=3", "--group=named").wait()
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (runs.folder / "named").iterdir()}
    assert names == {f"HeavenHell-v0_dqn-history_gru_s{seed}" for seed in (3, 4)}
    report = scripts.run("scripts/report.py", runs.folder / "named", f"--out={runs.folder / 'report'}")
    assert report.returncode == 0, report.stderr
    assert "| 2 |" in (runs.folder / "report" / "table.md").read_text()


def test_killed_and_resumed_it_ends_the_same(runs):
    for least in (1, 5):
        process = runs.several("killed")
        wait_until(lambda least=least: runs.lines("killed") >= least, PATIENCE)
        process.kill(signal.SIGKILL)
        assert process.wait().returncode == -signal.SIGKILL
    done = runs.several("killed").wait()
    assert done.returncode == 0, done.stderr
    assert "seed 4: resuming" in done.stdout
    assert_as_alone(runs, "killed")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_stopped_by_a_signal_all_are_saved_and_single_runs_go_on_from_there(runs, number, code):
    name = f"stopped{code}"
    process = runs.several(name, "--checkpoint_minutes=60")
    wait_until(lambda: runs.lines(name) >= 2, PATIENCE)
    process.kill(number)
    done = process.wait()
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    stopped = {seed for seed in SEEDS if f"seed {seed}: stopped by {signal.Signals(number).name} at " in done.stdout}
    ends = {seed: runs.expected[seed]["metrics"][-1]["step"] for seed in SEEDS}
    trained = {seed for seed in SEEDS if metrics(runs.path(f"{name}_s{seed}"))[-1]["step"] == ends[seed]}
    # who had trained to the end may have been at its last evaluation, and says nothing
    assert stopped and stopped | trained == set(SEEDS)
    alone = runs.alone(f"{name}_s4", 4).wait()
    assert "resuming" in alone.stdout or "is finished" in alone.stdout
    assert runs.several(name).wait().returncode == 0
    assert_as_alone(runs, name)


def test_stopped_at_the_time_limit_it_goes_on_the_same(runs):
    assert_refused(runs.several("limited", "--time_limit=0").wait(), "--time_limit=0", "before training begins")
    process = runs.several("limited", "--checkpoint_minutes=60")
    wait_until(lambda: runs.lines("limited") >= 1, PATIENCE)
    process.kill(signal.SIGTERM)
    assert process.wait().returncode == 75
    done = runs.several("limited", f"--time_limit={0.1 / 3600:.9f}").wait()
    assert done.returncode == 75, done.stderr
    assert "stopped at --time_limit at " in done.stdout
    assert runs.several("limited").wait().returncode == 0
    assert_as_alone(runs, "limited")


def test_a_seed_that_diverges_leaves_the_others_alone(runs, tmp_path):
    script = tmp_path / "main.py"
    script.write_text(DIVERGING.format(seed=4))
    done = runs.several("diverged", script=script).wait()
    assert done.returncode == 3, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: seed 4: ")
    assert "stays in" in last
    assert not (runs.path("diverged_s4") / "summary.json").exists()
    for seed in (3, 5):
        assert_identical(outcome(runs.path(f"diverged_s{seed}")), runs.expected[seed])
    assert runs.several("diverged").wait().returncode == 0  # the cause is gone
    assert_as_alone(runs, "diverged")


def test_a_seed_that_is_killed_leaves_the_others_alone_and_the_exit_code_says_so(runs, tmp_path):
    script = tmp_path / "main.py"
    script.write_text(DIVERGING.format(seed=4).replace("self.config.unlock()", "import os; os.kill(os.getpid(), 9)"))
    done = runs.several("crashed", script=script).wait()
    assert done.returncode == 1, done.stderr
    assert "seed 4 ended with code -9" in done.stderr
    assert_identical(outcome(runs.path("crashed_s5")), runs.expected[5])


def assert_nearly_as_alone(runs, name):
    for seed in SEEDS:
        found, expected = outcome(runs.path(f"{name}_s{seed}")), runs.expected[seed]
        torch.testing.assert_close(found["policy"], expected["policy"], rtol=1e-3, atol=1e-4)
        assert found["checkpoint"]["counters"] == expected["checkpoint"]["counters"]
        assert len(found["metrics"]) == len(expected["metrics"])


def test_updates_as_one_batch_are_those_of_single_runs(runs):
    done = runs.several("batch", "--batch_seeds").wait()
    assert done.returncode == 0, done.stderr
    assert_nearly_as_alone(runs, "batch")


def test_a_batch_that_is_killed_or_stopped_goes_on_also_as_a_single_run(runs):
    for number, least in ((signal.SIGKILL, 2), (signal.SIGTERM, 5)):
        process = runs.several("batch_on", "--batch_seeds")
        wait_until(lambda least=least: runs.lines("batch_on") >= least, PATIENCE)
        process.kill(number)
        assert process.wait().returncode == (75 if number == signal.SIGTERM else -number)
    alone = runs.alone("batch_on_s4", 4).wait()
    assert alone.returncode == 0, alone.stderr
    assert "resuming" in alone.stdout
    done = runs.several("batch_on", "--batch_seeds").wait()
    assert done.returncode == 0, done.stderr
    assert_nearly_as_alone(runs, "batch_on")


def test_a_batch_whose_loss_raises_ends_with_its_error(tmp_path):
    script = tmp_path / "main.py"
    script.write_text(FAILING)
    flags = (*FLAGS, f"--save_dir={tmp_path}", "--run_name=failed", "--seed=3", "--num_seeds=3", "--batch_seeds")
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    line = (sys.executable, script, *flags)  # an interpreter of its own waits for its processes when it ends
    done = subprocess.run(line, cwd=ROOT, env=env, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1, done.stderr
    assert "a broken loss" in done.stderr


def test_bad_input_is_one_line(runs):
    assert_refused(runs.several("bad", "--num_seeds=0").wait(), "--num_seeds", "0")
    assert_refused(runs.several("bad", "--cuda=0").wait(), "--cuda")
    assert_refused(
        runs.several("bad", "--config_seq=configs/seq/gru.py", "--config_seq.memory=gro").wait(), "gro", "gru"
    )
    refused = runs.several("bad", "--config_seq=configs/seq/lstm.py", "--batch_seeds").wait()
    assert_refused(refused, "--batch_seeds", "gru", "--nobatch_seeds")
    refused = runs.several("bad", "--policy_dir=nowhere").wait()
    assert_refused(refused, "--num_seeds", "--policy_dir")
    assert_refused(runs.alone("other_s5", 5, "--time_limit=1e-9").wait(), "--time_limit")  # of what is begun
    assert_refused(runs.several("other", "--config_rl.lr=0.1").wait(), "--run_name", "rl.lr")
    assert_refused(runs.several("other", "--batch_size=9").wait(), "--run_name", "rl.batch_size")


def test_two_commands_cannot_train_in_one_folder(runs):
    long = "--train_episodes=150"  # it must still train when the others have waited for its end
    first = runs.several("twice", long)
    wait_until(lambda: runs.lines("twice") >= 1, PATIENCE)
    assert_refused(runs.alone("twice_s4", 4, long).wait(), "--run_name", "another process")
    assert_refused(runs.several("twice", long).wait(), "--run_name", "another process")
    first.kill(signal.SIGTERM)
    assert first.wait().returncode == 75


@pytest.mark.parametrize("batched", ["--batch_seeds", "--nobatch_seeds"])
def test_seeds_of_a_simulator_of_which_a_process_may_have_one(runs, batched):
    flags = (*ALONE, *FLAGS[3:], f"--save_dir={runs.folder}", f"--run_name=one{batched}", "--seed=3", "--num_seeds=3")
    done = runs.scripts.run("main.py", *flags, "--config_env.one_instance", batched)
    assert done.returncode == 0, done.stderr
    for seed in SEEDS:
        rows = metrics(runs.path(f"one{batched}_s{seed}"))
        assert max(row.get("updates", 0) for row in rows) >= 7 and rows[-1]["step"] >= 18 * 4
