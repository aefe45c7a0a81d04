"""A sweep on a real SLURM of one node, made for the test: `make test-slurm`, with Debian's slurmctld, slurmd and munge.

Plain pytest leaves this file out.
"""

import getpass
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.scripts import wait_until
from tests.helpers.sweeps import assert_same, metrics, tiny

pytestmark = pytest.mark.slurm

ROOT = Path(__file__).resolve().parents[3]
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "srun", "squeue", "scontrol", "scancel")
# Credentials that expire soon let a requeued job start again within seconds; without a memory default an array runs one
# task at a time; all listen on the loopback alone.
CONF = """
ClusterName=test
SlurmctldHost=localhost
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
MailProg=/bin/true
SchedulerParameters=batch_sched_delay=1,sched_interval=2
SlurmdParameters=config_overrides
KillWait=5
NodeName=localhost NodeAddr=127.0.0.1 CPUs=4 RealMemory=8000 State=UNKNOWN
PartitionName=test Nodes=localhost Default=YES MaxTime=INFINITE State=UP
"""
SACCT = """#!/bin/sh
# submitit asks for states; without accounting the controller's memory answers
echo 'JobID|State|NodeList'
exec squeue --noheader --array --states=all --format='%i|%T|%N'
"""


def call(*words):
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """A controller, a node and their key; gone afterwards."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.fail(f"{missing[0]} is missing: apt-get install slurmctld slurmd slurm-client munge")
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("munge", "state", "spool", "log", "bin"):
        (folder / name).mkdir()
    for path in (folder, folder / "munge"):
        path.chmod(0o711)
    key = folder / "munge/key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    (folder / "slurm.conf").write_text(CONF.format(user=getpass.getuser(), folder=folder))
    (folder / "bin/sacct").write_text(SACCT)
    (folder / "bin/sacct").chmod(0o755)
    before = os.environ.copy()
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    os.environ["PATH"] = f"{folder / 'bin'}:{os.environ['PATH']}"
    names = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    call("munged", "--force", *(f"--{flag}={folder}/munge/{name}" for flag, name in names.items()))
    call("slurmctld")
    call("slurmd", "-N", "localhost")
    try:
        wait_until(lambda: "idle" in call("sinfo", "-h", "-o", "%T"), 60)
        yield folder
    finally:
        subprocess.run(["scancel", f"--user={getpass.getuser()}"], check=False)
        wait_until(lambda: not call("squeue", "-h"), 60)
        for path in ("slurmd.pid", "slurmctld.pid", "munge/pid"):
            pid = int((folder / path).read_text())
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda pid=pid: not Path(f"/proc/{pid}").exists(), 30)
        os.environ.clear()
        os.environ.update(before)


def sweep(folder, *flags):
    command = [sys.executable, str(ROOT / "scripts/sweep.py"), *tiny(folder), *flags]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_stages_wait_for_each_other_and_a_preempted_run_goes_on(slurm, tmp_path):
    flags = ("--cluster=slurm", "--hours=0.5", "--memory_gb=1.5", "--runs_per_job=1")
    said = sweep(tmp_path, *flags)
    assert "collect: 1 runs in 1 jobs" in said
    assert "of the jobs are with SLURM already" not in said
    assert sweep(tmp_path, *flags).startswith("4 of the jobs are with SLURM already")
    run = tmp_path / "quick/train/history_s0"
    place = json.loads((tmp_path / "quick/jobs/train/history_s0.json").read_text())["place"]
    wait_until(lambda: (run / "metrics.jsonl").exists() and len(metrics(run)) > 2, 300)
    assert f"SLURM {place}, running" in sweep(tmp_path, "--status")
    call("scancel", "--signal=USR1", place)
    record = tmp_path / "quick/jobs/train/history_s0.json"
    wait_until(lambda: json.loads(record.read_text())["starts"] == 2, 300)
    wait_until(lambda: not call("squeue", "-h"), 400)
    assert sweep(tmp_path, "--status").splitlines()[-1] == "4 jobs: 4 done"
    counts = {path.stem: json.loads(path.read_text())["starts"] for path in tmp_path.glob("quick/jobs/*/*.json")}
    assert counts == {"all": 1, "mi_s0": 1, "history_s0": 2}
    assert sweep(tmp_path, *flags).splitlines()[0] == "nothing is left to do"

    whole = tmp_path / "unbroken"
    script, *flags = json.loads(record.read_text())["command"]
    words = [sys.executable, str(ROOT / script), *flags, f"--save_dir={whole}"]
    subprocess.run(words, cwd=tmp_path, check=True, capture_output=True, timeout=300)
    assert_same(run, whole / "quick/train/history_s0")
