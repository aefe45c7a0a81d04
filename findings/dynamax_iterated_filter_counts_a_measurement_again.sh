#!/usr/bin/env bash
# dynamax 1.0.3: with `num_iter` above 1 its iterated extended Kalman filter takes one measurement for so many. A good guess
# is that it linearises anew about each estimate and conditions the prediction once, so that nothing hangs on `num_iter`
# where the measurement is linear, as it does in the textbooks' iterated filter (Jazwinski 1970). But each
# round starts from the mean and the covariance that the one before has left, and conditions these on the same measurement
# again: the more rounds, the surer it is of itself and the nearer to the measurement, without an end.
# In `nonlinear_gaussian_ssm/inference_ekf.py`, `_condition_on` puts the posterior into its carry and calls it the prior;
# `conditional_moments_gaussian_filter` (`generalized_gaussian_ssm/inference.py`) does so as well.
#
# Seen: of x ~ N(0, 1) a measurement x + noise of variance 1 is 1, so that x is 0.50 with a variance of 0.50. In n rounds it
# is told as n / (n + 1) with a variance of 1 / (n + 1): 0.67 and 0.33, 0.83 and 0.17, 0.95 and 0.05 for n = 2, 5, 20. Of x ~
# N(2, 1/4) a measurement of x² is 6: on a fine grid x is 2.36 with a variance of 0.040, by the textbook's filter 2.38 and
# 0.037 after 5 rounds and after 20; told are 2.44 and 0.009 after 5, 2.45 and 0.002 after 20.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
version=0.26.0.dev20261027  # it has no others
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'dynamax==1.0.3' 'jax==0.10.2' 'jaxlib==0.10.2' "tfp-nightly==$version" 'numpy==2.4.6' || exit 2
cd "$folder"
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

import jax.numpy as jnp
import numpy as np
from dynamax.generalized_gaussian_ssm import EKFIntegrals, ParamsGGSSM, conditional_moments_gaussian_filter
from dynamax.nonlinear_gaussian_ssm import ParamsNLGSSM, extended_kalman_filter

NOISE = 1.0
LINEAR = (lambda x: x, lambda x: 1.0, 0.0, 1.0, 1.0)  # what is measured, its slope, mean and variance before, measurement
SQUARE = (lambda x: x**2, lambda x: 2 * x, 2.0, 0.25, 6.0)


def told(case, rounds):
    measure, _, mean, variance, seen = case
    both = dict(
        initial_mean=jnp.array([mean]),
        initial_covariance=jnp.array([[variance]]),
        dynamics_function=lambda x: x,
        dynamics_covariance=jnp.eye(1),
    )
    plain = ParamsNLGSSM(emission_function=measure, emission_covariance=NOISE * jnp.eye(1), **both)
    moments = ParamsGGSSM(
        emission_mean_function=measure, emission_cov_function=lambda x: NOISE * jnp.eye(1), **both
    )
    seen = jnp.array([[seen]])
    found = [
        extended_kalman_filter(plain, seen, num_iter=rounds),
        conditional_moments_gaussian_filter(moments, EKFIntegrals(), seen, num_iter=rounds),
    ]
    found = np.array([[float(one.filtered_means[0, 0]), float(one.filtered_covariances[0, 0, 0])] for one in found])
    assert np.allclose(found[0], found[1], atol=1e-6)
    return found[0]


def by_the_book(case, rounds):
    measure, slope, mean, variance, seen = case
    at = mean
    for _ in range(rounds):
        steep = slope(at)
        gain = variance * steep / (steep**2 * variance + NOISE)
        at, left = mean + gain * (seen - measure(at) - steep * (mean - at)), (1 - gain * steep) * variance
    return np.array([at, left])


def by_grid(case):
    measure, _, mean, variance, seen = case
    x = np.linspace(mean - 10, mean + 10, 200_001)
    log = -0.5 * (x - mean) ** 2 / variance - 0.5 * (seen - measure(x)) ** 2 / NOISE
    weight = np.exp(log - log.max())
    middle = np.average(x, weights=weight)
    return np.array([middle, np.average((x - middle) ** 2, weights=weight)])


print("dynamax", version("dynamax"))
for name, case in (("x", LINEAR), ("x²", SQUARE)):
    print(f"{name}, mean and variance on a grid: {by_grid(case).round(3).tolist()}")
    for n in (1, 2, 5, 20):
        print(f"  {n} rounds: told {told(case, n).round(3).tolist()}, by the book {by_the_book(case, n).round(3).tolist()}")
assert np.allclose(by_grid(LINEAR), 0.5, atol=1e-4)
for n in (1, 2, 5, 20):
    assert np.allclose(by_the_book(LINEAR, n), 0.5) and np.allclose(told(LINEAR, n), [n / (n + 1), 1 / (n + 1)], atol=1e-4)
assert np.allclose(told(SQUARE, 1), by_the_book(SQUARE, 1), atol=1e-4)
for n in (5, 20):
    assert np.allclose(by_the_book(SQUARE, n), by_grid(SQUARE), rtol=0.1)
    assert told(SQUARE, n)[1] < by_grid(SQUARE)[1] / 4 and told(SQUARE, n)[0] > by_grid(SQUARE)[0] + 0.07
PYTHON
