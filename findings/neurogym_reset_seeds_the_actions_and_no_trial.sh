#!/usr/bin/env bash
# neurogym 2.3.1: the seed that `reset` is given changes no trial, and each reset gives the action space the seed 0. A
# good guess is that of gymnasium, and of its own description, by which the seed takes the place of the one before: that
# the trials after reset(seed=3) are the same each time, and that random actions go on from reset to reset, by the seed
# that `action_space` was given. But trials are drawn by a generator of their own, `rng`, which no reset touches and
# which begins with what the system says; `env.unwrapped.seed(3)`, as gym had it once, does fix them. And a random
# policy plays the same actions in each episode, whatever its seed: what is collected by it has one sequence of actions.
# In `core.py`, `reset` of TrialEnv calls `super().reset(seed=seed)` and `action_space.seed(0)`.
#
# Seen: of 20 trials after reset(seed=3), played twice, some 18 have another direction or coherence, and none after
# `unwrapped.seed(3)`; of 20 random actions after each of five resets, whatever seeds they and the action space were
# given, all are the same.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'neurogym==2.3.1' 'gymnasium==0.29.1' 'numpy==2.2.6' 'torch==2.13.0' || exit 2
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import neurogym

TASK, TRIALS = "PerceptualDecisionMaking-v0", 20


def trials(seed, by_hand=False):
    """What the first trials ask, where nothing but fixation is played."""
    env = neurogym.make(TASK)
    if by_hand:
        env.unwrapped.seed(seed)
    env.reset(seed=seed)
    asked = [dict(env.unwrapped.trial)]
    while len(asked) < TRIALS:
        info = env.step(0)[-1]
        if info["new_trial"]:
            asked.append(dict(info["trial"]))
    return asked


def unequal(one, other):
    return sum(left != right for left, right in zip(one, other, strict=True))


print("neurogym", version("neurogym"))
by_reset, by_hand = (unequal(trials(3, hand), trials(3, hand)) for hand in (False, True))
print(f"of {TRIALS} trials {by_reset} differ after reset(seed=3), {by_hand} after seed(3)")
assert by_reset > 5 and by_hand == 0

env = neurogym.make(TASK)
played = []
for seed in (None, 1, 2, 3, 4):
    env.action_space.seed(seed)
    env.reset(seed=seed)
    played.append([int(env.action_space.sample()) for _ in range(20)])
print("random actions after five resets:", *played, sep="\n  ")
assert len(set(played[0])) > 1 and all(one == played[0] for one in played)

env.action_space.seed(1)
one = [int(env.action_space.sample()) for _ in range(20)]
env.action_space.seed(2)
other = [int(env.action_space.sample()) for _ in range(20)]
print("and without a reset another seed has others:", one != other)
assert one != other
PYTHON
