#!/usr/bin/env bash
# filterpy 2.0.0: `monte_carlo.residual_resample` drops every particle that is not worth a whole copy. After whole
# copies the rest should be drawn by what is left of N·w; the code takes w less the copies, not N·w less them, so that
# what is left is least where most was taken, and negative: the shares it draws by are those of the likely again.
#
# Seen: of 1,000 particles, half of each of two facts, all hold the likelier one after a signal that is right in 0.85 of
# all cases, in each of 200 draws, in whichever order they lie; 0.85 by systematic, stratified and multinomial
# resampling. A belief that should be 0.85 is a certainty after one look, which no later signal can undo.
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
from filterpy import monte_carlo

np.random.seed(0)
apart = np.arange(1000) < 500
orders = {"one after the other": apart, "shuffled": np.random.permutation(apart)}
held = {}
for order, is_left in orders.items():
    weights = np.where(is_left, 0.85, 0.15)
    weights /= weights.sum()
    for way in ("residual", "systematic", "stratified", "multinomial"):
        resample = getattr(monte_carlo, f"{way}_resample")
        held[way, order] = [float(is_left[resample(weights)].mean()) for _ in range(200)]
for (way, order), shares in held.items():
    print(f"filterpy {filterpy.__version__} {way}, {order}: {np.mean(shares):.3f}, least {min(shares):.3f}")
for order in orders:
    assert min(held["residual", order]) == 1.0
    for way in ("systematic", "stratified", "multinomial"):
        assert abs(np.mean(held[way, order]) - 0.85) < 0.01, way
PYTHON
