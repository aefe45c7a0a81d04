"""Stage 2 as a user calls it: what it writes, that it goes on, and one line for what it cannot use."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from buffers.dataset import write_dataset
from envs.make import make_vector_env
from policies.collect import collect_episodes
from policies.embedders import load_encoder, load_tensors
from policies.representation import METRICS, RepresentationTrainer
from utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
TINY = ("--config_repr.batch_size=100", "--config_repr.hidden_dim=16", "--config_repr.encoder.hidden_dims=(16,16)")


def pretrain(*flags, cwd=ROOT, domain="heaven_hell", config_repr="heaven_hell"):
    configs = (f"--config_env=configs/envs/{domain}.py", f"--config_repr=configs/repr/{config_repr}.py")
    command = [sys.executable, str(ROOT / "main_pretrain_representations.py"), *configs, *map(str, flags)]
    env = os.environ | {"OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120)


def assert_refused(done, *expected):
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("error: ")
    for text in expected:
        assert text in done.stderr


def config_of(group, name):
    from importlib import import_module

    return import_module(f"configs.{group}.{name}").get_config()


def collect(path, domain, num):
    config = config_of("envs", domain)
    played = collect_episodes(
        lambda count, seed: make_vector_env(config, count, seed=seed), num, 0, num_envs=10, seed=0, guess_share=0.0
    )
    envs = make_vector_env(config, 1, seed=0)
    write_dataset(path, played, envs.spec_sizes, {"seed": 0}, envs.single_action_space)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return collect(tmp_path_factory.mktemp("data") / "heaven_hell", "heaven_hell", 30)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "result"
    done = pretrain(f"--data_path={data}", f"--save_dir={folder}", "--num_epochs=4", "--log_freq=2", *TINY)
    assert done.returncode == 0, done.stderr
    return folder, done


def pretrain_here(data, folder, num_epochs, init_model=None, domain="heaven_hell", cuda=-1, **fields):
    """The same in this process, where starting Python does not count; no report."""
    from policies import stage2

    config_repr = config_of("repr", "heaven_hell").unlock()
    config_repr.update({"num_epochs": num_epochs, "batch_size": 100, "hidden_dim": 16} | fields)
    config_repr.encoder.hidden_dims = (16, 16)
    settings = stage2.Settings(str(data), str(folder), log_freq=2, init_model=init_model and str(init_model), cuda=cuda)
    return stage2.pretrain(config_of("envs", domain), config_repr, settings, ["here"])


@pytest.fixture
def without_report(monkeypatch):
    monkeypatch.setattr("policies.stage2.report", lambda *_: {})
    monkeypatch.setattr("policies.stage2.as_text", lambda _: "report")


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_it_writes_embedders_metrics_and_a_report(trained):
    folder, done = trained
    for name in ("s_encoder", "o_encoder"):
        assert load_encoder(folder, name, 3, "--flag")(torch.zeros(2, 3)).shape == (2, 32)
        described = json.loads((folder / f"{name}.json").read_text())
        assert described["env_id"] == "HeavenHell-v0" and described["epochs"] == 4
    lines = metrics(folder)
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert set(lines[0]) == {"step", *METRICS}
    found = json.loads((folder / "report.json").read_text())
    assert set(found["factors"]) == {"goal", "cell"}
    assert {"z_s", "z_o", "obs", "state"} == set(found["factors"]["goal"]["accuracy"])
    assert (folder / "report.md").read_text() in done.stdout
    assert "zero-off" in done.stdout
    assert (folder / "summary.json").is_file()


def test_a_resumed_training_equals_an_unbroken_one(trained, data, tmp_path, without_report, monkeypatch):
    folder, train_epoch = tmp_path / "resumed", RepresentationTrainer.train_epoch

    def broken(self):
        if self.epoch == 3:
            raise KeyboardInterrupt
        return train_epoch(self)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(RepresentationTrainer, "train_epoch", broken)
        pretrain_here(data, folder, 4)
    assert [line["step"] for line in metrics(folder)] == [1, 2, 3]  # the checkpoint is of epoch 2
    pretrain_here(data, folder, 4)
    assert metrics(folder) == metrics(trained[0])
    for name in ("s_encoder", "o_encoder", "objective"):
        now, then = (load_tensors(place / f"{name}.safetensors") for place in (folder, trained[0]))
        assert all(torch.equal(now[key], then[key]) for key in then)


def test_init_model_starts_from_the_weights_of_an_earlier_result(trained, data, tmp_path, without_report):
    pretrain_here(data, tmp_path / "more", 1, init_model=trained[0], lr=0.0, club_lr=0.0)
    for name in ("s_encoder", "o_encoder", "objective"):
        now, then = (load_tensors(place / f"{name}.safetensors") for place in (tmp_path / "more", trained[0]))
        assert all(torch.equal(now[key], then[key]) for key in then)


def test_init_model_needs_the_same_sizes(trained, data, tmp_path, without_report):
    with pytest.raises(UserError, match=r"--init_model: .*s_encoder .*not of the sizes"):
        pretrain_here(data, tmp_path / "more", 1, init_model=trained[0], embedding_dim=16)
    with pytest.raises(UserError, match=r"--init_model: no folder"):
        pretrain_here(data, tmp_path / "more", 1, init_model=tmp_path / "nothing")
    assert not (tmp_path / "more").exists()


def test_a_folder_of_another_training_is_refused(trained, data, without_report):
    with pytest.raises(UserError, match=r"--save_dir: .*repr.lr = .*choose another --save_dir"):
        pretrain_here(data, trained[0], 4, lr=1.0)


def test_a_third_party_domain_without_factors_trains_and_reports(tmp_path):
    path = collect(tmp_path / "data", "cartpole_hidden", 20)
    text = pretrain_here(path, tmp_path / "result", 2, domain="cartpole_hidden")
    assert json.loads((tmp_path / "result/report.json").read_text())["factors"] == {}
    assert "reward_r2" in text


def test_a_loss_that_diverges_exits_with_3_and_keeps_the_last_embedders(data, tmp_path):
    folder = tmp_path / "result"
    done = pretrain(f"--data_path={data}", f"--save_dir={folder}", "--num_epochs=1", "--config_repr.lr=1e30", *TINY)
    assert done.returncode == 3
    assert "error: epoch 1: " in done.stderr and "--config_repr" in done.stderr
    assert not (folder / "s_encoder.safetensors").exists()


def test_bad_input_is_one_line_that_names_the_flag(data):
    assert_refused(pretrain("--data_path=nowhere"), "--data_path", "nowhere", "main_collect_data.py")
    assert_refused(pretrain(f"--data_path={data}", "--config_repr.overlap=1"), "overlap_weight")
    assert_refused(pretrain(), "--data_path")


def test_a_damaged_data_set_is_refused(data, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(data, damaged)
    (damaged / "data/main_data.hdf5").write_bytes(b"no data")
    with pytest.raises(UserError, match=r"--data_path: .*damaged"):
        pretrain_here(damaged, tmp_path / "result", 1)


def test_a_data_set_of_another_domain_is_refused(data, tmp_path):
    with pytest.raises(UserError, match=r"--data_path: .*HeavenHell-v0.*Sphinx-v0"):
        pretrain_here(data, tmp_path / "result", 1, domain="sphinx")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(data, tmp_path):
    with pytest.raises(UserError, match=r"--cuda=0: .*GPU"):
        pretrain_here(data, tmp_path / "result", 1, cuda=0)


def test_a_folder_that_cannot_be_written_is_refused(data, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--save_dir: cannot write into .*file/result"):
        pretrain_here(data, tmp_path / "file" / "result", 1)


def test_help_is_quick():
    began = time.monotonic()
    done = pretrain("--help")
    assert done.returncode == 0 and "--init_model" in done.stdout
    assert time.monotonic() - began < 3
