#!/usr/bin/env bash
# gymnasium 1.4.0: resetting some envs of a vector env has RecordEpisodeStatistics forget all of them.
# With AutoresetMode.DISABLED the caller resets by `reset_mask` the envs that are over; the others play on.
#
# Seen: an env of 5 steps beside one of 2 is told a return of 1 and a length of 1 instead of 5.
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
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics


class Lasts(gym.Env):
    observation_space, action_space = gym.spaces.Box(0, 1, (1,)), gym.spaces.Discrete(2)

    def __init__(self, steps):
        self.steps = steps

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.t += 1
        return np.zeros(1, np.float32), 1.0, self.t == self.steps, False, {}


envs = SyncVectorEnv([lambda: Lasts(2), lambda: Lasts(5)], autoreset_mode=AutoresetMode.DISABLED)
envs = RecordEpisodeStatistics(envs)
envs.reset()
for _ in range(5):
    _, _, over, _, info = envs.step(np.zeros(2, int))
    if over.any():
        envs.reset(options={"reset_mask": over})
told = (float(info["episode"]["r"][1]), int(info["episode"]["l"][1]))
print("gymnasium", gym.__version__, "return and length of the env of 5 steps:", told)
assert told == (1.0, 1)
PYTHON
