#!/usr/bin/env bash
# ReplayTables-andnp 8.0.0: samples without replacement are mostly those at the first places of the buffer. A good guess
# is that `sample_without_replacement` of a uniform buffer draws each transition as often as any other. It draws some,
# and where one came twice, as in 2 of 5 batches of 32 of 1000 and in 7 of 8 of 64, 25 batches more; then it takes the
# first of a set of integers, which Python keeps nearly in the order of the integers themselves. `sample` and
# `stratified_sample` are right. In `ReplayBuffer.py`. Besides, `BackwardsReplay`, which goes backwards from step to
# step and starts anew at the first of an episode, goes on into the episode before once the buffer has been full: it
# looks for the numbers of transitions, which go on, among places of the storage where episodes end. In
# `sampling/BackwardsSampler.py`.
#
# Seen: in 500 batches of 64 of 1000 transitions 90% are of the first 100 places, where 10% is right, and 6% of the last
# 500, where 50% is; in batches of 128 860 of the 1000 are never drawn. Going backwards through episodes of 5 steps, it
# goes on from 0.1% of the first steps, by chance, while there is room, and once there is not from all of them but the
# oldest.
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
from ReplayTables.BackwardsReplay import BackwardsReplay, BackwardsReplayConfig
from ReplayTables.interface import Timestep
from ReplayTables.ReplayBuffer import ReplayBuffer

LENGTH = 5


def fill(buffer, episodes):
    """Episodes of five steps; each action is the number of its step, from 0 on over all episodes."""
    for step in range(episodes * LENGTH):
        reward = None if step % LENGTH == 0 else 1.0
        seen = np.array([float(step)])
        buffer.add_step(Timestep(x=seen, a=step, r=reward, gamma=0.9, terminal=False))
        if step % LENGTH == LENGTH - 1:
            buffer.add_step(Timestep(x=None, a=-1, r=1.0, gamma=0.0, terminal=True))
    return buffer


print("ReplayTables-andnp", version("ReplayTables-andnp"))
size = 1000
buffer = fill(ReplayBuffer(size, 1, np.random.default_rng(0)), size // LENGTH)
assert buffer.size() == size
for batch in (8, 32, 64, 128):
    ways = {
        "with": buffer.sample,
        "stratified": buffer.stratified_sample,
        "without": buffer.sample_without_replacement,
    }
    for name, draw in ways.items():
        counts = np.zeros(size, int)
        for _ in range(500):
            actions = draw(batch).a
            assert len(actions) == batch and (name == "with" or len(set(actions.tolist())) == batch)
            counts[actions] += 1
        first, last = counts[:100].sum() / counts.sum(), counts[500:].sum() / counts.sum()
        print(f"batches of {batch}, {name}: first 100 {first:.0%}, last 500 {last:.0%}, never {(counts == 0).sum()}")
        if name != "without" or batch == 8:
            assert abs(first - 0.1) < 0.02 and abs(last - 0.5) < 0.05
        elif batch == 32:
            assert first > 0.3 and last < 0.4
        else:
            assert first > 0.6 and last < 0.1
        if name == "without" and batch == 128:
            assert (counts == 0).sum() > 700

for size in (1000, 40):
    backwards = BackwardsReplay(size, 1, np.random.default_rng(0), BackwardsReplayConfig(reset_probability=0.0))
    fill(backwards, 100)
    steps = [int(backwards.sample(1).a[0]) for _ in range(3000)]
    pairs = list(zip(steps, steps[1:]))
    oldest = max(0, 500 - size)
    inside = [after == step - 1 for step, after in pairs if step % LENGTH and step > oldest]
    at_first = [after == step - 1 for step, after in pairs if step % LENGTH == 0 and step > oldest]
    print(f"room for {size} of 500: goes on inside {np.mean(inside):.0%}, from first steps {np.mean(at_first):.1%}")
    assert all(inside)
    assert np.mean(at_first) < 0.02 if size > 500 else all(at_first)
PYTHON
