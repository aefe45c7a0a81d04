#!/usr/bin/env bash
# syntropyx 0.0.2: its Chao-Shen entropy, said to be for values that were drawn seldom, tells the less the more is
# unseen; and Euclidean distances are measured by the volume of a cube. A good guess is that the correction for values
# that nobody saw raises an entropy, towards the true one. But `chao_shen_entropy` shrinks all shares by the coverage
# and leaves out what each is to be divided by, the chance to be seen at all, 1 - (1 - p)^n: it tells less than no
# correction does, and 0 where all draws differ. Information made of it is of variables that share nothing. And of
# `knn`, `p=2`, a documented choice, takes 2^d for the volume of a ball, and `mutual_information` then counts Euclidean
# neighbours within a distance of the other norm. With `p=np.inf`, the default, it is right. In `discrete/estimators.py`
# and `knn/shannon.py`.
#
# Seen: of 50 draws of 100 equally frequent values 1.75 nats are told, where 4.61 are right, the formula tells 4.67 and
# no correction 3.60; of 100 draws 2.82 (4.68, 4.04). Two values of ten, drawn 50 times without regard to each other,
# share 2.67 nats, more than one of them has (2.30), where the formula tells -0.19. Of a Gaussian of 2, 4 and 8 numbers
# the entropy by `p=2` is 3.11, 6.80 and 15.46, where 2.84, 5.68 and 11.35 are right, and three pairs that share 1.01
# nats share 2.25; by `p=np.inf` 0.94.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'syntropyx==0.0.2' 'numpy==2.4.6' 'scipy==1.17.1' 'networkx==3.6.1' || exit 2
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import numpy as np
from syntropy.discrete.estimators import chao_shen_entropy, mutual_information
from syntropy.knn import differential_entropy
from syntropy.knn import mutual_information as neighbour_information

TIMES = 100
random = np.random.default_rng(0)


def counts(rows):
    return np.unique(rows, axis=1, return_counts=True)[1]


def plain(rows):
    share = counts(rows) / rows.shape[1]
    return -(share * np.log(share)).sum()


def chao_shen(rows):
    """Chao and Shen (2003), equation 7: shares shrunk by the coverage, each by its chance to be seen."""
    seen, draws = counts(rows), rows.shape[1]
    share = (1 - (seen == 1).sum() / draws) * seen / draws
    return -(share * np.log(share) / (1 - (1 - share) ** draws)).sum()


print("syntropyx", version("syntropyx"))
assert chao_shen_entropy(np.arange(40)[None]) == 0
for draws in (50, 100, 300):
    samples = [random.integers(100, size=(1, draws)) for _ in range(TIMES)]
    told, formula, without = (np.mean([way(rows) for rows in samples]) for way in (chao_shen_entropy, chao_shen, plain))
    right = np.log(100)
    print(f"{draws} draws of 100: {told:.2f} nats, right {right:.2f}, formula {formula:.2f}, plain {without:.2f}")
    assert abs(formula - right) < 0.2 and told < without - 0.1 and without < right
samples = [random.integers(10, size=(2, 50)) for _ in range(TIMES)]
told = np.mean([mutual_information((0,), (1,), rows, chao_shen_entropy) for rows in samples])
formula = np.mean([chao_shen(rows[:1]) + chao_shen(rows[1:]) - chao_shen(rows) for rows in samples])
print(f"two independent ones of ten: {told:.2f} nats, right 0, formula {formula:.2f}, one has {np.log(10):.2f}")
assert told > np.log(10) and abs(formula) < 0.4

for width in (1, 2, 4, 8):
    rows = random.normal(size=(width, 4000))
    euclid, maximum = (float(differential_entropy(rows, 5, p=p)[1]) for p in (2, np.inf))
    right = width / 2 * np.log(2 * np.pi * np.e)
    print(f"Gaussian of {width}: p=2 {euclid:.2f} nats, p=inf {maximum:.2f}, right {right:.2f}")
    assert abs(maximum - right) < 0.15
    assert (abs(euclid - right) < 0.15) == (width == 1)
rows = random.normal(size=(6, 4000))
rows[3:] = 0.7 * rows[:3] + np.sqrt(1 - 0.49) * rows[3:]
euclid, maximum = (float(neighbour_information((0, 1, 2), (3, 4, 5), 5, rows, p=p)[1]) for p in (2, np.inf))
right = -1.5 * np.log(1 - 0.49)
print(f"three pairs: p=2 {euclid:.2f} nats, p=inf {maximum:.2f}, right {right:.2f}")
assert abs(maximum - right) < 0.15 and euclid > 2 * right
PYTHON
