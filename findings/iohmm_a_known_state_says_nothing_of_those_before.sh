#!/usr/bin/env bash
# IOHMM 0.0.7: where a state is known at one step, by `log_state`, as its semi-supervised models have it, the states
# before are told as if it were not. A good guess is that beliefs are of all that is known, as a smoother's are: who is
# seen in a room came there through its doors. But the step to a known state is taken to be as likely from anywhere, on
# the way forwards and back. Known states are also written over the odds of the step to them in the array that was
# given, which stays so after the call; and for one that is known at the first step, to which no step leads, that is
# index -1, the last step, which is told to end there for sure, whatever the belief beside it says. In
# `forward_backward.py`, forward, backward and cal_log_epsilon.
#
# Seen: something changes sides in 0.1 of all steps, and observations tell nothing. Where it is known to be on the right
# at the third of five steps, it was there in 0.82 and 0.90 of all cases before: told are 0.50 and 0.50. Where the first
# is known, beliefs are right, 0.70 at the last step, which is told to end on the right in 1.00; of a second call with
# the same array the last belief is 1.00 as well. Where no state is known all is right.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'IOHMM==0.0.7' 'numpy==2.4.6' 'scipy==1.17.1' 'scikit-learn==1.9.1' 'pandas==3.1.1' 'statsmodels==0.15.0' 'future==1.0.0' || exit 2
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import itertools
from importlib.metadata import version

import numpy as np
from IOHMM.forward_backward import forward_backward

STEPS, RIGHT = 5, 1
START, MOVES = np.array([0.5, 0.5]), np.array([[0.9, 0.1], [0.1, 0.9]])


def right(known):
    """Beliefs and pairs of states in a row, by all that may have happened."""
    beliefs, pairs = np.zeros((STEPS, 2)), np.zeros((STEPS - 1, 2, 2))
    for states in itertools.product(range(2), repeat=STEPS):
        if all(states[step] == state for step, state in known.items()):
            odds = START[states[0]] * np.prod([MOVES[pair] for pair in itertools.pairwise(states)])
            for step, state in enumerate(states):
                beliefs[step, state] += odds
            for step, pair in enumerate(itertools.pairwise(states)):
                pairs[step][pair] += odds
    return beliefs / beliefs[0].sum(), pairs / beliefs[0].sum()


def told(known, moves):
    """The same by the library, which is given logarithms."""
    with np.errstate(divide="ignore"):
        known = {step: np.log(np.eye(2)[state]) for step, state in known.items()}
    beliefs, pairs, _ = forward_backward(np.log(START), moves, np.log(np.full((STEPS, 2), 0.5)), known)
    return np.exp(beliefs), np.exp(pairs)


def case(name, known):
    moves = np.log(np.tile(MOVES, (STEPS - 1, 1, 1)))
    first, again, truth = told(known, moves), told(known, moves), right(known)
    for who, (beliefs, pairs) in (("told", first), ("told again", again), ("right", truth)):
        last = pairs[-1, :, RIGHT].sum()
        print(f"{name}, {who}: on the right {beliefs[:, RIGHT].round(2)}, after the last step {last:.2f}")
    return first, again, truth, not np.allclose(np.exp(moves), MOVES)


print("IOHMM", version("IOHMM"))
first, again, truth, changed = case("nothing known", {})
assert not changed and all(np.allclose(one, other) for one, other in zip(first, truth))

first, again, truth, changed = case("the third known", {2: RIGHT})
assert changed
assert np.allclose(first[0][:2], 0.5) and truth[0][:2, RIGHT].min() > 0.8
assert np.allclose(first[0][2:], truth[0][2:])

first, again, truth, changed = case("the first known", {0: RIGHT})
assert changed
assert np.allclose(first[0], truth[0]) and abs(truth[0][-1, RIGHT] - 0.7) < 0.01
assert np.allclose(first[1][:-1], truth[1][:-1])
assert np.allclose(first[1][-1, :, RIGHT].sum(), 1) and abs(truth[1][-1, :, RIGHT].sum() - 0.7) < 0.01
assert again[0][-1, RIGHT] > 0.99
PYTHON
