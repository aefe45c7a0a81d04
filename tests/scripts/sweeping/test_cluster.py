"""What SLURM is asked for, and batches that are preempted or fail."""

import json
import os
import pickle
import signal
import stat
from dataclasses import replace

import pytest

from scripts.sweeping import cluster
from scripts.sweeping.status import Records, overview
from tests.helpers.scripts import wait_until
from tests.helpers.sweeps import ROOT, child_of, sweep_of, train
from utils.errors import UserError


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


@pytest.fixture
def submitted(fakes, tmp_path, monkeypatch):
    """Submits one batch to this machine: its sweep, jobs, records and submitit's handle."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)

    def submit(*do, **slurm):
        sweep = fakes(do, slurm={"runs_per_job": 2} | slurm)
        # another process imports the pool, with the root that it is in
        jobs = [replace(job, words=(str(tmp_path / "main.py"), *job.words[1:])) for job in sweep.jobs()]
        records = Records(sweep.folder)
        said = cluster.submit(sweep, jobs, records, "local")
        place = records.read(jobs[0]).place
        assert said == [f"t: 2 runs in 1 jobs, SLURM's {place}"]
        return sweep, jobs, records, cluster.import_submitit().LocalJob(sweep.folder / "jobs/slurm", place)

    return submit


def test_a_preempted_batch_saves_is_requeued_and_goes_on(submitted):
    sweep, jobs, records, handle = submitted("wait", "ok")
    folder = sweep.folder / "t/wait"
    wait_until((folder / "ready").exists)
    wait_until(lambda: jobs[1].done)
    task = child_of(int(records.read(jobs[0]).place), "_submit")
    for process in (child_of(task, "--do=wait"), task):  # SLURM sends it to all processes of a job
        os.kill(process, signal.SIGUSR1)
    wait_until(lambda: jobs[0].done)
    assert outcome_of(handle) == ("success", ["t/wait", "t/ok"])
    assert int(signal.SIGUSR1) in json.loads((folder / "saved").read_text())
    assert {job.name: records.read(job).starts for job in jobs} == {"wait": 2, "ok": 1}
    assert "2 jobs: 2 done" in overview(jobs, records, {}, running_here=False)


@pytest.mark.parametrize("other", ["save", "fail"])
def test_out_of_time_a_batch_is_requeued_if_one_of_its_runs_has_saved(submitted, other):
    sweep, jobs, records, handle = submitted("wait", other, hours=0.01, grace_seconds=36)
    for do in ("wait", other):
        wait_until((sweep.folder / "t" / do / ("starts" if do == "fail" else "ready")).exists)
    if other == "fail":
        wait_until(lambda: records.read(jobs[1]).state == "failed")
    task = child_of(int(records.read(jobs[0]).place), "_submit")
    os.kill(task, signal.SIGUSR1)
    outcome, said = outcome_of(handle)
    starts = {job.name: records.read(job).starts for job in jobs}
    if other == "save":
        assert (outcome, starts) == ("success", {"wait": 2, "save": 2})
    else:
        assert (outcome, starts) == ("error", {"wait": 1, "fail": 1})
        assert "Job not requeued" in said
        told = overview(jobs, records, {}, running_here=False)
        assert "2 jobs: 2 failed" in told
        assert "the 0.01 h of a job end before anything is saved; give more --hours" in told
        assert "the disk is full" in told


def test_a_batch_with_a_failure_fails_so_that_nothing_is_started_on_it(submitted):
    _, jobs, records, handle = submitted("fail", "ok")
    outcome, traceback = outcome_of(handle)
    assert outcome == "error"
    assert "t/fail: exit 2: the disk is full" in traceback
    assert [records.read(job).state for job in jobs] == ["failed", "done"]
