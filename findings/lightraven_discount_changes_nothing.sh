#!/usr/bin/env bash
# lightRaven 0.1.0: off-policy values are never discounted, and by two of four estimators are not those of the policy. A
# good guess is that `gamma`, by its docstring the discount factor and 0.9 unless told otherwise, discounts, and that
# each estimator tells what Thomas (2015), whom its readme cites, defines. But none of them reads `gamma`. `PDIS` with a
# tabular policy keeps the sum and the state in one variable, so that it tells the number of the last state and what the
# last step paid, weighed; with `FAPolicy` it sums. And `CWPDIS` takes the weight of an episode that has ended for 1,
# where it goes on with its own, in a state that pays nothing. `IS`, `WIS` and `PDIS` with `FAPolicy` are right for no
# discount. In `sampling/`.
#
# Seen: of all episodes of three steps under a uniform policy, each as often as it comes, so that averages are exact,
# the value is 7.74 with gamma = 1 and 3.56 with 0.5. With both, `IS`, `WIS` and `PDIS` of functions tell 7.74, `PDIS`
# of tables 6.94 and `CWPDIS` 6.63; where states are numbered from 10 on, tabular `PDIS` tells 16.94. Where no episode
# ends early `CWPDIS` is right.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps 'lightRaven==0.1.0' 'numpy==2.4.6' 'scipy==1.17.1' 'numba==0.68.1' 'llvmlite==0.50.0' || exit 2
cd "$folder"
OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import itertools
from importlib.metadata import version

import numpy as np
from lightRaven.policy import FAPolicy, TabularPolicy
from lightRaven.sampling import CWPDIS, IS, PDIS, WIS

STEPS, ACTIONS = 3, 2
PAYS = np.array([[1.0, 4.0], [2.0, 0.0], [3.0, 8.0]])  # of each step and action
PREFERS = np.array([[0.5, -0.5], [1.0, 0.0], [-1.0, 0.0]])
POLICY = np.exp(PREFERS) / np.exp(PREFERS).sum(axis=1, keepdims=True)


def value(gamma, early):
    """By going backwards; where `early`, the second action of the first step ends the episode."""
    after = 0.0
    for step in reversed(range(STEPS)):
        goes_on = np.array([1.0, 0.0 if early and step == 0 else 1.0])
        after = float(POLICY[step] @ (PAYS[step] + gamma * goes_on * after))
    return after


def told(kind, gamma, early, tabular, first=0):
    """The estimate of all episodes; states are numbered from `first` on, or told apart by features."""
    episodes = []
    for actions in itertools.product(range(ACTIONS), repeat=STEPS):
        length = 1 if early and actions[0] == 1 else STEPS
        steps, chosen = np.arange(length), np.array(actions[:length])
        seen = first + steps if tabular else np.eye(STEPS)[steps]
        episodes.append((seen, chosen, PAYS[steps, chosen], np.full(length, 1 / ACTIONS)))
    weights = np.vstack([np.zeros((first, ACTIONS)), PREFERS])
    policy = TabularPolicy if tabular else FAPolicy
    estimator = kind(episodes, gamma=gamma)
    estimator.load_eval_policy(policy(first + STEPS, ACTIONS, weights.ravel()))
    return float(np.mean(estimator.get_est(n_batch=1) if kind in (WIS, CWPDIS) else estimator.get_est()))


print("lightRaven", version("lightRaven"))
for early in (False, True):
    whole = value(1.0, early)
    for gamma in (1.0, 0.5):
        right = value(gamma, early)
        print(f"{'some end early' if early else 'all of three steps'}, gamma {gamma}: right {right:.2f};", end=" ")
        for kind, tabular in itertools.product((IS, WIS, PDIS, CWPDIS), (True, False)):
            found = told(kind, gamma, early, tabular)
            print(f"{kind.__name__} of {'tables' if tabular else 'functions'} {found:.2f}", end=", ")
            if (kind is PDIS and tabular) or (kind is CWPDIS and early):
                assert abs(found - whole) > 0.5 and abs(found - told(kind, 1.0, early, tabular)) < 1e-9
            else:
                assert abs(found - whole) < 1e-9 and (gamma == 1 or whole > right + 2)
        print()
moved = told(PDIS, 1.0, True, True, first=10)
print(f"PDIS of tables, states numbered from 10 on: {moved:.2f}")
assert abs(moved - told(PDIS, 1.0, True, True) - 10) < 1e-9
PYTHON
