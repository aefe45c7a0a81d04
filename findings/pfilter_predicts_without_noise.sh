#!/usr/bin/env bash
# pfilter 0.2.5: `predictor` foretells without the noise that it was given, and passes over `observed`. A good guess is what
# its page says: a copy of the filter is run forward, after the observation that is handed over. But `copy` in pfilter.py
# leaves `noise_fn` out, so that the copy moves its particles by `dynamics_fn` alone and never grows less certain; and
# `predictor` sets `observed` to None before its first step (`send` is heard). `weight_entropy`, told as the entropy of the
# weights in nats, is that with the other sign: -log N where all weigh the same.
#
# Seen: a walk with steps of standard deviation 2, from 0.9: three steps of `update` without an observation spread to 2.2,
# 3.0 and 3.6 (right: the root of 0.9² + 4 k), three of `predictor` stay at 0.9, and at the same mean with
# `observed=3.0` as without. Entropy of the weights of 4,000 particles: -8.29 nats (right: 8.29).
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'pfilter==0.2.5' 'numpy==2.2.6' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata

import numpy as np
from pfilter import ParticleFilter, gaussian_noise

NUM, STEP = 4_000, 2.0


def walking():
    """After one observation, of 0."""
    np.random.seed(0)
    walk = ParticleFilter(
        prior_fn=lambda n: np.random.normal(size=(n, 1)),
        noise_fn=lambda x: gaussian_noise(x, [STEP]),
        n_particles=NUM,
    )
    walk.update(np.array([0.0]))
    return walk


walk = walking()
first = float(walk.particles.std())
spreads = []
for _ in range(3):
    walk.update()
    spreads.append(float(walk.particles.std()))
right = [(first**2 + STEP**2 * k) ** 0.5 for k in (1, 2, 3)]
foretold = [float(copy.particles.std()) for copy in walking().predictor(3)]
told = [float(copy.mean_state[0]) for copy in walking().predictor(3, observed=np.array([3.0]))]
untold = [float(copy.mean_state[0]) for copy in walking().predictor(3)]
print("pfilter", importlib.metadata.version("pfilter"), "spread by update", spreads, "right", right)
print("spread by predictor", foretold, "first", first)
print("mean by predictor, told of 3.0 and not", told, untold)
print("entropy of equal weights", walk.weight_entropy, "log N", np.log(NUM))
np.testing.assert_allclose(spreads, right, rtol=0.03)
np.testing.assert_allclose(foretold, first)
np.testing.assert_allclose(told, untold, atol=1e-9)
assert abs(told[0]) < 0.1
spoken_to = walking().predictor()
next(spoken_to)
heard = spoken_to.send(np.array([3.0]))
assert heard.mean_state[0] > 0.5
copied = walking().copy()
assert np.array_equal(copied.noise_fn(copied.particles), copied.particles)
np.testing.assert_allclose(walk.weight_entropy, -np.log(NUM))
PYTHON
