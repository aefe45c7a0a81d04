#!/usr/bin/env bash
# gmm-mi 0.8.2 (with scikit-learn 1.6.1, as it does not fit by the newest): the information that a number has of a
# category is worked out as if all categories were equally frequent. A good guess is that of the rows that are given,
# which its description calls samples of the joint distribution, and from which the information of two numbers is. But a
# category's density is fitted to its own rows, and the means over categories give each the same weight; how many rows
# it had is kept nowhere. What is told can be more than the category's entropy, which no information is, and is the
# further off the rarer a category is: an episode's rare outcome, say, or a fact that is seldom so. In `mi.py`,
# _calculate_MI_categorical divides by the number of categories, twice.
#
# Seen: of two categories 20 standard deviations apart it tells 0.69 nats where one is half, a tenth or a fiftieth of
# the rows; 0.69, 0.33 and 0.10 are right, the entropies. Of two that are 2 apart it tells 0.34, 0.34 and 0.36 where
# 0.34, 0.14 and 0.04 are right. By scikit-learn's nearest neighbours all six are as they should be.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'gmm-mi==0.8.2' 'scikit-learn==1.6.1' 'numpy==2.2.6' 'scipy==1.15.3' 'tqdm==4.67.1' || exit 2
cd "$folder"
TQDM_DISABLE=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import numpy as np
from gmm_mi.mi import EstimateMI
from gmm_mi.param_holders import MIDistParamHolder, SelectComponentsParamHolder
from sklearn.feature_selection import mutual_info_classif

ROWS = 5000
GRID = np.linspace(-12, 32, 44001)


def by_gmm_mi(numbers, categories):
    one_gaussian_each = SelectComponentsParamHolder(fixed_components_number=1)
    no_bootstrap = MIDistParamHolder(n_bootstrap=0, MC_samples=50_000)
    return EstimateMI(select_components_params=one_gaussian_each).fit_estimate_categorical(
        numbers, categories, mi_dist_params=no_bootstrap
    )[0]


def by_integral(share, apart):
    density = {place: np.exp(-((GRID - place) ** 2) / 2) / np.sqrt(2 * np.pi) for place in (0.0, apart)}
    together = (1 - share) * density[0.0] + share * density[apart]
    weights = {0.0: 1 - share, apart: share}
    told = sum(weights[place] * one * np.log(np.maximum(one, 1e-300) / together) for place, one in density.items())
    return float(told.sum() * (GRID[1] - GRID[0]))


print("gmm-mi", version("gmm-mi"))
rng = np.random.default_rng(0)
found = {}
for apart in (20.0, 2.0):
    for share in (0.5, 0.1, 0.02):
        categories = (np.arange(ROWS) < share * ROWS).astype(int)
        numbers = rng.normal(size=ROWS) + apart * categories
        near = float(mutual_info_classif(numbers[:, None], categories, n_neighbors=10, random_state=0)[0])
        told, truth = float(by_gmm_mi(numbers, categories)), by_integral(share, apart)
        found[apart, share] = told, truth
        print(f"{apart:4.0f} apart, a share of {share}: {told:.2f}, by neighbours {near:.2f}, right {truth:.2f}")
        assert abs(near - truth) < 0.04

for (apart, share), (told, truth) in found.items():
    assert abs(told - by_integral(0.5, apart)) < 0.06, "as if they were equally frequent"
    assert share == 0.5 or told - truth > 0.15
    entropy = -share * np.log(share) - (1 - share) * np.log(1 - share)
    assert apart == 2.0 or abs(truth - entropy) < 1e-3
    assert share > 0.02 or told > 2 * entropy
PYTHON
