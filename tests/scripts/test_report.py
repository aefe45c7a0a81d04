"""The report as a user calls it, on run folders written here; intervals against hand and against rliable's IQM."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from rliable import metrics

from scripts.report import (
    Estimate,
    Row,
    check_comparable,
    comma_separated,
    curve,
    differences,
    interquartile_mean,
    interval,
    markdown,
    read_runs,
    write_report,
)
from utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def report(*flags):
    command = [sys.executable, str(ROOT / "scripts" / "report.py"), *map(str, flags)]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd="/", env=env, capture_output=True, text=True, timeout=60)


def write_run(
    folder,
    success,
    seed=0,
    env="HeavenHell-v0",
    variant="mi",
    start_expert=0,
    finished=True,
    first=300,
    interval=2000,
    episodes=100,
    horizon=50,
    discount=0.95,
):
    """A run that evaluates at `first`, then a few steps after each multiple of `interval`."""
    folder.mkdir(parents=True)
    config = {
        "env": {"id": env, "horizon": horizon, "eval": {"episodes": episodes, "interval": interval}, "kwargs": {}},
        "rl": {"family": "dqn", "variant": variant, "discount": discount},
        "seq": {"memory": "gru"},
        "run": {"seed": seed, "start_expert": start_expert, "threads": seed},
    }
    (folder / "config.json").write_text(json.dumps({"config": config, "command": "main.py"}))
    lines = []
    for k, value in enumerate(success):
        step = k * interval + seed if k else first
        lines.append(
            {"step": step, "eval/return": 2 * value - 1, "eval/success": value, "eval/length": 50 - 20 * value}
        )
        lines.append({"step": step, "loss/td": None, "train/success": 0.5, "updates": k})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if finished:
        final = {"return": 1.0, "success": success[-1], "length": 20.0, "informed": 1.0}
        (folder / "summary.json").write_text(json.dumps({"final": final, "env_steps": lines[-1]["step"]}))
    return folder


def rows_of(records, threshold=0.9):
    return [
        Row.of(key, [one for one in records if one.key == key], threshold) for key in sorted({r.key for r in records})
    ]


LEARNS = [0.0] + [0.5] * 4 + [0.92] + [1.0] * 10
FAILS = [0.0] + [0.5] * 15


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Three seeds that learn and one that does not, one interrupted; a second method; demonstrations; another env."""
    root = tmp_path_factory.mktemp("runs")
    for seed in (1, 2, 3):
        write_run(root / "mi" / f"s{seed}", LEARNS, seed, first=300 + 40 * seed)
    write_run(root / "mi" / "s4", FAILS, 4)
    write_run(root / "mi" / "s5", LEARNS[:8], 5, finished=False)
    write_run(root / "history" / "s1", FAILS, 1, variant="history")
    write_run(root / "demo" / "s1", LEARNS, 1, start_expert=64)
    write_run(root / "other" / "s1", LEARNS, 1, env="ALE/Pong-v5", horizon=9, interval=500)
    representation = root / "representations"
    representation.mkdir()
    (representation / "config.json").write_text(json.dumps({"config": {"env": {}, "repr": {}}}))
    (representation / "metrics.jsonl").write_text('{"step": 1, "total": 0.5}\n')
    return root


def test_a_study_gives_table_and_curves(study, tmp_path):
    done = report(f"--runs={study}", f"--out={tmp_path / 'deep' / 'out'}")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "runs: 8 (1 not finished), groups: 4" in done.stdout
    out = tmp_path / "deep" / "out"
    names = {"table.md", "table.csv", "curves_HeavenHell-v0.png", "curves_ALE_Pong-v5.png"}
    assert {path.name for path in out.iterdir()} == names
    with (out / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    keys = [(row["env"], row["method"], row["memory"], row["demonstrations"], row["seeds"]) for row in rows]
    assert keys == [
        ("ALE/Pong-v5", "dqn:mi", "gru", "without", "1"),
        ("HeavenHell-v0", "dqn:history", "gru", "without", "1"),
        ("HeavenHell-v0", "dqn:mi", "gru", "without", "5"),
        ("HeavenHell-v0", "dqn:mi", "gru", "with", "1"),
    ]
    mine = rows[2]
    assert (mine["unfinished"], mine["final_success_seeds"], mine["last_ten_success_seeds"]) == ("1", "4", "5")
    assert float(mine["final_success_mean"]) == pytest.approx((3 + 0.5) / 4)
    so_far = np.mean(LEARNS[:8])
    assert float(mine["last_ten_success_mean"]) == pytest.approx((3 + 0.5 + so_far) / 5, rel=1e-5)
    assert float(mine["last_ten_length_mean"]) == pytest.approx(50 - 20 * (3 + 0.5 + so_far) / 5, rel=1e-5)
    assert float(mine["last_ten_success_low"]) < (3 + 0.5 + so_far) / 5 < float(mine["last_ten_success_high"])
    assert (mine["solved_seeds"], mine["never_seeds"], mine["steps_to_threshold"]) == ("3", "1", "10003")
    assert (rows[1]["steps_to_threshold"], rows[1]["final_success_low"]) == ("inf", "")
    text = (out / "table.md").read_text()
    assert "5 (**1 not finished**)" in text
    assert "10,003 (1 of 5 never)" in text
    assert f"seed 5, 14,005 env steps, success 1.00: `{study / 'mi' / 's5'}`" in text
    wide, narrow = (iio.imread(out / name).shape for name in ("curves_HeavenHell-v0.png", "curves_ALE_Pong-v5.png"))
    assert wide[1] > 1.5 * narrow[1]  # with and without demonstrations, and without alone


def test_a_folder_named_twice_counts_once(study):
    records = read_runs([str(study / "mi"), str(study / "mi" / "s1"), str(study / "history" / ".." / "mi")])
    assert sorted(one.seed for one in records) == [1, 2, 3, 4, 5]
    assert [one.final is None for one in sorted(records, key=lambda one: one.seed)] == [False] * 4 + [True]


def test_other_evaluation_settings_are_refused_unless_allowed(tmp_path):
    write_run(tmp_path / "a", LEARNS, 1)
    for name, change, what in (
        ("interval", {"interval": 4000}, "evaluation interval is 2000"),
        ("episodes", {"episodes": 10}, "episodes per evaluation is 100"),
        ("horizon", {"horizon": 99}, "horizon is 50"),
    ):
        other = write_run(tmp_path / name, LEARNS, 2, variant="history", **change)
        records = read_runs([str(tmp_path / "a"), str(other)])
        with pytest.raises(UserError, match=f"HeavenHell-v0: {what} in .*a but .*{name}.*--allow_mixed"):
            check_comparable(records, allow_mixed=False)
        check_comparable(records, allow_mixed=True)
    elsewhere = write_run(tmp_path / "elsewhere", LEARNS, 2, env="Sphinx-v0", interval=500, horizon=9)
    check_comparable(read_runs([str(tmp_path / "a"), str(elsewhere)]), allow_mixed=False)


def test_what_is_mixed_all_the_same_is_said(tmp_path):
    write_run(tmp_path / "a", LEARNS, 1)
    write_run(tmp_path / "b", LEARNS, 1, discount=0.99)
    records = read_runs([str(tmp_path)])
    with pytest.raises(UserError, match=r"seed 1 is in .*a and in .*b.*--allow_mixed"):
        check_comparable(records, allow_mixed=False)
    (row,) = rows_of(records)
    unlike, repeated = differences(row)
    assert unlike.endswith("the runs differ in rl.discount")
    assert "1 of 2 runs repeat a seed" in repeated
    assert unlike in markdown([row], [unlike], 0.9)
    with pytest.warns(UserWarning, match=r"rl\.discount|repeat a seed") as warned:
        write_report([str(tmp_path)], tmp_path / "out", 1.0, allow_mixed=True)
    ours = [str(one.message) for one in warned if one.category is UserWarning]  # libraries may warn of their own
    assert sum("rl.discount" in text for text in ours) == sum("repeat a seed" in text for text in ours) == 1
    assert "rl.discount" in (tmp_path / "out" / "table.md").read_text()


def test_seeds_alone_are_no_difference(study):
    assert [note for row in rows_of(read_runs([str(study)])) for note in differences(row)] == []


def test_a_run_without_an_evaluation_is_a_seed_that_is_not_finished(tmp_path):
    write_run(tmp_path / "begun", [], 1, finished=False)
    (row,) = rows_of(read_runs([str(tmp_path)]))
    text = markdown([row], [], 0.9)
    assert "| 1 (**1 not finished**) | – | – | – | – | – | 0 of 1 | never (1 of 1) |" in text
    assert "no evaluation yet" in text
    assert ",inf,1" in comma_separated([row], 0.9)
    assert write_report([str(tmp_path)], tmp_path / "out", 0.9, False).startswith("runs: 1 (1 not finished), groups: 1")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"table.md", "table.csv"}


def test_never_is_infinite_in_the_median(tmp_path):
    for seed, success in enumerate((LEARNS, FAILS, FAILS), 1):
        write_run(tmp_path / str(seed), success, seed)
    records = read_runs([str(tmp_path)])
    (row,) = rows_of(records)
    assert (row.steps, row.never) == (np.inf, 2)
    (row,) = rows_of(records, threshold=0.5)
    assert (row.steps, row.never) == (2002, 0)


def test_ten_times_the_mark_is_solved(tmp_path):
    write_run(tmp_path / "a", [0.95] * 10)
    assert rows_of(read_runs([str(tmp_path)]))[0].solved == 1


def test_iqm_is_that_of_rliable():
    rng = np.random.default_rng(0)
    for num in range(1, 14):
        values = rng.random(num)
        assert interquartile_mean(values) == pytest.approx(metrics.aggregate_iqm(values[:, None]))
    stacked = rng.random((3, 5))
    np.testing.assert_allclose(interquartile_mean(stacked), [interquartile_mean(row) for row in stacked])


def test_the_interval_is_that_of_all_resamples():
    values = np.array([0.1, 0.6, 0.7, 1.0])
    all_means = values[np.stack(np.meshgrid(*[range(4)] * 4), -1).reshape(-1, 4)].mean(-1)
    expected = np.quantile(all_means, [0.025, 0.975])
    np.testing.assert_allclose(interval(values, lambda drawn: drawn.mean(-1)), expected, atol=0.011)
    assert interval(values, lambda drawn: drawn.mean(-1)) == interval(values, lambda drawn: drawn.mean(-1))
    assert np.isnan(interval(values[:1], lambda drawn: drawn.mean(-1))).all()
    assert Estimate.of([1.0, 1.0]) == Estimate(2, *[1.0] * 6)


def test_a_curve_says_how_many_seeds_each_point_has(study):
    records = [one for one in read_runs([str(study / "mi")]) if one.seed in (1, 2, 5)]
    steps, mean, bounds, count = curve(records)
    np.testing.assert_array_equal(steps[:3], [380, 2000, 4000])  # the latest first evaluation, then multiples
    assert steps[-1] == 30001  # where the first of the finished runs ends
    assert count[steps <= 14000].tolist() == [3] * 8
    assert set(count[steps > 14005]) == {2}
    np.testing.assert_allclose(mean[steps == 4000], 0.5)
    np.testing.assert_allclose(mean[steps == 20000], 1.0)
    assert (bounds[0] <= mean + 1e-9).all()
    assert (bounds[1] >= mean - 1e-9).all()


DAMAGED = {
    "half a config": (("config.json", '{"config": {"rl"'), "config.json is damaged: it is not JSON"),
    "config without a field": (
        ("config.json", '{"config": {"rl": {}}}'),
        "config.json is damaged: it lacks config.env",
    ),
    "config without configs": (("config.json", "{}"), "config.json is damaged: it lacks config"),
    "config of bytes": (("config.json", "\udcff"), "config.json is damaged: it is not JSON"),
    "half a line": (("metrics.jsonl", '{"step": 1}\n{"step": 2, "eval/succ'), "metrics.jsonl, line 2 is damaged"),
    "no object": (("metrics.jsonl", "3\n"), "metrics.jsonl, line 1 is damaged: it is not a JSON object"),
    "no number": (
        ("metrics.jsonl", '{"step": 1, "eval/success": null}\n'),
        "line 1 is damaged: eval/success is not a number",
    ),
    "no step": (
        ("metrics.jsonl", '{"eval/success": 1, "eval/return": 1, "eval/length": 1}\n'),
        "line 1 is damaged: step is not a number",
    ),
    "back in time": (
        ("metrics.jsonl", '{"step": 5, "eval/success": 1, "eval/return": 1, "eval/length": 1}\n' * 2),
        "line 2 is damaged: its step",
    ),
    "half a summary": (("summary.json", '{"final": '), "summary.json is damaged: it is not JSON"),
    "summary without final": (("summary.json", "{}"), "summary.json is damaged: it lacks final"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_is_named(case, tmp_path):
    (name, text), expected = DAMAGED[case]
    folder = write_run(tmp_path / "a", LEARNS)
    (folder / name).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UserError) as caught:
        read_runs([str(tmp_path)])
    assert str(caught.value).startswith(f"--runs: {folder}")
    assert expected in str(caught.value)


def test_metrics_without_a_config_are_refused(tmp_path):
    folder = write_run(tmp_path / "a", LEARNS)
    (folder / "config.json").unlink()
    with pytest.raises(UserError, match=r"--runs: .* no config\.json"):
        read_runs([str(tmp_path)])


def test_what_is_not_there_is_named(tmp_path):
    write_run(tmp_path / "runs" / "a", LEARNS)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    for folders, expected in (
        ([tmp_path / "empty"], "--runs: no run of main.py"),
        ([tmp_path / "runs", tmp_path / "nowhere"], "--runs: no folder .*nowhere"),
        ([tmp_path / "file"], "--runs: no folder .*file"),
        ([], "--runs: no run of main.py"),
    ):
        with pytest.raises(UserError, match=expected):
            read_runs(list(map(str, folders)))
    with pytest.raises(UserError, match=r"--out: .*file is a file"):
        write_report([str(tmp_path / "runs")], tmp_path / "file", 0.9, False)


def test_bad_input_is_one_line(tmp_path):
    spoiled = write_run(tmp_path / "runs" / "a", LEARNS)
    (spoiled / "summary.json").write_text("{")
    for flags, expected in (
        ((f"--runs={tmp_path}", f"--out={tmp_path / 'out'}"), "summary.json is damaged"),
        ((f"--runs={tmp_path}",), "--out is required"),
    ):
        done = report(*flags)
        assert done.returncode == 2, (flags, done.stderr)
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith("error: ")
        assert expected in done.stderr
    assert not (tmp_path / "out").exists()
