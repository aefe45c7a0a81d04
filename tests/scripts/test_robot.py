"""Block-Pulling through all three stages, as a user calls them; what the robot's domains ask of method and memory."""

import json
import shlex
import signal
from importlib import import_module

import imageio.v3 as iio
import pytest

from buffers.dataset import read_dataset
from envs.make import width_for
from policies.training.resolve import resolve
from tests.helpers.configs import config_named
from tests.helpers.scripts import assert_refused, wait_until
from tests.test_readme import commands

ENV = ("--config_env.horizon=14",)
SMALLER = {
    "main_collect_data.py": (*ENV, "--episodes=8", "--random_episodes=2", "--num_envs=1", "--n_aug=1"),
    "main_pretrain_representations.py": (
        *ENV, "--num_epochs=1", "--config_repr.batch_size=40", "--config_repr.hidden_dim=16", "--report_steps=5",
    ),
    "main.py": (
        *ENV, "--train_episodes=1", "--start_expert_training=2", "--num_envs=1", "--eval_episodes=1",
        "--film_episodes=1", "--batch_size=2", "--updates_per_step=0.1", "--run_name=run",
    ),
    "scripts/sweep.py": ("--dry_run",),
}  # fmt: skip


def test_the_commands_of_the_page_and_a_resumed_run(scripts, tmp_path):
    lines = [shlex.split(line)[1:] for line in commands("docs/robot_domains.md")]
    clones = ["main_collect_data.py", "main.py", "scripts/sweep.py"]
    assert [words[0] for words in lines] == [*SMALLER, *clones, "scripts/sweep.py"]

    def run(words, *flags):
        return scripts.run(*words, *SMALLER[words[0]], *flags, cwd=tmp_path)

    collect, pretrain, train, sweep, shown, clone, cloning, small = lines
    done = run(collect)
    assert done.returncode == 0, done.stderr
    assert "build time" not in done.stderr  # of pybullet, once for each process
    stored = read_dataset(tmp_path / "data" / "block_pulling")
    assert stored.expert.sum() == 6 and stored.n_aug == 1 and stored.spec.action_dim == 4

    done = run(pretrain)
    assert done.returncode == 0, done.stderr
    encoders = tmp_path / "data" / "encoders" / "block_pulling"
    near = json.loads((encoders / "report.json").read_text())["factors"]["near"]
    assert near["kind"] == "hidden" and {"z_state", "z_obs", "obs", "state", "z_state untrained"} < set(
        near["accuracy"]
    )
    assert set(near["accuracy_with_shown"]) == {"shown", "z_state", "z_obs", "z_state untrained", "z_obs untrained"}
    assert (encoders / "report.md").read_text().count("| near") == 2

    process = scripts.start(*train, *SMALLER["main.py"], cwd=tmp_path)
    metrics = tmp_path / "logs/default/run/metrics.jsonl"
    wait_until(lambda: metrics.exists() and "eval/" in metrics.read_text(), 240)
    process.kill(signal.SIGTERM)
    assert process.wait().returncode == 75
    done = run(train)
    assert done.returncode == 0, done.stderr
    assert "resuming" in done.stdout
    folder = tmp_path / "logs" / "default" / "run"
    config = json.loads((folder / "config.json").read_text())["config"]
    read = {"shrink": 2, "largest": [1], "median": [0], "clip": [-3.0, 1.5], "norm": True}
    read |= {"centre": [0.0, 0.0, 0.14], "spread": [0.02, 1.0, 0.05]}
    assert config["seq"]["image"]["cnn"] == read | {"channels": [32, 48], "kernels": [3, 4], "strides": [3, 2]}
    assert config["rl"]["replay_steps"] == 100_000 and config["rl"]["updates_per_step"] == 0.1
    last = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()][-1]
    assert last["updates"] >= 3
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["demonstrations"] == 2 and summary["final_episodes"] == 100
    frames = iio.imread(folder / "films" / "BlockPulling-v0.gif")
    assert frames.shape[1:3] == (252, 3 * 252 + 12) and len(frames) > 2  # camera, observation, state

    done = scripts.run(*shown, *ENV, "--episodes=3", "--num_envs=1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    few = (*ENV, "--config_rl.num_updates=2", "--batch_size=2", "--eval_episodes=1", "--film_episodes=1")
    done = scripts.run(*clone, *few, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "logs/default/drawers/summary.json").read_text())
    assert summary["method"] == "offline:bc" and summary["updates"] == 2

    assert run(sweep).returncode == run(cloning).returncode == 0
    done = run(small)  # its settings fit together
    assert done.returncode == 0, done.stderr
    # embeddings are not turned, though the domain's images are
    embedders = (f"--state_embedder_dir={encoders}", f"--obs_embedder_dir={encoders}")
    check = ("main.py", train[1], "--config_rl=configs/rl/sac.py:zero_off", *embedders)
    done = run(check, "--run_name=check", "--time_limit=0")
    assert done.returncode == 2 and "--time_limit=0: " in done.stderr, done.stderr
    assert "warning: no turned copies for sac:zero_off: it sees embeddings" in done.stderr.splitlines()


def test_who_is_tried_first_and_the_gripper_are_flags_that_the_data_set_keeps(scripts, tmp_path):
    kwargs = {"action_dim": 4, "first": "fixed", "noise": False, "latency": 0}
    kwargs |= {"camera_shift": 0.0, "camera_turn": 0.0, "mass_spread": 0.0}
    for domain in ("block_pushing", "drawer_opening"):
        done = scripts.run(
            "main_collect_data.py", f"--config_env=configs/envs/robot.py:{domain}", "--config_env.kwargs.first=fixed",
            "--config_env.kwargs.action_dim=4", "--config_env.horizon=20", "--guess_share=1", "--episodes=1",
            f"--data_path={domain}", cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        stored = read_dataset(tmp_path / domain)
        assert stored.metadata["config_env"]["kwargs"] == kwargs
        assert stored.action.shape[1] == 4
        assert not stored.success.any() and stored.informed.all()  # who stays with the fixed one feels it
    assert config_named("envs", "robot:block_pulling").kwargs.first == "either"


def test_a_misspelt_domain_is_answered_with_the_right_ones(scripts):
    for group, script in (("envs", "main_collect_data.py"), ("repr", "main_pretrain_representations.py")):
        flag = f"--config_{group.removesuffix('s')}=configs/{group}/robot.py:drawer_openin"
        done = scripts.run(script, "--config_env=configs/envs/robot.py", "--data_path=data", flag)
        assert_refused(done, flag, "did you mean 'drawer_opening'?", "block_pulling, block_pushing, drawer_opening")


def resolved(domain, row, seq="gpt", overridden=(), **flags):
    config = {
        "env": config_named("envs", f"robot:{domain}"),
        "rl": import_module("configs.rl.sac").get_config(row),
        "seq": config_named("seq", seq),
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
        assert image.obs_dim == 160 and image.cnn.channels == (32, 48) and image.action_dim == 16  # not as published
        assert image.shared and image.cnn.shrink == 2 and image.cnn.median == (0,) and image.cnn.norm
    assert resolved(domain, "mi", overridden=("image.obs_dim",)).seq.image.obs_dim == 100


def test_simulations_take_turns():
    robot, grid = (config_named("envs", name) for name in ("robot:drawer_opening", "heaven_hell"))
    assert (width_for(robot, 100), width_for(robot, 3), width_for(grid, 100)) == (16, 3, 100)
