"""Pages of docs/results: what they say of runs, and that each knows whether its settings are still today's."""

import json
import subprocess
import sys

import pytest

from scripts.reporting import theory
from scripts.reporting.defaults import command_today, differences, differing
from scripts.reporting.pictures import picture_of
from scripts.reporting.results import gather, joined, origin, page, rendered
from tests.helpers.scripts import ROOT, assert_refused
from utils.errors import UserError

PAGES = sorted((ROOT / "docs/results").glob("*.json"))
COMMAND = (
    "main.py --config_env=configs/envs/heaven_hell.py --config_rl=configs/rl/dqn.py:mi --config_rl.lr=1e-3 --seed=7 "
    "--updates_per_step=0.5 --save_dir=logs --run_name=x"
)


def run(seed, success, steps=None, data=0, **other):
    steps = steps or [1000 * (i + 1) for i in range(len(success))]
    of = {"revision": "abcdef0", "processor": "Some CPU", "instructions": ""}
    more = {"encoders": {"seed": data, "of": of}, "data": {"seed": data}}
    known = {"method": "dqn:mi", "memory": "gru", "demonstrations": 0, "seed": seed, "of": of, "steps": steps}
    return known | more | {"success": success, "return": success, "finished": True} | other


def test_a_recorded_command_is_resolved_by_todays_configs():
    fields = command_today(COMMAND)
    assert fields["rl.lr"] == 1e-3 and fields["rl.updates_per_step"] == 0.5  # by the command
    assert fields["rl.discount"] == 0.93  # by the domain
    assert fields["rl.tau"] == 0.005 and fields["seq.memory"] == "gru"  # by the files
    assert fields["rl.auxiliary.use"] == ["state_prediction"]
    stage_2 = command_today(
        "main_pretrain_representations.py --config_env=configs/envs/heaven_hell.py --data_path=x "
        "--config_repr=configs/repr/heaven_hell.py --config_repr.num_epochs=3"
    )
    assert stage_2["repr.num_epochs"] == 3 and "rl.lr" not in stage_2


def test_a_recorded_command_of_stage_2_has_its_number_of_epochs():
    stage_2 = "main_pretrain_representations.py --config_env=configs/envs/heaven_hell.py"
    today = command_today(f"{stage_2} --config_repr=configs/repr/heaven_hell.py --num_epochs=7 --seed=1")
    assert today["repr.num_epochs"] == 7


def test_differences_are_told_field_by_field():
    assert differences({"a": 1, "b": [], "c": 3}, {"a": 2, "c": 3, "d": 4}) == {"a": (1, 2), "d": (None, 4)}
    assert differing([recorded()]) == []
    assert differing([recorded({"tau": 0.1})]) == ["mi: rl.tau was 0.1, is 0.005"]
    for of_today, of_none in (
        ("rl.lr", "rl.nothing"),
        ("heaven_hell", "gone"),
        ("dqn.py:mi", "dqn.py:gone"),
        ("=1e-3", "=("),
    ):
        (gone,) = differing([recorded() | {"command": COMMAND.replace(of_today, of_none)}])
        assert "none of today's" in gone
    assert differing([recorded() | {"command": COMMAND.replace("--config_env=", "--config_env ")}]) == []
    older = recorded()
    del older["configs"]["rl"]["deploy"], older["configs"]["rl"]["max_grad_norm"]
    assert differing([older]) == ["mi: rl.deploy was online, is average"]  # as it was done before there was a choice


def test_what_is_not_in_use_makes_no_difference():
    """The row predicts the state and is paid for it; it has no world model, and nothing is paid for visits."""
    of_others = recorded({"auxiliary.world_model.free_nats": 7.0, "intrinsic.visit_count.weight": 7.0})
    assert differing([of_others]) == []
    its_own = recorded({"auxiliary.state_prediction.weight": 7.0, "intrinsic.information_gain.weight": 7.0})
    assert [line.partition(" was ")[0] for line in differing([its_own])] == [
        "mi: rl.auxiliary.state_prediction.weight",
        "mi: rl.intrinsic.information_gain.weight",
    ]


def recorded(changes=None):
    """The configs of COMMAND as a run of today would have recorded them, but for some fields of the method."""
    nested = {"env": {}, "rl": {}, "seq": {}}
    for name, value in command_today(COMMAND).items():
        *parents, leaf = name.split(".")
        group = nested
        for part in parents:
            group = group.setdefault(part, {})
        group[leaf] = value
    nested["rl"] |= changes or {}
    return {"what": "mi", "command": COMMAND, "configs": nested}


def test_a_page_shows_every_run_the_worst_first_and_counts_those_above_the_target():
    good, late, bad = [0.0] * 5 + [1.0] * 15, [0.0] * 15 + [1.0] * 5, [1.0] * 19 + [0.5]
    runs = [run(0, good), run(11, late, data=1), run(2, bad), run(3, [0.0], finished=False)]
    text = page({"runs": runs, "settings": []}, "Sure", "success", 0.95)
    assert "- Runs: 3; 1 more are not finished and left out." in text
    rows = [line for line in text.splitlines() if line.startswith("| 0 |") or line.startswith("| 1 |")]
    assert [row.split(" | ")[2] for row in rows] == ["11", "2", "0"]
    assert "| 1 | 1 | 11 | 0.50 | 0.50 | 16,000 | **yes** |" in rows
    assert "| 0 | 0 | 2 | 0.95 | 0.95 | never |  |" in rows  # fell at the very end
    assert "| 0 | 0 | 0 | 1.00 | 1.00 | 6,000 |  |" in rows
    assert "| 3 | 0.50 | 0.95 | 0.82 | 2 of 3 | 16,000 | 16,000 | 1 |" in text
    assert "revision: abcdef0 (3)" in text and "Some CPU (3)" in text and "data sets: 0, 1;" in text
    assert "not of today's settings" not in text


def test_numbers_that_were_rounded_are_not_below_the_target():
    thirds = [round(28 / 30, 4)] * 7 + [round(29 / 30, 4), 1.0, 1.0]  # of 30 episodes each; 0.95 in the mean
    assert sum(thirds) / 10 < 0.95
    text = page({"runs": [run(0, [0.0] * 10 + thirds)], "settings": []}, "Sure", "success", 0.95)
    assert "| 1 of 1 |" in text and "**yes**" not in text
    less = page({"runs": [run(0, [0.0] * 10 + [0.9498] * 10)], "settings": []}, "Sure", "success", 0.95)
    assert "| 0 of 1 |" in less and "**yes**" in less


def with_report(of, told, *, never=False):
    """Two policies of one pair of encoders, which are there after `of` thousand steps and one more."""
    name = "share of `z_state` that is hidden"
    found = [run(10 * of + i, [0.0] * (of - 1 + i) + [float(not never)] * (20 - of), data=of) for i in (0, 1)]
    return [one | {"encoders": one["encoders"] | {"report": {name: told}}} for one in found]


def test_what_a_report_told_stands_beside_the_steps_that_policies_needed():
    """Ranks 3 1 2 0 of what is hidden against 0 1 2 3 of steps: 1 - 6 (9 + 0 + 0 + 9) / (4 (16 - 1)) = -0.8."""
    given = ((1, 0.9), (3, 0.7), (5, 0.8), (7, 0.1))
    runs = [one for of, told in given for one in with_report(of, told)]
    (row,) = [
        line for line in page({"runs": runs, "settings": []}, "R", "success", 0.9).splitlines() if "hidden" in line
    ]
    assert row == "| `dqn:mi`, gru, no demonstrations | 4 | share of `z_state` that is hidden | 0.1 to 0.9 | -0.80 |"
    last = with_report(7, 0.1, never=True)
    again = page({"runs": [*runs[:-2], *last], "settings": []}, "R", "success", 0.9)
    assert row in again.splitlines()  # never is later than any
    few = page({"runs": runs[:6], "settings": []}, "R", "success", 0.9)
    assert "What stage 2 told" not in few


def test_a_median_of_an_even_number_lies_between_the_two_in_the_middle():
    early, late = [0.0] * 3 + [1.0] * 17, [0.0] * 17 + [1.0] * 3
    text = page({"runs": [run(0, early), run(1, late)], "settings": []}, "Two", "success", 0.95)
    assert "| 2 | 0.30 | 0.65 | 0.65 | 1 of 2 | 11,000 | 18,000 | 0 |" in text


def test_what_a_clock_counts_is_said():
    one, other = run(0, [0.0, 1.0]), run(1, [0.0, 1.0]) | {"method": "offline:bc", "unit": "updates"}
    for runs, unit in (([one], "steps"), ([other], "updates"), ([one, other], "steps or updates")):
        text = page({"runs": runs, "settings": []}, "Clocks", "success", 0.95)
        assert f"| 0.9 for good, {unit}: median |" in text
    assert "| 0.9 for good, steps | below" in text and "| 0.9 for good, updates | below" in text


def test_a_score_is_the_share_of_the_way_from_random_actions_to_the_optimum():
    """(0.52 - 0.2) / (1.0 - 0.2) of the two in the middle of four; by the upper bound, so that it is never too high."""
    runs = [run(seed, [end], env="A") for seed, end in enumerate((0.1, 0.4, 0.64, 0.9))] + [run(0, [1.0], env="B")]
    optima = {"A": {"random": 0.2, "optimum": 1.0, "told": "between 0.9 and 1"}}
    text = page({"runs": runs, "settings": [], "optima": optima}, "Scores", "return", 0.95)
    assert "- A: the optimum of the return is between 0.9 and 1, and random actions have 0.2; a score" in text
    rows = [line for line in text.splitlines() if line.startswith(("| A, ", "| B, "))]
    assert [row.split(" | ")[-1] for row in rows] == ["0.40 |", "– |"]
    assert "score" not in page({"runs": runs, "settings": []}, "Scores", "return", 0.95)


def test_runs_of_several_envs_are_groups_of_their_own_and_success_that_is_not_told_is_no_number():
    told, untold = run(0, [1.0], env="A"), run(0, [1.0], env="B")
    del untold["success"]
    text = page({"runs": [told, untold], "settings": [], "left_out": ["x: 2 evaluations"]}, "Both", "return", 0.95)
    assert "| A, `dqn:mi`, gru, no demonstrations | 1 | 1.00 | 1.00 | 1.00 | 1 of 1 | 1,000 | 1,000 | 0 |" in text
    assert "| B, `dqn:mi`, gru, no demonstrations | 1 | 1.00 | 1.00 | 1.00 | 1 of 1 | – | – | – |" in text
    assert "| 0 | 0 | 0 | – | 1.00 | – |  |" in text and "- x: 2 evaluations" in text
    with pytest.raises(UserError, match="--metric=success: B does not tell it"):
        page({"runs": [told, untold], "settings": []}, "Both", "success", 0.95)


@pytest.mark.parametrize(
    "change",
    [
        lambda about: about.pop("git_revision"),
        lambda about: about.pop("command"),
        lambda about: about.update(instructions=[1]),
    ],
)
def test_a_run_that_does_not_say_what_it_is_of_is_one_line(change, tmp_path):
    about = {"config": recorded()["configs"], "command": COMMAND, "git_revision": "abcdef012", "instructions": {}}
    about["config"]["env"]["eval"] = {"episodes": 1, "interval": 1}
    about["config"]["run"] = {"seed": 0, "start_expert": 0}
    write_run(tmp_path, about)
    assert len(gather([str(tmp_path)])["runs"]) == 1
    change(about)
    write_run(tmp_path, about)
    with pytest.raises(UserError, match=r"config\.json is damaged: it lacks what a run records"):
        gather([str(tmp_path)])


def test_a_field_tells_groups_of_a_page_apart():
    runs = [run(0, [1.0], apart="expectile=0.5"), run(0, [0.5], apart="expectile=0.9")]
    text = page({"runs": runs, "settings": []}, "Two", "success", 0.95)
    assert "| `dqn:mi`, gru, no demonstrations, expectile=0.9 | 1 | 0.50 |" in text
    assert "## `dqn:mi`, gru, no demonstrations, expectile=0.5" in text


def test_a_page_gets_more_runs_and_one_of_the_same_seeds_takes_its_place():
    about = {"title": "A", "notes": "kept", "settings": [recorded()], "left_out": ["an older one"]}
    before = about | {"runs": [run(0, [0.1]), run(1, [0.2]), run(0, [0.3], data=1)]}
    more = {"settings": [recorded()], "left_out": ["a newer one"], "runs": [run(1, [0.9]), run(2, [0.8])]}
    after = joined(before, more)
    assert [(one["data"]["seed"], one["seed"], one["success"]) for one in after["runs"]] == [
        (0, 0, [0.1]), (0, 1, [0.9]), (1, 0, [0.3]), (0, 2, [0.8]),
    ]  # fmt: skip
    assert after["settings"] == before["settings"] and after["notes"] == "kept"
    assert after["left_out"] == ["an older one", "a newer one"]


def test_settings_go_with_the_last_run_of_theirs():
    """Of three groups one is run anew whole, another in part; encoders are read by the first alone."""
    other = {"encoders": {"seed": 0}, "data": {"seed": 0}}
    groups = {
        name: recorded({"discount": x}) | {"what": f"{name}, gru, start_expert=0"}
        for name, x in (("a", 0.1), ("b", 0.2))
    }
    runs = [run(0, [0.1], method="a") | other, run(0, [0.2], method="b"), run(1, [0.2], method="b")]
    for one in runs[1:]:
        del one["encoders"]
    stage_2 = recorded({"discount": 0.3}) | {"what": "stage 2"}
    before = {"runs": runs, "settings": [*groups.values(), stage_2]}
    anew = {name: recorded({"discount": 0.9}) | {"what": one["what"]} for name, one in groups.items()}
    for replaced, left in ((runs[:1], [groups["b"], anew["a"]]), (runs[1:2], [*groups.values(), stage_2, anew["a"]])):
        after = joined(before, {"runs": replaced, "settings": [anew["a"]], "left_out": []})
        assert after["settings"] == left


def write_run(folder, about):
    (folder / "config.json").write_text(json.dumps(about))
    (folder / "metrics.jsonl").write_text('{"step": 1, "eval/return": 1.0, "eval/success": 1.0, "eval/length": 2.0}\n')


def test_a_page_of_other_settings_says_so_at_its_top():
    settings = [recorded({"discount": 0.5})]
    lines = page({"runs": [run(0, [1.0])], "settings": settings}, "Old", "success", 0.95).splitlines()
    assert lines[2].startswith("> **These runs are not of today's settings**")
    assert "> - mi: rl.discount was 0.5, is 0.93" in lines[:6]


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.stem)
def test_every_page_is_what_its_runs_and_todays_settings_make_of_it(file):
    """After a change of a default: python scripts/results.py --refresh --page=docs/results."""
    record = json.loads(file.read_text())
    picture = "" if picture_of(record) is None else f"{file.stem}.png"
    assert file.with_suffix(".md").read_text() == rendered(record, picture)


def test_the_page_of_theory_says_what_is_computed_today():
    """Digits of what is drawn may differ with the processor; what is computed of Heaven-Hell may not."""
    kept = json.loads((ROOT / "docs/results/tabular.json").read_text())
    today = theory.rows()
    assert [row[:2] for row in today] == [row[:2] for row in kept["rows"]]
    of_heaven_hell = [row for row in today if row[0].startswith("Heaven-Hell")]
    assert of_heaven_hell == kept["rows"][-len(of_heaven_hell) :] and len(of_heaven_hell) == 16
    for what, theirs, ours in of_heaven_hell:
        assert [float(x) for x in ours.split(", ")] == [float(x) for x in theirs.split(", ")], what
    assert all(float(row[2]) < 1e-12 for row in today[:7])


def test_no_page_of_results_is_written_by_hand():
    by_hand = {path.stem for path in (ROOT / "docs/results").glob("*.md")} - {file.stem for file in PAGES}
    assert by_hand == set()


def test_the_script_writes_a_page_of_a_run_and_makes_it_anew(tmp_path):
    def call(*words):
        return subprocess.run([sys.executable, *map(str, words)], cwd=ROOT, capture_output=True, text=True, timeout=120)

    done = call(
        "main.py", "--config_env=configs/envs/heaven_hell.py", "--train_episodes=1", "--start_training=1",
        "--num_envs=2", "--eval_episodes=2", "--film_episodes=0", "--config_rl.batch_size=2",
        f"--save_dir={tmp_path}", "--run_name=one",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    written = call("scripts/results.py", tmp_path, f"--page={tmp_path / 'page.md'}", "--title=One run", "--target=0.5")
    assert written.returncode == 0, written.stderr
    text = (tmp_path / "page.md").read_text()
    assert text.startswith("# One run\n") and "not of today's settings" not in text
    assert str(tmp_path) not in (tmp_path / "page.json").read_text()  # no folder of this machine
    assert "- HeavenHell-v0: the optimum of the return is 1, and random actions have 0;" in text
    record = json.loads((tmp_path / "page.json").read_text())
    assert record["runs"][0]["of"]["processor"] not in ("", "unknown")
    again = call("scripts/results.py", tmp_path, f"--page={tmp_path / 'page.md'}", "--add", "--target=0.25")
    assert again.returncode == 0, again.stderr
    added = json.loads((tmp_path / "page.json").read_text())
    assert added == record | {"target": 0.25}  # the run has taken its own place, and the title is kept
    assert_refused(call("scripts/results.py", tmp_path, f"--page={tmp_path / 'none.md'}", "--add"), "--page", "none")
    record["settings"][0]["configs"]["rl"]["tau"] = 0.5
    (tmp_path / "page.json").write_text(json.dumps(record))
    assert call("scripts/results.py", "--refresh", f"--page={tmp_path}").returncode == 0
    assert "rl.tau was 0.5, is 0.005" in (tmp_path / "page.md").read_text()
    assert_refused(call("scripts/results.py", tmp_path, "--page=x.txt"), "--page", ".md")
    assert_refused(call("scripts/results.py", f"--page={tmp_path / 'a.md'}"), "--runs is required")
    assert_refused(call("scripts/results.py", "--refresh", f"--page={tmp_path / 'gone'}"), "--page", "has none")
    (tmp_path / "other.json").write_text("[]")
    assert_refused(call("scripts/results.py", "--refresh", f"--page={tmp_path}"), "--page", "other.json")


def test_what_tables_say_of_runs_of_any_stage_is_counted(tmp_path):
    for name, revision, processor, named in (
        ("train/a", "0123456789", "One", {}),
        ("train/b", "0123456789-dirty", "One", {"MKL": "AVX2"}),
        ("pretrain/c", "0123456789", "Two", None),
        ("other", None, None, None),
    ):
        (tmp_path / name).mkdir(parents=True)
        about = {"git_revision": revision, "processor": processor, "instructions": named}
        (tmp_path / name / "config.json").write_text(json.dumps(about if revision else {"another's": 1}))
    for number, text in enumerate(("no JSON", "[1]", '{"git_revision": null}', '{"git_revision": ["x"]}')):
        (tmp_path / f"another{number}").mkdir()
        (tmp_path / f"another{number}" / "config.json").write_text(text)
    found = origin([str(tmp_path), str(tmp_path / "train")])  # once, though named twice
    assert found["revision"] == {"0123456": 2, "0123456-dirty": 1} and found["processor"] == {"One": 2, "Two": 1}
    assert found["instructions"] == {"all that it has": 2, "MKL=AVX2": 1}


def test_flags_of_no_use_and_files_that_are_no_page_of_ours_are_one_line(scripts, tmp_path):
    def refused(*words, said):
        assert_refused(scripts.run("scripts/results.py", *words), *said)

    page = f"--page={tmp_path / 'page.md'}"
    refused(str(tmp_path), page, "--computed=theory", said=("--runs", "--computed"))
    refused(page, "--computed=theory", "--target=1", said=("--target", "--computed"))
    refused(page, "runs", "--target=1.5", said=("--target", "from 0 to 1"))
    refused("--refresh", f"--page={tmp_path}", "--notes=x", said=("--notes", "--refresh"))
    refused("--computed=solver", f"--page={tmp_path / 'nowhere/solver.md'}", said=("--page", "no folder"))
    (tmp_path / "page.md").write_text("years of work")
    refused(str(tmp_path), page, said=("--page", "page.json"))
    assert (tmp_path / "page.md").read_text() == "years of work"
    record = {"runs": [run(0, [1.0])], "settings": [], "title": "x", "metric": "success", "target": 1.0, "notes": ""}
    for odd in ({"runs": 3}, {"settings": [{}]}, {"runs": [{"finished": True}]}, {"title": None, "notes": 3}):
        (tmp_path / "page.json").write_text(json.dumps(record | odd))
        refused("--refresh", f"--page={tmp_path}", said=("--page", "page.json is damaged"))


def test_students_of_two_teachers_are_two_groups():
    taught = [
        run(0, [0.5] * 20, apart="teacher=informed"),
        run(0, [1.0] * 20, apart="teacher=expert"),
        run(0, [0.9] * 20),
    ]
    text = page({"runs": taught, "settings": []}, "Gap", "success", 0.95)
    names = [line for line in text.splitlines() if line.startswith("## ")]
    assert [name.partition("demonstrations")[2] for name in names] == [
        ", teacher=informed",
        ", teacher=expert",
        "",
    ]
    assert (
        len(joined({"runs": taught, "settings": []}, {"runs": taught[:1], "settings": [], "left_out": []})["runs"]) == 3
    )


@pytest.mark.parametrize(
    ("by", "apart"),
    [
        ([], {"elf": "teacher=informed", "history": ""}),
        (["rl.lr"], {"elf": "lr=0.5, teacher=informed", "history": "lr=0.5"}),
    ],
)
def test_an_empty_field_is_not_told_apart(by, apart, tmp_path):
    for variant, teacher in (("elf", "informed"), ("history", "")):
        about = {"config": recorded()["configs"], "command": COMMAND, "git_revision": "abcdef012", "instructions": {}}
        about["config"]["env"]["eval"] = {"episodes": 1, "interval": 1}
        about["config"]["run"] = {"seed": 0, "start_expert": 0}
        about["config"]["rl"] |= {"variant": variant, "teacher": teacher, "lr": 0.5}
        (tmp_path / variant).mkdir()
        write_run(tmp_path / variant, about)
    runs = gather([str(tmp_path)], by=by)["runs"]
    assert {one["method"].partition(":")[2]: one["apart"] for one in runs} == apart


def test_of_how_many_evaluations_the_mean_counts_is_said():
    runs = [run(0, [0.0] * 9 + [1.0]), run(1, [0.0] * 8 + [0.5, 0.75])]
    record = {"title": "Last", "metric": "success", "target": 0.9, "notes": "", "runs": runs, "settings": []}
    assert "last ten: least" in rendered(record) and "| 0.10 |" in rendered(record)
    text = rendered(record | {"last": 1})
    assert "success, last: least" in text and "- Last: a run's last evaluation." in text
    assert "| 0.75 | 0.88 | 0.88 | 1 of 2 |" in text
    assert "the mean of a run's last 2 evaluations" in rendered(record | {"last": 2})
    assert "- 2 of the runs have fewer than 11 evaluations; of these all count." in rendered(record | {"last": 11})
    assert "fewer than" not in rendered(record)
