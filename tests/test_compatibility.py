"""Our side of docs/compatibility.md, where no other test holds it; and that its lines name tests that there are."""

import ast
import importlib
import re
import subprocess
import tomllib
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from buffers.batch import Episode
from buffers.dataset import check_domain, read_dataset, write_dataset
from envs.base import EnvSpec
from envs.finite import Filter, FinitePOMDP
from envs.replayed import SyncAsymmetricVectorEnv
from envs.wrappers import AsymmetricWrapper
from policies.acting.rollout import EpisodeStream
from policies.build import build_policy
from policies.deployed import export
from policies.models.sources import Sources
from tests.helpers.agents import SPEC, make_config
from tests.helpers.scripts import ROOT
from utils.tensors import load_tensors, save_tensors

PAGE = ROOT / "docs/compatibility.md"
FINDINGS = sorted((ROOT / "findings").glob("*"))


class Coins(gym.Env):
    """Pays 1 a step for `steps` steps; success and another number of `info` are as told."""

    observation_space = spaces.Box(0, 9, (1,))

    def __init__(self, steps, success=False, share=1, truncates=False):
        self.action_space = spaces.Discrete(3, start=1, dtype=np.int32)
        self.steps, self.success, self.share, self.truncates = steps, success, share, truncates

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        assert action in self.action_space
        self.t += 1
        over = self.t == self.steps
        info = {"share": self.share, "success": self.success}
        return np.full(1, self.t, np.float32), 1.0, over and not self.truncates, over and self.truncates, info

    def get_state(self):
        return np.full(1, self.t, np.float32)


def episodes_of(*envs, steps=12):
    """The episodes of each env, by its slot, of so many steps of all of them."""
    made = [partial(AsymmetricWrapper, env, max_episode_steps=9) for env in envs]
    stream = EpisodeStream(SyncAsymmetricVectorEnv(made), seed=0)
    found = {slot: [] for slot in range(len(envs))}
    for _ in range(steps):
        for slot, episode in stream.step(lambda obs, *rest: (np.zeros(len(obs), np.int64), rest[-1])):
            found[slot].append(episode)
    return found


@pytest.mark.parametrize("truncates", [False, True])
def test_rewards_of_an_episode_are_its_own(truncates):
    for slot, episodes in episodes_of(Coins(2, truncates=truncates), Coins(5, truncates=truncates)).items():
        length = (2, 5)[slot]
        assert len(episodes) == 12 // length
        for episode in episodes:
            assert episode.obs.ravel().tolist() == list(range(length + 1))
            assert episode.reward.tolist() == [1.0] * length
            assert episode.discount.tolist() == [1.0] * (length - 1) + [float(truncates)]


def test_each_env_tells_its_own_success():
    found = episodes_of(Coins(2, success=0, share=1), Coins(2, success=1.0, share=0.75), Coins(2, success=np.True_))
    assert {slot: {one.success for one in episodes} for slot, episodes in found.items()} == {
        0: {False},
        1: {True},
        2: {True},
    }


def test_actions_of_an_odd_space_fit_the_domain_they_come_from(tmp_path):
    wrapped = AsymmetricWrapper(Coins(3), max_episode_steps=9)
    episodes = episodes_of(Coins(3))[0]
    write_dataset(tmp_path / "data", episodes, wrapped.spec_sizes, {}, wrapped.action_space)
    stored = read_dataset(tmp_path / "data")
    check_domain(stored, wrapped.spec_sizes)
    assert stored.action.dtype == np.int64
    assert set(stored.action.tolist()) == {0}


def test_images_come_back_to_the_last_level(tmp_path):
    spec = EnvSpec("Pictures-v0", 84 * 84 * 3, 1, 2, True, 9, obs_image_shape=(3, 84, 84))
    pictures = np.random.default_rng(0).integers(256, size=(3, spec.obs_dim)).astype(np.uint8)
    rows = {"state": np.zeros((3, 1), np.float32), "action": np.zeros(2, np.int64)}
    rows |= {"reward": np.ones(2, np.float32), "discount": np.ones(2, np.float32)}
    write_dataset(tmp_path / "data", [Episode(obs=pictures, **rows)], spec, {}, spaces.Discrete(2))
    np.testing.assert_array_equal(read_dataset(tmp_path / "data").obs, pictures)


def test_the_last_reward_of_a_time_out_is_a_transition_like_all_others(tmp_path):
    wrapped = AsymmetricWrapper(Coins(4, truncates=True), max_episode_steps=9)
    episodes = episodes_of(Coins(4, truncates=True))[0]
    for episode in episodes:
        episode.reward[:] = [0, 0, 0, 7]
    write_dataset(tmp_path / "data", episodes, wrapped.spec_sizes, {}, wrapped.action_space)
    stored = read_dataset(tmp_path / "data")
    steps = stored.transitions()
    assert sorted(stored.reward[steps.row].tolist()) == [0.0] * 9 + [7.0] * 3
    assert stored.obs[steps.next_row][stored.reward[steps.row] == 7].ravel().tolist() == [4.0] * 3


@pytest.mark.parametrize("memory", ["gru", "lstm"])
def test_a_second_export_is_the_first_and_takes_any_batch(memory, tmp_path):
    pytest.importorskip("onnxruntime")
    policy = build_policy(Sources(SPEC, make_config(memory=memory))).eval()
    written = []
    for name in ("first", "second"):
        signature = export.signature_of(policy, SPEC, "value")
        step = export.write(policy, signature, "onnx", tmp_path / name)
        for batch in (1, 3):
            given = {port.name: port.zeros(batch) for port in signature.inputs}
            assert all(out.shape[0] == batch for out in step(given)[:2])
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]


def test_parts_of_one_tensor_are_kept_each_by_itself(tmp_path):
    whole = torch.arange(8.0)
    save_tensors(tmp_path / "halves.safetensors", {"first": whole[:4], "second": whole[4:], "odd": whole[1::2]})
    kept = load_tensors(tmp_path / "halves.safetensors")
    assert kept["first"].tolist() + kept["second"].tolist() == whole.tolist()
    assert kept["odd"].tolist() == [1.0, 3.0, 5.0, 7.0]


def test_a_report_draws_from_a_generator_of_its_own():
    from scripts.reporting.statistics import Estimate

    found = []
    for seed in (0, 1):
        np.random.seed(seed)
        before = np.random.get_state()[1].tolist()
        found.append(Estimate.of([0.1, 0.5, 0.7, 0.8, 0.9]).mean)
        assert np.random.get_state()[1].tolist() == before
    assert found[0] == found[1]


def test_no_config_derives_a_field():
    """A reference of ml-collections' that computes; a plain shared one has no operations."""
    uses = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in (ROOT / "configs").rglob("*.py")
        for name in re.findall(r"FieldReference|get_ref|get_oneway_ref|placeholder", path.read_text())
    ]
    assert uses == []


def test_a_search_draws_within_its_fields():
    sources = [path.read_text() for path in (ROOT / "scripts/sweeping").glob("*.py")]
    assert not any("enqueue_trial" in source for source in sources)
    assert any(".ask(self.distributions)" in source for source in sources)


def test_the_page_of_environments_asks_for_a_mujoco_that_works():
    page = (ROOT / "docs/environments.md").read_text()
    assert "gymnasium-robotics 'mujoco<3.7'" in page
    assert "../findings/mujoco_enum_equals_a_number_one_way_only.sh" in page


def lines():
    """The cells of every line of the page's tables."""
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and "---" not in line]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows if not row.startswith("| Library")]


def test_every_line_names_a_version_and_a_test_that_there_is():
    defined = {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    }
    assert len(lines()) > 20
    for library, _, _, held in lines():
        assert re.search(r"\d+\.\d+", library), library
        tests = re.findall(r"`(test_\w+)`", held)
        assert tests, library
        assert set(tests) <= defined, held


def test_the_page_links_every_finding():
    linked = re.findall(r"\]\(\.\./findings/(\w+\.sh)\)", PAGE.read_text())
    assert sorted(linked) == [path.name for path in FINDINGS]


@pytest.mark.parametrize("path", FINDINGS, ids=lambda path: path.stem)
def test_a_finding_is_a_script_of_pinned_packages_without_our_code(path):
    """It is run by hand: it asks the network for its packages."""
    assert path.stat().st_mode & 0o100
    subprocess.run(["bash", "-n", path], check=True)
    text = path.read_text()
    asked = re.search(r"pip install (.*) \|\|", text)[1]
    packages = re.findall(r"""['"]([^'"]+==[^'"]+)['"]""", asked)
    assert packages
    assert all(re.fullmatch(r"[\w\-\[\],]+==([\d.]+|\$version)", package) for package in packages)
    assert re.search(r"^# Seen: ", text, re.M)
    tree = ast.parse(re.search(r"<<'PYTHON'\n(.*?)^PYTHON$", text, re.M | re.S)[1])
    assert any(isinstance(node, ast.Assert) for node in ast.walk(tree)), "it cannot fail"
    roots = {name.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    roots |= {node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not roots & {"benchmarks", "buffers", "configs", "envs", "policies", "scripts", "torchkit", "utils"}


def test_rliable_gets_a_pandas_that_it_can_import():
    asked = (ROOT / "pyproject.toml").read_text()
    assert re.search(r'"pandas.*<3"', asked)
    importlib.import_module("rliable.library")


def test_the_core_asks_for_what_its_extras_forget():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert any(re.match(r"pillow\b", asked) for asked in project["dependencies"])


def test_an_observation_that_says_nothing_leaves_the_belief_as_the_rules_move_it():
    switch = np.array([[0.95, 0.05], [0.05, 0.95]])
    says_nothing = np.full((2, 2), 0.5)
    names = ("fast", "slow"), ("wait",), ("a", "b")
    start = np.array([1.0, 0.0])
    modes = FinitePOMDP(start, (switch,), None, (says_nothing,), np.zeros((2, 1)), 0.9, *names, first_SO=says_nothing)
    beliefs = Filter(modes).episode(np.array([0, 1, 0, 1]), np.zeros(3, np.intp), False)
    np.testing.assert_allclose(beliefs[:, 0], [1, 0.95, 0.905, 0.8645], rtol=1e-12)
