#!/usr/bin/env bash
# distrax 0.1.9: the beliefs of `HMM` are even, or nothing, where an observation has a small density in all states. A
# good guess is that only the ratio of the densities counts, as in Bayes' rule: numbers that say the same are no less
# worth for being many, or in other units. But each step multiplies what was believed by the densities themselves, in
# single precision, and raises every product below 1e-15 to 1e-15 before it divides by their sum. Where all lie below
# that the belief is even, whatever is seen and whatever was known before; where they are too small for single precision
# they are 0, the belief is 0 in all states, from then on too, and the step adds 0 to the log likelihood. This is so of
# 32 numbers of variance 1, and of 4 in units a ten thousandth as large. `viterbi` adds logarithms and is right. In
# `_src/utils/hmm.py`, _normalize. (That `forward_backward` with a `length` is 0 everywhere is known there: issue 337.)
#
# Seen: observations of 1 to 128 numbers that say which of two states it is as well as one number of Normal(-1, 1) or
# Normal(1, 1) does. After six of them from the second state the belief in it is 0.99, and told so of 1, 4 and 16
# numbers; of 32 it is told as 0.50, of 128 as 0.00 in both states with a log likelihood of 0, where -1092 is right, and
# of 4 in the smaller units as 0.50. One observation of 32 numbers that says nothing turns 0.9 in the first state into
# 0.5. `viterbi` finds the second state each time.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
version=0.26.0.dev20261027  # it has no others
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'distrax==0.1.9' 'jax==0.10.2' 'jaxlib==0.10.2' "tfp-nightly==$version" 'numpy==2.4.6' || exit 2
cd "$folder"
JAX_PLATFORMS=cpu "$folder/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import distrax
import jax.numpy as jnp
import numpy as np

START, MOVES = np.array([0.9, 0.1]), np.array([[0.95, 0.05], [0.05, 0.95]])
STEPS = 6
SHIFTS = np.array([-1.0, 1.0])  # of each state, in all: divided by the root of how many numbers there are


def right(seen, means, unit):
    """Beliefs after each observation and the log likelihood, by logarithms of densities."""
    logs = -0.5 * (((seen[:, None] - means) / unit) ** 2 + np.log(2 * np.pi * unit**2)).sum(-1)
    belief, told, total = START, [], 0.0
    for step, log in enumerate(logs):
        if step:
            belief = belief @ MOVES
        product = belief * np.exp(log - log.max())
        total += log.max() + np.log(product.sum())
        belief = product / product.sum()
        told.append(belief)
    return np.array(told), total


def case(size, unit=1.0, toward=1.0, steps=STEPS):
    """Told and right. An observation lies by the second state's mean, or between both, with noise as is usual."""
    means = unit * np.outer(SHIFTS, np.ones(size)) / np.sqrt(size)
    noise = unit * np.resize([1.0, -1.0], size) * (size > 1)  # adds up to nothing
    seen = toward * np.tile(means[1], (steps, 1)) + noise
    hmm = distrax.HMM(
        distrax.Categorical(probs=jnp.array(START)),
        distrax.Categorical(probs=jnp.array(MOVES)),
        distrax.MultivariateNormalDiag(jnp.array(means), jnp.full(means.shape, unit)),
    )
    likelihood, beliefs = hmm.forward(jnp.array(seen))
    truth, true_likelihood = right(seen, means, unit)
    path = np.asarray(hmm.viterbi(jnp.array(seen)))
    print(
        f"{size:3} numbers, unit {unit:5.0f}: told {np.asarray(beliefs[-1]).round(2)}, right {truth[-1].round(2)}; "
        f"log likelihood {likelihood:.1f}, right {true_likelihood:.1f}; path {path}"
    )
    return np.asarray(beliefs), truth, float(likelihood), true_likelihood, path


print("distrax", version("distrax"))
print("six observations of the second state:")
for size, unit in ((1, 1.0), (4, 1.0), (16, 1.0)):
    told, truth, likelihood, true_likelihood, path = case(size, unit)
    assert np.abs(told - truth).max() < 1e-3 and abs(likelihood - true_likelihood) < 0.1
    assert truth[-1, 1] > 0.99 and (path == 1).all()
for size, unit in ((32, 1.0), (4, 1e4)):
    told, truth, likelihood, true_likelihood, path = case(size, unit)
    assert truth[-1, 1] > 0.99 and (path == 1).all()
    assert np.abs(told[-1] - 0.5).max() < 1e-3
told, truth, likelihood, true_likelihood, path = case(128)
assert truth[-1, 1] > 0.99 and (path == 1).all()
assert not told.any() and likelihood == 0 and true_likelihood < -700
print("one that says nothing:")
for size, wrong in ((4, False), (32, True)):
    told, truth, *_ = case(size, toward=0.0, steps=1)
    assert np.abs(truth[-1] - START).max() < 1e-9
    assert np.abs(told[-1] - (0.5 if wrong else START)).max() < 1e-3
PYTHON
