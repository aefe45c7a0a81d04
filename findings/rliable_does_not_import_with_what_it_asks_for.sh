#!/usr/bin/env bash
# rliable 1.2.0: what a fresh installation resolves to does not import: its arch cannot read pandas 3.
# pip is content (`pip check`); pandas 2.3.3 in its place works.
#
# Seen: TypeError: deprecate_kwarg() missing 1 required positional argument.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'rliable==1.2.0' 'arch==7.2.0' 'pandas==3.1.1' 'numpy==2.4.6' 'scipy==1.17.1' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import subprocess
import sys

check = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
done = subprocess.run([sys.executable, "-c", "from rliable import library"], capture_output=True, text=True)
print(check.stdout.strip(), "|", done.stderr.strip().splitlines()[-1:])
assert check.returncode == 0
assert "deprecate_kwarg() missing 1 required positional argument" in done.stderr
PYTHON
