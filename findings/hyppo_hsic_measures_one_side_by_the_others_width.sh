#!/usr/bin/env bash
# hyppo 0.5.2: `Hsic` takes the width of its Gaussian kernel from x alone, and uses it for y as well. A good guess is
# what the method asks for and its page calls a "Gaussian median kernel": each side is measured by the median distance
# of its own. So the answer hangs on the unit of y and on which of the two comes first: a dependence that is plain while
# both have about the same spread is gone once y is told in thousandths, or in thousands. In `tools/common.py`,
# compute_kern works `gamma` out of x and keeps it in the arguments of both kernels.
#
# Seen: y = x² and some noise, 100 pairs: p is 1e-10, and 0.06 for 1000 y; with y before x 6e-11, and 0.09 for y / 1000.
# Both sides times 1000: 1e-10 again.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'hyppo==0.5.2' 'numpy==2.4.6' 'scipy==1.17.1' 'scikit-learn==1.9.1' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

import numpy as np
from hyppo.independence import Hsic

rng = np.random.default_rng(0)
x = rng.normal(size=(100, 1))
y = np.square(x) + 0.3 * rng.normal(size=(100, 1))


def p_of(first, second):
    return float(Hsic().test(first, second).pvalue)


seen = {
    "x, y": p_of(x, y),
    "y, x": p_of(y, x),
    "x, 1000 y": p_of(x, 1000 * y),
    "y / 1000, x": p_of(y / 1000, x),
    "1000 x, 1000 y": p_of(1000 * x, 1000 * y),
}
print("hyppo", version("hyppo"), {name: f"{p:.2g}" for name, p in seen.items()})
assert max(seen["x, y"], seen["y, x"], seen["1000 x, 1000 y"]) < 1e-9
assert seen["x, 1000 y"] > 0.05 and seen["y / 1000, x"] > 0.05
PYTHON
