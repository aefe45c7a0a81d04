#!/usr/bin/env bash
# gymnasium 1.4.0: a vector env casts a number in `info` to the type of the first env that gave it.
# One env says 1, the next 0.75 under the same key: the second is rounded down, without a warning.
#
# Seen: [1, 0] where the envs said 1 and 0.75; [0.75, 1.0] the other way round.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'gymnasium==1.4.0' 'numpy==2.4.6' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import gymnasium as gym
import numpy as np
from gymnasium.vector import SyncVectorEnv


class Says(gym.Env):
    observation_space, action_space = gym.spaces.Box(0, 1, (1,)), gym.spaces.Discrete(2)

    def __init__(self, share):
        self.share = share

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), 0.0, False, False, {"share": self.share}


def told(*shares):
    envs = SyncVectorEnv([lambda share=share: Says(share) for share in shares])
    envs.reset()
    return envs.step(np.zeros(len(shares), int))[4]["share"].tolist()


print("gymnasium", gym.__version__, told(1, 0.75), told(0.75, 1))
assert told(1, 0.75) == [1, 0]
assert told(0.75, 1) == [0.75, 1.0]
PYTHON
