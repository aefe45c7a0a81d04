"""Reads command lines as the scripts would, in a process of their own, without running them."""

import json
import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Sequence

from scripts.sweeping.plan import FLAG, Job
from utils.app import take_flags
from utils.config import ROOT
from utils.errors import UserError


def check_flags(jobs: Sequence[Job]) -> None:
    """Refuses the first job whose script would not take its flags.

    Raises:
        UserError: names the stage and what the script said.
    """
    by_script: dict[str, list[Job]] = {}
    for job in jobs:
        by_script.setdefault(job.words[0], []).append(job)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    for script, its in by_script.items():
        order = json.dumps({"script": str(ROOT / script), "flags": [job.words[1:] for job in its]})
        command = [sys.executable, "-m", "scripts.sweeping.check"]
        done = subprocess.run(command, input=order, capture_output=True, text=True, env=environment)
        if done.returncode:
            last = (done.stderr.strip() or "no reason given").splitlines()[-1]
            raise UserError(f"{FLAG}: the flags of {script} cannot be read: {last}")
        for job, said in zip(its, json.loads(done.stdout)):
            if said is not None:
                raise UserError(f"{FLAG}: stages.{job.stage}, {job.name}: {said}")


def problem(argv: Sequence[str]) -> str | None:
    """What is wrong with a command line, for a script whose flags have been defined; None where nothing is."""
    sys.argv = list(argv)
    try:
        take_flags(argv)
    except UserError as error:
        return str(error)
    return None


def main() -> None:
    """Takes {"script", "flags": [[...], ...]} from stdin and answers with a list; each line in a fork of its own."""
    order = json.load(sys.stdin)
    runpy.run_path(order["script"], run_name="checked")
    lines = [[order["script"], *flags] for flags in order["flags"]]
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        sys.stdout.write(json.dumps(pool.map(problem, lines, chunksize=1)))


if __name__ == "__main__":
    main()
