#!/usr/bin/env bash
# hmmlearn 0.3.3: `decode` with `algorithm="map"` returns as "log probability of the produced state sequence" the sum of
# the posterior probabilities of its states. A good guess is a logarithm, below 0 and comparable with what "viterbi"
# returns. It is above 0 and grows with the length, so that of two models, or of two ways to decode, it picks by
# something else. In `base.py`, _decode_map sums np.max(posteriors, axis=1).
#
# Seen: of two states that are seen through noise of 0.2, after 0, 0, 1, 1 "map" tells 3.25 and "viterbi" -3.50, for one
# and the same path. Its joint log probability is -3.50, its posterior one -0.76.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'hmmlearn==0.3.3' 'scikit-learn==1.9.1' 'numpy==2.4.6' 'scipy==1.17.1' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version
from itertools import product

import numpy as np
from hmmlearn.hmm import CategoricalHMM

START, MOVES, SEES = np.array([0.5, 0.5]), np.array([[0.7, 0.3], [0.3, 0.7]]), np.array([[0.8, 0.2], [0.2, 0.8]])
SEEN = [0, 0, 1, 1]
model = CategoricalHMM(n_components=2)
model.startprob_, model.transmat_, model.emissionprob_ = START, MOVES, SEES


def joint(path):
    moves = [MOVES[now, after] for now, after in zip(path, path[1:])]
    return float(np.log([START[path[0]], *moves, *(SEES[state, seen] for state, seen in zip(path, SEEN))]).sum())


row = np.array(SEEN)[:, None]
told = {algorithm: model.decode(row, algorithm=algorithm) for algorithm in ("viterbi", "map")}
path = told["map"][1].tolist()
evidence = np.logaddexp.reduce([joint(other) for other in product((0, 1), repeat=4)])
summed = float(model.predict_proba(row).max(axis=1).sum())
print("hmmlearn", version("hmmlearn"), {name: (round(float(by), 2), at.tolist()) for name, (by, at) in told.items()})
print("joint:", round(joint(path), 2), "posterior:", round(joint(path) - float(evidence), 2), "summed:", round(summed, 2))
assert path == told["viterbi"][1].tolist() == SEEN
assert np.isclose(told["viterbi"][0], joint(path))
assert np.isclose(told["map"][0], summed) and told["map"][0] > 0
PYTHON
