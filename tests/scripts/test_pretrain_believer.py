"""The Believer through all of it: stage 2 from the command line, killed and resumed, and stage 3 on what it left."""

import json
import signal

import pytest
import torch

from policies.models.on_disk import load_encoder
from policies.probing.believer import _so_far
from policies.representation.believer import StateModel
from tests.helpers.scripts import assert_refused, wait_until
from tests.scripts.test_pretrain import collect, metrics
from torchkit.networks import EncoderConfig
from utils.tensors import load_tensors

TINY = (
    "--config_repr.state_epochs=1", "--num_epochs=1", "--config_repr.batch_size=50", "--config_repr.hidden_dim=16",
    "--config_repr.encoder.hidden_dims=(16,16)", "--config_repr.batch_episodes=4",
    "--config_repr.belief.embedding_dim=8", "--config_repr.belief.context_dims=(16,16)",
    "--config_repr.belief.hidden_dims=(16,16)", "--config_repr.belief.kwargs.dropout=0.1", "--log_freq=1",
)  # fmt: skip
ENV = "--config_env=configs/envs/heaven_hell.py"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return collect(tmp_path_factory.mktemp("data") / "heaven_hell", "heaven_hell", 30)


def command(data, folder, *flags):
    repr_flags = ("--config_repr=configs/repr/believer_vector.py", f"--data_path={data}", f"--save_dir={folder}")
    return ("main_pretrain_representations.py", ENV, *repr_flags, *TINY, *flags)


@pytest.fixture(scope="module")
def trained(scripts, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "result"
    done = scripts.run(*command(data, folder))
    assert done.returncode == 0, done.stderr
    return folder, done


def test_it_writes_both_models_metrics_and_a_report(trained):
    folder, done = trained
    encoder = load_encoder(folder, "s_encoder", 3, "--flag", env_id="HeavenHell-v0")
    assert encoder(torch.zeros(2, 3)).shape == (2, 16)
    assert json.loads((folder / "believer.json").read_text())["epochs"] == 2
    first, second = metrics(folder)
    assert set(first) == {"step", "state_total", "reconstruction", "reward", "state_dynamics", "kl"}
    assert set(second) == {"step", "elbo"}
    report = json.loads((folder / "report.json").read_text())
    assert set(report["factors"]["goal"]) == {"z_state", "untold", "told"}
    assert (folder / "report.md").read_text() in done.stdout


def test_a_killed_training_goes_on_bit_for_bit(scripts, trained, data, tmp_path):
    folder = tmp_path / "killed"
    longer = ("--config_repr.state_epochs=2", "--num_epochs=15")
    process = scripts.start(*command(data, folder, *longer))
    wait_until(lambda: (folder / "metrics.jsonl").exists() and len(metrics_so_far(folder)) >= 4)
    process.kill(signal.SIGKILL)
    process.wait()
    assert not (folder / "summary.json").exists()
    for place in (folder, tmp_path / "unbroken"):
        done = scripts.run(*command(data, place, *longer))
        assert done.returncode == 0, done.stderr
    assert metrics(folder) == metrics(tmp_path / "unbroken")
    for name in ("s_encoder", "believer"):
        now, then = (load_tensors(place / f"{name}.safetensors") for place in (folder, tmp_path / "unbroken"))
        assert all(torch.equal(now[key], then[key]) for key in then)


def metrics_so_far(folder):
    return [line for line in (folder / "metrics.jsonl").read_text().split("\n") if line.endswith("}")]


def test_stage_3_acts_by_it_and_its_policy_stands_alone(scripts, trained, tmp_path):
    flags = (
        "main.py", ENV, "--config_rl=configs/rl/dqn.py:believer", f"--save_dir={tmp_path}", "--group=g",
        "--run_name=r", "--train_episodes=1", "--start_training=1", "--film_episodes=0",
        "--config_env.eval.episodes=2", "--config_rl.batch_size=4", "--config_rl.head_dims=(16,)",
    )  # fmt: skip
    assert_refused(scripts.run(*flags, f"--state_embedder_dir={trained[0]}"), "--obs_embedder_dir", "believer")
    folders = (f"--state_embedder_dir={trained[0]}", f"--obs_embedder_dir={trained[0]}")
    done = scripts.run(*flags, *folders)
    assert done.returncode == 0, done.stderr
    policy = tmp_path / "g" / "r" / "policy"
    assert not any("posterior" in name for name in load_tensors(policy / "policy.safetensors"))
    alone = tmp_path / "alone"
    policy.rename(alone)
    done = scripts.run("main.py", ENV, f"--policy_dir={alone}", "--eval_episodes=2")
    assert done.returncode == 0, done.stderr


def test_a_folder_of_other_representations_is_one_line(scripts, tmp_path):
    (tmp_path / "result").mkdir()
    done = scripts.run(
        "main.py", ENV, "--config_rl=configs/rl/dqn.py:believer", f"--save_dir={tmp_path}", "--run_name=r",
        f"--obs_embedder_dir={tmp_path / 'result'}",
    )  # fmt: skip
    assert_refused(done, "--obs_embedder_dir: no ", "believer.json", "main_pretrain_representations.py")


def test_what_stage_2_cannot_do_is_one_line(scripts, data, tmp_path):
    done = scripts.run(*command(data, tmp_path / "r", "--init_model=nowhere"))
    assert_refused(done, "--init_model", "believer")
    done = scripts.run(*command(data, tmp_path / "r", "--config_repr.kind=beleiver"))
    assert_refused(done, "--config_repr.kind", "did you mean 'believer'")
    done = scripts.run(*command(data, tmp_path / "r", "--config_repr.belief.memory=gru"))
    assert_refused(done, "gru has no kwargs.", "--config_repr.belief")


def test_the_embedder_of_the_state_is_the_mean_of_the_model():
    torch.manual_seed(0)
    for config in (
        EncoderConfig(3, 5, (8, 8)),
        EncoderConfig(32, 5, (), (2, 4, 4), (3, 4), (2, 2), (1, 1), (1, 1)),
    ):
        model, state = StateModel(config, 4, 8, 2), torch.randn(6, config.in_dim)
        torch.testing.assert_close(model.mean_encoder()(state), model.posterior(state).mean)


def test_what_has_been_seen_so_far_stays_within_its_episode():
    seen = torch.tensor([0, 1, 0, 0, 0, 1, 0]).bool().numpy()
    episode = torch.tensor([0, 0, 0, 1, 1, 2, 2]).numpy()
    assert _so_far(seen, episode).tolist() == [False, True, True, False, False, True, True]


def test_what_does_not_fit_into_memory_is_learned_in_pieces(scripts, data, tmp_path):
    done = scripts.run(*command(data, tmp_path / "pieces", "--max_rows=1500"))
    assert done.returncode == 0, done.stderr
    assert len(metrics(tmp_path / "pieces")) == 2
    refused = scripts.run(*command(data, tmp_path / "narrow", "--max_rows=500"))
    assert_refused(refused, "--max_rows=500: 4 episodes at once")
