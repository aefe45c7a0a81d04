"""A domain of images through all three stages, as a user calls them: stored in bytes, turned when read."""

import json

import numpy as np
import pytest

from buffers.dataset import read_dataset
from tests.helpers.scripts import ROOT, assert_refused

BLOB = (
    "--config_env=configs/envs/car_flag_1d.py", "--config_env.id=Blob-v0", "--config_env.module=tests.helpers.blob",
    "--config_env.horizon=6", "--config_env.augment=se2", "--config_env.n_aug=3",
)  # fmt: skip
ENCODER = tuple(
    f"--config_repr.encoder.{name}={value}"
    for name, value in {"channels": "(4,)", "kernels": "(8,)", "strides": "(4,)", "pools": "(1,)"}.items()
)
STAGE_2 = ("--config_repr=configs/repr/vector.py", *ENCODER, "--config_repr.batch_size=30", "--report_steps=5")
STAGE_3 = (
    "--config_rl=configs/rl/sac.py:mi", "--state_embedder_dir=repr", "--obs_embedder_dir=repr", "--train_episodes=3",
    "--start_expert_training=3", "--num_envs=2", "--eval_episodes=2", "--film_episodes=0", "--batch_size=4",
    "--save_dir=logs", "--config_rl.replay_steps=60",
)  # fmt: skip


@pytest.fixture(scope="module")
def call(scripts, tmp_path_factory):
    """Runs a script in the module's folder."""
    folder = tmp_path_factory.mktemp("blob")

    def run(script, *flags):
        return scripts.run(script, *(f.replace("=configs", f"={ROOT}/configs") for f in (*BLOB, *flags)), cwd=folder)

    run.folder = folder
    return run


@pytest.fixture(scope="module")
def data(call):
    done = call("main_collect_data.py", "--episodes=12", "--random_episodes=4", "--aug", "--data_path=data")
    assert done.returncode == 0, done.stderr
    return read_dataset(call.folder / "data")


def test_stage_1_stores_real_episodes_in_bytes_and_how_many_copies_are_asked_for(data):
    assert len(data) == 12 and data.expert.sum() == 8
    assert data.obs.dtype == np.uint8 and data.obs.shape[1] == 24 * 24
    assert data.state.shape[1] == 24 * 24 * 9 // 8
    assert data.metadata["augmentation"] == {"kind": "se2", "n_aug": 3}
    depth = data.read("obs", np.arange(len(data.obs)))[:, : 24 * 24]
    assert 0.45 < depth.max() <= 0.5


def test_stages_2_and_3_learn_from_it(data, call):
    done = call("main_pretrain_representations.py", *STAGE_2, "--data_path=data", "--save_dir=repr", "--num_epochs=1")
    assert done.returncode == 0, done.stderr
    runs = {}
    for name, kind in {"once": "se2", "again": "se2", "mirrored": "e2"}.items():
        done = call("main.py", *STAGE_3, f"--run_name={name}", f"--config_env.augment={kind}")
        assert done.returncode == 0, done.stderr
        lines = (call.folder / "logs" / "default" / name / "metrics.jsonl").read_text().splitlines()
        runs[name] = [{k: v for k, v in json.loads(line).items() if not k.startswith("clock")} for line in lines]
    assert runs["once"] == runs["again"] != runs["mirrored"]
    assert runs["once"][-1]["updates"] > 0


def test_what_cannot_be_turned_is_one_line(call, tmp_path):
    flags = ("--episodes=2", "--random_episodes=2", f"--data_path={tmp_path / 'd'}")
    assert_refused(call("main_collect_data.py", *flags, "--aug", "--config_env.augment="), "--aug", "Blob-v0")
    assert_refused(call("main_collect_data.py", *flags, "--n_aug=2"), "--n_aug")
    refused = call("main.py", "--config_rl=configs/rl/sac.py:history", "--config_env.n_aug=-1", "--save_dir=logs")
    assert_refused(refused, "--config_env.n_aug=-1")
    refused = call("main.py", "--config_rl=configs/rl/sac.py:history", "--config_env.augment=se3", "--save_dir=logs")
    assert_refused(refused, "--config_env.augment", "choose from '', d4, e2, se2")


def test_mirrored_copies_are_asked_for_by_the_data_set(call, tmp_path):
    flags = ("--episodes=4", "--random_episodes=2", f"--data_path={tmp_path / 'd'}", "--aug", "--config_env.augment=e2")
    done = call("main_collect_data.py", *flags)
    assert done.returncode == 0, done.stderr
    stored = read_dataset(tmp_path / "d")
    assert stored.copies == "e2" and stored.metadata["augmentation"] == {"kind": "e2", "n_aug": 3}
