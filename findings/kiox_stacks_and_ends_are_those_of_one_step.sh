#!/usr/bin/env bash
# kiox 0.1.0: with `n_steps` above 1 what follows after n steps is stacked, and ended, as if it followed after one. A
# good guess is that a transition over n steps has the observation of that step after it, with the frames before that
# one, and that it is an end wherever the episode ended on the way. But the stack there is that of the first step, moved
# on by one, with the last frame of the nth: frames between are left out, a history that was never seen. And `terminals`
# is that of the first step, so that of the last n transitions of an episode the last alone is an end; the others are
# followed by an observation of zeros. Besides, a buffer that keeps the newest transitions keeps the steps of every
# episode that ends by time limit (`clip_episode`), for good. With `n_steps=1` stacks and ends are right. In
# `transition.py`, `step_collector.py` and `episode.py`.
#
# Seen: of an episode of 7 steps at n = 3 stacks of 3 are followed by (0, 1, 4), (1, 2, 5), (2, 3, 6) and (3, 4, 7),
# where (2, 3, 4) to (5, 6, 7) are right; terminals of the last three are 0, 0, 1 where 1, 1, 1 is right, and a value of
# 10 for zeros makes 11.0 of the fifth step's 9.75. After 100 episodes of 5 steps by time limit 500 steps are kept for
# 10 transitions, and 10 where the episodes end by themselves.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'kiox==0.1.0' 'numpy==2.4.6' 'h5py==3.16.0' 'grpcio==1.85.3' || exit 2
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import numpy as np
from kiox.kiox import Kiox
from kiox.transition_buffer import FIFOTransitionBuffer, UnlimitedTransitionBuffer
from kiox.transition_factory import FrameStackTransitionFactory, SimpleTransitionFactory

LENGTH, GAMMA, FRAMES = 7, 0.5, 3
VALUE = 10.0  # what a critic may say of an observation of zeros
frames = [0.0] * (FRAMES - 1) + [float(step) for step in range(1, LENGTH + 1)]


def stack(step):
    """What is seen at a step, numbered from 1: it and the frames before it, zeros before the first."""
    return tuple(frames[step - 1 : step - 1 + FRAMES])


def collect(n_steps):
    """One episode whose frames and rewards are 1, 2, ..., LENGTH, and each of its transitions by its last frame."""
    kiox = Kiox(UnlimitedTransitionBuffer(), FrameStackTransitionFactory(FRAMES), n_steps=n_steps, gamma=GAMMA)
    for step in range(1, LENGTH + 1):
        frame = np.full((1, 1), float(step))
        kiox.collect(frame, np.array([0]), float(step), terminal=step == LENGTH)
    np.random.seed(0)
    batch = kiox.sample(500)
    parts = batch.observations, batch.rewards, batch.next_observations, batch.terminals, batch.durations
    rows = {}
    for seen, reward, after, end, duration in zip(*(part.reshape(500, -1) for part in parts)):
        row = tuple(map(float, seen)), float(reward[0]), tuple(map(float, after)), float(end[0]), int(duration[0])
        rows[int(seen[-1])] = row
    return rows


def text(stacked):
    return "(" + ", ".join(f"{frame:.0f}" for frame in stacked) + ")"


print("kiox", version("kiox"))
for n_steps in (1, 3):
    rows = collect(n_steps)
    assert sorted(rows) == list(range(1, LENGTH + 1))
    print(f"n_steps={n_steps}:")
    for step, (seen, reward, after, end, duration) in sorted(rows.items()):
        ahead = step + n_steps
        ended = ahead > LENGTH
        right = (0.0,) * FRAMES if ended else stack(ahead)
        summed = sum(GAMMA**i * (step + i) for i in range(min(n_steps, LENGTH - step + 1)))
        target = reward + (1 - end) * GAMMA**duration * (VALUE if after == (0.0,) * FRAMES else 0)
        print(
            f"  {text(seen)} returns {reward:.2f}, then {text(after)}, right {'an end' if ended else text(right)};",
            f"end {end:.0f}, right {ended:.0f}" + (f"; target {target:.2f}, right {summed:.2f}" if ended else ""),
        )
        assert seen == stack(step) and abs(reward - summed) < 1e-9
        if n_steps == 1:
            assert after == right and end == ended
        elif ended:
            assert after == right and end == (step == LENGTH)
            assert (abs(target - summed) < 1e-9) == (step == LENGTH)
        else:
            assert after == stack(step)[1:] + (float(ahead),) != right and end == 0

kept = {}
for by_limit in (False, True):
    kiox = Kiox(FIFOTransitionBuffer(10), SimpleTransitionFactory())
    for _ in range(100):
        for step in range(5):
            kiox.collect(np.array([float(step)]), np.array([0]), 1.0, terminal=step == 4 and not by_limit)
        if by_limit:
            kiox.clip_episode()
    kept[by_limit] = kiox.get_step_buffer_size(), kiox.get_transition_buffer_size()
print("steps and transitions kept of 100 episodes that end by themselves:", kept[False], "by time limit:", kept[True])
assert kept == {False: (10, 10), True: (500, 10)}
PYTHON
