"""The finished policies that come along play their domains, and tell nothing of where they were trained."""

from contextlib import closing

import pytest

from envs.make import make_vector_env
from policies.acting.evaluate import GreedyPolicy, evaluate
from policies.deployed.files import load_policy
from tests.helpers.configs import config_named
from tests.helpers.scripts import ROOT

FOLDERS = sorted(path for path in (ROOT / "pretrained").iterdir() if path.is_dir())
EPISODES = 50
SUCCESS = 0.9  # of these, at least


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_policy_that_comes_along_plays_its_domain(folder):
    config = config_named("envs", folder.name)
    with closing(make_vector_env(config, EPISODES, seed=3)) as envs:
        policy, about = load_policy(str(folder), envs.spec_sizes)
        assert evaluate(GreedyPolicy(policy), envs, EPISODES, 3)["success"] >= SUCCESS
    assert about["config"]["env"]["id"] == config.id
    assert {about["settings"].get(name) for name in ("state_embedder", "obs_embedder", "data_path")} == {None}
