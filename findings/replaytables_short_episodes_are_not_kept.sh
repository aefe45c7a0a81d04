#!/usr/bin/env bash
# ReplayTables-andnp 8.0.0: with returns over n steps (`lag`) episodes of fewer than n steps are not kept at all. A good
# guess is that their transitions are kept with what they returned until the end, as the last n - 1 of each longer
# episode are, and that what a buffer is learned from does not hang on how soon it ended. But nothing is made of an
# episode until there are n steps, and at its end it is thrown away; nothing says so. Of a task that is won, or lost,
# within n steps nothing is learned, and where it may take longer values are those of the episodes that did. In
# `ingress/LagBuffer.py`; every buffer's `add_step` goes through it.
#
# Seen: of ten episodes of 1 to 6 steps each all steps are kept with n = 1; with n = 3 none of those of 1 and 2 steps,
# with n = 5 none of those of 1 to 4, all of the others, with the right returns. Where two of three episodes end, with a
# reward of 1, at their second step and the others go on for 5 and pay nothing, the mean return of second steps is 0.68
# with n = 1 and 2 and exactly 0 with n = 3.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'ReplayTables-andnp==8.0.0' 'discrete-dists==1.4.0' 'numpy==2.4.6' 'numba==0.68.1' 'llvmlite==0.50.0' 'scipy==1.17.1' 'lz4==4.3.3' || exit 2
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import numpy as np
from ReplayTables.interface import Timestep
from ReplayTables.PER import PrioritizedReplay
from ReplayTables.ReplayBuffer import ReplayBuffer

GAMMA = 0.5


def play(buffer, rewards):
    """One episode; what is seen is the number of the step."""
    for step in range(len(rewards)):
        reward = None if step == 0 else rewards[step - 1]
        buffer.add_step(Timestep(x=np.array([float(step)]), a=step, r=reward, gamma=GAMMA, terminal=False))
    buffer.add_step(Timestep(x=None, a=-1, r=rewards[-1], gamma=0.0, terminal=True))


print("ReplayTables-andnp", version("ReplayTables-andnp"))
for kind in (ReplayBuffer, PrioritizedReplay):
    for n in (1, 3, 5):
        shares = {}
        for length in range(1, 7):
            buffer = kind(100, n, np.random.default_rng(0))
            for _ in range(10):
                play(buffer, [float(step + 1) for step in range(length)])
            shares[length] = buffer.size()
            if buffer.size():
                batch = buffer.sample(200)
                for step, told, ended in zip(batch.a, batch.r, batch.terminal):
                    ahead = range(step, min(step + n, length))
                    assert abs(told - sum(GAMMA ** (i - step) * (i + 1) for i in ahead)) < 1e-9
                    assert ended == (step + n >= length)
        print(f"{kind.__name__}, n = {n}: kept of ten episodes of 1 to 6 steps {list(shares.values())}")
        assert shares == {length: 10 * length if length >= n else 0 for length in shares}

for n in (1, 2, 3):
    random = np.random.default_rng(0)
    buffer = ReplayBuffer(10_000, n, np.random.default_rng(0))
    for _ in range(600):
        play(buffer, [0.0, 1.0] if random.integers(3) else [0.0] * 5)
    batch = buffer.sample(20_000)
    second = batch.r[batch.a == 1]
    print(f"n = {n}: mean return of second steps {second.mean():.2f}")
    assert abs(second.mean() - 2 / 3) < 0.05 if n < 3 else not second.any()
PYTHON
