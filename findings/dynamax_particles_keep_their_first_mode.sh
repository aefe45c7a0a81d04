#!/usr/bin/env bash
# dynamax 1.0.3: the Rao-Blackwellised particle filter `slds.rbpfilter` never lets the mode of a switching linear system
# move. A good guess is that each particle draws its mode given the one that it drew before, as the filter's description
# has it and as `rbpfilter_optimal` does. But what is handed on, and told as `states`, are the modes before the draw: those
# of the start, at every step, so that each draw is the first one again; resampling leaves them where they lay. Nor is
# `transition_matrix` read, by which draws of another proposal would have to be weighted. In `slds/inference.py`, `_step`
# of rbpfilter puts `prev_states` into its carry and its output, and `new_states` into neither.
#
# Seen: what rests at first goes on by 1 a step from the third step on, and starts or stops with a probability of 0.1. That
# it moves is 0.95 likely from the fifth step on, and told as 0.00 at each; it is told to be at 2.05 where 2.92 is right, and
# at 5.06 where 5.95 is. `rbpfilter_optimal` is within 0.05 of the sum over all histories of modes. Two modes that alternate
# for sure, and put it at 1 and -1 in turn, are told to put it at 1 each time, where observations say nothing.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
version=0.26.0.dev20261027  # it has no others
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'dynamax==1.0.3' 'jax==0.10.2' 'jaxlib==0.10.2' "tfp-nightly==$version" 'numpy==2.4.6' || exit 2
cd "$folder"
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import itertools
from importlib.metadata import version

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from dynamax.slds import DiscreteParamsSLDS, LGParamsSLDS, ParamsSLDS, rbpfilter, rbpfilter_optimal

START, NOISE, HAZE = 1e-6, 0.01, 0.5  # variances of the first place, of a step and of an observation
MOVES = np.array([[0.9, 0.1], [0.1, 0.9]])
SEEN = np.array([0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0])


def told(particle_filter, particles, chain, keep, by, haze, seen, proposal=None):
    """The second mode's probability and the mean place after each observation. The first mode is that of the start."""
    modes = DiscreteParamsSLDS(
        initial_distribution=jnp.array([1.0, 0.0]),
        transition_matrix=jnp.array(chain),
        proposal_transition_matrix=jnp.array(chain if proposal is None else proposal),
    )
    places = LGParamsSLDS(
        initial_mean=jnp.zeros(1),
        initial_cov=START * jnp.eye(1),
        dynamics_weights=keep * jnp.eye(1),
        dynamics_cov=NOISE * jnp.eye(1),
        dynamics_bias=jnp.array([[one] for one in by]),
        dynamics_input_weights=None,
        emission_weights=jnp.eye(1),
        emission_cov=haze * jnp.eye(1),
        emission_bias=None,
        emission_input_weights=None,
    )
    params = ParamsSLDS(discrete=modes, linear_gaussian=places).initialize(2, 1, 1)
    out = particle_filter(particles, params, jnp.array(seen)[:, None], jr.PRNGKey(0))
    weight, mode, mean = (np.asarray(out[name], float) for name in ("weights", "states", "means"))
    return (weight * mode).sum(axis=1), (weight * mean[..., 0]).sum(axis=1)


def by_all_histories(seen):
    found = []
    for steps in range(1, len(seen) + 1):
        weights, lasts, means = [], [], []
        for history in itertools.product((0, 1), repeat=steps):
            weight, before, mean, variance = 1.0, 0, 0.0, START
            for mode, obs in zip(history, seen):
                weight *= MOVES[before, mode]
                before, mean, variance = mode, mean + mode, variance + NOISE
                spread = variance + HAZE
                weight *= np.exp(-0.5 * (obs - mean) ** 2 / spread) / np.sqrt(2 * np.pi * spread)
                mean, variance = mean + variance / spread * (obs - mean), variance * HAZE / spread
            weights.append(weight)
            lasts.append(history[-1])
            means.append(mean)
        found.append((np.average(lasts, weights=weights), np.average(means, weights=weights)))
    return np.array(found).T


print("dynamax", version("dynamax"))
mode, place = by_all_histories(SEEN)
walk = (1.0, [0.0, 1.0], HAZE, SEEN)
told_mode, told_place = told(rbpfilter, 400, MOVES, *walk)
best_mode, best_place = told(rbpfilter_optimal, 400, MOVES, *walk)
for name, row in (("exact", (mode, place)), ("rbpfilter", (told_mode, told_place)), ("optimal", (best_mode, best_place))):
    print(f"{name:9s} it moves {np.round(row[0], 2).tolist()} and is at {np.round(row[1], 2).tolist()}")
assert mode[4:].min() > 0.94 and abs(best_mode - mode).max() < 0.05 and abs(best_place - place).max() < 0.05
assert (told_mode == 0).all() and (place - told_place)[4:].min() > 0.6

one, other = (told(rbpfilter, 50, chain, *walk, proposal=MOVES)[1] for chain in (MOVES, MOVES[::-1]))
print("with another transition matrix and the same proposal the same to the last bit:", (one == other).all())
assert (one == other).all()

IN_TURN, HIDDEN = np.array([[0.0, 1.0], [1.0, 0.0]]), np.zeros(4)
turns = {f.__name__: told(f, 50, IN_TURN, 0.0, [-1.0, 1.0], 1e4, HIDDEN)[1] for f in (rbpfilter, rbpfilter_optimal)}
print("in turn at 1 and -1:", {name: np.round(row, 2).tolist() for name, row in turns.items()})
assert np.allclose(turns["rbpfilter"], 1, atol=0.01)
assert np.allclose(turns["rbpfilter_optimal"], [1, -1, 1, -1], atol=0.01)
PYTHON
