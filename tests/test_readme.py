"""README.md and docs/ keep their word: every command is run, every worked example is made and used.

Commands run as they stand with `SMALLER` appended, since the last of two equal flags counts: the user's line is
parsed and only its budget shrinks; scripts start in a process that has imported what they import, `make` runs in the
present environment, and what reads the authors' files, in published/, only where a machine has them. A command that
this file does not know fails. The files and edits of the worked examples are made in a copy of the repository; an
edit is a diff of context, `-` and `+` lines.
"""

import ast
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import tomllib
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from tests.helpers.published import WEIGHTS
from tests.helpers.scripts import Scripts

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", *(p for p in ROOT.glob("docs/**/*.md") if "results" not in p.parts)])
PACKAGES = ("buffers", "configs", "envs", "policies", "scripts", "torchkit", "utils")
SMALLER = {
    "main_collect_data.py": ("--episodes=20", "--num_envs=10"),
    "main_pretrain_representations.py": (
        "--num_epochs=1", "--config_repr.batch_size=50", "--config_repr.hidden_dim=16", "--report_steps=20",
    ),
    "main.py": (
        "--train_episodes=1", "--start_training=2", "--num_envs=2", "--eval_episodes=2", "--film_episodes=1",
        "--config_rl.batch_size=2", "--config_rl.updates_per_step=0.05",
    ),
    "scripts/solve.py": ("--time_limit=5",),
    "scripts/report.py": (),
    "scripts/sweep.py": ("--dry_run",),  # checks every command of it; tests/scripts/sweeping runs this one
    "scripts/inspect_episode.py": ("--episodes=1",),
    "scripts/gauge.py": ("--episodes=16",),
    "scripts/signals.py": ("--trees=2", "--permutations=19"),
    "scripts/export.py": ("--episodes=5",),
    "scripts/publish.py": (),
}  # fmt: skip
MAKE = {
    "run": (
        f"COLLECT_ARGS={shlex.join((*SMALLER['main_collect_data.py'], '--random_episodes=10'))}",
        f"PRETRAIN_ARGS={shlex.join(SMALLER['main_pretrain_representations.py'])}",
        f"TRAIN_ARGS={shlex.join((*SMALLER['main.py'], '--start_expert_training=2'))}",
    ),
    "test": ("ARGS=-n 0 tests/utils/test_progress.py",),
    "clean-demo": (),
}  # fmt: skip
LEFT_OUT = {"source .venv/bin/activate"}  # the tests run in an environment of their own
LIMIT = 180  # seconds of a command
OFFLINE = {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "CUDA_VISIBLE_DEVICES": ""}
ALONE = {"scripts/deployed.py"}  # an interpreter of its own: it does without torch
RUN_ELSEWHERE = {"docs/robot_domains.md": "tests/scripts/test_robot.py"}
BLOCK = re.compile(r"(?:^\*\*`(?P<path>[^`]+)`\*\*\n\n)?^```(?P<kind>\w*)\n(?P<body>.*?)^```$", re.M | re.S)


class Block(NamedTuple):
    """A fenced block and, for an example, the file that it makes or edits."""

    page: str
    kind: str
    body: str
    path: str | None


def blocks_of(page):
    name = str(page.relative_to(ROOT))
    return [Block(name, m["kind"], m["body"], m["path"]) for m in BLOCK.finditer(page.read_text())]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def commands(page):
    """The page's command lines, continued ones as one."""
    bodies = [b.body for b in BLOCKS if b.kind == "bash" and b.page == page]
    return [line.strip() for body in bodies for line in body.replace("\\\n", " ").splitlines() if line.strip()]


def smaller(words):
    """The flags to append; the random episodes shrink with all of them."""
    script = words[1]
    flags = list(SMALLER[script])
    given = dict(word.split("=", 1) for word in words[2:] if "=" in word)
    if "--random_episodes" in given:
        flags.append(f"--random_episodes={20 * int(given['--random_episodes']) // int(given['--episodes'])}")
    if "--start_expert_training" in given:
        flags.append("--start_expert_training=2")
    if "--data_path" in given and script == "main.py":  # learns from stored episodes: its clock is updates
        flags = [flag for flag in flags if "updates_per_step" not in flag] + ["--config_rl.num_updates=3"]
        flags += ["--config_rl.updates_per_step=0.05"] * ("--config_rl.learns_from" in given)
    if "--policy_dir" in given:
        flags = [flag for flag in flags if not flag.startswith("--config_rl")]
    return flags


def run(line, cwd, scripts, root=ROOT, **env):
    """Runs one command of a page in `cwd` by the scripts in `root`; fails on one that nobody has thought of."""
    if line in LEFT_OUT:
        return None
    words = shlex.split(line)
    if "=published/" in line:
        if not WEIGHTS.is_dir():
            return None
        if not (cwd / "published").exists():
            (cwd / "published").symlink_to(WEIGHTS)
    for word in words:
        kept = word.partition("=pretrained/")[2]  # it gets a film
        if word.startswith("--policy_dir=") and (ROOT / "pretrained" / kept).is_dir() and kept:
            shutil.copytree(ROOT / "pretrained" / kept, cwd / "pretrained" / kept, dirs_exist_ok=True)
    if words[0] == "make" and words[1] in MAKE:  # in the present environment, with nothing to set up
        words += ["READY=", "RUN_READY=", f"PY={sys.executable}", f"DEMO={cwd / 'logs/demo'}", *MAKE[words[1]]]
        cwd = ROOT
    elif words[0] == "python" and words[1] in ALONE:
        words = [sys.executable, str(root / words[1]), *words[2:]]
    elif words[0] == "python" and words[1] in SMALLER:
        process = scripts.start(*words[1:], *smaller(words), cwd=cwd, **OFFLINE, **env)
        limit = threading.Timer(LIMIT, process.kill, (signal.SIGKILL,))
        limit.start()
        done = process.wait()
        limit.cancel()
        assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done
    elif words[0] == "tensorboard":  # as a server it would never end: it says what it would show
        words = [sys.executable, "-m", "tensorboard.main", *words[1:], "--inspect"]
    else:
        pytest.fail(f"no test knows how to run {line!r}: teach tests/test_readme.py")
    env = os.environ | {"OMP_NUM_THREADS": "1", **OFFLINE, **env}
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done


def apply(block, root):
    """Makes the file of a python block, or the edit of a diff block."""
    path = root / block.path
    if block.kind == "python":
        assert not path.exists(), f"{block.page}: {block.path} is there already; show the edit as a diff"
        path.write_text(block.body)
        return
    lines = block.body.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line[0] in " -")
    after = "".join(line[1:] for line in lines if line[0] in " +")
    text = path.read_text()
    assert text.count(before) == 1, f"{block.page}: the diff of {block.path} does not fit the file:\n{before}"
    path.write_text(text.replace(before, after))


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A copy of the repository with every worked example in it."""
    root = tmp_path_factory.mktemp("extended")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("*.pyc"))  # with compiled kernels
    for file in (*(path.name for path in ROOT.glob("*.py")), "pyproject.toml"):
        shutil.copy(ROOT / file, root / file)
    for block in BLOCKS:
        if block.path is not None:
            apply(block, root)
    return root


def test_every_block_is_one_that_is_tested():
    assert {b.kind for b in BLOCKS} <= {"bash", "python", "diff", "bibtex"}
    untitled = [b.body for b in BLOCKS if (b.path is None) == (b.kind in ("python", "diff"))]
    assert not untitled, "an example says which file it is of, in bold above the block"
    fences = sum(page.read_text().count("\n```") for page in PAGES)
    assert fences == 2 * len(BLOCKS), "a block that the pattern of this test does not see"


def test_the_readme_begins_with_the_two_commands():
    assert commands("README.md")[:2] == ["make run", "make test"]


def assert_complete(folder):
    for name in ("config.json", "metrics.jsonl", "summary.json", "learning_curve.png", "policy", "checkpoint"):
        assert (folder / name).exists(), f"{name} is promised"
    assert list((folder / "films").glob("*.gif"))


def test_make_does_what_the_readme_says(tmp_path, scripts):
    for line in commands("README.md"):
        if line.startswith("make "):
            run(line, tmp_path, scripts)
    assert_complete(tmp_path / "logs/demo/policy")
    run("make clean-demo", tmp_path, scripts)
    assert not (tmp_path / "logs/demo").exists()


def test_every_other_command_of_the_readme_works(tmp_path, scripts):
    for line in commands("README.md"):
        if not line.startswith("make "):
            run(line, tmp_path, scripts)
    assert_complete(tmp_path / "logs/default/mi")
    assert (tmp_path / "logs/representations/heaven_hell/report.md").is_file()


def test_the_wandb_sweep_calls_main_as_its_agent_would(tmp_path, scripts):
    sweep = yaml.safe_load((ROOT / "docs/wandb_sweep.yaml").read_text())
    assert sweep["metric"]["name"] == "eval/success"
    args = [f"--{name}={choices['values'][-1]}" for name, choices in sweep["parameters"].items()]
    macros = {"${env}": [], "${program}": [sweep["program"]], "${args}": args}
    words = [word for part in sweep["command"] for word in macros.get(part, [part])]
    run(shlex.join(words), tmp_path, scripts, WANDB_SWEEP_ID="a1b2", WANDB_RUN_ID="c3d4")
    assert_complete(tmp_path / "logs/search/HeavenHell-v0_dqn-history_gru_s2_c3d4")
    assert list(tmp_path.glob("logs/search/*/wandb/offline-run-*-c3d4"))


def test_every_command_of_the_other_pages_works_and_the_examples_take_part(extended):
    with closing(Scripts(extended)) as scripts:
        for name in (str(page.relative_to(ROOT)) for page in PAGES[1:]):
            for line in commands(name) if name not in RUN_ELSEWHERE else ():
                run(line, extended, scripts, extended)
    folder = extended / "logs/default/together"  # the example env, memory, auxiliary loss, reward and method in one
    rows = [json.loads(text) for text in (folder / "metrics.jsonl").read_text().splitlines()]
    assert any(row.get("bonus/observation_change", 0) > 0 for row in rows)
    assert any("loss/reward_prediction" in row for row in rows)
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["env"], summary["method"], summary["memory"]) == ("Signpost-v0", "dqn:restless", "moving_average")
    cloned = extended / "logs/default/cloned"  # the example family: no env step is its own
    rows = [json.loads(text) for text in (cloned / "metrics.jsonl").read_text().splitlines()]
    assert any("loss/cloning" in row and "loss/self_prediction" in row for row in rows)
    summary = json.loads((cloned / "summary.json").read_text())
    assert (summary["env_steps"], summary["updates"]) == (0, rows[-1]["updates"])
    assert json.loads((cloned / "config.json").read_text())["config"]["run"]["data_path_sha256"]


def test_the_example_memory_keeps_its_contract(extended):
    check = """
from torchkit.sequence import MEMORIES, check_memory
check_memory(MEMORIES["moving_average"](3, 5), 3)
"""
    subprocess.run([sys.executable, "-c", check], cwd=extended, check=True, timeout=60)


def test_the_examples_keep_the_rules_of_the_code(extended):
    made = sorted({block.path for block in BLOCKS if block.path is not None})
    for options in (("check",), ("format", "--check")):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *options, *made], cwd=extended, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def table_of(file, name):
    """The keys of a dict literal in a source file, which is not imported."""
    for node in ast.parse((ROOT / file).read_text()).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == name:
            return [ast.literal_eval(key) for key in node.value.keys]
    raise LookupError(name)


def test_the_readme_names_everything_there_is():
    text = (ROOT / "README.md").read_text()
    families = ("dqn", "sac", "a2c", "offline", "distill", "dreamer")
    there = [name for family in families for name in table_of(f"configs/rl/{family}.py", "VARIANTS")]
    there += table_of("torchkit/sequence/__init__.py", "MEMORIES")
    there += [path.stem for folder in ("envs", "seq") for path in (ROOT / "configs" / folder).glob("[a-z]*.py")]
    there += tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert [name for name in there if f"`{name}`" not in text] == []


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
            waits_for_numbers = "docs/results" in target and "| – |" in page.read_text()
            found = target.startswith("http") or waits_for_numbers or (page.parent / target).exists()
            assert found, f"{page.name}: {target} leads nowhere"
