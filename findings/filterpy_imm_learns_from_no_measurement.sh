#!/usr/bin/env bash
# filterpy 2.0.0: a missing measurement moves the mode probabilities of IMMEstimator, though `update(None)` promises to
# change nothing. A good guess is that only the transitions between modes act then. But it counts as a measurement just
# as each filter expected, and the filter that is surest gains: that a target manoeuvres is forgotten while it is out of
# sight. In `kalman/kalman_filter.py`, update sets the residual to 0 and log_likelihood is worked out of it.
#
# Seen: 30 positions make the fast mode 1.00 likely; without a measurement it is 0.73, 0.26, 0.05 and, after ten, 0.01.
# By the transitions alone it would be 0.95, 0.90, 0.86 and 0.67.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'filterpy==2.0.0' 'numpy==2.4.6' 'scipy==1.17.1' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import filterpy
import numpy as np
from filterpy.kalman import IMMEstimator, KalmanFilter

SWITCH = np.array([[0.95, 0.05], [0.05, 0.95]])


def random_walk(variance):
    one = KalmanFilter(dim_x=1, dim_z=1)
    one.F = one.H = np.eye(1)
    one.Q, one.R = np.eye(1) * variance, np.eye(1) * 0.1
    return one


modes = IMMEstimator([random_walk(0.01), random_walk(10.0)], mu=np.array([0.5, 0.5]), M=SWITCH)
for t in range(30):  # three metres a step, as only the fast mode expects
    modes.predict()
    modes.update(np.array([[3.0 * t]]))
known, place = modes.mu.copy(), modes.x.copy()
seen, right = [known[1]], [known[1]]
for _ in range(10):
    modes.predict()
    modes.update(None)
    known = known @ SWITCH
    seen.append(modes.mu[1])
    right.append(known[1])
print("filterpy", filterpy.__version__, "fast mode:", np.round(seen, 2).tolist(), "right:", np.round(right, 2).tolist())
assert seen[0] > 0.99 and right[3] > 0.85 and right[10] > 0.65
assert seen[1] < 0.8 and seen[3] < 0.1 and seen[10] < 0.02
assert np.allclose(modes.x, place)  # the place is left where it was, as it should be
PYTHON
