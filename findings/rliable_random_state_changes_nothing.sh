#!/usr/bin/env bash
# rliable 1.2.0: `random_state` of get_interval_estimates does not fix the interval; numpy's global generator does.
# Each call also moves that generator on, and so changes whatever is drawn from it afterwards.
#
# Seen: two calls with RandomState(1) differ; two calls after np.random.seed(0) are equal.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'rliable==1.2.0' 'arch==7.2.0' 'pandas==2.3.3' 'numpy==2.4.6' 'scipy==1.17.1' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import warnings

import numpy as np

warnings.simplefilter("ignore")
from rliable import library, metrics

scores = {"method": np.random.RandomState(0).rand(5, 3)}


def interval(seed=None):
    state = None if seed is None else np.random.RandomState(seed)
    mean = lambda x: np.array([metrics.aggregate_mean(x)])
    return library.get_interval_estimates(scores, mean, reps=200, random_state=state)[1]["method"].ravel().tolist()


np.random.seed(0)
given = [interval(1), interval(1)]
fixed = []
for _ in range(2):
    np.random.seed(0)
    fixed.append(interval())
print("rliable", importlib.metadata.version("rliable"), "the same random_state:", given, "the same global seed:", fixed)
assert given[0] != given[1]
assert fixed[0] == fixed[1]
PYTHON
