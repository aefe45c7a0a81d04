"""What was written before the code was put into rooms is still read: encoders, policies, checkpoints of whole runs.

`tests/fixtures/older.tar.xz` holds small ones, and what they gave for inputs that are written out here.
"""

import json
import shutil
import tarfile

import pytest
import torch
from ml_collections import ConfigDict

from buffers.batch import EpisodeBatch
from envs.make import make_vector_env
from policies.build import build_agent
from policies.deployed.files import load_policy
from policies.deployed.inspection import rebuilt_agent
from policies.models.on_disk import load_encoder
from policies.models.sources import Sources
from policies.models.views import Inputs
from policies.training.experience import experience_of
from policies.training.experience.base import Origin
from policies.training.observers import Evaluation
from policies.training.settings import Schedule, Settings
from policies.training.trainer import Record, Trainer
from tests.helpers.scripts import ROOT
from utils.checkpoint import load_checkpoint
from utils.config import json_tuples
from utils.logger import JsonlWriter, Logger
from utils.run import Run
from utils.standards import with_new_fields

RUNS = ("dqnmi", "sacmi")


@pytest.fixture(scope="module")
def older(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fixtures")
    with tarfile.open(ROOT / "tests/fixtures/older.tar.xz") as packed:
        packed.extractall(folder, filter="data")
    return folder / "older"


@pytest.fixture(scope="module")
def expected(older):
    return json.loads((older / "expected.json").read_text())


@pytest.mark.parametrize("name", ["s_encoder", "o_encoder"])
def test_encoders(older, expected, name):
    sizes = json.loads((older / f"representations/{name}.json").read_text())["encoder"]
    encoder = load_encoder(older / "representations", name, sizes["in_dim"], "--flag")
    x = torch.arange(2 * sizes["in_dim"]).view(2, -1).float() / 5
    torch.testing.assert_close(encoder(x), torch.tensor(expected[name]))


@pytest.mark.parametrize("run", RUNS)
def test_policies(older, expected, run):
    policy, about = load_policy(str(older / "runs" / run))
    spec, carry = about["spec"], None
    for t, output in enumerate(expected[run]):
        obs = torch.arange(2 * spec["obs_dim"]).view(2, -1).float() / 7 + t / 3
        prev_action = torch.eye(spec["action_dim"])[[t % spec["action_dim"], 0]] * (t > 0)
        now = Inputs(obs, prev_action, torch.zeros(2), torch.full((2,), float(t == 0)))
        found, carry = policy.step(now, carry)
        torch.testing.assert_close(found, torch.tensor(output))


def parts_of(older, name):
    """The config of a run with the fields that are newer, and its flags."""
    stored = json.loads((older / f"runs/{name}/config.json").read_text())["config"]
    flags = {key: value for key, value in stored.pop("run").items() if not key.endswith("_sha256")}
    embedders = dict.fromkeys(("state_embedder", "obs_embedder"), str(older / "representations"))
    return ConfigDict(json_tuples(with_new_fields(stored))), Settings(**flags | embedders)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_taken_up_where_it_was(older, tmp_path, name):
    shutil.copytree(older / "runs" / name, tmp_path / "run")
    config, settings = parts_of(older, name)

    def make_envs(num_envs, **options):
        return make_vector_env(config.env, num_envs, **options)

    origin = Origin(config, settings, make_envs, make_envs(1, seed=0).spec_sizes)
    sources = Sources(origin.spec, config, settings.state_embedder, settings.obs_embedder)
    agent = build_agent(sources, settings.seed, torch.device("cpu"))
    experience = experience_of(agent, origin)
    run = Run(tmp_path / "run")
    saved, jsonl = load_checkpoint(run.checkpoint_dir), JsonlWriter(run.metrics_path)
    lines = run.metrics_path.read_text()
    kept = []
    evaluation = Evaluation(make_envs(2, seed=0), config.env.eval, settings.seed, lambda: kept.append("best"))
    record = Record(run, Logger([jsonl]), jsonl, kept.append)
    Trainer(agent, experience, [evaluation], Schedule(), record).train(saved)
    assert run.metrics_path.read_text() == lines, "it was done, there was nothing to learn"
    assert experience.env_steps == experience.total == saved["counters"]["env_steps"]
    assert [row["step"] for row in evaluation.history] == [json.loads(lines.splitlines()[0])["step"], 159]
    batch = experience.buffer.episodes(torch.arange(len(experience.buffer)).numpy())
    assert isinstance(batch, EpisodeBatch)
    assert batch.expert.tolist() == [1.0] * settings.start_expert + [0.0] * (len(experience.buffer) - 2)
    again = load_checkpoint(run.checkpoint_dir)
    for key, value in saved["agent"]["modules"].items():
        assert torch.equal(again["agent"]["modules"][key], value)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_looked_into(older, name):
    config, settings = parts_of(older, name)
    _, about = load_policy(str(older / "runs" / name))
    spec = Origin(config, settings, None, make_vector_env(config.env, 1, seed=0).spec_sizes).spec
    agent = rebuilt_agent(
        older / "runs" / name, spec, ConfigDict(json_tuples(about["config"])), settings.state_embedder,
        settings.obs_embedder,
    )  # fmt: skip
    assert agent.env_steps == load_checkpoint(older / "runs" / name / "checkpoint")["agent"]["env_steps"]
