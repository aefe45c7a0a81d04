"""Scripts as a user calls them, without the seconds that each new interpreter takes for its imports.

A server process imports what scripts import, and forks itself for each command line. The child runs the script's file
as `__main__`, with its own stdout and stderr, and is a process like any other: it can be sent signals.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

SERVER = """
import json, os, resource, runpy, signal, sys, traceback
import gymnasium, imageio.v3, matplotlib.pyplot, torch, torch._dynamo, PIL.Image
import envs, policies.training.many_seeds, policies.training.resolve, policies.training.trainer

def child(order):
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name, number in (("stdout", 1), ("stderr", 2)):
        os.dup2(os.open(order[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.chdir(order["cwd"])
    os.environ.update(order["env"])
    if order["file_limit"]:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_limit"],) * 2)
    sys.argv = order["argv"]
    code = 1
    try:
        runpy.run_path(order["argv"][0], run_name="__main__")
        code = 0
    except SystemExit as stop:
        code = stop.code or 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

for line in sys.stdin:
    order = json.loads(line)
    if "wait" in order:
        pid, status = os.waitpid(order["wait"], 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
        continue
    pid = os.fork()
    if pid == 0:
        sys.stdin.close()
        child(order)
    print(pid, flush=True)
"""


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


class Process:
    """A script that is running."""

    def __init__(self, server, pid, folder):
        self._server, self.pid, self._folder = server, pid, folder
        self.done = None

    def kill(self, number):
        os.kill(self.pid, number)

    def stderr(self):
        """What it has said so far."""
        return (self._folder / "stderr").read_text()

    def wait(self):
        if self.done is None:
            code = self._server.ask({"wait": self.pid})
            self.done = Done(code, (self._folder / "stdout").read_text(), self.stderr())
        return self.done


class Scripts:
    """Starts scripts of the repository, or of a copy of it; one server for all."""

    def __init__(self, root=ROOT):
        self._tmp, self._root = tempfile.TemporaryDirectory(), root
        self._count = 0
        path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
        env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path, "MPLBACKEND": "Agg"}
        self._server = subprocess.Popen(
            [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env, cwd=root
        )

    def ask(self, order):
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())

    def start(self, script, *flags, cwd=ROOT, file_limit=0, **env):
        self._count += 1
        folder = Path(self._tmp.name) / str(self._count)
        folder.mkdir()
        for name in ("stdout", "stderr"):
            (folder / name).touch()
        order = {
            "argv": [str(self._root / script), *map(str, flags)],
            "stdout": str(folder / "stdout"),
            "stderr": str(folder / "stderr"),
            "cwd": str(cwd),
            "env": env,
            "file_limit": file_limit,
        }
        return Process(self, self.ask(order), folder)

    def run(self, script, *flags, **options):
        return self.start(script, *flags, **options).wait()

    def close(self):
        self._server.stdin.close()
        self._server.wait(timeout=30)
        self._tmp.cleanup()


def wait_until(condition, seconds=60.0):
    """Waits for a condition to hold."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def assert_refused(done, *expected):
    """Exit code 2, one line on stderr, no traceback."""
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("warning: ")]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    assert "Traceback" not in done.stderr
    for text in expected:
        assert text in lines[0], lines[0]
