#!/usr/bin/env bash
# cpprb 11.0.0: with `Nstep` the ends of episodes are wrong, though `on_episode_end` is called. A good guess is what
# its page says: `done` is 1 where one of the N steps is the last, and `next_obs` is what is reached by them. But a
# transition whose Nth step is the last one has a `done` of 0, so that its target takes on a value from beyond the end;
# and the last N - 1 of each episode have a `next_obs` of nothing but ones, which is what a target reads after a time
# limit. In `PyReplayBuffer.pyx`, NstepBuffer.add sums `done` over one step too few, and on_episode_end hands out places
# for `next_obs` that were never written.
#
# Seen: where an episode goes from 10 to 14 by four steps and N = 3, `done` is 0, 0, 1, 1 (right: 0, 1, 1, 1), and
# `next_obs` is 13, 14, 1, 1 (right: 13, 14, 14, 14). The rewards are right.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'cpprb==11.0.0' 'numpy==2.4.6' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata

from cpprb import PrioritizedReplayBuffer, ReplayBuffer

FIELDS = {"obs": {}, "act": {}, "rew": {}, "next_obs": {}, "done": {}}
PLACES = [10.0, 11.0, 12.0, 13.0, 14.0]  # the last one is reached by the fourth step, which pays 8


def stored(kind, n, terminated):
    steps = {"size": n, "gamma": 0.5, "rew": "rew", "next": "next_obs"} if n > 1 else None
    buffer = kind(16, FIELDS, Nstep=steps)
    for t in range(4):
        last = t == 3
        buffer.add(obs=PLACES[t], act=0, rew=8.0 * last, next_obs=PLACES[t + 1], done=float(last and terminated))
    buffer.on_episode_end()
    assert buffer.get_stored_size() == 4
    kept = buffer.get_all_transitions()
    assert kept["obs"].ravel().tolist() == PLACES[:4]
    return {name: kept[name].ravel().tolist() for name in ("rew", "next_obs", "done")}


def right(n, terminated):
    return {
        "rew": [8.0 * 0.5 ** (3 - t) * (t + n > 3) for t in range(4)],
        "next_obs": [PLACES[min(t + n, 4)] for t in range(4)],
        "done": [float(terminated and t + n > 3) for t in range(4)],
    }


for kind in (ReplayBuffer, PrioritizedReplayBuffer):
    for terminated in (True, False):
        assert stored(kind, 1, terminated) == right(1, terminated)
        for n in (2, 3, 4):
            seen, as_told = stored(kind, n, terminated), right(n, terminated)
            print("cpprb", importlib.metadata.version("cpprb"), kind.__name__, "N =", n, seen, "right:", as_told)
            meets_the_end = 4 - n  # by its Nth step
            assert seen["rew"] == as_told["rew"]
            assert as_told["done"][meets_the_end] == terminated and seen["done"][meets_the_end] == 0
            assert seen["done"][meets_the_end + 1 :] == as_told["done"][meets_the_end + 1 :]
            assert seen["next_obs"][: meets_the_end + 1] == as_told["next_obs"][: meets_the_end + 1]
            assert seen["next_obs"][meets_the_end + 1 :] == [1.0] * (n - 1)
PYTHON
