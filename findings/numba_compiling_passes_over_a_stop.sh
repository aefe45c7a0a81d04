#!/usr/bin/env bash
# numba 0.68.1, llvmlite 0.50.0: while numba compiles, llvmlite calls back into Python through ctypes
# (binding/executionengine.py, `_raw_object_cache_notify`). A signal handler that runs there and raises, as one that ends
# a job at a scheduler's SIGUSR1 or SIGTERM by SystemExit, is passed over: "Exception ignored on calling ctypes callback
# function", and the program goes on as if no signal had come. Elsewhere in a compilation the same handler ends it.
#
# Seen: ('went on', 75): the compilation goes to its end where the signal is taken in the callback; else the exit code.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'numba==0.68.1' 'llvmlite==0.50.0' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import signal
import sys

import llvmlite
import numba

CALLBACK = "_raw_object_cache_notify"
told = []
sys.unraisablehook = lambda ignored: told.append(ignored.exc_value)


def outcome(in_callback):
    """What a handler comes to that raises in the callback, or in the first other frame of numba's."""
    raised = []

    def handler(number, frame):
        names, where = [], frame
        while where is not None:
            names.append(where.f_code.co_name)
            where = where.f_back
        if not raised and ("compile" in names) and (names[0] == CALLBACK) == in_callback:
            raised.append(number)
            raise SystemExit(75)

    signal.signal(signal.SIGALRM, handler)
    try:
        for number in range(200):  # until a signal has come at such a moment
            signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)
            numba.njit(eval(f"lambda x: x * {number} + {in_callback:d}"))(1.0)
            if raised:
                return "went on"
    except SystemExit as stop:
        return stop.code
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return "no signal came then"


seen = (outcome(True), outcome(False))
print("numba", numba.__version__, "llvmlite", llvmlite.__version__, "python", sys.version.split()[0], seen)
assert seen == ("went on", 75)
assert [type(one) for one in told] == [SystemExit]
PYTHON
