"""Weights of the public code through main.py, as a user names them."""

import json
import shutil

import pytest
import torch

from tests.helpers.published import WEIGHTS, needs_weights, public_agent, public_vector
from tests.helpers.scripts import assert_refused

HEAVEN_HELL = "--config_env=configs/envs/heaven_hell.py"
MI, GPT = "--config_rl=configs/rl/dqn.py:mi", "--config_seq=configs/seq/gpt.py"
TINY = (
    "--train_episodes=4", "--num_envs=4", "--batch_size=3", "--start_training=2", "--eval_episodes=2",
    "--updates_per_step=0.03", "--config_env.horizon=12", "--config_env.eval.interval=20", "--film_episodes=0",
    "--cuda=-1",
)  # fmt: skip
SMALL_AGENT = ("--config_seq.vector.obs_dim=8", "--config_seq.vector.action_dim=8", "--config_rl.head_dims=(12,12)")


@pytest.fixture
def embedders(tmp_path):
    torch.manual_seed(0)
    for name in ("s_encoder", "o_encoder"):
        torch.save(public_vector(3, 7, 6).state_dict(), tmp_path / f"{name}.pt")
    return tmp_path


def test_training_starts_from_published_embedders_in_a_folder_or_one_by_one(scripts, embedders, tmp_path):
    for run, (state, obs) in {
        "folder": (embedders, embedders),
        "files": (embedders / "s_encoder.pt", embedders / "o_encoder.pt"),
    }.items():
        done = scripts.run("main.py", HEAVEN_HELL, MI, *TINY, f"--save_dir={tmp_path / 'logs'}", f"--run_name={run}",
                           f"--state_embedder_dir={state}", f"--obs_embedder_dir={obs}")  # fmt: skip
        assert done.returncode == 0, done.stderr
    folders = [tmp_path / "logs/default" / run for run in ("folder", "files")]
    finals = [json.loads((folder / "summary.json").read_text())["final"] for folder in folders]
    assert finals[0] == finals[1]
    shown = scripts.run("main.py", HEAVEN_HELL, f"--policy_dir={folders[0]}", "--film_episodes=0", "--cuda=-1")
    assert shown.returncode == 0, shown.stderr


def test_a_published_policy_is_filmed_into_the_save_dir_and_its_own_folder_stays_as_it_was(scripts, tmp_path):
    folder = tmp_path / "published"
    folder.mkdir()
    torch.save(public_agent(), folder / "agent.pt")
    done = scripts.run("main.py", HEAVEN_HELL, MI, GPT, *SMALL_AGENT, f"--policy_dir={folder / 'agent.pt'}",
                       f"--save_dir={tmp_path / 'logs'}", "--eval_episodes=4", "--film_episodes=1",
                       "--config_env.horizon=6", "--cuda=-1")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "greedy episodes" in done.stdout
    assert [path.name for path in folder.iterdir()] == ["agent.pt"]
    assert list((tmp_path / "logs/agent/films").glob("*.gif"))


def test_foreign_and_unfit_files_are_refused_in_one_line(scripts, embedders, tmp_path):
    torch.save(torch.nn.Linear(3, 3), tmp_path / "module.pt")
    (tmp_path / "text.pt").write_text("no pickle")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pt")
    torch.save(public_agent(), tmp_path / "agent.pt")
    state, obs = f"--state_embedder_dir={embedders}", f"--obs_embedder_dir={embedders}"
    cases = [
        ((f"--state_embedder_dir={tmp_path / 'module.pt'}", obs), ("--state_embedder_dir", "module.pt", "refused")),
        ((state, f"--obs_embedder_dir={tmp_path / 'text.pt'}"), ("--obs_embedder_dir", "text.pt")),
        ((state, f"--obs_embedder_dir={tmp_path / 'other.pt'}"), ("--obs_embedder_dir", "no published encoder")),
        ((state, f"--obs_embedder_dir={embedders / 's_encoder.pt'}"), ("--obs_embedder_dir", "not 'o_encoder'")),
        ((state, f"--obs_embedder_dir={tmp_path / 'nowhere.pt'}"), ("--obs_embedder_dir", "no file")),
        ((f"--policy_dir={tmp_path / 'module.pt'}",), ("--policy_dir", "module.pt", "refused")),
        ((f"--policy_dir={tmp_path / 'other.pt'}",), ("--policy_dir", "no published DQN agent")),
        ((f"--policy_dir={tmp_path / 'nowhere.pt'}",), ("--policy_dir", "no file")),
        ((f"--policy_dir={tmp_path / 'agent.pt'}",), ("--policy_dir", "--config_rl", "--config_seq", "gpt.py")),
    ]
    for flags, expected in cases:
        done = scripts.run("main.py", HEAVEN_HELL, MI, *TINY, f"--save_dir={tmp_path / 'logs'}", *flags)
        assert_refused(done, *expected)
    sphinx = scripts.run("main.py", "--config_env=configs/envs/sphinx.py", MI, *TINY, state, obs)
    assert_refused(sphinx, "_embedder_dir", "embeds 3 numbers, the domain has 72")


@needs_weights
@pytest.mark.parametrize("env, length", [("heaven_hell", "14.0"), ("heaven_hell_6x9", "18.0")])
def test_the_published_policy_is_optimal_here_too(scripts, env, length):
    done = scripts.run("main.py", f"--policy_dir={WEIGHTS / 'HeavenHell/policy_dqn_ours_gpt.pt'}", MI, GPT,
                       f"--config_env=configs/envs/{env}.py", "--film_episodes=0", "--cuda=-1")  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown = {line.rsplit(maxsplit=1)[0].strip(): line.split()[-1] for line in done.stdout.splitlines()}
    assert shown["success of 100 greedy episodes"] == "1.00"
    assert shown["return"] == "1.00"
    assert shown["length"] == length


@needs_weights
def test_training_starts_from_the_published_image_embedders(scripts, tmp_path):
    folder = shutil.copytree(WEIGHTS / "Sphinx", tmp_path / "Sphinx")
    done = scripts.run("main.py", "--config_env=configs/envs/sphinx.py", MI, *TINY, f"--save_dir={tmp_path / 'logs'}",
                       f"--state_embedder_dir={folder}", f"--obs_embedder_dir={folder}",
                       "--config_repr=configs/repr/sphinx.py")  # fmt: skip
    assert done.returncode == 0, done.stderr
