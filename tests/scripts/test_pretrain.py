"""Stage 2 as a user calls it: what it writes, that it goes on, and one line for what it cannot use."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from buffers.dataset import write_dataset
from envs.make import make_vector_env
from policies.acting.collect import collect_episodes
from policies.models.on_disk import load_encoder
from policies.representation import keeper
from policies.representation.training import METRICS, RepresentationTrainer
from tests.helpers.configs import config_named
from tests.helpers.scripts import assert_refused
from utils.checkpoint import load_checkpoint
from utils.errors import UserError
from utils.tensors import load_tensors

ROOT = Path(__file__).resolve().parents[2]
TINY = (
    "--config_repr.batch_size=100", "--config_repr.hidden_dim=16", "--config_repr.encoder.hidden_dims=(16,16)",
    "--report_steps=20",
)  # fmt: skip


def pretrain(*flags, cwd=ROOT, domain="heaven_hell", config_repr="heaven_hell"):
    configs = (f"--config_env=configs/envs/{domain}.py", f"--config_repr=configs/repr/{config_repr}.py")
    command = [sys.executable, str(ROOT / "main_pretrain_representations.py"), *configs, *map(str, flags)]
    env = os.environ | {"OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120)


@pytest.fixture
def quick(scripts):
    """The script without the seconds that its imports take."""

    def call(*flags, domain="heaven_hell", **options):
        configs = (f"--config_env=configs/envs/{domain}.py", "--config_repr=configs/repr/heaven_hell.py")
        return scripts.run("main_pretrain_representations.py", *configs, *flags, **options)

    return call


def config_of(group, name):

    return config_named(group, name)


def collect(path, domain, num, seed=0):
    config = config_of("envs", domain)
    played = collect_episodes(
        lambda count, seed: make_vector_env(config, count, seed=seed), num, 0, num_envs=10, seed=seed, guess_share=0.0
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
    from policies.representation.kinds import Settings
    from policies.representation.run import pretrain

    config_repr = config_of("repr", "heaven_hell").unlock()
    config_repr.update({"num_epochs": num_epochs, "batch_size": 100, "hidden_dim": 16} | fields)
    config_repr.encoder.hidden_dims = (16, 16)
    settings = Settings(
        str(data), str(folder), log_freq=2, init_model=init_model and str(init_model), cuda=cuda, report_steps=20
    )
    return pretrain(config_of("envs", domain), config_repr, settings, ["here"])


@pytest.fixture
def without_report(monkeypatch):
    monkeypatch.setattr("policies.representation.kinds.report", lambda *_: {})
    monkeypatch.setattr("policies.representation.kinds.as_text", lambda _: "report")


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
    views = {"z_state", "z_obs", "obs", "state", "z_state untrained", "z_obs untrained"}
    assert views == set(found["factors"]["goal"]["accuracy"])
    assert (folder / "report.md").read_text() in done.stdout
    assert "zero-off" in done.stdout
    assert (folder / "summary.json").is_file()


def test_a_resumed_training_equals_an_unbroken_one(trained, data, tmp_path, without_report, monkeypatch):
    folder, train_epoch = tmp_path / "resumed", RepresentationTrainer.train_epoch

    def broken(self, *args):
        if self.epoch == 3:
            raise KeyboardInterrupt
        return train_epoch(self, *args)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(RepresentationTrainer, "train_epoch", broken)
        pretrain_here(data, folder, 4)
    assert [line["step"] for line in metrics(folder)] == [1, 2, 3]  # the checkpoint is of epoch 2
    pretrain_here(data, folder, 4)
    assert metrics(folder) == metrics(trained[0])
    for name in ("s_encoder", "o_encoder", "objective"):
        now, then = (load_tensors(place / f"{name}.safetensors") for place in (folder, trained[0]))
        assert all(torch.equal(now[key], then[key]) for key in then)


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize(("number", "raised"), [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)])
def test_a_stop_signal_loses_nothing(
    trained, data, tmp_path, without_report, monkeypatch, capsys, number, raised, within
):
    """At the end of the epoch, or within one that is long: then the epochs before it are what is kept."""
    folder, train_epoch = tmp_path / "stopped", RepresentationTrainer.train_epoch
    monkeypatch.setattr(keeper, "PATIENCE_SECONDS", -1.0 if within else 1e9)

    def signalled(self, after_batch):
        if self.epoch == 2:
            os.kill(os.getpid(), number)
        return train_epoch(self, after_batch)

    with monkeypatch.context() as patch, pytest.raises(raised) as stopped:
        patch.setattr(RepresentationTrainer, "train_epoch", signalled)
        pretrain_here(data, folder, 4)
    assert number == signal.SIGINT or stopped.value.code == 75
    epoch = load_checkpoint(folder / "checkpoint")["trainer"]["epoch"]
    assert epoch == (2 if within else 3)
    told = f"stopped by {number.name} at epoch {epoch} of 4; the same command goes on"
    assert told in capsys.readouterr().out.splitlines()
    pretrain_here(data, folder, 4)
    assert metrics(folder) == metrics(trained[0])


def test_init_model_starts_from_the_weights_of_an_earlier_result(trained, data, tmp_path, without_report):
    pretrain_here(data, tmp_path / "more", 1, init_model=trained[0], lr=0.0, club_lr=0.0)
    for name in ("s_encoder", "o_encoder", "objective"):
        now, then = (load_tensors(place / f"{name}.safetensors") for place in (tmp_path / "more", trained[0]))
        assert all(torch.equal(now[key], then[key]) for key in then)


def test_init_model_needs_the_same_sizes(trained, data, tmp_path, without_report):
    with pytest.raises(UserError, match=r"--init_model: .*s_encoder .*not as --config_repr asks"):
        pretrain_here(data, tmp_path / "more", 1, init_model=trained[0], embedding_dim=16)
    with pytest.raises(UserError, match=r"--init_model: no folder"):
        pretrain_here(data, tmp_path / "more", 1, init_model=tmp_path / "nothing")
    assert not (tmp_path / "more").exists()


def test_more_epochs_go_on_only_where_the_learning_rates_do_not_depend_on_them(data, tmp_path, without_report):
    pretrain_here(data, tmp_path / "annealed", 4, anneal=0.5)
    with pytest.raises(UserError, match=r"--num_epochs=5: .*over 4 epochs; .*--save_dir.*--init_model="):
        pretrain_here(data, tmp_path / "annealed", 5, anneal=0.5)
    pretrain_here(data, tmp_path / "annealed", 4, anneal=0.5)  # the folder is as it was
    for num_epochs in (1, 2):
        pretrain_here(data, tmp_path / "extended", num_epochs, anneal=0.0)
    pretrain_here(data, tmp_path / "unbroken", 2, anneal=0.0)
    assert metrics(tmp_path / "extended") == metrics(tmp_path / "unbroken")


@pytest.mark.learning
@pytest.mark.parametrize("rounding", [0.0, 1e-6])
def test_a_short_training_reaches_the_figures_of_the_method(tmp_path, monkeypatch, rounding):
    """Away from the priest z^s tells heaven's side and z^o does not; z^o tells the position, which fades in z^s.

    So it is however a processor rounds: initial weights that are a millionth apart come to the same.
    """
    from policies.representation import kinds, run

    build = kinds.build_objective

    def rounded(*args):
        objective = build(*args)
        with torch.no_grad():
            for parameter in objective.parameters():
                parameter.mul_(1 + rounding * torch.randn_like(parameter))
        return objective

    monkeypatch.setattr(kinds, "build_objective", rounded)
    config_repr = config_of("repr", "heaven_hell").unlock()
    config_repr.num_epochs = 20
    settings = kinds.Settings(
        str(collect(tmp_path / "data", "heaven_hell", 500)), str(tmp_path / "result"), cuda=-1, report_steps=20
    )
    run.pretrain(config_of("envs", "heaven_hell"), config_repr, settings, ["here"])
    found = json.loads((tmp_path / "result/report.json").read_text())["factors"]
    goal, cell = found["goal"], found["cell"]
    assert goal["accuracy"]["z_state"] >= 0.99 and goal["accuracy_with_noise"]["z_state"] >= 0.99
    assert goal["accuracy"]["z_obs"] <= 0.55 and goal["accuracy_with_noise"]["z_obs"] <= 0.55
    assert cell["accuracy"]["z_obs"] >= 0.99 and cell["accuracy_with_noise"]["z_obs"] >= 0.99
    # before training these are 0.86 and 0.13
    assert goal["variance_share"]["z_state"] > 0.95 and cell["variance_share"]["z_state"] < 0.05


def test_a_folder_of_another_training_is_refused(trained, data, without_report):
    with pytest.raises(UserError, match=r"--save_dir: .*repr.lr = .*choose another --save_dir"):
        pretrain_here(data, trained[0], 4, lr=1.0)


def test_a_training_knows_its_data_by_their_content(trained, data, tmp_path, without_report):
    folder, moved = tmp_path / "result", tmp_path / "moved"
    pretrain_here(data, folder, 1, anneal=0.0, init_model=trained[0])
    shutil.copytree(data, moved)
    shutil.copytree(trained[0], tmp_path / "init_moved")
    pretrain_here(moved, folder, 2, anneal=0.0, init_model=tmp_path / "init_moved")
    other = collect(tmp_path / "other", "heaven_hell", 30, seed=1)  # as many steps, and the same seed, it says
    with pytest.raises(UserError, match=r"--save_dir: .* data.path_sha256 = "):
        pretrain_here(other, folder, 3, anneal=0.0, init_model=tmp_path / "init_moved")
    with pytest.raises(UserError, match=r"--save_dir: .* run.init_model_sha256 = "):
        pretrain_here(data, folder, 3, anneal=0.0, init_model=folder)
    record = json.loads((folder / "config.json").read_text())  # as before there were digests
    del record["config"]["data"]["path_sha256"], record["config"]["run"]["init_model_sha256"]
    record["config"]["run"]["init_model"] = str(tmp_path / "init_moved")
    (folder / "config.json").write_text(json.dumps(record))
    pretrain_here(data, folder, 3, anneal=0.0, init_model=tmp_path / "init_moved")


def test_a_third_party_domain_without_factors_trains_and_reports(tmp_path):
    path = collect(tmp_path / "data", "cartpole_hidden", 20)
    text = pretrain_here(path, tmp_path / "result", 2, domain="cartpole_hidden")
    assert json.loads((tmp_path / "result/report.json").read_text())["factors"] == {}
    assert "reward_r2" in text


def test_a_loss_that_diverges_exits_with_3_and_keeps_the_last_embedders(quick, data, tmp_path):
    folder = tmp_path / "result"
    done = quick(f"--data_path={data}", f"--save_dir={folder}", "--num_epochs=1", "--config_repr.lr=1e30", *TINY)
    assert done.returncode == 3
    assert "error: epoch 1: " in done.stderr and "--config_repr" in done.stderr
    assert not (folder / "s_encoder.safetensors").exists()


def test_bad_input_is_one_line_that_names_the_flag(quick, data):
    assert_refused(quick("--data_path=nowhere"), "--data_path", "nowhere", "main_collect_data.py")
    assert_refused(quick(f"--data_path={data}", "--config_repr.overlap=1"), "overlap_weight")
    assert_refused(quick(), "--data_path")
    assert_refused(quick(f"--data_path={data}", "--num_epochs=0"), "--num_epochs")
    for field in ("club_steps=0", "batch_size=0", "lr=-1", "hidden_dim=0", "anneal=2"):
        name = field.partition("=")[0]
        assert_refused(quick(f"--data_path={data}", f"--config_repr.{field}"), f"--config_repr.{name}")
    assert_refused(quick(f"--data_path={data}", "--init_model=nowhere"), "--init_model", "nowhere")


DAMAGE = {
    "other content": ("main_data.hdf5", lambda whole: b"no data"),
    "cut short": ("main_data.hdf5", lambda whole: whole[: len(whole) // 2]),
    "no metadata": ("metadata.json", lambda whole: b"{"),
    "of another program": ("metadata.json", lambda whole: b"{}"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_data_set_is_refused(quick, data, tmp_path, case):
    name, damage = DAMAGE[case]
    shutil.copytree(data, tmp_path / "damaged")
    file = tmp_path / "damaged/data" / name
    file.write_bytes(damage(file.read_bytes()))
    done = quick(f"--data_path={tmp_path / 'damaged'}", f"--save_dir={tmp_path / 'result'}")
    assert_refused(done, "--data_path", str(tmp_path / "damaged"), "again" if name != "metadata.json" else "damaged")
    assert not (tmp_path / "result").exists()


def test_a_data_set_of_another_domain_is_refused(quick, data, tmp_path):
    other = (("sphinx", "Sphinx-v0"), ("heaven_hell_6x9", "HeavenHell-6x9-v0"))  # the latter has the same sizes
    for domain, env_id in other:
        done = quick(f"--data_path={data}", f"--save_dir={tmp_path / 'result'}", domain=domain)
        assert_refused(done, "--data_path", "HeavenHell-v0", env_id)
    assert not (tmp_path / "result").exists()


def test_a_damaged_objective_is_refused(trained, quick, data, tmp_path):
    shutil.copytree(trained[0], tmp_path / "model")
    (tmp_path / "model/objective.safetensors").write_bytes(b"short")
    flags = (f"--data_path={data}", f"--save_dir={tmp_path / 'result'}", f"--init_model={tmp_path / 'model'}", *TINY)
    assert_refused(quick(*flags), "--init_model", "objective.safetensors", "damaged")
    assert not (tmp_path / "result").exists()


def test_a_full_disk_is_one_line_and_the_training_goes_on_once_there_is_room(quick, data, tmp_path):
    folder = tmp_path / "result"
    flags = (f"--data_path={data}", f"--save_dir={folder}", "--num_epochs=2", "--log_freq=1", *TINY)
    for limit in (500, 20_000):  # no room for config.json, none for a checkpoint
        full = quick(*flags, file_limit=limit)
        assert full.returncode == 2, full.stderr
        assert "Traceback" not in full.stderr
        assert full.stderr.splitlines()[-1].startswith("error: ")
        assert str(folder) in full.stderr.splitlines()[-1]
    assert quick(*flags).returncode == 0
    assert [line["step"] for line in metrics(folder)] == [1, 2]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(data, tmp_path):
    with pytest.raises(UserError, match=r"--cuda=0: .*GPU"):
        pretrain_here(data, tmp_path / "result", 1, cuda=0)


def test_a_folder_that_cannot_be_written_is_refused(quick, data, tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "result", "/proc/nowhere"):
        assert_refused(quick(f"--data_path={data}", f"--save_dir={folder}"), "--save_dir: cannot write", str(folder))


def test_help_is_quick():
    began = time.monotonic()
    done = pretrain("--help")
    assert done.returncode == 0 and "--init_model" in done.stdout
    assert time.monotonic() - began < 3


def test_what_does_not_fit_into_memory_is_learned_in_pieces_and_goes_on(quick, data, tmp_path):
    def train(name, epochs, *flags):
        words = (f"--data_path={data}", f"--save_dir={tmp_path / name}", f"--num_epochs={epochs}", "--log_freq=1")
        return quick(*words, *TINY, "--config_repr.anneal=0.0", *flags)

    for name, flags in (("whole", ()), ("fits", ("--max_rows=100000",)), ("pieces", ("--max_rows=800",))):
        done = train(name, 2, *flags)
        assert done.returncode == 0, done.stderr
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "fits")
    assert metrics(tmp_path / "whole") != metrics(tmp_path / "pieces")
    refused = train("pieces", 3, "--max_rows=900")
    assert_refused(refused, "already holds a run with run.max_rows = 800, not 900")
    assert train("pieces", 3, "--max_rows=800").returncode == 0
    assert train("at_once", 3, "--max_rows=800").returncode == 0
    assert metrics(tmp_path / "pieces") == metrics(tmp_path / "at_once")
    files = [(tmp_path / name / "o_encoder.safetensors").read_bytes() for name in ("pieces", "at_once")]
    assert files[0] == files[1]
    assert_refused(train("none", 1, "--max_rows=30"), "--max_rows=30: two pieces of two episodes")
    assert_refused(train("none", 1, "--max_rows=0"), "--max_rows")
