#!/usr/bin/env bash
# gymnasium 1.4.0: NormalizeReward of a vector env in NEXT_STEP mode takes one episode's return into the next.
# A reward of 1 a step, gamma 0.5: the running return that rewards are divided by must begin each episode at 1.
#
# Seen: first return of the second episode 1.5 after a termination, 1.875 after a truncation; 1.0 in SAME_STEP mode.
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
from gymnasium.wrappers.vector import NormalizeReward


class Ones(gym.Env):
    observation_space, action_space = gym.spaces.Box(0, 1, (1,)), gym.spaces.Discrete(2)

    def __init__(self, truncates):
        self.truncates = truncates

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.t += 1
        over = self.t == 3
        return np.zeros(1, np.float32), 1.0, over and not self.truncates, over and self.truncates, {}


def first_return_of_the_second_episode(mode, truncates):
    envs = NormalizeReward(SyncVectorEnv([lambda: Ones(truncates)], autoreset_mode=mode), gamma=0.5)
    envs.reset(seed=0)
    resets = 1 if mode == AutoresetMode.NEXT_STEP else 0  # of the steps, one does nothing but reset
    for _ in range(3 + resets + 1):
        envs.step(np.zeros(1, int))
    return float(envs.accumulated_reward[0])


modes = (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP)
seen = {(mode.name, end): first_return_of_the_second_episode(mode, end) for mode in modes for end in (False, True)}
print("gymnasium", gym.__version__, seen)
assert seen == {
    ("NEXT_STEP", False): 1.5,
    ("NEXT_STEP", True): 1.875,
    ("SAME_STEP", False): 1.0,
    ("SAME_STEP", True): 1.0,
}
PYTHON
