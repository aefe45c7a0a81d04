"""Sweeps: grids against nested loops, processes that fail, stop and are killed, one line for what cannot be run."""

import itertools
import json
import os
import pickle
import signal
import stat
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ml_collections import ConfigDict
from safetensors.torch import load_file

from scripts.sweeping import cluster, pool, search
from scripts.sweeping.plan import Sweep
from scripts.sweeping.pool import Pool
from scripts.sweeping.status import Record, Records, last_error, newest, overview, share_done, value_at
from tests.helpers.scripts import Scripts, assert_refused, wait_until
from utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
QUICK = ROOT / "configs/sweeps/quick.py"


@pytest.fixture(scope="module")
def scripts():
    started = Scripts()
    yield started
    started.close()


def sweep_of(tmp_path, axes, stages, more=None, **other):
    config = ConfigDict({"name": "s", "axes": axes, "stages": stages, **other})
    return Sweep(config.lock(), tmp_path, more)


def train(over, *flags, **other):
    return {"script": "main.py", "over": over, "flags": flags, **other}


# --- from a file to jobs ---


def test_three_stages_are_what_nested_loops_give(tmp_path):
    axes = {
        "env": ("hh", "sphinx"),
        "method": {"mi": ("--config_rl=dqn:mi", "--state_embedder_dir={pre}"), "ua": ("--config_rl=dqn:ua",)},
        "seed": (0, 1, 2),
    }
    stages = {
        "train": train(("env", "method", "seed"), "--config_env={env}", "--seed={seed}"),
        "pre": {
            "script": "main_pretrain_representations.py",
            "over": ("env",),
            "flags": ("--config_env={env}", "--data_path={collect}"),
        },
        "collect": {"script": "main_collect_data.py", "over": ("env",), "flags": ("--config_env={env}",)},
    }
    jobs = sweep_of(tmp_path, axes, stages).jobs()
    expected = {}
    for env in ("hh", "sphinx"):
        data, pre = f"{tmp_path}/s/collect/{env}", f"{tmp_path}/s/pre/{env}"
        expected[f"collect/{env}"] = ["main_collect_data.py", f"--config_env={env}", f"--data_path={data}"]
        expected[f"pre/{env}"] = ["main_pretrain_representations.py", f"--config_env={env}", f"--data_path={data}"]
        expected[f"pre/{env}"] += [f"--save_dir={pre}", "--threads=1"]
        for method in ("mi", "ua"):
            for seed in (0, 1, 2):
                words = ["main.py", f"--config_env={env}", f"--seed={seed}", f"--config_rl=dqn:{method}"]
                words += [f"--state_embedder_dir={pre}"] if method == "mi" else []
                words += [f"--save_dir={tmp_path}", "--group=s/train", f"--run_name={env}_{method}_s{seed}"]
                expected[f"train/{env}_{method}_s{seed}"] = [*words, "--threads=1"]
    assert {job.id: list(job.words) for job in jobs} == expected
    needs = {job.id: [need.id for need in job.needs] for job in jobs}
    assert needs["pre/hh"] == ["collect/hh"]
    assert needs["train/sphinx_mi_s2"] == ["pre/sphinx"]
    assert needs["train/sphinx_ua_s2"] == []
    order = [job.id for job in jobs]
    assert all(order.index(need.id) < order.index(job.id) for job in jobs for need in job.needs)
    assert [job.done_file for job in jobs if job.id == "collect/hh"] == [tmp_path / "s/collect/hh/data/metadata.json"]


LABELS = st.lists(st.integers(0, 20), min_size=1, max_size=4, unique=True)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), LABELS, min_size=1), st.data())
def test_a_grid_is_the_product_of_the_axes_that_a_stage_is_over(axes, data):
    over = data.draw(st.permutations(sorted(axes)).map(lambda names: names[: max(1, len(names) - 1)]))
    sweep = sweep_of(
        Path("x"), {k: tuple(v) for k, v in axes.items()}, {"t": train(over, *(f"--{a}={{{a}}}" for a in over))}
    )
    rows = [[]]
    for axis in over:
        rows = [[*row, f"--{axis}={value}"] for row in rows for value in axes[axis]]
    assert [list(job.words[1 : 1 + len(over)]) for job in sweep.jobs()] == rows


def test_a_list_names_its_rows_and_a_star_is_every_value(tmp_path):
    axes = {"env": ("hh", "sphinx"), "lr": (0.1, 0.2), "seed": (0, 1)}
    stage = train(
        ("env", "lr", "seed"), "--e={env}", "--lr={lr}", "--seed={seed}", list=(("hh", 0.1, "*"), ("sphinx", 0.2, 1))
    )
    names = [job.name for job in sweep_of(tmp_path, axes, {"train": stage}).jobs()]
    assert names == ["hh_0.1_s0", "hh_0.1_s1", "sphinx_0.2_s1"]


def test_what_nobody_needs_is_not_run_and_flags_of_axes_reach_their_stage(tmp_path):
    axes = {"env": {"hh": {"train": ("--train_episodes=3",), "collect": ("--episodes=5",)}, "sphinx": {}}}
    stages = {
        "collect": {"script": "main_collect_data.py", "over": ("env",), "flags": ("--config_env={env}",)},
        "train": train(("env",), "--config_env={env}", "--state_embedder_dir={collect}", list=(("hh",),)),
    }
    sweep = sweep_of(tmp_path, axes, stages, {"train": ["--train_episodes=9"], "collect": ["--config_env.horizon=4"]})
    collect, run = sweep.jobs()
    assert (collect.id, run.id) == ("collect/hh", "train/hh")
    assert collect.words[1:4] == ("--config_env=hh", "--episodes=5", "--config_env.horizon=4")
    assert [word for word in run.words if "train_episodes" in word] == ["--train_episodes=3", "--train_episodes=9"]


def test_a_config_comes_before_its_fields_whoever_names_them(tmp_path):
    axes = {"env": {"hh": ("--config_rl.lr=0.1",)}, "method": {"mi": ("--config_rl=dqn:mi",)}}
    (job,) = sweep_of(
        tmp_path, axes, {"train": train(("env", "method"), "--config_seq.a=1", "--config_seq=gru")}
    ).jobs()
    assert job.words[1:5] == ("--config_seq=gru", "--config_rl=dqn:mi", "--config_seq.a=1", "--config_rl.lr=0.1")


STAGE = train(("seed",), "--seed={seed}")


@pytest.mark.parametrize(
    ("axes", "stages", "said"),
    [
        ({"seed": ()}, {"t": STAGE}, "axes.seed is empty"),
        ({"seed": (0, 1, 0)}, {"t": STAGE}, "axes.seed: '0' is there twice"),
        ({"seed": (0, 1)}, {}, "stages is empty"),
        ({"seed": (0, 1)}, {"t": {**STAGE, "list": ()}}, "stages.t.list is empty"),
        ({"seed": (0, 1)}, {"t": {**STAGE, "list": ((0, 1),)}}, "no row of 1 values"),
        ({"seed": (0, 1)}, {"t": {**STAGE, "list": ((7,),)}}, "unknown value '7'"),
        ({"seed": (0, 1)}, {"t": train(("seed",), "--x=1")}, "the same command"),
        ({"seed": (0, 1)}, {"t": {**STAGE, "name": "run"}}, "two runs are named 'run'"),
        ({"seed": ("a/b", "a:b")}, {"t": STAGE}, "two runs are named 'sa-b'"),
        ({"seed": (0,)}, {"t": {**STAGE, "skript": "main.py"}}, "unknown field 'skript' (did you mean 'script'?)"),
        ({"seed": (0,)}, {"t": {**STAGE, "script": "mian.py"}}, "did you mean 'main.py'?"),
        ({"seed": (0,)}, {"t": {**STAGE, "over": ("sead",)}}, "did you mean 'seed'?"),
        ({"seed": (0,)}, {"t": {**STAGE, "threads": 0}}, "stages.t.threads"),
        ({"seed": (0,)}, {"t": {**STAGE, "flags": "--seed=0"}}, "a tuple of strings"),
        ({"seed": (0,)}, {"t": {**STAGE, "slurm": {"hours": 0}}}, "stages.t.slurm.hours: a number above 0"),
        ({"seed": (0,)}, {"t": train(("seed",), "--seed={sed}")}, "unknown {sed} (did you mean 'seed'?)"),
        ({"seed": (0, 1)}, {"t": train((), "--a={u}"), "u": STAGE}, "which {u}?"),
        ({"seed": (0,)}, {"t": train((), "--a={u}"), "u": train((), "--a={t}")}, "refers to itself"),
        ({"seed": 3}, {"t": STAGE}, "axes.seed: a tuple"),
        ({"trial": (0,)}, {"t": STAGE}, "axes.trial"),
        ({"seed": (0,)}, {"jobs": STAGE}, "stages.jobs: choose another name"),
        ((0, 1), {"t": STAGE}, "axes: a group of fields is needed, not [0, 1]"),
        ({"seed": (0,)}, "main.py", "stages: a group of fields"),
        ({"seed": (0,)}, {"t": "main.py"}, "stages.t: a group of fields"),
        ({"seed": (0,)}, {"t": {**STAGE, "script": ("main.py",)}}, "stages.t.script: a text"),
        ({"seed": (0,)}, {"t": {**STAGE, "list": 3}}, "stages.t.list: a tuple"),
        ({"seed": (0,)}, {"t": {**STAGE, "threads": True}}, "stages.t.threads: a whole number"),
        ({"seed": (0,)}, {"t": {**STAGE, "slurm": "gpu"}}, "stages.t.slurm: a group of fields"),
        ({"seed": (0,)}, {"t": {**STAGE, "slurm": {"hours": float("inf")}}}, "stages.t.slurm.hours: a number"),
        ({"seed": (0,)}, {"t": {**STAGE, "slurm": {"runs_per_job": 1.5}}}, "runs_per_job: a whole number"),
        ({"seed": (0,)}, {"t": {**STAGE, "slurm": {"setup": "module load x"}}}, "setup: a tuple of strings"),
    ],
)  # fmt: skip
def test_a_file_that_makes_no_sense_is_refused_with_the_field(tmp_path, axes, stages, said):
    with pytest.raises(UserError) as refused:
        sweep = sweep_of(tmp_path, axes, stages)
        sweep.jobs()
        sweep.slurm_of("t")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["", "..", ".", ".hidden", "a/b", 3, None])
def test_a_name_that_is_no_folder_of_its_own_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="--config_sweep: name"):
        Sweep(ConfigDict({"name": name, "stages": {"t": train(())}}).lock(), tmp_path)


# --- the command line ---


def write_sweep(tmp_path, axes, flags):
    path = tmp_path / "sweep.py"
    path.write_text(f"""from ml_collections import ConfigDict


def get_config():
    flags = ("--config_env=configs/envs/heaven_hell.py", {flags})
    stage = {{"script": "main.py", "over": ("seed",), "flags": flags}}
    return ConfigDict({{"name": "s", "axes": {{"seed": {axes}}}, "stages": {{"train": stage}}}})
""")
    return path


@pytest.mark.parametrize(
    ("flags", "axes", "said"),
    [
        ("'--seed={seed}', '--config_rl.discuont=1'", "(0, 1)", ("stages.train", "did you mean 'discount'?")),
        ("'--seeed={seed}'", "(0, 1)", ("stages.train, s0", "--seeed", "did you mean 'seed'?")),
        ("'--seed={seed}'", "(0, -1)", ("stages.train, s-1", "--seed=-1")),
        ("'--seed={seed}'", "()", ("axes.seed is empty",)),
    ],
)
def test_an_unknown_flag_or_field_is_found_before_anything_runs(scripts, tmp_path, flags, axes, said):
    path = write_sweep(tmp_path, axes, flags)
    done = scripts.run("scripts/sweep.py", f"--config_sweep={path}", f"--save_dir={tmp_path}")
    assert_refused(done, "--config_sweep", *said)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--jobs=0"], ["--jobs"]),
        (["--add=--train_episodes=2"], ["--add", "STAGE:--FLAG=VALUE"]),
        (["--add=trian:--train_episodes=2"], ["--add", "did you mean 'train'?"]),
        (["--config_sweep.axes.sed=(0,)"], ["--config_sweep", "did you mean 'axes.seed'?"]),
        (["--cluster=slrum"], ["--cluster"]),
        (["--cluster=slurm", "--runs_per_job=0"], ["--runs_per_job"]),
        (["--cluster=slurm", "--hours=inf"], ["--hours", "a number"]),
    ],
)
def test_a_wrong_flag_is_one_line(scripts, tmp_path, flags, said):
    assert_refused(scripts.run("scripts/sweep.py", f"--config_sweep={QUICK}", f"--save_dir={tmp_path}", *flags), *said)


def test_without_slurm_the_other_choice_is_named(scripts, tmp_path):
    done = scripts.run(
        "scripts/sweep.py", f"--config_sweep={QUICK}", f"--save_dir={tmp_path}", "--cluster=slurm", PATH="/nowhere"
    )
    assert_refused(done, "--cluster=slurm", "sbatch", "local")
    assert list(tmp_path.iterdir()) == []


NUMBER = {
    "quick": 6,
    "search": 4,
    "ablations": 1 + 2 + 9 * 5,
    "memories": 2 + 2 + 2 * 2 * 5 * 5,
    "grid_domains": 3 * 4 + 4 * 6 * 5,
    "robot_domains": 3 * 3 + 3 * 6 * 3,
}


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "configs/sweeps").glob("*.py")))
def test_every_sweep_file_passes_its_scripts(scripts, tmp_path, name):
    flags = (f"--config_sweep=configs/sweeps/{name}.py", f"--save_dir={tmp_path}", "--dry_run", "--cluster=slurm")
    if name != "quick":  # of the many seeds one will do
        flags += ("--config_sweep.axes.seed=(0,)",)
    done = scripts.run("scripts/sweep.py", *flags)
    assert done.returncode == 0, done.stderr
    config = {}
    exec((ROOT / f"configs/sweeps/{name}.py").read_text(), config)
    sweep = Sweep(config["get_config"](), tmp_path)
    assert len(sweep.jobs(search.example(sweep) if sweep.search else None)) == NUMBER[name]
    assert "runs in" in done.stdout
    assert list(tmp_path.iterdir()) == [], "a dry run leaves nothing behind"


# --- processes ---

FAKE = """
import json, os, pathlib, signal, sys, time
flags = dict(word.split("=", 1) for word in sys.argv[1:])
folder = pathlib.Path(flags["--save_dir"], flags["--group"], flags["--run_name"])
folder.mkdir(parents=True, exist_ok=True)
with (folder / "starts").open("a") as file:
    file.write(f"{os.environ['OMP_NUM_THREADS']} {time.monotonic()} ")
do = flags["--do"]
stop = []
for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
    signal.signal(number, lambda n, frame: stop.append(n))
first = (folder / "starts").read_text().count(" ") == 2
if do == "fail" and first:
    print("error: the disk is full"), print("and more")
    sys.exit(2)
if do == "again" and first:
    sys.exit(75)
if do == "die" and first:
    os.kill(os.getpid(), signal.SIGKILL)
if do == "nothing":
    sys.exit(0)
while do == "wait" and not stop and first:
    (folder / "ready").touch()
    time.sleep(0.01)
if stop:
    (folder / "saved").write_text(str(stop))
    time.sleep(0.2)
    sys.exit(130 if stop[0] == signal.SIGINT else 75)
with (folder / "starts").open("a") as file:
    file.write(f"{time.monotonic()}\\n")
(folder / "summary.json").write_text(json.dumps({"final": {"success": float(flags.get("--x", 0))}}))
"""


@pytest.fixture
def fakes(tmp_path, monkeypatch):
    """Sweeps of main.py as a few lines without torch."""
    (tmp_path / "main.py").write_text(FAKE)
    monkeypatch.setattr(pool, "ROOT", tmp_path)

    def make(do, need=False, **stage):
        axes = {"do": tuple(do), "seed": (0,)}
        stages = {"t": train(("do",), "--do={do}", **stage)}
        if need:
            stages["after"] = train(("do",), "--do=ok", "--from={t}")
        return sweep_of(tmp_path, axes, stages)

    return make


def run_pool(sweep, num=2, watch=lambda one: None):
    jobs = sweep.jobs()
    records = Records(sweep.folder)
    records.check(jobs)
    one = Pool(jobs, num, records, watch)
    one.run()
    return one


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
        from tests.scripts import test_sweep as this
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


# --- what is shown ---


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


def test_numbers_of_a_summary_are_found_by_dotted_name():
    summary = {"final": {"success": 0.5}, "steps_to_0.9": None, "env": "x"}
    assert value_at(summary, "final.success") == 0.5
    assert value_at(summary, "steps_to_0.9") is None
    for wrong in ("final.sucess", "env", "final", "nothing.at.all"):
        with pytest.raises(KeyError):
            value_at(summary, wrong)


# --- a search ---


def search_sweep(tmp_path, **changed):
    fields = {"x": {"low": -1.0, "high": 1.0}, "kind": {"choices": ("a", "b")}, "n": {"low": 1, "high": 3}}
    settings = {"metric": "final.success", "trials": 12, "fields": fields} | changed
    stage = train(("trial", "seed"), "--do=ok", "--x={x}", "--kind={kind}", "--n={n}", "--seed={seed}")
    return sweep_of(tmp_path, {"seed": (0, 1)}, {"t": stage}, search=settings)


def test_a_search_tells_the_mean_over_seeds_and_goes_on_where_it_was_stopped(tmp_path):
    sweep = search_sweep(tmp_path)
    calls = []

    def execute(jobs):
        calls.append([job.id for job in jobs])
        if len(calls) == 3:
            return False
        for job in jobs:
            flags = dict(word.split("=", 1) for word in job.words[1:])
            assert flags["--kind"] in "ab" and flags["--n"] in "123" and -1 <= float(flags["--x"]) <= 1
            if job.trial != 4:
                job.folder.mkdir(parents=True)
                value = float(flags["--x"]) + int(flags["--seed"])  # the mean over seeds: x + 0.5
                job.done_file.write_text(json.dumps({"final": {"success": value}}))
        return True

    assert search.Search(sweep).run(execute, 2) is False
    assert calls == [[f"t/t{k}_s{seed}" for k in (n, n + 1) for seed in (0, 1)] for n in (0, 2, 4)]
    again = search.Search(sweep)  # a new process
    assert again.run(execute, 2) is True
    assert calls[3] == calls[2], "what was open is taken up, with the fields that it had"
    assert len(again.trials()) == 12
    drawn = [tuple(fields.values()) for fields in again.trials().values()]
    assert len(set(drawn)) == 12, "a process that goes on draws anew"
    values = {trial.number: trial.value for trial in again.study.get_trials()}
    assert values.pop(4) is None
    for number, value in values.items():
        assert value == pytest.approx(again.trials()[number]["x"] + 0.5)
    assert again.report().splitlines()[0].split()[1] == str(max(values, key=values.get))
    assert "11 trials, 1 failed" in again.report()
    again.run(lambda jobs: pytest.fail("nothing is left"), 2)


def test_a_search_with_other_choices_is_another_search(tmp_path):
    search.Search(search_sweep(tmp_path)).run(lambda jobs: False, 2)
    kinds = {"x": {"low": -1.0, "high": 1.0}, "kind": {"choices": ("a", "c")}, "n": {"low": 1, "high": 3}}
    with pytest.raises(UserError, match=r"search\.fields\.kind: .* another name"):
        search.Search(search_sweep(tmp_path, fields=kinds))
    wider = kinds | {"kind": {"choices": ("a", "b")}, "x": {"low": -2.0, "high": 1.0}}
    search.Search(search_sweep(tmp_path, fields=wider))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"metric": ""}, "search.metric"),
        ({"direction": "up"}, "search.direction"),
        ({"trials": 0}, "search.trials"),
        ({"fields": {}}, "search.fields is empty"),
        ({"fields": {"x": {"low": 2, "high": 1}}}, "search.fields.x"),
        ({"fields": {"x": {"low": 0.0, "high": 1.0, "log": True}}}, "low must be above 0"),
        ({"feilds": {}}, "did you mean 'fields'?"),
        ({"fields": {"kind": {"choices": (1, 2)}, "n": {"choices": (1, 2)}}}, "unknown {x}"),
        ({"fields": {"y": {"choices": (1, 2)}}}, "search.fields.y: no stage has a flag with {y}"),
        ({"fields": {"seed": {"choices": (1, 2)}}}, "search.fields.seed: choose another name"),
        ({"fields": {"x": 0.1}}, "search.fields.x: a group of fields"),
        ({"fields": {"x": {"low": "0", "high": 1}}}, "search.fields.x.low: a number"),
        ({"fields": {"x": {"low": 0.0, "high": float("inf")}}}, "search.fields.x.high: a number"),
        ({"fields": {"x": {"choices": "ab"}}}, "search.fields.x.choices: a tuple"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(tmp_path, changed, said):
    with pytest.raises(UserError) as refused:
        sweep = search_sweep(tmp_path, **changed)
        sweep.jobs(search.example(sweep))
    assert said in str(refused.value)


def test_a_stage_that_uses_a_searched_field_is_told_to_be_over_trials(tmp_path):
    stage = train(("seed",), "--seed={seed}", "--x={x}")
    settings = {"metric": "final.success", "fields": {"x": {"low": 0.0, "high": 1.0}}}
    sweep = sweep_of(tmp_path, {"seed": (0, 1)}, {"t": stage}, search=settings)
    with pytest.raises(UserError, match=r"stages.t: \{x\} is a trial's; add 'trial' to the stage's over"):
        sweep.jobs(search.example(sweep))


def test_a_metric_that_no_summary_has_is_refused(tmp_path):
    sweep = search_sweep(tmp_path, metric="final.sucess")

    def execute(jobs):
        for job in jobs:
            job.folder.mkdir(parents=True)
            job.done_file.write_text('{"final": {"success": 1}}')
        return True

    with pytest.raises(UserError, match=r"search.metric: .*'final.sucess'"):
        search.Search(sweep).run(execute, 1)


# --- what SLURM is asked for ---


def child_of(pid, text):
    """The process below `pid` whose command line has `text`."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        if text in Path(f"/proc/{child}/cmdline").read_text():
            return int(child)
    return None


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Programs that take note of what they are given."""
    programs = tmp_path / "bin"
    programs.mkdir()
    numbers = "n=$(ls texts | wc -l); cp $1 texts/$n; echo Submitted batch job $((100 + n))"
    bodies = {"sbatch": f"cd {tmp_path}; {numbers}", "srun": "", "squeue": f"cat {tmp_path}/queue"}
    for name, body in bodies.items():
        path = programs / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IEXEC)
    (tmp_path / "texts").mkdir()
    (tmp_path / "queue").touch()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return lambda: [(tmp_path / "texts" / str(k)).read_text() for k in range(len(list((tmp_path / "texts").iterdir())))]


def sbatch_of(text):
    """The #SBATCH lines as a dict."""
    lines = [line.removeprefix("#SBATCH --") for line in text.splitlines() if line.startswith("#SBATCH")]
    return {line.partition("=")[0]: line.partition("=")[2] for line in lines}


def test_slurm_gets_arrays_that_wait_for_what_they_need_and_nothing_twice(tmp_path, slurm):
    axes = {
        "method": {"mi": ("--m=mi", "--from={collect}"), "ua": ("--m=ua",)},
        "seed": (0, 1, 2, 3),
    }
    stages = {
        "collect": {"script": "main_collect_data.py"},
        "train": train(("method", "seed"), "--seed={seed}", threads=2, slurm={"gpus": 1, "runs_per_job": 3}),
    }
    settings = {
        "partition": "long",
        "hours": 1.5,
        "memory_gb": 2.0,
        "options": {"account": "me"},
        "setup": ("module load x",),
    }
    sweep = sweep_of(tmp_path, axes, stages, slurm=settings)
    sweep.override_slurm({"hours": 3.0, "partition": None, "parallel": 5})
    jobs, records = sweep.jobs(), Records(sweep.folder)
    said = cluster.submit(sweep, jobs, records)
    collect, mi, ua = map(sbatch_of, slurm())
    assert said[1] == "train: 4 runs in 2 jobs, SLURM's 101"
    assert (collect["partition"], collect["time"], collect["mem"], collect["account"]) == ("long", "180", "2GB", "me")
    assert "requeue" in collect and "dependency" not in collect and "array" not in collect
    assert (mi["dependency"], mi["kill-on-invalid-dep"], mi["array"]) == ("afterok:100", "yes", "0-1%2")
    assert (mi["cpus-per-task"], mi["mem"], mi["gpus-per-node"]) == ("6", "6GB", "1")
    assert mi["signal"] == "USR1@120", "SIGUSR1 reaches main.py, SIGUSR2 would kill it"
    assert "dependency" not in ua
    assert "module load x" in slurm()[0]
    places = {job.id: records.read(job).place for job in jobs}
    assert places["collect/all"] == "100"
    assert [places[f"train/mi_s{seed}"] for seed in range(4)] == ["101_0", "101_0", "101_0", "101_1"]

    (tmp_path / "queue").write_text("101_0|RUNNING\n101_1|PENDING\n102_0|COMPLETED\n102_1|FAILED\n")
    jobs[0].done_file.parent.mkdir(parents=True)
    jobs[0].done_file.touch()
    for job in jobs:
        if job.id in ("train/ua_s0", "train/ua_s1"):
            job.folder.mkdir(parents=True)
            job.done_file.touch()
    said = cluster.submit(sweep, jobs, records)
    assert said == ["4 of the jobs are with SLURM already", "train: 2 runs in 1 jobs, SLURM's 103"]
    assert len(slurm()) == 4


def test_what_slurm_refuses_is_one_line(tmp_path, slurm):
    (tmp_path / "bin/sbatch").write_text(
        "#!/bin/sh\necho 'sbatch: error: invalid partition specified: nope' >&2\nexit 1\n"
    )
    sweep = sweep_of(tmp_path, {"seed": (0,)}, {"train": train(("seed",), "--seed={seed}")})
    with pytest.raises(UserError, match="invalid partition") as refused:
        cluster.submit(sweep, sweep.jobs(), Records(sweep.folder))
    assert "\n" not in str(refused.value)
    (tmp_path / "bin/squeue").write_text("#!/bin/sh\necho 'no controller' >&2\nexit 1\n")
    with pytest.raises(UserError, match="squeue failed: no controller"):
        cluster.active()


def outcome_of(handle):
    """What a job of submitit's left; its own waiting is at the mercy of how soon it looks."""
    wait_until(handle.paths.result_pickle.exists)
    return pickle.loads(handle.paths.result_pickle.read_bytes())


def test_a_preempted_batch_saves_is_requeued_and_goes_on(fakes, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    sweep = fakes(["wait", "ok"], slurm={"runs_per_job": 2})
    # another process imports the pool, with the root that it is in
    jobs = [replace(job, words=(str(tmp_path / "main.py"), *job.words[1:])) for job in sweep.jobs()]
    records = Records(sweep.folder)
    said = cluster.submit(sweep, jobs, records, "local")
    place = records.read(jobs[0]).place
    assert said == [f"t: 2 runs in 1 jobs, SLURM's {place}"]
    folder = sweep.folder / "t/wait"
    wait_until((folder / "ready").exists)
    wait_until(lambda: jobs[1].done)
    handle = cluster.import_submitit().LocalJob(sweep.folder / "jobs/slurm", place)
    task = child_of(int(place), "_submit")
    for process in (child_of(task, "--do=wait"), task):  # SLURM sends it to all processes of a job
        os.kill(process, signal.SIGUSR1)
    wait_until(lambda: jobs[0].done)
    assert outcome_of(handle) == ("success", ["t/wait", "t/ok"])
    assert int(signal.SIGUSR1) in json.loads((folder / "saved").read_text())
    assert {job.name: records.read(job).starts for job in jobs} == {"wait": 2, "ok": 1}
    assert "2 jobs: 2 done" in overview(jobs, records, {}, running_here=False)


def test_a_batch_with_a_failure_fails_so_that_nothing_is_started_on_it(fakes, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    sweep = fakes(["fail", "ok"], slurm={"runs_per_job": 2})
    jobs = [replace(job, words=(str(tmp_path / "main.py"), *job.words[1:])) for job in sweep.jobs()]
    records = Records(sweep.folder)
    cluster.submit(sweep, jobs, records, "local")
    handle = cluster.import_submitit().LocalJob(sweep.folder / "jobs/slurm", records.read(jobs[0]).place)
    outcome, traceback = outcome_of(handle)
    assert outcome == "error"
    assert "t/fail: exit 2: the disk is full" in traceback
    assert [records.read(job).state for job in jobs] == ["failed", "done"]


# --- the whole way ---

TINY = {
    "collect": ("--episodes=20", "--random_episodes=20", "--num_envs=10", "--config_env.horizon=16"),
    "pretrain": (
        "--num_epochs=1", "--config_repr.batch_size=50", "--config_repr.hidden_dim=16", "--report_steps=5",
        "--config_env.horizon=16",
    ),
    "train": (
        "--config_env.horizon=16", "--config_env.eval.interval=100", "--train_episodes=40", "--num_envs=5",
        "--batch_size=4", "--start_training=2", "--eval_episodes=3", "--updates_per_step=0.1", "--film_episodes=0",
        "--config_rl.head_dims=(16,)", "--cuda=-1", "--checkpoint_minutes=0",
    ),
}  # fmt: skip


def tiny(folder):
    adds = [f"--add={stage}:{flag}" for stage, flags in TINY.items() for flag in flags]
    return [f"--config_sweep={QUICK}", f"--save_dir={folder}", "--config_sweep.axes.seed=(0,)", *adds]


def metrics(folder):
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if not name.startswith("clock/")} for row in rows]


@pytest.fixture(scope="module")
def broken_and_mended(scripts, tmp_path_factory):
    """A sweep of which one run was killed, and which was then submitted again."""
    folder = tmp_path_factory.mktemp("sweep")
    sweep = scripts.start("scripts/sweep.py", *tiny(folder), "--jobs=2", cwd=folder)
    run = folder / "quick/train/history_s0"
    try:
        wait_until(lambda: (run / "metrics.jsonl").exists() and len(metrics(run)) > 2, 240)
        os.kill(child_of(sweep.pid, "history_s0"), signal.SIGKILL)
        first = sweep.wait()
    finally:
        if sweep.done is None:
            sweep.kill(signal.SIGTERM)
            sweep.wait()
    stamps = {path: path.stat().st_mtime_ns for path in folder.glob("quick/*/*/summary.json")}
    shown = scripts.run("scripts/sweep.py", *tiny(folder), "--status", cwd=folder)
    second = scripts.run("scripts/sweep.py", *tiny(folder), cwd=folder)
    return folder, first, stamps, shown, second


def test_a_killed_run_is_told_of_and_is_all_that_runs_again(broken_and_mended):
    folder, first, stamps, shown, second = broken_and_mended
    assert first.returncode == 1, first.stdout + first.stderr
    assert "4 jobs: 1 failed, 3 done" in first.stdout
    assert "killed by SIGKILL" in first.stdout
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines()[-1] == "4 jobs: 1 failed, 3 done"
    assert second.returncode == 0, second.stdout + second.stderr
    assert {path.parent.name for path in stamps} == {"all", "mi_s0"}
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    counts = {path.stem: json.loads(path.read_text())["starts"] for path in folder.glob("quick/jobs/*/*.json")}
    assert counts == {"all": 1, "mi_s0": 1, "history_s0": 2}
    config = json.loads((folder / "quick/train/mi_s0/config.json").read_text())["config"]
    assert config["run"]["state_embedder"] == str(folder / "quick/pretrain/all")


@pytest.fixture(scope="module")
def unbroken(scripts, broken_and_mended, tmp_path_factory):
    """The same training as of history_s0, by main.py alone and in one go."""
    folder = tmp_path_factory.mktemp("unbroken")
    record = json.loads((broken_and_mended[0] / "quick/jobs/train/history_s0.json").read_text())
    done = scripts.run(*record["command"], f"--save_dir={folder}", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "quick/train/history_s0"


def assert_same(run, other):
    assert metrics(run) == metrics(other)
    one, two = (load_file(folder / "policy/policy.safetensors") for folder in (run, other))
    assert one.keys() == two.keys() and all(one[name].equal(two[name]) for name in one)


def test_the_mended_run_is_the_unbroken_one(broken_and_mended, unbroken):
    assert_same(broken_and_mended[0] / "quick/train/history_s0", unbroken)
