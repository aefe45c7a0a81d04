"""Dreamer as a user calls it: every row, stopped and taken up, several seeds, exported."""

import signal

import pytest

from configs.rl import dreamer
from tests.helpers.runs import assert_identical, outcome
from tests.helpers.scripts import wait_until

SMALL = (
    "--config_rl.latent.deterministic=10", "--config_rl.latent.hidden=9", "--config_rl.head_dims=(8,)",
    "--config_rl.auxiliary.world_model.hidden_dims=(8,)", "--config_rl.imagined_steps=3", "--config_env.horizon=12",
    "--num_envs=4", "--batch_size=3", "--start_training=2", "--eval_episodes=2", "--film_episodes=0", "--cuda=-1",
)  # fmt: skip
DOMAINS = ("configs/envs/heaven_hell_n.py:1", "configs/envs/car_flag_1d.py")


@pytest.fixture
def main(scripts, tmp_path):
    def start(name, *flags, row="both", domain=DOMAINS[0]):
        files = (f"--config_env={domain}", f"--config_rl=configs/rl/dreamer.py:{row}")
        return scripts.start(
            "main.py", *files, *SMALL, *flags, f"--save_dir={tmp_path}", f"--run_name={name}", "--group=g"
        )

    return start


@pytest.mark.parametrize(("row", "domain"), [*zip(dreamer.VARIANTS, 2 * DOMAINS, strict=True)])
def test_every_row_trains_and_its_policy_plays(main, tmp_path, row, domain):
    tiny = ("--train_episodes=4", "--updates_per_step=0.1")
    for flags in (tiny, (f"--policy_dir={tmp_path / 'g' / 'run'}",)):
        done = main("run", *flags, row=row, domain=domain).wait()
        assert done.returncode == 0, done.stderr
        unexpected = [line for line in done.stderr.splitlines() if "not used with --policy_dir" not in line]
        assert "warning" not in "\n".join(unexpected)


def test_windows_begin_with_stored_carries(main):
    windows = ("--sampled_seq_len=5", "--config_rl.carry=stored")
    done = main("run", "--train_episodes=4", "--updates_per_step=0.1", *windows).wait()
    assert done.returncode == 0, done.stderr


def test_stopped_and_resumed_it_ends_as_the_unbroken_run_and_as_one_of_several(main, scripts, tmp_path):
    flags = ("--train_episodes=8", "--updates_per_step=0.2", "--config_env.eval.interval=20", "--seed=3")
    done = main("unbroken", *flags).wait()
    assert done.returncode == 0, done.stderr
    process, file = main("broken", *flags), tmp_path / "g" / "broken" / "metrics.jsonl"
    wait_until(lambda: file.exists() and file.read_text().count("\n") >= 2)
    process.kill(signal.SIGTERM)
    assert process.wait().returncode == 75
    done = main("broken", *flags).wait()
    assert done.returncode == 0, done.stderr
    assert "resuming" in done.stdout
    assert_identical(outcome(tmp_path / "g" / "broken"), outcome(tmp_path / "g" / "unbroken"))
    done = main("several", *flags, "--num_seeds=2").wait()
    assert done.returncode == 0, done.stderr
    assert_identical(outcome(tmp_path / "g" / "several_s3"), outcome(tmp_path / "g" / "unbroken"))
    exported = scripts.run("scripts/export.py", str(tmp_path / "g" / "unbroken"), "--format=onnx", "--episodes=5")
    assert exported.returncode == 0, exported.stderr
