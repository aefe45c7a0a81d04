"""`{}` in place of every JSON file that a script reads: one line that names the file, or it was not needed."""

import shutil

import pytest

from tests.fuzz.lines import TINY_COLLECT, TINY_PRETRAIN, TINY_TRAIN
from tests.helpers.scripts import assert_refused

ENCODERS = (
    "--config_rl=configs/rl/dqn.py:mi",
    "--run_name=mi",
    "--state_embedder_dir={repr}",
    "--obs_embedder_dir={repr}",
)


def words(table, **changed):
    flags = {name: value.replace("{name}", "run") for name, value in table.items()} | changed
    return [f"--{name}={value}" for name, value in flags.items()]


SCRIPTS = {
    "collect": ("main_collect_data.py", *words(TINY_COLLECT, data_path="{data}")),
    "pretrain": ("main_pretrain_representations.py", *words(TINY_PRETRAIN, save_dir="{repr}")),
    "train": ("main.py", *words(TINY_TRAIN, group="g")),
    "seeds": ("main.py", *words(TINY_TRAIN, group="g", run_name="run", num_seeds="2", seed="41")),
    "replay": ("main.py", *words(TINY_TRAIN), "--policy_dir={run}"),
    "export": ("scripts/export.py", "{run}", "--episodes=1", "--out={tmp}/policy.onnx"),
    "inspect": ("scripts/inspect_episode.py", "{run}", "--episodes=1"),
    "publish": ("scripts/publish.py", "{run}", "--out={tmp}/published"),
    "report": ("scripts/report.py", "{run}", "--out={tmp}/report"),
    "results": ("scripts/results.py", "{run}", "--page={tmp}/page.md"),
    "refresh": ("scripts/results.py", "--page={tmp}", "--refresh"),
}
REFUSED = {
    ("train", "{run}/summary.json"): "--save_dir: {run}/summary.json is damaged",
    ("train", "{run}/config.json"): "--run_name: {run} already holds a run, but its config.json is damaged",
    ("train", "{repr}/s_encoder.json"): "--state_embedder_dir: {repr}/s_encoder is damaged",
    ("seeds", "{tmp}/logs/g/run_s42/summary.json"): "--save_dir: {tmp}/logs/g/run_s42/summary.json is damaged",
    ("replay", "{run}/policy/policy.json"): "--policy_dir: the policy in {run}/policy is damaged",
    ("export", "{run}/policy/policy.json"): "--run: the policy in {run}/policy is damaged",
    ("inspect", "{run}/policy/policy.json"): "--run: the policy in {run}/policy is damaged",
    ("publish", "{run}/policy/policy.json"): "--run: the policy in {run}/policy is damaged",
    ("report", "{run}/config.json"): "--runs: {run}/config.json is damaged",
    ("report", "{run}/summary.json"): "--runs: {run}/summary.json is damaged",
    ("results", "{run}/config.json"): "--runs: {run}/config.json is damaged",
    ("results", "{run}/summary.json"): "--runs: {run}/summary.json is damaged",
    ("refresh", "{tmp}/page.json"): "--page: {tmp}/page.json is not what a page of results is made of",
    ("pretrain", "{repr}/config.json"): "--save_dir: {repr} already holds a run, but its config.json is damaged",
    ("pretrain", "{data}/data/metadata.json"): "--data_path: the dataset at {data} is damaged, or none of Minari's",
}
NOT_NEEDED = (
    ("pretrain", "{repr}/summary.json"), ("pretrain", "{repr}/report.json"), ("train", "{run}/policy/policy.json"),
    ("export", "{run}/config.json"), ("inspect", "{run}/config.json"), ("inspect", "{run}/summary.json"),
    ("replay", "{run}/config.json"),
)  # fmt: skip


@pytest.fixture(scope="module")
def whole(scripts, tmp_path_factory):
    """A data set, encoders, and a run of each script that can be read again."""
    folder = tmp_path_factory.mktemp("whole")
    for name in ("collect", "pretrain", "train"):
        done = call(scripts, folder, name)
        assert done.returncode == 0, done.stderr
    return folder


def places(tmp):
    return {"tmp": tmp, "data": tmp / "data", "repr": tmp / "repr", "run": tmp / "logs/g/run"}


def call(scripts, tmp, name, *more):
    script, *flags = SCRIPTS[name]
    return scripts.run(script, *(flag.format(**places(tmp)) for flag in (*flags, *more)))


@pytest.mark.parametrize(("name", "file"), [*REFUSED, *NOT_NEEDED])
def test_an_empty_object_is_one_line_or_not_needed(scripts, whole, tmp_path, name, file):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    path = tmp_path / file.format(**places(tmp_path)).removeprefix(f"{tmp_path}/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    done = call(scripts, tmp_path, name, *(ENCODERS if "s_encoder" in file else ()))
    if (name, file) in REFUSED:
        assert_refused(done, REFUSED[name, file].format(**places(tmp_path)))
    else:
        assert done.returncode == 0, done.stderr


SEEDED = ("collect", "pretrain", "train", "replay", "export", "inspect")


@pytest.mark.parametrize("name", SEEDED)
@pytest.mark.parametrize("seed", [2**64, 2**63, -1, -(2**64)])
def test_a_seed_that_no_generator_takes_is_refused(scripts, tmp_path, name, seed):
    assert_refused(call(scripts, tmp_path, name, f"--seed={seed}"), f"--seed={seed}")


def test_the_greatest_seed_runs_and_has_none_after_it(scripts, tmp_path):
    greatest = f"--seed={2**63 - 1}"
    for name in ("collect", "train"):
        done = call(scripts, tmp_path, name, greatest)
        assert done.returncode == 0, done.stderr
    assert_refused(call(scripts, tmp_path, "seeds", greatest), "--num_seeds")
