"""A finished policy as the expert of stage 1: what it earns, what it learns first, and what is refused."""

import json

import numpy as np
import pytest

from buffers.dataset import read_dataset
from tests.helpers.scripts import ROOT, assert_refused

TIGER = ROOT / "configs/envs/tiger.pomdp"
OF_TIGER = (
    "--config_env=configs/envs/pomdp_file.py", f"--config_env.kwargs.path={TIGER}",
    "--config_env.kwargs.continuing=True",
)  # fmt: skip
HORIZON, LISTEN = 6, 0


def collect(scripts, path, *flags):
    return scripts.run("main_collect_data.py", f"--data_path={path}", *flags)


@pytest.fixture(scope="module")
def solved(scripts, tmp_path_factory):
    """Tiger over six steps, not discounted, and the summary."""
    root = tmp_path_factory.mktemp("solved")
    flags = (f"--horizon={HORIZON}", "--discount=1", "--gap=1e-3", f"--save_dir={root}", "--run_name=tiger")
    done = scripts.run("scripts/solve.py", *OF_TIGER, *flags)
    assert done.returncode == 0, done.stderr
    return root / "tiger", json.loads((root / "tiger/summary.json").read_text())


def test_the_expert_of_a_file_earns_what_is_certified(scripts, solved, tmp_path):
    folder, summary = solved
    flags = (*OF_TIGER, f"--config_env.horizon={HORIZON}", f"--expert_policy_dir={folder}", "--num_envs=200")
    done = collect(scripts, tmp_path / "data", *flags, "--episodes=1000", "--random_episodes=200")
    assert done.returncode == 0, done.stderr
    stored = read_dataset(tmp_path / "data")
    assert stored.expert.tolist() == [False] * 200 + [True] * 800
    assert (stored.length == HORIZON).all()
    reward, actions = (one.reshape(-1, HORIZON + 1)[:, :HORIZON] for one in (stored.reward, stored.action))
    returns = reward.sum(axis=1)
    earned, chance = returns[200:], returns[:200]
    error = earned.std() / np.sqrt(len(earned))
    assert summary["gap"] <= 1e-3
    assert abs(earned.mean() - summary["lower"]) < 3 * error
    assert abs(chance.mean() + HORIZON * 91 / 3) < 4 * chance.std() / np.sqrt(len(chance))  # of -1, -45 and -45
    assert (actions[200:, :2] == LISTEN).all()  # it asks before it opens a door, of which one growl is too little
    assert (actions[200:] != LISTEN).any()
    metadata = stored.metadata
    assert len(metadata["expert_policy_sha256"]) == 64


def test_the_expert_of_a_domain_asks_the_priest_first(scripts, tmp_path):
    of_domain = ("--config_env=configs/envs/heaven_hell_n.py:1",)
    done = scripts.run("scripts/solve.py", *of_domain, f"--save_dir={tmp_path}", "--run_name=solved", "--gap=1e-6")
    assert done.returncode == 0, done.stderr
    flags = (*of_domain, f"--expert_policy_dir={tmp_path}/solved/policy", "--episodes=50")
    assert collect(scripts, tmp_path / "data", *flags).returncode == 0
    stored = read_dataset(tmp_path / "data")
    assert stored.success.all() and stored.informed.all()
    assert (stored.length == 7).all()  # 4n + 3


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--expert_policy_dir={tmp}/nothing",), ("--expert_policy_dir", "no policy in")),
        (("--expert_policy_dir={solved}", "--guess_share=0.5"), ("--guess_share", "--expert_policy_dir")),
        (
            ("--expert_policy_dir={solved}", "--config_env=configs/envs/heaven_hell.py"),
            ("--expert_policy_dir", "2 observations and 3 actions", "HeavenHell-v0"),
        ),
        ((), ("--random_episodes", "no expert", "--expert_policy_dir")),
    ],
)
def test_what_cannot_be_an_expert_is_one_line(scripts, solved, tmp_path, flags, expected):
    given = [flag.format(tmp=tmp_path, solved=solved[0]) for flag in flags]
    own = () if any("heaven_hell" in flag for flag in given) else OF_TIGER
    assert_refused(collect(scripts, tmp_path / "data", *own, "--episodes=4", *given), *expected)


def test_an_expert_that_acts_on_embeddings_is_refused(scripts, solved, tmp_path):
    folder = tmp_path / "policy"
    folder.mkdir()
    for name in ("policy.safetensors", "policy.json"):
        (folder / name).write_bytes((solved[0] / "policy" / name).read_bytes())
    about = json.loads((folder / "policy.json").read_text())
    about["config"]["rl"]["observe"] = ["z_obs"]
    (folder / "policy.json").write_text(json.dumps(about))
    done = collect(scripts, tmp_path / "data", *OF_TIGER, "--episodes=4", f"--expert_policy_dir={folder}")
    assert_refused(done, "--expert_policy_dir", "acts on embeddings")
