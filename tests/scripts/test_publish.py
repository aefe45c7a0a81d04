"""Policies to be given away: what is in their folders, and that main.py plays them at once."""

import json
import shutil

import pytest

from envs.make import make_vector_env
from policies.build import build_policy
from policies.deployed.files import save_policy
from policies.models.sources import Sources
from tests.helpers.agents import make_config
from tests.helpers.configs import config_named
from tests.helpers.scripts import ROOT

PRETRAINED = sorted(path.parent for path in (ROOT / "pretrained").glob("*/policy.json"))
FILES = {"policy.json", "policy.safetensors"}


@pytest.fixture
def finished(tmp_path):
    """A run's folder with a policy that was trained somewhere."""
    config_env, config = config_named("envs", "heaven_hell"), make_config("mi", z_obs="scratch")
    spec = make_vector_env(config_env, 1, seed=0).spec_sizes
    with config.unlocked():
        config.env = config_env
        config.env.kwargs = {"path": "/somewhere/tiger.pomdp", "others": ("~/somewhere/b", "a/b")}
    settings = {"seed": 0, "state_embedder": "/somewhere/e", "obs_embedder": "/somewhere/e", "threads": 1}
    settings |= {"data_path": "/somewhere/d"}
    policy = build_policy(Sources(spec, config))
    save_policy(tmp_path / "run/policy", policy, spec, config, {"settings": settings})
    return tmp_path / "run"


def test_a_policy_is_published_without_paths_and_played_at_once(scripts, finished, tmp_path):
    done = scripts.run("scripts/publish.py", finished, f"--out={tmp_path / 'pretrained/mi'}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{tmp_path / 'pretrained/mi'}: dqn:mi, gru, ")
    older = json.loads((finished / "policy/policy.json").read_text())
    del older["settings"], older["config"]["rl"]["variant"]  # before they were kept
    (finished / "policy/policy.json").write_text(json.dumps(older))
    again = scripts.run("scripts/publish.py", finished, f"--out={tmp_path / 'older'}")
    assert again.returncode == 0, again.stderr
    shutil.rmtree(finished)
    assert {path.name for path in (tmp_path / "pretrained/mi").iterdir()} == FILES
    told = (tmp_path / "pretrained/mi/policy.json").read_text()
    assert "/somewhere" not in told
    assert json.loads(told)["config"]["env"]["kwargs"] == {"path": "tiger.pomdp", "others": ["b", "a/b"]}
    flags = ("--config_env=configs/envs/heaven_hell.py", f"--policy_dir={tmp_path / 'pretrained/mi'}", "--cuda=-1")
    shown = scripts.run("main.py", *flags, "--eval_episodes=2", "--film_episodes=0")
    assert shown.returncode == 0, shown.stderr
    assert "dqn:mi, gru" in shown.stdout


def test_what_cannot_be_published_is_one_line(scripts, finished, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").touch()
    for words, said in (
        ((finished, f"--out={tmp_path / 'mine'}"), f"--out: {tmp_path / 'mine'} holds something that is not a policy"),
        ((tmp_path / "nowhere", f"--out={tmp_path / 'new'}"), f"--run: no policy in {tmp_path / 'nowhere'}"),
        ((f"--out={tmp_path / 'new'}",), "--run is required"),
    ):
        done = scripts.run("scripts/publish.py", *words)
        assert done.returncode == 2
        assert done.stderr.startswith(f"error: {said}")
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("folder", PRETRAINED, ids=lambda folder: folder.name)
def test_what_is_in_pretrained_is_a_policy_of_a_domain_here(folder, scripts):
    assert {path.name for path in folder.iterdir()} - {"films"} == FILES
    assert sum((folder / name).stat().st_size for name in FILES) < 2_500_000
    about = json.loads((folder / "policy.json").read_text())
    assert about["settings"]["state_embedder"] is about["settings"]["obs_embedder"] is None
    ids = {path.stem: config_named("envs", path.stem).id for path in (ROOT / "configs/envs").glob("[a-z]*.py")}
    (domain,) = [name for name, env_id in ids.items() if env_id == about["spec"]["env_id"]]
    flags = (f"--config_env=configs/envs/{domain}.py", f"--policy_dir={folder}", "--cuda=-1")
    shown = scripts.run("main.py", *flags, "--eval_episodes=100", "--film_episodes=0")
    assert shown.returncode == 0, shown.stderr
    success = float(shown.stdout.split("success of 100 greedy episodes")[1].split()[0])
    assert success >= 0.9
