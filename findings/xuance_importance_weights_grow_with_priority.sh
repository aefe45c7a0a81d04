#!/usr/bin/env bash
# xuance 1.4.4: the weights that its prioritised replay hands out are not those that correct for it. A good guess is
# that a transition drawn twice as often counts (1/2)^beta as much. But each counts by its own probability, as a
# multiple of the least one: what is drawn most counts most once more, and beta, which the learner anneals, changes
# nothing. In `common/memory_tools.py`, PerOffPolicyBuffer.sample puts beta on the number of transitions alone, which
# cancels.
#
# Seen: with priorities 1, 2, 3 (and one more) and alpha = 1 the weights are 1, 2, 3, for beta = 0.4 and for 1; right
# are 1, 0.76, 0.64 and 1, 0.5, 0.33.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
# without what its agents need besides: only the replay is asked
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'gymnasium==1.2.3' 'numpy==1.26.4' 'scipy==1.17.1' 'pyyaml==6.0.4' 'tqdm==4.70.1' 'setuptools==80.9.0' || exit 2
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps 'xuance==1.4.4' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import random
from importlib.metadata import version

import numpy as np
from gymnasium import spaces
from xuance.common import PerOffPolicyBuffer


def weights(beta):
    """By the place of a transition; the fourth is never drawn, as in other buffers of this kind."""
    random.seed(0)
    buffer = PerOffPolicyBuffer(spaces.Box(-1, 1, (1,)), spaces.Discrete(2), None, 1, 4, batch_size=64, alpha=1.0)
    for _ in range(4):
        buffer.store(np.zeros((1, 1)), np.zeros(1), np.zeros(1), np.zeros(1), np.zeros((1, 1)))
    buffer.update_priorities(np.tile(np.arange(4), 16)[None], np.tile([1.0, 2.0, 3.0, 4.0], 16))
    batch = buffer.sample(beta)
    found = dict(zip(batch["step_choices"].ravel().tolist(), batch["weights"].ravel().tolist()))
    return [round(found[place], 3) for place in range(3)]


seen = {beta: weights(beta) for beta in (0.4, 1.0)}
print("xuance", version("xuance"), seen)
assert seen == {0.4: [1.0, 2.0, 3.0], 1.0: [1.0, 2.0, 3.0]}
PYTHON
