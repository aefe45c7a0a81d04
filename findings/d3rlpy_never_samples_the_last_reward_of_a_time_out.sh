#!/usr/bin/env bash
# d3rlpy 2.8.0: of an episode that ended by a time limit, the last transition, and with it the last reward, is never drawn.
# A task that pays at its time limit looks as if it never paid.
#
# Seen: of rewards 0, 0, 0, 7 a terminated episode gives 0 and 7, a timed-out one 0 alone, in 1,000 draws.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'torch==2.13.0' 'd3rlpy==2.8.0' 'gymnasium==1.4.0' 'numpy==2.4.6' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import d3rlpy
import numpy as np
import structlog
from d3rlpy.dataset import Episode, InfiniteBuffer, ReplayBuffer

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))


def rewards_drawn(terminated):
    episode = Episode(
        np.arange(4, dtype=np.float32)[:, None],
        np.zeros((4, 1), np.float32),
        np.array([[0], [0], [0], [7]], np.float32),
        terminated=terminated,
    )
    replay = ReplayBuffer(InfiniteBuffer(), episodes=[episode])
    return replay.transition_count, sorted({float(replay.sample_transition().reward[0]) for _ in range(1000)})


seen = {"terminated": rewards_drawn(True), "timed out": rewards_drawn(False)}
print("d3rlpy", d3rlpy.__version__, seen)
assert seen == {"terminated": (4, [0.0, 7.0]), "timed out": (3, [0.0])}
PYTHON
