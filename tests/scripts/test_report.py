"""The report as a user calls it, on run folders written here."""

import base64
import csv
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

from policies.training.experience import EXPERIENCES
from scripts.report import write_report
from scripts.reporting import runs
from scripts.reporting.figures import draw
from scripts.reporting.references import reference_of
from scripts.reporting.runs import check_comparable, differences
from scripts.reporting.study import study as study_of
from scripts.reporting.tables import csv_files, markdown
from tests.helpers.runs import write_run
from utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def report(*flags):
    command = [sys.executable, str(ROOT / "scripts" / "report.py"), *map(str, flags)]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd="/", env=env, capture_output=True, text=True, timeout=180)


def read_runs(folders, by=()):
    return runs.read_runs(folders, by)[0]


def rows_of(records, threshold=0.9):
    return study_of(records, threshold, "success").rows


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
    figures = {
        f"{what}_{env}.{kind}"
        for what in ("curves", "final")
        for env in ("HeavenHell-v0", "ALE_Pong-v5")
        for kind in ("png", "pdf")
    }
    tables = {"table.md", "table.csv", "curves.csv", "profiles.csv", "improvement.csv", "report.html"}
    assert {path.name for path in out.iterdir()} == tables | figures
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
    with pytest.raises(UserError, match=r"seed 1 is in .*a and in .*b.*--by=rl\.discount.*--allow_mixed"):
        check_comparable(records, allow_mixed=False)
    unlike, repeated = differences(records[0].key, records)
    assert unlike.endswith("the runs differ in rl.discount")
    assert "1 of 2 runs repeat a seed" in repeated
    assert unlike in markdown(study_of(records, 0.9, "success"))
    with pytest.warns(UserWarning, match=r"rl\.discount|repeat a seed") as warned:
        write_report([str(tmp_path)], tmp_path / "out", 1.0, allow_mixed=True)
    ours = [str(one.message) for one in warned if one.category is UserWarning]  # libraries may warn of their own
    assert sum("rl.discount" in text for text in ours) == sum("repeat a seed" in text for text in ours) == 1
    assert "rl.discount" in (tmp_path / "out" / "table.md").read_text()


def test_seeds_alone_are_no_difference(study):
    assert study_of(read_runs([str(study)]), 0.9, "success").notes == []


def test_a_run_without_an_evaluation_is_a_seed_that_is_not_finished(tmp_path):
    write_run(tmp_path / "begun", [], 1, finished=False)
    found = study_of(read_runs([str(tmp_path)]), 0.9, "success")
    text = markdown(found)
    assert "| 1 (**1 not finished**) | – | – | – | – | – | 0 of 1 | never (1 of 1) |" in text
    assert "no evaluation yet" in text
    (line,) = csv.DictReader(csv_files(found)["table.csv"].splitlines())
    assert (line["steps_to_threshold"], line["never_seeds"], line["final_success_mean"]) == ("inf", "1", "")
    assert write_report([str(tmp_path)], tmp_path / "out", 0.9, False).startswith("runs: 1 (1 not finished), groups: 1")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"table.md", "table.csv", "report.html"}


def test_never_is_infinite_in_the_median(tmp_path):
    for seed, success in enumerate((LEARNS, FAILS, FAILS), 1):
        write_run(tmp_path / str(seed), success, seed)
    records = read_runs([str(tmp_path)])
    (row,) = rows_of(records)
    assert (row.steps.value, row.never) == (np.inf, 2)
    (row,) = rows_of(records, threshold=0.5)
    assert (row.steps.value, row.never) == (2002, 0)


def test_ten_times_the_mark_is_solved(tmp_path):
    write_run(tmp_path / "a", [0.95] * 10)
    assert rows_of(read_runs([str(tmp_path)]))[0].solved == 1


def test_a_curve_says_how_many_seeds_each_point_has(study):
    records = [one for one in read_runs([str(study / "mi")]) if one.seed in (1, 2, 5)]
    (row,) = rows_of(records)
    curve = row.curves["steps", "success"]
    steps, count, (mean, *bounds) = curve.x, curve.seeds, curve.statistics["mean"]
    np.testing.assert_array_equal(steps[:3], [380, 2000, 4000])  # the latest first evaluation, then multiples
    assert steps[-1] == 30001  # where the first of the finished runs ends
    assert count[steps <= 14000].tolist() == [3] * 8
    assert set(count[steps > 14005]) == {2}
    np.testing.assert_allclose(mean[steps == 4000], 0.5)
    np.testing.assert_allclose(mean[steps == 20000], 1.0)
    assert (bounds[0] <= mean + 1e-9).all()
    assert (bounds[1] >= mean - 1e-9).all()


def test_the_clock_is_that_of_training_alone(tmp_path):
    folder = write_run(tmp_path / "a", [0.0, 0.5, 1.0], finished=False, rate=None)
    (run,) = read_runs([str(tmp_path)])
    assert np.isnan(run.minutes).all()
    assert run.clock is None
    rates = [
        (300, None),
        (1000, 10.0),
        (2000, 100.0),
        (2500, 0.0),
        (4000, 20.0),
    ]  # steps a second since the line before
    lines = [{"step": step, "clock/env_steps_per_second": rate} for step, rate in rates]
    old = (folder / "metrics.jsonl").read_text()
    (folder / "metrics.jsonl").write_text(old + "".join(json.dumps(line) + "\n" for line in lines))
    (run,) = read_runs([str(tmp_path)])
    np.testing.assert_allclose(60 * run.minutes, [30.0, 110.0, 210.0])  # evaluations at 300, 2000 and 4000 steps
    assert run.clock == (pytest.approx(3.5), 4000)
    row = rows_of([run])[0]
    assert (row.steps.value, row.minutes.value, row.speed) == (4000, pytest.approx(3.5), pytest.approx(4000 / 210))


def of_data(folder, learns_from="stored_data"):
    """Makes the run one that learns from a data set, in 100 updates a second, perhaps with 400 env steps in each."""
    config = json.loads((folder / "config.json").read_text())
    config["config"]["rl"] |= {"family": "offline", "learns_from": learns_from, "num_updates": 4000}
    (folder / "config.json").write_text(json.dumps(config))
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        if line.pop("clock/env_steps_per_second", None):
            rates = {"updates": 100.0} | ({} if learns_from == "stored_data" else {"env_steps": 400.0})
            line |= {f"clock/{name}_per_second": rate for name, rate in rates.items()}
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_kinds_of_experience_whose_clock_counts_updates():
    assert {name for name, kind in EXPERIENCES.items() if kind.clock == "updates"} == set(runs.OF_DATA)
    assert {kind.clock for kind in EXPERIENCES.values()} == {"updates", "env_steps"}


@pytest.mark.parametrize("learns_from", runs.OF_DATA)
def test_a_clock_of_updates_is_told_as_one(tmp_path, learns_from):
    of_data(write_run(tmp_path / "a", LEARNS, variant="bc"), learns_from)
    (run,) = records = read_runs([str(tmp_path)])
    assert run.unit == "updates"
    np.testing.assert_allclose(60 * run.minutes, run.steps / 100.0)
    found = study_of(records, 0.9, "success")
    assert not found.notes
    text = markdown(found)
    assert "| updates to 0.9 |" in text and "| updates a second |" in text and "env steps" not in text
    (line,) = csv.DictReader(csv_files(found)["table.csv"].splitlines())
    assert (line["unit"], line["steps_per_second"]) == ("updates", "100")
    (panel,) = found.panels
    assert panel.titles == {"steps": "updates", "minutes": "minutes of training"}


def test_unlike_clocks_beside_each_other_are_named(tmp_path):
    write_run(tmp_path / "a", LEARNS)
    of_data(write_run(tmp_path / "b", LEARNS, variant="bc"))
    found = study_of(read_runs([str(tmp_path)]), 0.9, "success")
    (note,) = found.notes
    assert note.endswith("counts unlike things (env steps: dqn:mi, gru; updates: offline:bc, gru)")
    text = markdown(found)
    assert "| env steps or updates to 0.9 |" in text
    assert "| 100 env steps |" in text and "| 100 updates |" in text
    assert found.panels[0].titles["steps"] == "environment steps or updates"


def test_what_goes_on_in_envs_is_as_long_as_updates_and_episodes(tmp_path):
    for variant, episodes in (("bc", 10), ("iql", 20)):
        of_data(folder := write_run(tmp_path / variant, LEARNS, variant=variant), "stored_then_envs")
        config = json.loads((folder / "config.json").read_text())
        config["config"]["run"]["train_episodes"] = episodes
        (folder / "config.json").write_text(json.dumps(config))
    (note,) = study_of(read_runs([str(tmp_path)]), 0.9, "success").notes
    assert note.endswith("groups differ in run.train_episodes (10: offline:bc, gru; 20: offline:iql, gru)")


def test_groups_are_told_apart_by_fields_and_by_names(tmp_path):
    for discount in (0.9, 0.99):
        for seed in (1, 2):
            write_run(tmp_path / f"g{discount}_s{seed}", LEARNS, seed, discount=discount)
    with pytest.raises(UserError, match=r"--by=rl\.discount"):
        check_comparable(read_runs([str(tmp_path)]), allow_mixed=False)
    for by, expected in ((["rl.discount"], "discount={}"), (["name"], "g{}")):
        records = read_runs([str(tmp_path)], by)
        check_comparable(records, allow_mixed=False)
        found = study_of(records, 0.9, "success")
        assert found.labels == [f"dqn:mi, gru, {expected.format(discount)}" for discount in (0.9, 0.99)]
        assert found.notes == []
    with pytest.raises(UserError, match=r"--by: no run has a field 'rl.discont' \(did you mean 'rl.discount'\?\)"):
        read_runs([str(tmp_path)], ["rl.discont"])


def test_a_name_that_ends_in_s_and_a_number_is_no_seed(tmp_path):
    for name, seed in (("mi_eps3", 1), ("mi_eps3-seed2", 2), ("mi_eps5_s1", 1)):
        write_run(tmp_path / name, LEARNS, seed)
    records = read_runs([str(tmp_path)], ["name"])
    assert study_of(records, 0.9, "success").labels == ["dqn:mi, gru, mi_eps3", "dqn:mi, gru, mi_eps5"]


@pytest.mark.parametrize("hidden", ["velocity", "1,3", [2]])
def test_an_env_of_which_something_is_hidden_has_no_reference(hidden, tmp_path):
    folder = write_run(tmp_path / "a", LEARNS)
    config = json.loads((folder / "config.json").read_text())
    config["config"]["env"]["hidden"] = hidden
    (folder / "config.json").write_text(json.dumps(config))
    (record,) = read_runs([str(tmp_path)])
    assert reference_of(record.key.env, record.settings) is None


@pytest.fixture(scope="module")
def two_domains(tmp_path_factory):
    """Two methods on two domains whose best returns are known, one of them on a third; returns are 2 s - 1."""
    root = tmp_path_factory.mktemp("two")
    for variant, success in (("mi", 0.95), ("history", 0.6)):
        for seed in (1, 2, 3):
            write_run(root / variant / f"h{seed}", [success] * 12, seed, variant=variant)
            write_run(root / variant / f"s{seed}", [success - 0.02 * seed] * 12, seed, "Sphinx-v0", variant)
    write_run(root / "ua", [0.5] * 12, 1, variant="ua")
    write_run(root / "more", [0.5] * 12, 1, env="ALE/Pong-v5")
    return root


def test_all_domains_are_taken_together_by_scores(two_domains, tmp_path):
    found = study_of(read_runs([str(two_domains)]), 0.9, "success")
    assert [(panel.domain, len(panel.rows)) for panel in found.panels][-1] == ("all domains", 2)
    panel = found.panels[-1]
    assert panel.domains == ["HeavenHell-v0", "Sphinx-v0"]
    heaven_hell = [2 * 0.95 - 1] * 3
    sphinx = [(2 * (0.95 - 0.02 * seed) - 1 - 0.016424370982) / (0.8 - 0.016424370982) for seed in (1, 2, 3)]
    score = panel.rows[1].final["score"]
    assert score.num == 6
    assert score.mean.value == pytest.approx((np.mean(heaven_hell) + np.mean(sphinx)) / 2)
    assert score.iqm.value == pytest.approx(np.mean(sorted(heaven_hell + sphinx)[1:-1]))
    assert score.mean.low < score.mean.value < score.mean.high
    assert panel.improvement["score"]["dqn:mi, gru", "dqn:history, gru"].value == 1
    curve = panel.rows[1].curves["share", "score"]
    assert curve.x[-1] == 100
    np.testing.assert_array_equal(curve.seeds, 6)
    np.testing.assert_allclose(curve.statistics["mean"][0], score.mean.value)
    notes = "\n".join(found.notes)
    missing = "without demonstrations: left out for want of finished runs on all of HeavenHell-v0, Sphinx-v0"
    assert f"all domains, {missing}: dqn:ua, gru (HeavenHell-v0)" in notes
    assert "ALE/Pong-v5 is left out: no random and best return" in notes
    text = markdown(found)
    assert f"| dqn:mi, gru | without | 2 | 6 | {score.iqm.value:.2f} [" in text
    assert "| Sphinx-v0 | 0.01642 | 0.8 |" in text
    written = draw(replace(found, panels=[panel]), "iqm", tmp_path)
    assert written == [f"{what}_all_domains.{kind}" for what in ("curves", "final") for kind in ("png", "pdf")]
    assert (tmp_path / "curves_all_domains.pdf").read_bytes().startswith(b"%PDF")
    assert iio.imread(tmp_path / "final_all_domains.png").ndim == 3


def test_groups_of_one_panel_have_colours_of_their_own(tmp_path):
    for variant, env in (("a", "E"), ("b", "E"), ("c", "F"), ("d", "F"), ("b", "F"), ("e", "G")):
        write_run(tmp_path / f"{variant}{env}", [0.5] * 3, env=env, variant=variant)
    found = study_of(read_runs([str(tmp_path)]), 0.9, "success")
    assert {label[4]: number for label, number in found.colours.items()} == {"a": 0, "b": 1, "c": 0, "d": 2, "e": 0}


def test_a_reference_holds_for_its_settings_alone(tmp_path):
    write_run(tmp_path / "a", LEARNS)
    write_run(tmp_path / "b", LEARNS, horizon=60)
    known, unknown = read_runs([str(tmp_path / "a"), str(tmp_path / "b")])
    assert known.reference is not None
    assert unknown.reference is None
    assert "score" not in unknown.curves


def test_groups_that_were_trained_for_unlike_times_are_named(tmp_path):
    for variant, episodes in (("mi", 800), ("ua", 1200)):
        folder = write_run(tmp_path / variant, LEARNS, variant=variant)
        config = json.loads((folder / "config.json").read_text())
        config["config"]["run"]["train_episodes"] = episodes
        (folder / "config.json").write_text(json.dumps(config))
    (note,) = study_of(read_runs([str(tmp_path)]), 0.9, "success").notes
    assert note.endswith("groups differ in run.train_episodes (800: dqn:mi, gru; 1200: dqn:ua, gru)")


def test_every_number_has_a_column(two_domains):
    files = csv_files(study_of(read_runs([str(two_domains)]), 0.9, "success"))
    lines = {name: list(csv.DictReader(text.splitlines())) for name, text in files.items()}
    assert set(lines) == {"table.csv", "curves.csv", "profiles.csv", "improvement.csv", "all_domains.csv"}
    (ours,) = [line for line in lines["all_domains.csv"] if line["group"] == "dqn:mi, gru"]
    assert (ours["domains"], ours["score_seeds"]) == ("HeavenHell-v0 Sphinx-v0", "6")
    (pair,) = [
        line
        for line in lines["improvement.csv"]
        if (line["env"], line["group"], line["over"], line["metric"])
        == ("Sphinx-v0", "dqn:mi, gru", "dqn:history, gru", "return")
    ]
    assert (pair["probability"], pair["probability_low"]) == ("1", "")  # three seeds are too few for an interval
    profile = [
        (float(line["threshold"]), float(line["share_above"]))
        for line in lines["profiles.csv"]
        if (line["env"], line["group"], line["metric"]) == ("Sphinx-v0", "dqn:mi, gru", "success")
    ]
    for threshold, share in profile:
        assert share == pytest.approx(np.mean([value > threshold for value in (0.93, 0.91, 0.89)]), abs=1e-5)
    point = lines["curves.csv"][0]
    assert set(point) >= {"axis", "x", "seeds", "mean", "mean_low", "iqm_high", "median"}


def test_a_threshold_may_be_a_return(two_domains):
    (row,) = [
        row
        for row in study_of(read_runs([str(two_domains / "mi")]), 0.85, "return").rows
        if row.key.env == "HeavenHell-v0"
    ]
    assert (row.steps.value, row.never) == (300, 0)
    text = markdown(study_of(read_runs([str(two_domains / "mi")]), 0.85, "return"))
    assert "env steps to return 0.85" in text


def test_folders_may_stand_without_a_flag(study, tmp_path):
    done = report(study / "mi" / "s1", "--out", tmp_path, study / "mi" / "s2", "--film_megabytes=0")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("runs: 2 (0 not finished), groups: 1")


def test_a_run_that_has_only_begun_and_a_folder_without_one_are_told(tmp_path):
    write_run(tmp_path / "runs" / "a", LEARNS, 1)
    begun = write_run(tmp_path / "runs" / "b", [], 2, finished=False)
    (begun / "metrics.jsonl").unlink()
    (tmp_path / "runs" / "c").mkdir()
    (tmp_path / "runs" / "c" / "config.json").write_text('{"of": "another program"}')
    (tmp_path / "empty").mkdir()
    records, notes = runs.read_runs([str(tmp_path / "runs"), str(tmp_path / "empty")])
    assert [(one.seed, len(one.steps)) for one in records] == [(1, 16), (2, 0)]
    assert notes == [f"no run of main.py in {tmp_path / 'empty'}"]


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
        ("metrics.jsonl", '{"step": 1, "eval/success": "x"}\n'),
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
    "steps beyond counting": (
        ("metrics.jsonl", '{"step": 1e300, "loss/td": 1}\n{"step": 1.1e300, "loss/td": 1}\n'),
        "line 1 is damaged: its step is 1e+300",
    ),
    "a rate without end": (
        ("metrics.jsonl", '{"step": 9, "clock/env_steps_per_second": 1e-320}\n'),
        "line 1 is damaged: at a rate of 9.99989e-321 its steps take inf minutes",
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


@pytest.mark.parametrize(
    ("group", "name", "value"),
    [
        ("run", "seed", "zero"),
        ("run", "start_expert", "x"),
        ("run", "seed", True),
        ("env", "id", 7),
        ("env", "hidden", 3),
    ],
)
def test_a_field_of_another_kind_is_named(group, name, value, tmp_path):
    folder = write_run(tmp_path / "a", LEARNS)
    config = json.loads((folder / "config.json").read_text())
    config["config"][group][name] = value
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=rf"config.json is damaged: config.{group}.{name} is {value!r}"):
        read_runs([str(tmp_path)])


def test_a_film_that_has_gone_is_no_film(tmp_path):
    folder = write_run(tmp_path / "a", LEARNS, film=b"GIF89a")
    (folder / "films" / "z_gone.gif").symlink_to(tmp_path / "nowhere")
    (folder / "films" / "z_folder.gif").mkdir()
    (record,) = read_runs([str(tmp_path)])
    assert [film.name for film in record.films] == ["HeavenHell-v0.gif"]


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
        ((f"--out={tmp_path / 'out'}",), "--runs is required"),
        ((tmp_path, f"--out={tmp_path / 'out'}", "--threshold=3"), "--threshold: a success is between 0 and 1, not 3"),
        (
            (tmp_path, f"--out={tmp_path / 'out'}", "--threshold_metric=return", "--threshold=nan"),
            "--threshold=nan: a number is needed",
        ),
    ):
        done = report(*flags)
        assert done.returncode == 2, (flags, done.stderr)
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith("error: ")
        assert expected in done.stderr
    assert not (tmp_path / "out").exists()


def silent(folder, seed=0):
    """A run of an env that does not tell success."""
    run = write_run(folder, [0.2, 0.4], seed=seed, env="Silent-v0")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        line.pop("eval/success", None)
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    summary = json.loads((run / "summary.json").read_text())
    del summary["final"]["success"]
    (run / "summary.json").write_text(json.dumps(summary))
    return run


def test_success_that_is_not_told_is_no_number(tmp_path):
    for seed in (1, 2):
        silent(tmp_path / f"runs/s{seed}", seed)
        silent(tmp_path / f"runs/other_s{seed}", seed)
        config = tmp_path / f"runs/other_s{seed}/config.json"
        config.write_text(config.read_text().replace('"mi"', '"history"'))
    write_report([str(tmp_path / "runs")], tmp_path / "out", 0.9, False)
    text = (tmp_path / "out" / "table.md").read_text()
    assert "| Silent-v0 | dqn:mi | gru | without | 2 | – | – | – | -0.40" in text
    assert "0.00" not in text.split("## Last 10")[0].split("Silent-v0")[1].split("length")[0]
    (line,) = [row for row in csv.DictReader((tmp_path / "out" / "table.csv").open()) if "mi" in row["method"]]
    assert (line["final_success_mean"], line["solved_seeds"], line["steps_to_threshold"]) == ("", "", "")
    write_report([str(tmp_path / "runs")], tmp_path / "out", -0.3, False, metric="return")
    assert "2 of 2" in (tmp_path / "out" / "table.md").read_text()


def test_a_name_is_no_html_in_the_table(tmp_path):
    for seed in (1, 2):
        write_run(tmp_path / f"runs/s{seed}", LEARNS, seed=seed, variant="<b>&|x")
    write_report([str(tmp_path / "runs")], tmp_path / "out", 0.9, False)
    text = (tmp_path / "out" / "table.md").read_text()
    assert "| dqn:&lt;b>&amp;\\|x |" in text and "<b>" not in text


def test_a_null_evaluation_is_left_out_and_said(tmp_path):
    run = write_run(tmp_path / "runs/a", [0.1, 0.5, 0.9])
    lines = (run / "metrics.jsonl").read_text().splitlines()
    row = json.loads(lines[2])
    lines[2] = json.dumps(row | {"eval/return": None})
    (run / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    records, notes = runs.read_runs([str(tmp_path / "runs")])
    assert records[0].curves["success"].tolist() == [0.1, 0.9]
    assert notes == [f"{run}: 1 evaluations are left out, a number in them is null"]


def test_a_link_among_films_brings_no_file_into_the_page(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("GIF8 marker of a file that is not the run's")
    run = write_run(tmp_path / "runs/a", [0.1, 0.5], film=b"GIF89a")
    (run / "films" / "z.gif").symlink_to(secret)
    (run / "films" / "text.gif").write_text("marker of a text")
    other = write_run(tmp_path / "runs/b", [0.1, 0.5], seed=1)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.gif").write_bytes(b"GIF89a marker")
    (other / "films").symlink_to(tmp_path / "elsewhere")
    write_report([str(tmp_path / "runs")], tmp_path / "out", 0.9, False)
    page = (tmp_path / "out" / "report.html").read_text()
    assert base64.b64encode(b"GIF89a").decode() in page
    assert [one.films for one in read_runs([str(tmp_path / "runs")])] == [(run / "films" / "HeavenHell-v0.gif",), ()]


def test_two_seeds_are_too_few_for_the_interval_of_a_probability(tmp_path):
    for seed in range(5):
        write_run(tmp_path / f"runs/a{seed}", [0.5 + 0.01 * seed], seed=seed)
        write_run(tmp_path / f"runs/b{seed}", [0.1 + 0.01 * seed], seed=seed, variant="history")
    two = [str(tmp_path / f"runs/{name}{seed}") for name in "ab" for seed in (0, 1)]
    write_report(two, tmp_path / "out", 0.9, False)
    assert "| 0.00 |" in (tmp_path / "out" / "table.md").read_text()
    write_report([str(tmp_path / "runs")], tmp_path / "out", 0.9, False)
    assert "| 0.00 [0.00, 0.00] |" in (tmp_path / "out" / "table.md").read_text()


def test_the_last_evaluations_and_those_after_training_have_names_of_their_own(study, tmp_path):
    write_report([str(study)], tmp_path / "out", 0.9, False)
    both = (tmp_path / "out" / "table.md").read_text() + (tmp_path / "out" / "report.html").read_text()
    assert "Final performance" not in both and "final success" not in both
    assert "success after training" in both and "Last ten evaluations" in both and "## Last 10 evaluations" in both


def test_a_dollar_in_a_name_is_one(tmp_path):
    write_run(tmp_path / "runs/$a_{$_s1", [0.1, 0.5])
    write_run(tmp_path / "runs/$b_s1", [0.1, 0.5], env="$x^{-v0")
    write_report([str(tmp_path / "runs")], tmp_path / "out", 0.9, True, by=["name"])
    assert len(list((tmp_path / "out").glob("*.png"))) == 4


def test_folders_given_by_two_flags_are_all_read(tmp_path):
    for name, variant in (("a", "mi"), ("b", "history")):
        write_run(tmp_path / name, [0.1, 0.5], variant=variant)
    done = report(f"--runs={tmp_path / 'a'}", f"--runs={tmp_path / 'b'}", f"--out={tmp_path / 'out'}")
    assert done.returncode == 0, done.stderr
    assert "runs: 2 (0 not finished), groups: 2" in done.stdout
