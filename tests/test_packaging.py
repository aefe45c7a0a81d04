"""The package as pip builds it, and what is told where an optional package is not there."""

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from types import SimpleNamespace

import pytest
import torch

from buffers import dataset
from envs.make import make_env
from policies.deployed import export
from policies.representation import run as representation
from scripts.sweeping import cluster
from scripts.sweeping.plan import FLAG
from scripts.sweeping.search import Search
from tests.helpers.configs import config_named
from tests.helpers.scripts import ROOT
from torchkit import fast
from torchkit.fast.dense import is_fast
from torchkit.fast.gelu import gelu
from torchkit.networks import mlp
from torchkit.sequence import GRU
from utils import optional
from utils.command import SCRIPTS
from utils.errors import UserError
from utils.optional import EXTRAS, NAMES

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "requirements.txt").read_text(), re.M)
PACKAGES = ("buffers", "configs", "envs", "policies", "scripts", "torchkit", "utils")
BLOCK = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in {sorted(EXTRAS)}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
"""


def names(requirements):
    return {re.match(r"[\w-]+", one)[0].lower().replace("_", "-") for one in requirements}


def test_the_lock_pins_all_that_is_asked_for_and_the_bounds_admit_it():
    pinned = {name.lower().replace("_", "-"): version for name, version in LOCK}
    asked = [*PROJECT["dependencies"], *(one for extra in PROJECT["optional-dependencies"].values() for one in extra)]
    assert names(asked) <= pinned.keys()
    for one in asked:
        name, least = re.match(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)", one).groups()
        numbers = [[int(part) for part in version.split(".")] for version in (least, pinned[name])]
        assert numbers[0] <= numbers[1], one
    text = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and line[0] != "#"]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+( ; python_version < \"3.12\")?", line) for line in text)


def test_every_optional_module_is_of_the_extra_that_is_named():
    extras = {extra: names(asked) for extra, asked in PROJECT["optional-dependencies"].items()}
    extras["offline"].add("h5py")  # of minari[hdf5]
    assert all(NAMES.get(module, module) in extras[extra] for module, extra in EXTRAS.items())
    core = names(PROJECT["dependencies"])
    assert not core & {NAMES.get(module, module) for module in EXTRAS}


def test_the_core_imports_none_of_the_extras_by_itself():
    """At the top of a module, where whoever imports that module would need them."""
    allowed = {"envs/robot": {"pybullet"}, "torchkit/fast/kernels.py": {"numba"}}
    pattern = re.compile(rf"^(?:import|from) ({'|'.join(EXTRAS)})\b", re.M)
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = str(path.relative_to(ROOT))
            found = set(pattern.findall(path.read_text()))
            assert found <= next((set(some) for part, some in allowed.items() if name.startswith(part)), set()), name


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """What `pip install .` puts among the packages, and beside it a folder in which no extra can be imported."""
    root = tmp_path_factory.mktemp("installed")
    source = root / "source"
    source.mkdir()
    for path in (*PACKAGES, "main.py", "main_collect_data.py", "main_pretrain_representations.py"):
        (source / path).symlink_to(ROOT / path)
    for path in ("pyproject.toml", "README.md", "LICENSE"):
        (source / path).write_bytes((ROOT / path).read_bytes())
    command = [sys.executable, "-c", f"from setuptools import build_meta as b; print(b.build_wheel({str(root)!r}))"]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,) = root.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(root / "packages")
    (root / "packages/sitecustomize.py").write_text(BLOCK)
    return root / "packages"


def call(installed, cwd, script, *flags, code=0):
    words = [sys.executable, "-c", "from utils.command import main; main()", script, *flags]
    env = os.environ | {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stdout[-1000:] + done.stderr[-2000:]
    return done


def test_the_package_holds_every_module_and_page_and_nothing_else(installed):
    there = {str(path.relative_to(installed)) for path in installed.rglob("*") if path.is_file()}
    there = {name for name in there if ".dist-info" not in name and "__pycache__" not in name}
    wanted = {str(p.relative_to(ROOT)) for name in PACKAGES for p in (ROOT / name).rglob("*") if p.is_file()}
    wanted = {name for name in wanted if "__pycache__" not in name}
    assert there == wanted | {path.name for path in ROOT.glob("main*.py")} | {"sitecustomize.py"}


HEAVEN = "--config_env=configs/envs/heaven_hell.py"
SMALL = (
    "--train_episodes=1", "--start_training=2", "--num_envs=2", "--eval_episodes=2", "--film_episodes=1",
    "--config_rl.batch_size=2", "--config_rl.updates_per_step=0.02",
)  # fmt: skip


def test_the_core_alone_trains_plays_and_reports_from_any_folder(installed, tmp_path):
    trained = call(installed, tmp_path, "train", HEAVEN, *SMALL, "--run_name=core")
    told = [line for line in trained.stderr.splitlines() if "numba" in line]
    extra = "numba is not installed; pip install numba, or all of the extra [fast]"
    assert told == [f"warning: slower on a CPU than it could be: {extra}"]
    summary = json.loads((tmp_path / "logs/default/core/summary.json").read_text())
    assert summary["env"] == "HeavenHell-v0"
    call(installed, tmp_path, "report", "logs", "--out=report")
    assert (tmp_path / "report/report.html").is_file()


def said_by(do, *args, **kwargs):
    with pytest.raises(UserError) as caught:
        do(*args, **kwargs)
    return str(caught.value)


@pytest.fixture
def without(monkeypatch):
    """Has one module be missing."""

    def forget(module):
        for place in (optional, fast):
            monkeypatch.setattr(place, "is_installed", lambda name: name != module)

    return forget


def line_of(module, package=None):
    package = package or module
    return f"{package} is not installed; pip install {package}, or all of the extra [{EXTRAS[module]}]"


def test_what_is_missing_is_told_in_one_line_before_any_work(without, tmp_path):
    for module in ("h5py", "minari"):
        without(module)
        assert said_by(dataset.check_destination, tmp_path / "data") == f"--data_path: {line_of(module)}"
        assert said_by(dataset.read_dataset, tmp_path / "data", flag="--demos") == f"--demos: {line_of(module)}"
    without("sklearn")
    settings = representation.Settings("data", str(tmp_path / "out"))
    said = said_by(representation.pretrain, None, None, settings, [])
    assert said == f"the report of stage 2: {line_of('sklearn', 'scikit-learn')}"
    without("onnxruntime")
    assert said_by(export.write, None, None, "onnx", tmp_path / "step") == f"--format=onnx: {line_of('onnxruntime')}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", ["optuna", "submitit", "pybullet"])
def test_what_cannot_be_imported_is_told_likewise(module, monkeypatch, tmp_path):
    for name in list(sys.modules):
        if name.split(".")[0] == module or name.startswith("envs.robot"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    if module == "pybullet":
        said = said_by(make_env, config_named("envs", "robot"))
        assert said == f"config_env.id: cannot make BlockPulling-v0 ({line_of(module)})"
    elif module == "submitit":
        assert said_by(cluster.import_submitit) == f"--cluster=slurm: {line_of(module)}"
    else:
        assert said_by(Search, SimpleNamespace(folder=tmp_path)) == f"{FLAG}: search: {line_of(module)}"


def test_without_a_compiler_torch_does_the_same_and_one_line_says_so(without):
    x = torch.randn(3, 4, 5)
    memory = GRU(5, 6)
    fast.has_compiler.cache_clear()
    layers, rows = mlp(5, (6,), 2), torch.randn(40, 5)
    one_thread = torch.get_num_threads() == 1
    assert is_fast(rows) == one_thread
    outputs = [(gelu(x), memory.encode(x), layers(rows))]
    without("numba")
    fast.has_compiler.cache_clear()
    try:
        with pytest.warns(UserWarning) as told:
            assert not is_fast(rows)
            outputs.append((gelu(x), memory.encode(x), layers(rows)))
        assert [str(one.message) for one in told] == [f"slower on a CPU than it could be: {line_of('numba')}"]
    finally:
        fast.has_compiler.cache_clear()
    for ours, theirs in zip(*outputs, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_wrong_word_is_answered_with_the_right_ones(installed, tmp_path):
    done = call(installed, tmp_path, "trein", code=2)
    assert done.stderr == f"error: unknown script 'trein' (did you mean 'train'?); choose from {', '.join(SCRIPTS)}\n"


def test_the_command_lists_its_scripts_and_each_has_help(installed, tmp_path):
    listed = call(installed, tmp_path, "--help").stdout
    scripts = re.findall(r"^  (\w+) ", listed, re.M)
    assert scripts == list(SCRIPTS)
    there = {path.stem for path in ROOT.glob("main*.py")}
    there |= {f"scripts.{path.stem}" for path in (ROOT / "scripts").glob("*.py") if "run(main" in path.read_text()}
    assert {module for module, _ in SCRIPTS.values()} == there
    assert "--config_env" in call(installed, tmp_path, "train", "--help").stdout


def test_make_installs_the_core_and_what_three_stages_need():
    makefile = (ROOT / "Makefile").read_text()
    (snippet,) = re.findall(r"define ASKED\n(.*?)endef", makefile, re.S)
    done = subprocess.run([sys.executable, "-c", snippet, "offline"], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split("\n")[:-1] == [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["offline"]]
    assert re.search(r"^run: \$\(RUN_READY\)$", makefile, re.M)
    every = re.search(r"call install,\$\(ROBOT\) (.*)\)", makefile)[1].split()
    assert {"robot", *every} == PROJECT["optional-dependencies"].keys()


def test_the_image_copies_all_that_the_package_is_built_from():
    copied = " ".join(re.findall(r"^COPY (.*) /source", (ROOT / "Dockerfile").read_text(), re.M)).split()
    files = {
        "pyproject.toml",
        "requirements.txt",
        "README.md",
        "LICENSE",
        *(path.name for path in ROOT.glob("main*.py")),
    }
    assert set(copied) == files | set(PACKAGES)
