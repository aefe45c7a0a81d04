#!/usr/bin/env bash
# deepsig 1.2.8 (almost stochastic order, for scores over seeds): its Bonferroni correction goes the wrong way. A good
# guess is what its page says, a level of 1 - 0.05 / n for n comparisons. But it is 0.95 + 0.05 / n: the more is
# compared, the less is left of the correction. Of two methods, which is one comparison, multi_aso has a level of 1, by
# which neither is ever better than the other, whatever their scores are; it corrects unless it is told not to. In
# `aso.py`, aso and multi_aso have confidence_level += (1 - confidence_level) / num_comparisons.
#
# Seen: where aso has 0.12 for two sets of 20 scores, it has 0.14, 0.13, 0.12 and 0.12 for 2, 3, 10 and 45 comparisons;
# at the levels of Bonferroni it has 0.14, 0.15, 0.18 and 0.21. multi_aso has 1.00 for these two, 0.12 uncorrected.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'deepsig==1.2.8' 'numpy==2.4.6' 'scipy==1.17.1' 'pandas==2.3.3' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata

import numpy as np
from deepsig import aso, multi_aso

HOW = {"seed": 1, "num_bootstrap_iterations": 100, "show_progress": False}
rng = np.random.default_rng(0)
rng.normal(size=20)  # passed over
worse, better = rng.normal(0.0, 1.0, 20).tolist(), rng.normal(0.4, 1.0, 20).tolist()

alone = float(aso(better, worse, **HOW))
told, right = {}, {}
for n in (2, 3, 10, 45):
    told[n] = float(aso(better, worse, num_comparisons=n, **HOW))
    right[n] = float(aso(better, worse, confidence_level=1 - 0.05 / n, **HOW))
both = {}
for corrected in (True, False):
    both[corrected] = float(multi_aso([better, worse], use_bonferroni=corrected, **HOW)[0, 1])
print("deepsig", importlib.metadata.version("deepsig"), "alone:", alone, "multi_aso, corrected or not:", both)
print("by num_comparisons:", told, "right:", right)
assert alone < right[2] < right[3] < right[10] < right[45]
assert told[2] > told[3] > told[10] > told[45] > alone
assert told[45] - alone < 0.05 * (right[45] - alone)
assert both[False] == alone and both[True] == 1.0
PYTHON
