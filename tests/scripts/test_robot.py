"""Block-Pulling through all three stages, as a user calls them; what the robot's domains ask of method and memory."""

import json
from importlib import import_module

import imageio.v3 as iio
import pytest

from buffers.dataset import read_dataset
from envs.make import width_for
from policies.stage3 import resolve
from tests.helpers.scripts import Scripts

ENV = ("--config_env=configs/envs/block_pulling.py", "--config_env.horizon=14")
COLLECT = ("--episodes=8", "--random_episodes=2", "--num_envs=1", "--guess_share=0.25", "--aug", "--n_aug=1")
STAGE_2 = (
    "--config_repr=configs/repr/block_pulling.py", "--num_epochs=1", "--config_repr.batch_size=40", "--report_steps=5",
    "--config_repr.hidden_dim=16",
)  # fmt: skip
STAGE_3 = (
    "--config_rl=configs/rl/sac.py:mi", "--config_seq=configs/seq/gpt.py", "--train_episodes=1", "--start_training=0",
    "--start_expert_training=2", "--num_envs=1", "--eval_episodes=1", "--film_episodes=1", "--batch_size=2",
    "--updates_per_step=0.1", "--run_name=run",
)  # fmt: skip


@pytest.fixture(scope="module")
def scripts():
    started = Scripts()
    yield started
    started.close()


def test_all_three_stages_and_a_resumed_run(scripts, tmp_path):
    data, repr_dir, logs = (tmp_path / name for name in ("data", "repr", "logs"))
    done = scripts.run("main_collect_data.py", *ENV, *COLLECT, f"--data_path={data}")
    assert done.returncode == 0, done.stderr
    stored = read_dataset(data)
    assert stored.expert.sum() == 6 and stored.n_aug == 1 and stored.spec.action_dim == 4

    done = scripts.run("main_pretrain_representations.py", *ENV, *STAGE_2, f"--data_path={data}",
                       f"--save_dir={repr_dir}")  # fmt: skip
    assert done.returncode == 0, done.stderr
    near = json.loads((repr_dir / "report.json").read_text())["factors"]["near"]
    assert near["kind"] == "hidden" and set(near["accuracy"]) == {"z_s", "z_o", "obs", "state"}
    assert "| near" in (repr_dir / "report.md").read_text()

    flags = (*ENV, *STAGE_3, f"--state_embedder_dir={repr_dir}", f"--obs_embedder_dir={repr_dir}", f"--save_dir={logs}")
    done = scripts.run("main.py", *flags, "--time_limit=0")
    assert done.returncode == 75, done.stderr
    done = scripts.run("main.py", *flags)
    assert done.returncode == 0, done.stderr
    assert "resuming" in done.stdout
    run = logs / "default" / "run"
    config = json.loads((run / "config.json").read_text())["config"]
    assert config["seq"]["image"]["cnn"] == {"channels": [32, 64, 64], "kernels": [8, 4, 3], "strides": [4, 2, 1]}
    assert config["rl"]["replay_steps"] == 100_000 and config["rl"]["updates_per_step"] == 0.1
    last = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()][-1]
    assert last["updates"] >= 3
    summary = json.loads((run / "summary.json").read_text())
    assert summary["demonstrations"] == 2 and summary["final_episodes"] == 100
    frames = iio.imread(run / "films" / "BlockPulling-v0.gif")
    assert frames.shape[1:3] == (252, 3 * 252 + 12) and len(frames) > 2  # camera, observation, state


def resolved(domain, row, seq="gpt", overridden=(), **flags):
    config = {
        "env": import_module(f"configs.envs.{domain}").get_config(),
        "rl": import_module("configs.rl.sac").get_config(row),
        "seq": import_module(f"configs.seq.{seq}").get_config(),
    }
    return resolve(config["env"], config["rl"], config["seq"], None, set(), flags, set(overridden))


@pytest.mark.parametrize("domain", ["block_pulling", "block_pushing", "drawer_opening"])
def test_the_settings_of_the_publication(domain):
    for row, lr in {"mi": 3e-4, "ua": 3e-4, "history": 1e-3, "ba": 1e-3, "zp": 1e-3, "believer": 3e-4}.items():
        rl = resolved(domain, row).rl
        assert (rl.actor_lr, rl.critic_lr, rl.temperature.initial) == (lr, lr, 0.01)
        assert rl.temperature.lr == (3e-4 if row == "believer" else 1e-3)
        assert (rl.batch_size, rl.updates_per_step, rl.replay_steps) == (32, 1.0, 100_000)
        assert rl.intrinsic.information_gain.weight == rl.auxiliary.self_prediction.weight == 0.1
    for seq in ("gpt", "gru", "lstm", "mlp", "markov"):
        image = resolved(domain, "mi", seq).seq.image
        assert image.obs_dim == 64 and image.cnn.channels == (32, 64, 64) and image.action_dim == 16
    assert resolved(domain, "mi", overridden=("image.obs_dim",)).seq.image.obs_dim == 100


def test_simulations_take_turns():
    robot, grid = (import_module(f"configs.envs.{name}").get_config() for name in ("drawer_opening", "heaven_hell"))
    assert (width_for(robot, 100), width_for(robot, 3), width_for(grid, 100)) == (16, 3, 100)
