#!/usr/bin/env bash
# pfilter 0.2.5: a copy of a ParticleFilter has no noise, though it is to be "an exact copy": of what moves particles,
# `copy` hands on the dynamics and forgets `noise_fn`. `predictor`, which looks ahead without measurements, goes on from
# such a copy. A good guess is that it tells how uncertainty grows; it stays as it is, where the dynamics do not change
# it. In `pfilter.py`, copy passes all but this to __init__.
#
# Seen: particles at 0 on a random walk of variance 1: after ten steps 10.2, of a copy 0. Five steps ahead from 10.2:
# 10.2 at each of them, where 11.2 to 15.2 is right.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'setuptools==84.2.1' 'pfilter==0.2.5' 'numpy==2.4.6' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

import numpy as np
from pfilter import ParticleFilter

np.random.seed(0)
walk = ParticleFilter(
    prior_fn=lambda particles: np.zeros((particles, 1)),
    noise_fn=lambda x: x + np.random.normal(size=x.shape),
    n_particles=5000,
)
again = walk.copy()
for one in (walk, again):
    for _ in range(10):
        one.update(None)
seen = [float(one.particles.var()) for one in (walk, again)]
ahead = [float(one.particles.var()) for one in walk.predictor(n=5)]
print("pfilter", version("pfilter"), "after ten steps, and a copy:", np.round(seen, 1), "ahead:", np.round(ahead, 1))
assert 9 < seen[0] < 11 and seen[1] == 0
assert ahead == [seen[0]] * 5
PYTHON
