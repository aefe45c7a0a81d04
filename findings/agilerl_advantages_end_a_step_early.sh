#!/usr/bin/env bash
# agilerl 2.58.0: the advantages of PPO are cut a step before the end of an episode, and run on into the next one at it.
# A good guess is that `done` ends the row that it is stored with: `add` is given it so by collect_rollouts, the returns
# without GAE take it so, and the recurrent sequences are cut so. But with GAE, as is usual, a row is ended by the
# `done` of the row after it: the last reward of an episode never reaches the rows before, and the last row is
# bootstrapped from the first value of another episode. In `components/rollout_buffer.py`,
# compute_returns_and_advantages reads dones[t + 1].
#
# Seen: two episodes of three steps that pay 1 each, without discount and with values of 0, which makes GAE at lambda =
# 1 the return: 2, 1, 3, 2, 1, 1. With `use_gae=False` it is 3, 2, 1, 3, 2, 1.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
# without what its trainers need besides: only the rollout buffer is asked
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'torch==2.13.0' 'tensordict==0.13.0' 'gymnasium==1.4.0' 'accelerate==1.15.0' 'pydantic==2.14.4' 'lazy-loader==0.4' 'packaging==26.4' 'numpy==2.4.6' || exit 2
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps 'agilerl==2.58.0' 'agilerl-arena==1.29.0' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import warnings
from importlib.metadata import version

import numpy as np
from gymnasium import spaces

warnings.simplefilter("ignore")
from agilerl.components.rollout_buffer import RolloutBuffer


def returns(use_gae):
    box, act = spaces.Box(-1, 1, (1,)), spaces.Discrete(2)
    buffer = RolloutBuffer(6, box, act, num_envs=1, gamma=1.0, gae_lambda=1.0, use_gae=use_gae)
    for t in range(6):
        row = {"obs": np.zeros((1, 1), np.float32), "action": np.zeros(1), "reward": np.ones(1)}
        buffer.add(**row, done=np.array([t % 3 == 2]), value=np.zeros(1), log_prob=np.zeros(1))
    buffer.compute_returns_and_advantages(last_value=np.zeros(1), last_done=np.array([True]))
    return buffer.get()["returns"].tolist()


seen = {"GAE": returns(True), "plain": returns(False)}
print("agilerl", version("agilerl"), seen)
assert seen == {"GAE": [2, 1, 3, 2, 1, 1], "plain": [3, 2, 1, 3, 2, 1]}
PYTHON
