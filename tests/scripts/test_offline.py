"""Learning from data that others recorded, as the user calls it: `main.py --data_path=ID`."""

import json

import numpy as np
import pytest

from tests.helpers.recorded import record
from tests.helpers.scripts import assert_refused

ENV = (
    "--config_env=configs/envs/third_party.py:any",
    "--config_env.id=Odd-v0",
    "--config_env.module=tests.helpers.recorded",
    "--config_env.obs_keys=place,coin",
    "--config_env.state_fn=",
)
SMALL = (
    *("--config_rl.batch_size=2", "--config_rl.head_dims=(8,)", "--config_seq.kwargs.out_dim=8", "--num_envs=2"),
    *("--eval_episodes=2", "--film_episodes=0", "--train_episodes=1"),
)


@pytest.fixture
def call(tmp_path, monkeypatch, scripts):
    root = tmp_path / "root"
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root))
    record("odd/coins-v0", episodes=4)

    def run(row, *flags):
        words = (f"--config_rl=configs/rl/offline.py:{row}", *ENV, *SMALL, f"--save_dir={tmp_path}", *flags)
        return scripts.run("main.py", *words, MINARI_DATASETS_PATH=str(root))

    return run


def test_a_recorded_data_set_is_learned_from_and_then_envs_besides(call, tmp_path):
    common = ("aawr", "--config_env.data.state=infos/hidden/fact", "--run_name=run", "--config_rl.num_updates=3")
    then = ("--config_rl.learns_from=stored_then_envs", "--config_rl.updates_per_step=0.5")
    done = call(*common, *then, "--data_path=odd/coins-v0")
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "default/run/summary.json").read_text())
    assert (summary["updates"], summary["env_steps"]) == (3 + 5, 10)
    config = json.loads((tmp_path / "default/run/config.json").read_text())["config"]
    assert config["run"]["data_path_sha256"]
    again = call(*common, *then, "--data_path=odd/coins-v0", "--train_episodes=2")  # from the checkpoint
    assert again.returncode == 0, again.stderr
    summary = json.loads((tmp_path / "default/run/summary.json").read_text())
    assert (summary["updates"], summary["env_steps"]) == (3 + 10, 20)
    more = ("aawr", *common[1:3], "--config_rl.num_updates=9")  # there have been envs since the first three
    refused = call(*more, *then, "--data_path=odd/coins-v0", "--train_episodes=2")
    assert_refused(refused, "already holds a run with rl.num_updates = 3, not 9; choose another --run_name")
    idle = (*common[:2], "--run_name=idle", *then, "--config_rl.updates_per_step=0.05", "--data_path=odd/coins-v0")
    refused = call(*idle, "--train_episodes=1")  # of 10 steps
    assert_refused(refused, "--updates_per_step=0.05: the 10 steps of --train_episodes=1 earn no update, so that none")
    record("odd/others-v0", episodes=3)
    refused = call(*common, *then, "--data_path=odd/others-v0", "--train_episodes=2")
    assert_refused(refused, "already holds a run with run.data_path_sha256")


def test_states_that_critics_want_and_success_that_there_is_none_of(call, tmp_path):
    assert_refused(
        call("aawr", "--data_path=odd/coins-v0", "--run_name=asks"),
        "config_env.data.state: --data_path has no states, which critics or losses read; say where they are",
    )
    assert_refused(call("bc", "--run_name=none"), "--data_path: needed by offline:bc")

    def fails(number, one):
        one["infos"]["success"] = np.zeros_like(one["infos"]["success"])

    record("odd/failed-v0", episodes=2, spoil=fails)
    done = call("bc", "--data_path=odd/failed-v0", "--run_name=failed", "--config_rl.num_updates=2")
    assert done.returncode == 0, done.stderr
    assert "warning: --data_path: the dataset has no success in 2 episodes" in done.stderr


def test_signals_are_asked_of_recorded_data_sets_that_tell_states(call, scripts, tmp_path):
    words = (*ENV, "--data_path=odd/coins-v0", f"--out={tmp_path / 'signals'}", "--trees=2", "--permutations=19")
    root = str(tmp_path / "root")
    refused = scripts.run("scripts/signals.py", *words, MINARI_DATASETS_PATH=root)
    assert_refused(refused, "--data_path: the dataset has 4 episodes; at least 10 are needed")
    record("odd/more-v0", episodes=12)
    words = (*words, "--data_path=odd/more-v0")
    refused = scripts.run("scripts/signals.py", *words, MINARI_DATASETS_PATH=root)
    assert_refused(refused, "config_env.data.state: --data_path has no states")
    done = scripts.run(
        "scripts/signals.py", *words, "--config_env.data.state=infos/hidden/fact", MINARI_DATASETS_PATH=root
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "signals/signals.json").exists()


def test_what_says_nothing_without_an_expert_is_told(call):
    """Whose episodes others have recorded is not known."""
    guard = "--config_rl.auxiliary.use_actor=('observation_cloning',)"
    for flags, told in (((guard,), True), ((), False)):
        done = call("bc", "--config_rl.num_updates=1", "--data_path=odd/coins-v0", f"--run_name=told_{told}", *flags)
        assert done.returncode == 0, done.stderr
        assert ("warning: --data_path: no episode is said to be an expert's" in done.stderr) == told


def test_what_does_not_fit_into_memory_is_learned_from_all_the_same(call, tmp_path):
    common = ("awr", "--config_rl.num_updates=6", "--data_path=odd/coins-v0")
    for name, flags in (("whole", ()), ("some", ("--max_rows=15",))):  # of 20 rows
        done = call(*common, f"--run_name={name}", *flags)
        assert done.returncode == 0, done.stderr
    runs = [tmp_path / "default" / name for name in ("whole", "some")]
    metrics = [[json.loads(line) for line in (run / "metrics.jsonl").open()] for run in runs]
    timeless = [[{k: v for k, v in line.items() if not k.startswith("clock/")} for line in run] for run in metrics]
    assert timeless[0] == timeless[1]
    weights = [(run / "policy" / "policy.safetensors").read_bytes() for run in runs]
    assert weights[0] == weights[1]
    longer = call(*common, "--run_name=some", "--config_rl.num_updates=9", "--max_rows=16")
    assert longer.returncode == 0, longer.stderr
    whole = call(*common, "--run_name=whole", "--config_rl.num_updates=9")
    assert whole.returncode == 0, whole.stderr
    weights = [(run / "policy" / "policy.safetensors").read_bytes() for run in runs]
    assert weights[0] == weights[1]


def test_a_bound_that_cannot_be_is_one_line(call):
    common = ("awr", "--config_rl.num_updates=2", "--data_path=odd/coins-v0", "--run_name=refused")
    assert_refused(call(*common, "--max_rows=14"), "--max_rows=14: 2 episodes at once of up to 4 steps need 15")
    assert_refused(call(*common, "--max_rows=0"), "--max_rows")
    then = "--config_rl.learns_from=stored_then_envs"
    assert_refused(call(*common, then, "--max_rows=15"), "--max_rows=15: beside episodes that are played")
