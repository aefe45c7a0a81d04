#!/usr/bin/env bash
# Minari 0.5.4: of an env with gymnasium's Autoreset, each episode but the first begins with a transition that is none.
# Its first observation is the last one of the episode before, its reward 0, its action without effect.
#
# Seen: observations 3, 0, 1, 2, 3 and rewards 0, 1, 1, 1 of an episode that counts 0, 1, 2, 3.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'minari[create,hdf5]==0.5.4' 'gymnasium==1.4.0' 'numpy==2.4.6' 'pillow==13.0.0' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import os
import tempfile
import warnings

os.environ["MINARI_DATASETS_PATH"] = tempfile.mkdtemp(dir=os.getcwd())
warnings.simplefilter("ignore")
import gymnasium as gym
import minari
import numpy as np
from gymnasium.wrappers import Autoreset
from minari import DataCollector


class Counts(gym.Env):
    observation_space, action_space = gym.spaces.Box(0, 3, (1,)), gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.t += 1
        return np.full(1, self.t, np.float32), 1.0, self.t == 3, False, {}


env = DataCollector(Autoreset(Counts()))
env.reset()
for _ in range(7):
    env.step(0)
first, second = env.create_dataset(dataset_id="counts-v0").iterate_episodes()
seen = [(one.observations.ravel().tolist(), one.rewards.tolist()) for one in (first, second)]
print("minari", minari.__version__, seen)
assert seen == [([0, 1, 2, 3], [1, 1, 1]), ([3, 0, 1, 2, 3], [0, 1, 1, 1])]
PYTHON
