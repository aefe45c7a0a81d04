#!/usr/bin/env bash
# submitit 1.5.4: a job that has `__submitit_checkpoint__` but no `checkpoint` is started from its beginning when
# preempted: the method is not called, though of the two names it is the one that is preferred.
#
# Seen: 'from the start' with the one name, 'resumed' with both.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'submitit==1.5.4' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import os
import signal
import tempfile
import time
from pathlib import Path

import submitit


class OneName:
    def __init__(self, mark, resumed=False):
        self.mark, self.resumed = mark, resumed

    def __call__(self):
        Path(self.mark).write_text(str(os.getpid()))
        time.sleep(0 if self.resumed else 3)
        return "resumed" if self.resumed else "from the start"

    def __submitit_checkpoint__(self):
        return submitit.helpers.DelayedSubmission(type(self)(self.mark, resumed=True))


class BothNames(OneName):
    def checkpoint(self):
        raise AssertionError("the other name is preferred")


def preempted(kind):
    folder = tempfile.mkdtemp(dir=Path.cwd())
    mark = Path(folder, "mark")
    executor = submitit.LocalExecutor(folder=folder)
    executor.update_parameters(timeout_min=30)
    job = executor.submit(kind(str(mark)))
    while not (mark.exists() and mark.read_text()):
        time.sleep(0.1)
    time.sleep(0.3)
    os.kill(int(mark.read_text()), signal.SIGUSR2)  # what a scheduler sends before it takes the machine away
    return job.result()


seen = (preempted(OneName), preempted(BothNames))
print("submitit", submitit.__version__, seen)
assert seen == ("from the start", "resumed")
PYTHON
