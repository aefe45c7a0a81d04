"""scripts/export.py as a user calls it, and its file where there is no torch."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from policies.acting.evaluate import GreedyPolicy
from policies.deployed.export import domain_of, image_of
from policies.deployed.files import load_policy
from tests.helpers.agents import IMAGES, SPEC
from tests.helpers.configs import config_named
from tests.helpers.scripts import ROOT, assert_refused

SCRATCH = (
    "--config_rl.z_obs=scratch", "--config_rl.z_state=random", "--config_repr=configs/repr/heaven_hell.py",
)  # fmt: skip
TINY = (
    "--train_episodes=2", "--num_envs=4", "--batch_size=3", "--start_training=2", "--eval_episodes=2",
    "--updates_per_step=0.1", "--config_env.horizon=12", "--config_env.eval.interval=20", "--film_episodes=0",
    "--config_rl.head_dims=(8,)", "--cuda=-1",
)  # fmt: skip
MEMORIES = ("markov", "mlp", "gru", "lstm", "gpt", "hybrid", "nbrc")
EXAMPLE = re.search(
    r"\*\*`scripts/deployed.py`\*\*\n\n```python\n(.*?)```", (ROOT / "docs/deploy.md").read_text(), re.S
)
NO_TORCH = "import sys, runpy; sys.modules['torch'] = None; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0])"


def train(scripts, folder, *flags, env="heaven_hell"):
    done = scripts.run("main.py", f"--config_env=configs/envs/{env}.py", *flags, *TINY, f"--save_dir={folder}")
    assert done.returncode == 0, done.stderr
    return folder / "default"


@pytest.fixture(scope="module")
def runs(scripts, tmp_path_factory):
    """A run of each memory, with the previous reward among the inputs."""
    folder = tmp_path_factory.mktemp("runs")
    for memory in MEMORIES:
        seq = (f"--config_seq=configs/seq/{memory}.py", "--config_seq.vector.reward_dim=2", f"--run_name={memory}")
        train(scripts, folder, "--config_rl=configs/rl/dqn.py:mi", *seq, *SCRATCH)
    return folder / "default"


def without_torch(tmp_path, file):
    """What the example of the docs prints, run by an interpreter that cannot import torch."""
    example = tmp_path / "deployed.py"
    example.write_text(EXAMPLE[1])
    done = subprocess.run(
        [sys.executable, "-c", NO_TORCH, str(example), str(file)], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("memory", MEMORIES)
def test_a_run_of_every_memory_goes_without_torch(scripts, runs, tmp_path, memory):
    run = runs / memory
    done = scripts.run("scripts/export.py", run, "--format", "onnx")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "1200 steps of 100 random episodes" in done.stdout
    assert ("at most 13 steps" in done.stdout) == (memory == "gpt")
    about = json.loads((run / "policy.onnx.json").read_text())
    names = [port["name"] for port in about["inputs"]]
    assert names[:4] == ["obs", "prev_action", "prev_reward", "start"]
    assert len(names) == 4 + {"gru": 1, "lstm": 2, "gpt": 3, "hybrid": 2, "nbrc": 1}.get(memory, 0)
    assert about["longest_episode"] == (13 if memory == "gpt" else None)
    assert about["domain"] == {"id": "HeavenHell-v0", "kwargs": {}, "horizon": 12, "hidden": []}
    assert about["action"] == {"kind": "discrete", "number": 4, "env_action": "action + 0"}
    assert (about["method"], about["memory"]) == ("dqn:mi", memory)
    assert about["checked"]["largest_difference"] <= 1e-5
    assert about["git_revision"]

    policy, rng, carry = GreedyPolicy(load_policy(str(run))[0]), np.random.default_rng(0), None
    past = np.zeros((1, 4), np.float32)
    for t, line in enumerate(without_torch(tmp_path, run / "policy.onnx")):
        obs = rng.uniform(-1, 1, (1, 3)).astype(np.float32)
        action, carry = policy(obs, past, np.zeros(1), np.array([t == 0]), carry)
        assert line == action.tolist()
        past = np.eye(4, dtype=np.float32)[action]
    assert t == 11


def test_what_makes_an_observation_of_the_envs_own_is_described():
    pong = domain_of(config_named("envs", "third_party:pong"))
    assert {name: pong[name] for name in pong if name not in ("id", "kwargs", "horizon")} == {
        "hidden": "", "obs_image": "hwc", "resize": [84, 84], "gray": True,
    }  # fmt: skip
    assert domain_of(config_named("envs", "third_party:minigrid_memory"))["obs_keys"] == "image,direction"
    assert image_of(SPEC) == {}
    told = {"channels_height_width": list(IMAGES.obs_image_shape), "from_to": None}
    assert image_of(replace(IMAGES, obs_storage=())) == {"obs_image": told}
    of_bytes = ((0.0, 1.0, 8),) * IMAGES.obs_image_shape[0]
    assert image_of(replace(IMAGES, obs_storage=of_bytes))["obs_image"]["from_to"] == [[0.0, 1.0]] * len(of_bytes)


def test_continuous_actions_and_torchscript(scripts, tmp_path):
    run = train(scripts, tmp_path, "--config_rl=configs/rl/sac.py:history", "--run_name=c", env="masked") / "c"
    for kind, file in (("onnx", "a.onnx"), ("torchscript", "b.pt")):
        done = scripts.run("scripts/export.py", f"--run={run / 'policy_best'}", f"--format={kind}", "--out", run / file)
        assert done.returncode == 0, done.stderr
    about = json.loads((run / "b.pt.json").read_text())
    assert about["action"]["low"] == [-2.0]  # Pendulum's torque
    assert about["action"]["high"] == [2.0]
    assert about["outputs"][1]["shape"] == ["N", 2]
    assert "tanh of the mean" in about["outputs"][1]["meaning"]
    lines = without_torch(tmp_path, run / "a.onnx")
    assert len(lines) == 12
    assert np.abs(lines).max() < 1


def test_what_cannot_be_exported_is_one_line(scripts, runs, tmp_path):
    def export(*flags):
        return scripts.run("scripts/export.py", *flags)

    gru = runs / "gru"
    assert_refused(export(), "--run is required")
    assert_refused(export(tmp_path / "nothing"), "--run: no policy in", "policy.json")
    assert_refused(export(gru, "more"), "unexpected argument 'more'")
    assert_refused(export(gru, "--format=onx"), "--format", "onnx", "torchscript")
    assert_refused(export(gru, f"--out={tmp_path / 'no' / 'file.onnx'}"), "--out: there is no folder")
    assert_refused(export(gru, f"--out={tmp_path}"), f"--out: {tmp_path} is a folder")
    assert_refused(export(gru, "--episodes=0"), "episodes")
    shutil.copytree(gru / "policy", tmp_path / "policy")
    weights = tmp_path / "policy" / "policy.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    assert_refused(export(tmp_path / "policy"), "--run: the policy in", "damaged")
    weights.write_bytes((gru / "policy" / "policy.safetensors").read_bytes())
    (tmp_path / "config.json").write_text('{"config": {"env": ')
    assert_refused(export(tmp_path / "policy"), "--run", "config.json is damaged")
    assert not list(tmp_path.glob("**/*.onnx*"))


@pytest.mark.parametrize("kind", ["onnx", "torchscript"])
def test_a_full_disk_leaves_nothing_half_written(scripts, runs, tmp_path, kind):
    file = tmp_path / "step"
    file.write_text("older")
    flags = (runs / "gru", f"--format={kind}", f"--out={file}", "--episodes=2")
    assert_refused(scripts.run("scripts/export.py", *flags, file_limit=2000), str(file), "File too large")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("step", "older")]


def test_what_acts_on_the_state_is_not_exported(scripts, runs, tmp_path):
    """Such a run is known by its json; nothing is loaded but the policy."""
    folder = tmp_path / "policy"
    shutil.copytree(runs / "markov" / "policy", folder)
    about = json.loads((folder / "policy.json").read_text())
    about["config"]["rl"] |= {"observe": ["z_state"], "variant": "zero_on"}
    (folder / "policy.json").write_text(json.dumps(about))
    assert_refused(scripts.run("scripts/export.py", folder), "--run", "zero_on", "embeddings")
    assert not list(folder.glob("*.onnx*"))
