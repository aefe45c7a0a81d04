"""A run that is stopped in whatever way, and taken up by the same command, ends as the unbroken one, bit for bit."""

import json
import random
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch

from policies.models.on_disk import save_encoder
from tests.helpers.runs import assert_identical, metrics, outcome
from tests.helpers.scripts import assert_refused, wait_until
from torchkit.networks import Encoder, EncoderConfig

FILES = {
    "mi": (
        "--config_rl=configs/rl/dqn.py:mi", "--config_seq=configs/seq/gru.py", "--config_rl.predictor_step=separate",
        "--start_expert_training=3", "--config_rl.aux_batch_size=4", "--config_rl.replay_steps=300",
        "--sampled_seq_len=6", "--config_rl.burn_in=3", "--config_rl.carry=stored",
    ),
    "ua": (
        "--config_rl=configs/rl/dqn.py:ua", "--config_seq=configs/seq/gpt.py", "--config_seq.kwargs.dropout=0.2",
        "--sampled_seq_len=9",
    ),
    "sac": ("--config_rl=configs/rl/sac.py:zp", "--config_seq=configs/seq/lstm.py"),
    "a2c": ("--config_rl=configs/rl/a2c.py:ua", "--config_seq=configs/seq/gru.py", "--config_seq.warmup=3"),
    "dagger": (
        "--config_rl=configs/rl/distill.py:dagger", "--config_rl.teacher=guess", "--config_rl.beta.end=0.3",
        "--start_expert_training=2",
    ),
}  # fmt: skip
FLAGS = (
    "--config_env=configs/envs/heaven_hell.py", "--config_env.horizon=16", "--config_env.eval.interval=70",
    "--train_episodes=45", "--num_envs=5", "--batch_size=4", "--start_training=2", "--eval_episodes=3",
    "--updates_per_step=0.1", "--film_episodes=0", "--config_rl.head_dims=(16,)", "--seed=3", "--cuda=-1",
)  # fmt: skip


class Runs:
    """The same training in folders of several names."""

    def __init__(self, scripts, folder, kind):
        self.scripts, self.folder = scripts, folder
        files = FILES[kind]
        if kind == "mi":
            embedders = folder / "embedders"
            embedders.mkdir()
            torch.manual_seed(0)
            for name in ("s_encoder", "o_encoder"):
                save_encoder(embedders, name, Encoder(EncoderConfig(3, 6, (9,))), {})
            files = (*files, f"--state_embedder_dir={embedders}", f"--obs_embedder_dir={embedders}")
        unused = {"a2c": ("--updates_per_step", "--start_training"), "dagger": ("--start_training",)}.get(kind, ())
        flags = [flag for flag in FLAGS if not flag.startswith(unused)]
        self.flags = (*files, *flags, f"--save_dir={folder}", "--group=g")
        done = self.start("unbroken", "--checkpoint_minutes=60").wait()
        assert done.returncode == 0, done.stderr
        self.expected = outcome(self.path("unbroken"))

    def path(self, name):
        return self.folder / "g" / name

    def start(self, name, *flags):
        return self.scripts.start("main.py", *self.flags, f"--run_name={name}", "--checkpoint_minutes=0", *flags)

    def begin(self, name, *flags):
        """Stopped, and saved, soon after training has begun."""
        process = self.start(name, "--checkpoint_minutes=60", *flags)
        wait_until(lambda: self.lines(name) >= 1)
        process.kill(signal.SIGTERM)
        assert process.wait().returncode == 75

    def metrics(self, name):
        return metrics(self.path(name))

    def lines(self, name):
        file = self.path(name) / "metrics.jsonl"
        return file.read_text().count("\n") if file.exists() else 0

    def finish(self, name, expect_warning=False):
        done = self.start(name, "--checkpoint_minutes=60").wait()
        assert done.returncode == 0, done.stderr
        assert ("warning: " in done.stderr) == expect_warning, done.stderr
        assert_identical(outcome(self.path(name)), self.expected)
        return done


@pytest.fixture(scope="module")
def all_runs(scripts, tmp_path_factory):
    return {kind: Runs(scripts, tmp_path_factory.mktemp(kind), kind) for kind in FILES}


@pytest.fixture
def runs(all_runs):
    """Those of one method; `each_kind` repeats a test for the others."""
    return all_runs["mi"]


@pytest.fixture(params=FILES)
def each_kind(request, all_runs):
    return all_runs[request.param]


def test_the_run_is_long_enough_to_be_broken(each_kind):
    rows = each_kind.expected["metrics"]
    assert sum("eval/success" in row for row in rows) > 5
    assert rows[-1]["updates"] > (10 if any("a2c" in flag for flag in each_kind.flags) else 70)
    assert rows[-1]["episodes"] > 40


@pytest.mark.parametrize("seed", [0, 1])
def test_killed_at_random_moments_and_resumed_it_ends_the_same(each_kind, seed):
    name, rng, kills = f"killed{seed}", random.Random(seed), 0
    for _ in range(6):
        process = each_kind.start(name)
        time.sleep(rng.uniform(0.0, 0.7))
        process.kill(signal.SIGKILL)
        kills += process.wait().returncode == -signal.SIGKILL
    assert kills >= 1  # a quick run may be over before the second
    each_kind.finish(name)


def test_killed_at_chosen_moments_it_ends_the_same(each_kind):
    """Before the first checkpoint, right after it, in the middle, and while the report is written."""
    name, path = "chosen", each_kind.path("chosen")

    def killed_when(condition):
        process = each_kind.start(name)
        wait_until(condition)
        process.kill(signal.SIGKILL)
        process.wait()

    killed_when(lambda: (path / "config.json").exists())
    killed_when(lambda: list(path.glob("checkpoint/*.ckpt")))
    middle = len(each_kind.expected["metrics"]) // 2
    killed_when(lambda: each_kind.lines(name) >= middle)
    killed_when(lambda: (path / "learning_curve.png").exists() or (path / "summary.json").exists())
    (path / "summary.json").unlink(missing_ok=True)
    each_kind.finish(name)


def test_stopped_by_each_signal_it_saves_says_so_and_goes_on_the_same(runs):
    name, seen = "signals", 0
    for number, code in ((signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGINT, 130)):
        process = runs.start(name, "--checkpoint_minutes=60")  # the checkpoint is the signal's doing
        seen += 2
        wait_until(lambda least=seen: runs.lines(name) >= least)
        process.kill(number)
        done = process.wait()
        assert done.returncode == code, done.stderr
        assert f"stopped by {number.name} at " in done.stdout
        assert "the same command goes on" in done.stdout
        assert "Traceback" not in done.stderr
        assert not (runs.path(name) / "summary.json").exists()
    assert "resuming" in runs.finish(name).stdout


def test_stopped_at_the_time_limit_it_goes_on_the_same(runs):
    name = "limited"
    # nothing is saved: what takes up whatever ends with 75 would do so for ever
    assert_refused(runs.start(name, "--time_limit=0").wait(), "--time_limit=0", "before training begins", "give more")
    runs.begin(name)
    for hours in (0, 0.1 / 3600, 0.3 / 3600):
        done = runs.start(name, f"--time_limit={hours:.9f}", "--checkpoint_minutes=60").wait()
        assert done.returncode == 75, done.stderr
        assert "stopped at --time_limit at " in done.stdout
    runs.finish(name)


@pytest.mark.parametrize("damage", ["cut short", "one bit"])
def test_a_damaged_newest_checkpoint_is_passed_over_with_a_warning(runs, damage):
    name = f"damaged {damage[:3]}"
    process = runs.start(name)
    wait_until(lambda: runs.lines(name) >= 6)
    process.kill(signal.SIGKILL)
    process.wait()
    newest = max(runs.path(name).glob("checkpoint/*.ckpt"))
    content = bytearray(newest.read_bytes())
    if damage == "cut short":
        del content[len(content) // 2 :]
    else:
        content[len(content) // 3] ^= 4
    newest.write_bytes(content)
    done = runs.finish(name, expect_warning=True)
    assert f"{newest.name} is damaged" in done.stderr
    assert len(list(runs.path(name).glob("checkpoint/*.ckpt"))) == 1  # it has ended, and can still be made longer


def test_where_all_checkpoints_are_damaged_nothing_is_overwritten(runs):
    name = "all damaged"
    runs.begin(name)
    shutil.copytree(runs.path(name), runs.path("copy"))
    for checkpoint in runs.path(name).glob("checkpoint/*.ckpt"):
        checkpoint.write_bytes(b"nothing")
    done = runs.start(name).wait()
    assert_refused(done, "every checkpoint", "damaged")
    assert runs.metrics(name) == runs.metrics("copy")


def test_two_processes_cannot_train_in_one_folder(runs):
    name = "twice"
    first = runs.start(name)
    wait_until(lambda: runs.lines(name) >= 1)
    assert_refused(runs.start(name).wait(), "--run_name", "another process")
    first.kill(signal.SIGKILL)
    first.wait()
    runs.finish(name)


def test_embedders_are_known_by_their_content(runs):
    name, here, moved = "embedders", runs.folder / "embedders", runs.folder / "moved"
    flags = (f"--state_embedder_dir={moved}", f"--obs_embedder_dir={moved / 'o_encoder.json'}")
    runs.begin(name)
    shutil.copytree(here, moved)
    assert "stopped at" in runs.start(name, "--time_limit=0.00002", *flags).wait().stdout
    save_encoder(moved, "o_encoder", Encoder(EncoderConfig(3, 6, (9,))), {})
    assert_refused(runs.start(name, *flags).wait(), "--run_name", "run.obs_embedder_sha256 = ")
    record = json.loads((runs.path(name) / "config.json").read_text())
    for digest in ("state_embedder_sha256", "obs_embedder_sha256"):  # as before there were digests
        assert record["config"]["run"].pop(digest)
    (runs.path(name) / "config.json").write_text(json.dumps(record))
    assert_refused(runs.start(name, *flags).wait(), "--run_name", "run.state_embedder = ")
    runs.finish(name)


def test_no_other_setting_may_take_up_a_run(runs):
    name = "changed"
    runs.begin(name)
    record = json.loads((runs.path(name) / "config.json").read_text())  # as of a version without a field, where
    del record["config"]["rl"]["cut_traces"]  # the domain asked for something else of another family
    record["config"]["env"]["rl"]["sac"] = {"tau": 0.5}
    (runs.path(name) / "config.json").write_text(json.dumps(record))
    assert_refused(runs.start(name, "--config_rl.cut_traces=False").wait(), "rl.cut_traces = true, not false")
    assert_refused(runs.start(name, "--config_rl.lr=0.1").wait(), "--run_name", "rl.lr")
    assert_refused(runs.start(name, "--num_envs=6").wait(), "--run_name", "run.num_envs")
    runs.finish(name)


def test_more_episodes_have_a_run_go_on(runs):
    """Finished or not; what it came to before is kept beside."""
    name = "longer"
    assert runs.start(name, "--train_episodes=20").wait().returncode == 0
    before = json.loads((runs.path(name) / "summary.json").read_text())
    done = runs.start(name, "--train_episodes=30").wait()
    assert done.returncode == 0 and "resuming" in done.stdout, done.stderr
    after = json.loads((runs.path(name) / "summary.json").read_text())
    assert after["env_steps"] >= before["env_steps"] + 10 * 16 - 5
    assert json.loads((runs.path(name) / "summary_20.json").read_text()) == before
    assert_refused(runs.start(name, "--train_episodes=20").wait(), "run.train_episodes = 30, not 20")
    kept = {path: path.read_bytes() for path in runs.path(name).glob("*.json") if path.stem in ("summary", "config")}
    seeds = ("--train_episodes=40", "--num_seeds=2", "--run_name=each", "--nobatch_seeds")
    for seed, of in (("3", name), ("4", "unbroken")):
        shutil.copytree(runs.path(of), runs.path(f"each_s{seed}"))
    assert_refused(runs.start("each", *seeds).wait(), "each_s4", "run.seed = 3, not 4")
    for path in (runs.path(name) / "checkpoint").iterdir():
        path.write_bytes(b"damaged")
    assert_refused(runs.start(name, "--train_episodes=40").wait(), "checkpoint")
    for path, content in kept.items():  # what is refused leaves a run as finished as it was
        assert path.read_bytes() == content == (runs.path("each_s3") / path.name).read_bytes()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGINT, 130)])
def test_a_stop_while_a_policy_is_judged_has_its_code(runs, number, code):
    policy = ("--config_env=configs/envs/heaven_hell.py", "--config_env.horizon=16", "--cuda=-1", "--film_episodes=0")
    process = runs.scripts.start("main.py", *policy, f"--policy_dir={runs.path('unbroken')}", "--eval_episodes=2000000")
    wait_until(lambda: listens(process.pid, signal.SIGTERM))
    time.sleep(1)  # until it plays
    process.kill(number)
    done = process.wait()
    assert done.returncode == code and "Traceback" not in done.stderr, done.stderr


def listens(pid, number):
    """Whether a process has a handler for a signal."""
    caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())[1]
    return int(caught, 16) >> (number - 1) & 1
