#!/usr/bin/env bash
# scikit-posthocs 0.17.1: of a one-sided test of all pairs the table is mirrored. A good guess is that with
# `alternative="greater"` row i, column j tells whether i is greater than j, and row j, column i the other way round.
# But one way is tested, that of the name that comes first in the alphabet, and its p-value is written into both places:
# two methods are each "greater" than the other, or neither is, by what they are called. In `_posthocs.py`,
# posthoc_mannwhitney tests the upper half and copies it into the lower one, for every alternative.
#
# Seen: five runs of 5 to 9 against five of 0 to 4. Called "a" and "b" both places say 0.004, though one of them asks
# whether the worse is greater; called "z" and "b" both say 1. By scipy it is 0.004 one way and 1 the other.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'scikit-posthocs==0.17.1' 'scipy==1.17.1' 'numpy==2.4.6' 'pandas==3.1.1' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

import pandas as pd
from scikit_posthocs import posthoc_mannwhitney
from scipy.stats import mannwhitneyu

BETTER, WORSE = [5.0, 6.0, 7.0, 8.0, 9.0], [0.0, 1.0, 2.0, 3.0, 4.0]


def both_ways(better, worse):
    """p-values of (the better one is greater, the worse one is greater), by the table."""
    runs = pd.DataFrame({"result": BETTER + WORSE, "method": [better] * 5 + [worse] * 5})
    table = posthoc_mannwhitney(runs, val_col="result", group_col="method", alternative="greater")
    return round(float(table.loc[better, worse]), 3), round(float(table.loc[worse, better]), 3)


pairs = ((BETTER, WORSE), (WORSE, BETTER))
right = tuple(round(float(mannwhitneyu(x, y, alternative="greater").pvalue), 3) for x, y in pairs)
seen = {(better, worse): both_ways(better, worse) for better, worse in (("a", "b"), ("z", "b"))}
print("scikit-posthocs", version("scikit-posthocs"), seen, "by scipy", right)
assert right == (0.004, 1.0)
assert seen == {("a", "b"): (0.004, 0.004), ("z", "b"): (1.0, 1.0)}
PYTHON
