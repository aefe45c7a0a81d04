"""scripts/solve.py as a user calls it: bounds, what is kept, and that the policy is one like any other."""

import json
import signal
import time

import pytest

from configs.envs import pomdp_file
from scripts.solving import report_of_bounds, solve_by_bounds, was_to_keep_none
from tests.helpers.scripts import ROOT, assert_refused, wait_until
from utils.errors import UserError
from utils.run import Run

TIGER = ROOT / "configs/envs/tiger.pomdp"
OF_TIGER = ("--config_env=configs/envs/pomdp_file.py", f"--config_env.kwargs.path={TIGER}")


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_file_is_solved_and_its_policy_played_and_exported(scripts, tmp_path):
    flags = (TIGER, f"--save_dir={tmp_path}", "--gap=1e-4", "--config_env.kwargs.continuing=True")
    done = scripts.run("scripts/solve.py", *flags)
    assert done.returncode == 0, done.stderr
    assert "the optimum is between 19.371" in done.stdout and "as near as asked for" in done.stdout
    folder = tmp_path / "solve/tiger"
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["lower"] <= 19.3714 and summary["upper"] >= 19.3713 and summary["gap"] <= 1e-4
    assert [row["lower"] for row in rows(folder)] == sorted(row["lower"] for row in rows(folder))
    again = scripts.run("scripts/solve.py", *flags)
    assert again.stdout == "\n".join(done.stdout.splitlines()[-2:]) + "\n"
    played = scripts.run(
        "main.py", *OF_TIGER, "--config_env.kwargs.continuing=True", "--config_env.horizon=30", "--film_episodes=1",
        f"--policy_dir={folder}",
    )  # fmt: skip
    assert played.returncode == 0, played.stderr
    assert "solved:bounds" in played.stdout and list((folder / "films").glob("*.gif"))
    exported = scripts.run("scripts/export.py", folder, "--format=torchscript", "--episodes=5")
    assert exported.returncode == 0, exported.stderr
    assert "equal to the policy" in exported.stdout


def test_a_domain_with_a_horizon(scripts, tmp_path):
    done = scripts.run(
        "scripts/solve.py", "--config_env=configs/envs/heaven_hell.py", "--horizon=20", f"--save_dir={tmp_path}"
    )
    assert done.returncode == 0, done.stderr
    assert "between 1.000000 and 1.000000" in done.stdout  # the priest and heaven are 19 steps, with a reward of 1


def test_a_relative_gap_is_enough(scripts, tmp_path):
    flags = (f"--save_dir={tmp_path}", "--gap=0", "--relative_gap=0.1", "--nokeep_policy", "--run_name=x")
    done = scripts.run("scripts/solve.py", TIGER, *flags)
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "x/summary.json").read_text())
    assert summary["gap"] <= 0.1 * summary["upper"] and summary["reached"]
    assert not (tmp_path / "x/policy/policy.json").exists()


def test_what_is_stopped_keeps_its_policy_and_starts_over(scripts, tmp_path):
    flags = (TIGER, f"--save_dir={tmp_path}", "--gap=0", "--horizon=60", "--run_name=x", "--time_limit=300")
    for number, code in ((signal.SIGTERM, 75), (signal.SIGTERM, 75), (signal.SIGKILL, -signal.SIGKILL)):
        (tmp_path / "x/metrics.jsonl").unlink(missing_ok=True)
        running = scripts.start("scripts/solve.py", *flags)
        wait_until(lambda: (tmp_path / "x/metrics.jsonl").exists() and rows(tmp_path / "x"))
        running.kill(number)
        assert running.wait().returncode == code, running.stderr()
        assert (tmp_path / "x/policy/policy.json").exists() and not (tmp_path / "x/summary.json").exists()
        assert rows(tmp_path / "x")[0]["step"] == 0


def test_time_is_up(scripts, tmp_path):
    flags = (TIGER, f"--save_dir={tmp_path}", "--gap=0", "--horizon=200", "--time_limit=1")
    done = scripts.run("scripts/solve.py", *flags)
    assert done.returncode == 0, done.stderr
    assert "time was up" in done.stdout


@pytest.mark.parametrize(("most", "bounds_are_kept"), [(1, False), (2 * 3 * (2 + 3) + 1, True)])
def test_a_policy_that_is_too_large(tmp_path, monkeypatch, most, bounds_are_kept):
    """Tiger's has 2 states, 3 actions and 3 views, and at least one vector."""
    monkeypatch.setattr("policies.deployed.solved.MOST_NUMBERS", most)
    run = Run.create(str(tmp_path), "x", {"env": {}, "run": {}}, [], may_grow=())
    config = pomdp_file.get_config()
    config.kwargs.path = str(TIGER)
    settings = {"method": "bounds", "horizon": 0, "discount": 0.5, "gap": 0.5, "relative_gap": 0.0}
    if not bounds_are_kept:
        with pytest.raises(UserError, match="--nokeep_policy"):
            solve_by_bounds(run, config, settings, time.monotonic() + 60, True)
        assert not run.metrics_path.exists()
        return
    (run.policy_dir / "policy.json").write_text("of an earlier one that was stopped")
    summary = solve_by_bounds(run, config, settings, time.monotonic() + 60, True)
    assert "--nokeep_policy" in report_of_bounds(summary, run)
    assert summary["reached"] and not (run.policy_dir / "policy.json").exists()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ((), ("config_env.kwargs.path",)),
        ((TIGER, "--method=vi", "--time_limit=5"), ("--time_limit", "vi")),
        ((TIGER, "--method=aavi", "--nokeep_policy"), ("--keep_policy", "aavi")),
        ((TIGER, "--method=aql", "--gap=0.1"), ("--gap", "aql")),
        ((TIGER, "--seed=1"), ("--seed", "bounds")),
        (("nothing.pomdp",), ("config_env.kwargs.path", "nothing.pomdp")),
        ((TIGER, "--method=magic"), ("--method", "bounds")),
        ((TIGER, "--gap=-1"), ("--gap",)),
        ((TIGER, "--time_limit=0"), ("--time_limit",)),
        ((TIGER, "--discount=1"), ("--horizon",)),
        ((TIGER, "--discount=1.5"), ("--discount",)),
        ((TIGER, "--discount=0"), ("--discount",)),
        ((TIGER, "--run_name=../x"), ("--run_name",)),
        ((TIGER, "--config_env=configs/envs/heaven_hell.py"), ("--file", "--config_env")),
        ((TIGER, "--config_env.kwargs.path=nowhere.pomdp"), ("--file", "--config_env")),
        (("--config_env=configs/envs/heaven_hell.py",), ("--horizon",)),
        (("--config_env=configs/envs/cartpole_hidden.py",), ("CartPole-v1", "finite POMDP")),
    ],
)
def test_bad_input_is_one_line(scripts, tmp_path, flags, expected):
    assert_refused(scripts.run("scripts/solve.py", *flags, f"--save_dir={tmp_path}"), *expected)


def test_what_was_refused_does_not_have_the_name(scripts, tmp_path):
    flags = ("scripts/solve.py", TIGER, "--discount=1", f"--save_dir={tmp_path}", "--run_name=x")
    assert_refused(scripts.run(*flags), "--horizon")
    done = scripts.run(*flags, "--horizon=2")
    assert done.returncode == 0, done.stderr


def test_a_policy_that_was_not_kept_is_made_when_it_is_asked_for(scripts, tmp_path):
    call = ("scripts/solve.py", TIGER, "--horizon=2", f"--save_dir={tmp_path}", "--run_name=x")
    for flags, kept in ((("--nokeep_policy",), False), ((), True), ((), True)):
        done = scripts.run(*call, *flags)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "x/policy/policy.json").exists() == kept
    assert (tmp_path / "x/summary_without_policy.json").exists() and "the first bounds" not in done.stdout


def test_a_policy_that_was_too_large_is_not_made_again(tmp_path):
    run = Run.create(str(tmp_path), "x", {"env": {}, "run": {}}, [])
    for summary, wanted in (({}, True), ({"no_policy": "too large"}, False)):
        run.finish(summary)
        assert was_to_keep_none(run) == wanted


def test_time_is_up_before_there_are_bounds(tmp_path):
    """What is kept then is true all the same, and so is the policy."""
    config, exact = pomdp_file.get_config(), 0.0
    config.kwargs.path, config.kwargs.continuing = str(TIGER), True
    for late, horizon in ((False, 4), (True, 4), (True, 0)):
        run = Run.create(str(tmp_path), f"{late} {horizon}", {"env": {}, "run": {}}, [], may_grow=())
        settings = {"method": "bounds", "horizon": horizon, "discount": None, "gap": 1e-6, "relative_gap": 0.0}
        summary = solve_by_bounds(run, config, settings, time.monotonic() + (0 if late else 60), True)
        assert summary["reached"] != late and (run.policy_dir / "policy.json").exists()
        exact = summary["lower"] if not late else exact
        if horizon:
            assert summary["lower"] - 1e-9 <= exact <= summary["upper"] + 1e-6
    assert summary["lower"] < 19.3713 < summary["upper"]


@pytest.mark.parametrize("script", ["scripts/solve.py", "main.py"])
def test_a_file_that_has_changed_is_another_domain(script, scripts, tmp_path):
    path = tmp_path / "x.pomdp"
    path.write_text(TIGER.read_text())
    flags = {
        "scripts/solve.py": (path, "--horizon=2"),
        "main.py": (
            *("--config_env=configs/envs/pomdp_file.py", f"--config_env.kwargs.path={path}", "--config_env.horizon=4"),
            *("--train_episodes=2", "--eval_episodes=2", "--film_episodes=0", "--cuda=-1"),
        ),
    }[script]
    call = (script, *flags, f"--save_dir={tmp_path / 'logs'}", "--run_name=x")
    for _ in range(2):
        done = scripts.run(*call)
        assert done.returncode == 0, done.stderr
    moved = path.rename(tmp_path / "y.pomdp")
    assert_refused(scripts.run(*call), "--config_env.kwargs.path: ", "x.pomdp cannot be read")
    done = scripts.run(*(str(word).replace("x.pomdp", "y.pomdp") for word in call))
    assert done.returncode == 0, done.stderr
    assert "resuming" not in done.stdout and "the first bounds" not in done.stdout, "it is finished"
    moved.rename(path)
    path.write_text(TIGER.read_text().replace("-100", "-50"))
    assert_refused(scripts.run(*call), "already holds a run with run.env_file_sha256 = ")
