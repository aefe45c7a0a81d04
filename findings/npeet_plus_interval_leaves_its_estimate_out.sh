#!/usr/bin/env bash
# npeet-plus 0.2.0: the interval that `mi_confidence_interval` gives to an information of continuous variables lies
# above its estimate and above what is right. A good guess is that an interval of a number has the number in it, and
# that of independent variables the 0. But it draws rows anew and estimates by the distances to nearest neighbours: rows
# that are drawn more than once are their own nearest neighbours, which is taken for dependence; more rows do not help.
# And `mi_pvalue` with a condition shuffles y over all rows, whatever z is: that y hangs on z goes as well, what is
# counted spreads over more pairs, which tell too much the more of them there are, and discrete y that hangs on x beside
# z is told to do so less than by chance. Without a condition y is shuffled rightly. In `estimators.py`,
# mi_confidence_interval and mi_pvalue.
#
# Seen: of independent x and y the information is told as 0.0 bits and its interval as 0.7 to 1.3 of 300 rows, 1.0 to
# 1.3 of 1500; of Gaussian x and y with a correlation of 0.9, which have 1.2, as 1.2 or 1.3 and 1.8 to 2.4 and 2.0 to
# 2.4. Ten out of ten draws of 300 such rows have an interval that leaves out both what is told and what is right. Where
# x and y are z, or something else in 0.3 of rows, more often in the same rows than by chance, they have 0.05 bits
# beside z: of ten times 400 rows p is 0.6 to 1.0, and below 0.05 by a shuffle of y among the rows of each z.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'npeet-plus==0.2.0' 'numpy==2.4.6' 'scipy==1.17.1' 'scikit-learn==1.9.1' || exit 2
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import numpy as np
from npeet_plus import cmidd
from npeet_plus.estimators import mi_confidence_interval, mi_pvalue

DRAWS = 10
VALUES, OTHER, SAME = 10, 0.3, 0.3
random = np.random.default_rng(0)


def pair(rows, correlation):
    x, noise = random.normal(size=(2, rows, 1))
    return x, correlation * x + np.sqrt(1 - correlation**2) * noise


def triple(rows):
    """x and y are z or, in some rows, something else; these are the same rows more often than by chance."""
    z = random.integers(VALUES, size=(rows, 1))
    x_other = random.random((rows, 1)) < OTHER
    y_other = np.where(random.random((rows, 1)) < SAME, x_other, random.random((rows, 1)) < OTHER)
    return [np.where(other, random.integers(VALUES, size=(rows, 1)), z) for other in (x_other, y_other)] + [z]


def within(x, y, z, shuffles):
    """How often y that is shuffled among the rows of each z has as much."""
    shuffled, told = y.copy(), []
    for _ in range(shuffles):
        for value in range(VALUES):
            rows = z[:, 0] == value
            shuffled[rows] = random.permutation(y[rows])
        told.append(cmidd(x, shuffled, z))
    return np.mean(np.array(told) >= cmidd(x, y, z))


print("npeet-plus", version("npeet-plus"))
for correlation in (0.0, 0.9):
    right = -np.log2(1 - correlation**2) / 2 + 0.0
    for rows, draws, resamples in ((300, DRAWS, 50), (1500, 1, 30)):
        for draw in range(draws):
            told, low, high, _ = mi_confidence_interval(
                *pair(rows, correlation), n_bootstraps=resamples, random_state=draw
            )
            if not draw:
                print(f"{rows} rows: {told:.2f} bits are told, in {low:.2f} to {high:.2f}; right is {right:.2f}")
            assert abs(told - right) < 0.3
            assert low > max(told, right) + 0.1
for condition in (False, True):
    p, by_group = [], []
    for draw in range(DRAWS):
        x, y, z = triple(400)
        if condition:
            by_group.append(within(x, y, z, 50))
        p.append(mi_pvalue(x, y, z if condition else None, mi_type="midd", n_permutations=50, random_state=draw)[1])
    print(f"p {'beside z' if condition else 'without z'}: {np.sort(p)}", f"by groups: {np.sort(by_group)}" * condition)
    if condition:
        assert min(p) > 0.5 and max(by_group) < 0.15
    else:
        assert max(p) < 0.05
x, y, z = triple(400_000)
print(f"of 400,000 rows: {cmidd(x, y, z):.2f} bits beside z")
PYTHON
