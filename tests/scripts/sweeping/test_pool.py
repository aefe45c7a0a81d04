"""Jobs on this machine: processes that fail, stop and are killed, and what is shown of them."""

import itertools
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from scripts.sweeping.pool import Pool
from scripts.sweeping.status import Record, Records, last_error, newest, overview, row_of, share_done, value_at
from tests.helpers.scripts import wait_until
from tests.helpers.sweeps import ROOT, run_pool, sweep_of, train
from utils.errors import UserError


def test_what_fails_shows_its_last_error_and_blocks_what_needs_it_and_only_that_runs_again(fakes):
    sweep = fakes(["ok", "fail", "die", "nothing"], need=True)
    one = run_pool(sweep)
    assert one.state == {
        "t/ok": "done", "after/ok": "done", "t/fail": "failed", "t/die": "failed", "t/nothing": "failed",
        "after/fail": "blocked", "after/die": "blocked", "after/nothing": "blocked",
    }  # fmt: skip
    assert one.error["t/fail"] == "exit 2: the disk is full"
    assert one.error["t/die"] == "killed by SIGKILL"
    assert one.error["t/nothing"] == "it ended without summary.json"
    shown = overview(sweep.jobs(), Records(sweep.folder), {}, running_here=False)
    assert "exit 2: the disk is full" in shown
    assert "needs t/fail" in shown
    assert "8 jobs: 3 failed, 3 blocked, 2 done" in shown
    before = (sweep.folder / "t/ok/starts").read_text()
    again = run_pool(sweep)
    assert [name for name, state in again.state.items() if state != "done"] == ["t/nothing", "after/nothing"]
    assert (sweep.folder / "t/ok/starts").read_text() == before
    records = Records(sweep.folder)
    assert {job.id: records.read(job).starts for job in sweep.jobs() if job.stage == "t"} == {
        "t/ok": 1, "t/fail": 2, "t/die": 2, "t/nothing": 2,
    }  # fmt: skip


def test_a_job_that_was_told_to_wait_is_taken_up_again(fakes):
    sweep = fakes(["again"])
    one = run_pool(sweep)
    assert one.state == {"t/again": "done"}
    assert Records(sweep.folder).read(sweep.jobs()[0]).starts == 2


def test_no_more_run_at_a_time_than_asked_and_with_the_threads_asked_for(fakes):
    sweep = fakes(["a", "b", "c", "d", "e"], threads=3)
    most = []
    run_pool(sweep, 2, lambda one: most.append(list(one.state.values()).count("running")))
    assert max(most) <= 2  # on a busy machine a fake job may be over before the next has begun
    spans = []
    for path in sweep.folder.glob("t/*/starts"):
        threads, began, ended = path.read_text().split()
        assert threads == "3"
        spans += [(float(began), 1), (float(ended), -1)]
    level = list(itertools.accumulate(change for _, change in sorted(spans)))
    assert max(level) <= 2 and level[-1] == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_is_passed_on_once_and_what_is_saved_is_waited_for(fakes, number):
    sweep = fakes(["wait", "later"])
    ready = sweep.folder / "t/wait/ready"

    def watch(one):
        if ready.exists() and one.stopping is None:
            os.kill(os.getpid(), number)

    jobs = sweep.jobs()
    one = Pool(jobs, 1, Records(sweep.folder), watch)
    with one.signals():
        one.run()
    assert one.stopping == number
    assert one.state == {"t/wait": "stopped", "t/later": "waiting"}
    assert (sweep.folder / "t/wait/saved").read_text() == f"[{int(number)}]"
    assert run_pool(sweep).state == {"t/wait": "done", "t/later": "done"}


def test_another_command_does_not_pass_for_what_is_there(fakes, tmp_path):
    sweep = fakes(["ok"])
    run_pool(sweep)
    other = sweep_of(tmp_path, {"do": ("ok",)}, {"t": train(("do",), "--do={do}", "--x=1")})
    with pytest.raises(UserError, match=r"was begun with fewer flags, not --x=1"):
        Records(other.folder).check(other.jobs())


def test_runs_end_with_the_sweep_that_is_killed(fakes, tmp_path):
    sweep = fakes(["wait"])
    check = textwrap.dedent(f"""
        import pathlib
        from scripts.sweeping import pool
        from tests.helpers import sweeps as this
        pool.ROOT = pathlib.Path({str(tmp_path)!r})
        sweep = this.sweep_of(pool.ROOT, {{"do": ("wait",)}}, {{"t": this.train(("do",), "--do={{do}}")}})
        this.run_pool(sweep)
    """)
    process = subprocess.Popen([sys.executable, "-c", check], cwd=ROOT)
    wait_until((sweep.folder / "t/wait/ready").exists)
    process.kill()
    process.wait()
    wait_until((sweep.folder / "t/wait/saved").exists, 10)
    assert (sweep.folder / "t/wait/saved").read_text() == f"[{int(signal.SIGTERM)}]"


def test_progress_is_read_from_the_end_of_a_file_that_is_being_written(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert newest(path) == {}
    rows = [{"step": step, "loss": 0.5, "text": "x" * 90} for step in range(2000)] + [
        {"step": 2000, "eval/success": 0.25}
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": 2001, "eval/succ')
    assert newest(path) == {"step": 2000, "loss": 0.5, "eval/success": 0.25}
    (tmp_path / "config.json").write_text(
        json.dumps({"config": {"run": {"train_episodes": 80}, "env": {"horizon": 50}}})
    )
    assert share_done(tmp_path, {"step": 1000}) == 0.25
    assert share_done(tmp_path, {"step": 4100}) == 1.0
    assert share_done(tmp_path, {}) is None
    about = {"run": {"train_episodes": 80}, "env": {"horizon": 50}}
    for learns_from, whole in (("stored_data", 200), ("stored_then_envs", 200 + 400), ("envs", 80 * 50)):
        rl = {"learns_from": learns_from, "num_updates": 200, "updates_per_step": 0.1}
        (tmp_path / "config.json").write_text(json.dumps({"config": {**about, "rl": rl}}))
        assert share_done(tmp_path, {"step": 150}) == 150 / whole  # of updates, where a run learns from stored data
    (tmp_path / "config.json").write_text(json.dumps({"config": {"run": {"seed": 0}, "repr": {"num_epochs": 8}}}))
    assert share_done(tmp_path, {"step": 2}) == 0.25


def test_the_last_error_is_that_of_the_last_start(tmp_path):
    log = tmp_path / "log"
    assert last_error(log) == ""
    log.write_text("error: old\n")
    offset = log.stat().st_size
    with log.open("a") as file:
        file.write("Traceback\nValueError: new\n\n")
    assert last_error(log, offset) == "ValueError: new"
    assert last_error(log) == "old"


def test_the_table_tells_where_every_job_is(tmp_path):
    seeds = (0, 1, 2, 3, 4, 5)
    sweep = sweep_of(tmp_path, {"seed": seeds}, {"train": train(("seed",), "--seed={seed}")})
    jobs, records = sweep.jobs(), Records(sweep.folder)
    jobs[0].folder.mkdir(parents=True)
    jobs[0].done_file.write_text("{}")
    (jobs[0].folder / "metrics.jsonl").write_text('{"step": 1200, "eval/success": 0.5, "eval/return": -0.25}\n')
    for job, state, place in zip(jobs[1:], ("running", "running", "queued", "running"), ("local", "7_1", "7_2", "6_0")):
        records.write(job, Record(job.words, state, place, starts=1))
    active = {"7_1": "RUNNING", "7_2": "PENDING"}
    lines = overview(jobs, records, active, running_here=True).splitlines()
    assert [line.split() for line in lines] == [
        ["job", "state", "step", "success", "return"],
        ["train/s0", "done", "100", "%", "1,200", "0.50", "-0.25"],
        ["train/s1", "running"],
        ["train/s2", "running", "SLURM", "7_1,", "running"],
        ["train/s3", "queued", "SLURM", "7_2,", "pending"],
        ["train/s4", "lost", *["SLURM", "no", "longer", "has", "6_0;", "submit", "the", "sweep", "again"]],
        ["train/s5", "waiting"],
        *[["6", "jobs:", "2", "running,", "1", "queued,", "1", "waiting,", "1", "lost,", "1", "done"]],
    ]
    assert "stopped  " in overview(jobs, records, active, running_here=False)


def test_success_that_an_env_does_not_tell_is_not_shown(tmp_path):
    (job,) = sweep_of(tmp_path, {"seed": (0,)}, {"t": train(("seed",), "--seed={seed}")}).jobs()
    job.folder.mkdir(parents=True)
    (job.folder / "metrics.jsonl").write_text('{"step": 1200, "eval/return": -0.25}\n')
    assert row_of(job, "running", "") == ("t/s0", "running", "", "1,200", "", "-0.25", "")


def test_numbers_of_a_summary_are_found_by_dotted_name():
    summary = {"final": {"success": 0.5}, "steps_to_0.9": None, "env": "x"}
    assert value_at(summary, "final.success") == 0.5
    assert value_at(summary, "steps_to_0.9") is None
    for wrong in ("final.sucess", "env", "final", "nothing.at.all"):
        with pytest.raises(KeyError):
            value_at(summary, wrong)


def test_another_place_or_spelling_is_no_other_command(fakes, tmp_path, monkeypatch):
    fakes(["ok"])
    run_pool(sweep_of(tmp_path / "here", {"seed": (0,)}, {"t": train(("seed",), "--do=ok", "--seed={seed}")}))
    (tmp_path / "there").mkdir()
    (tmp_path / "here" / "s").rename(tmp_path / "there" / "s")
    monkeypatch.chdir(tmp_path)
    for spelling in (tmp_path / "there", Path("there"), Path("here/../there")):
        moved = sweep_of(spelling, {"seed": (0,)}, {"t": train(("seed",), "--do=ok", "--seed={seed}")})
        Records(moved.folder).check(moved.jobs())


@pytest.mark.parametrize("root", ["train", "data", "e", "s", "train_episodes"])
def test_a_folder_named_like_a_part_of_a_flag_is_only_a_folder(fakes, tmp_path, monkeypatch, root):
    fakes(["ok"])
    monkeypatch.chdir(tmp_path)

    def staged(save_dir, *flags):
        stages = {"first": train((), "--do=ok"), "second": train((), "--do=ok", "--train_data={first}", *flags)}
        return sweep_of(save_dir, {}, stages)

    run_pool(staged(Path(root), "--train_episodes=40", "--mode=train/data", f"--kind={root}"))
    (tmp_path / "there").mkdir()
    (tmp_path / root / "s").rename(tmp_path / "there" / "s")
    moved = staged(tmp_path / "there", "--train_episodes=40", "--mode=train/data", f"--kind={root}")
    Records(moved.folder).check(moved.jobs())
    longer = staged(Path("there"), "--train_episodes=60", "--mode=train/data", f"--kind={root}")
    Records(longer.folder).check(longer.jobs())
    other = staged(Path("there"), "--train_episodes=40", "--mode=train/other", f"--kind={root}")
    with pytest.raises(UserError, match="--mode=train/data, not --mode=train/other"):
        Records(other.folder).check(other.jobs())


def lengthy(tmp_path, *flags):
    return sweep_of(tmp_path, {"do": ("ok", "again")}, {"t": train(("do",), "--do={do}", *flags)})


def test_a_sweep_that_is_only_to_be_longer_goes_on_in_the_same_folders(fakes, tmp_path):
    fakes(["ok"])  # the script
    run_pool(lengthy(tmp_path, "--train_episodes=40"))
    longer, records = lengthy(tmp_path, "--train_episodes=40", "--train_episodes=60"), Records(tmp_path / "s")
    assert not any(records.done(job) for job in longer.jobs())
    assert "2 jobs: 2 waiting" in overview(longer.jobs(), records, {}, running_here=False)
    assert run_pool(longer).state == {"t/ok": "done", "t/again": "done"}
    for job, starts in zip(longer.jobs(), (2, 3)):  # one was told to wait, the first time
        assert records.done(job) and records.read(job).starts == starts
        assert (job.folder / "summary_40.json").exists() and "--train_episodes=60" in records.read(job).command
    run_pool(longer)
    assert [records.read(job).starts for job in longer.jobs()] == [2, 3], "what is done is not done again"


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (("--train_episodes=40",), ("--train_episodes=30",), "with --train_episodes=40, not --train_episodes=30;"),
        ((), ("--train_episodes=999",), "begun with fewer flags, not --train_episodes=999;"),
        (("--train_episodes=40",), (), "begun with --train_episodes=40, not these;"),
        (("--train_episodes=4",), ("--train_episodes=5", "--x=1"), "=4, not --train_episodes=5 --x=1;"),
    ],
)
def test_what_is_not_only_longer_is_another_command(fakes, tmp_path, before, now, said):
    fakes(["ok"])
    run_pool(lengthy(tmp_path, *before))
    other = lengthy(tmp_path, *now)
    with pytest.raises(UserError, match=said):
        Records(other.folder).check(other.jobs())
    assert len(list(tmp_path.glob("s/t/*/summary.json"))) == 2, "nothing was put aside"


def test_the_length_that_was_not_given_is_that_of_the_run(fakes, tmp_path):
    fakes(["ok"])
    run_pool(lengthy(tmp_path))
    run_pool(lengthy(tmp_path, "--train_episodes=1001"))
    assert len(list(tmp_path.glob("s/t/*/summary_1000.json"))) == 2


def test_what_was_made_of_a_run_is_not_kept_when_that_is_to_be_longer(fakes, tmp_path):
    fakes(["ok"])

    def staged(length):
        first = train((), "--do=ok", f"--train_episodes={length}")
        return sweep_of(tmp_path, {}, {"first": first, "second": train((), "--do=ok", "--needs={first}")})

    run_pool(staged(4))
    longer = staged(5)
    with pytest.raises(UserError, match=r"first/all is to be longer, and \S*/s/second/all was made of it"):
        Records(longer.folder).check(longer.jobs())
    (tmp_path / "s" / "second").rename(tmp_path / "older")
    assert set(run_pool(longer).state.values()) == {"done"}


def test_a_changed_flag_of_one_stage_leaves_what_the_others_have_done(fakes, tmp_path):
    fakes(["ok"])

    def staged(*flags):
        stages = {"first": train((), "--do=ok"), "second": train((), "--do=ok", "--needs={first}", *flags)}
        return sweep_of(tmp_path, {}, stages)

    run_pool(staged())
    with pytest.raises(UserError, match=r"--x=1; .* move \S*/s/second away: .* is used again"):
        run_pool(staged("--x=1"))
    (tmp_path / "s" / "second").rename(tmp_path / "older")
    run_pool(staged("--x=1"))
    starts = {name: (tmp_path / "s" / name).glob("*/starts") for name in ("first", "second")}
    assert [len(path.read_text().splitlines()) for path in starts["first"]] == [1], "what was done is not done again"
    assert json.loads(next((tmp_path / "s" / "second").glob("*/summary.json")).read_text())["final"]["success"] == 1
