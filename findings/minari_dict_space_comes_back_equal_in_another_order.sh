#!/usr/bin/env bash
# Minari 0.5.4: a dict space that has an order of its own (an OrderedDict) comes back in alphabetical order, observations
# as well. The loaded space is equal to the env's, since order does not count there; but flattened by it, or put side by
# side as they come, observations have other columns than the env's own, and as many: a policy reads the wrong numbers.
#
# Seen: the env's space says place, coin; the loaded one coin, place, and is equal; 0.25, -1 becomes -1, 0.25.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'minari[hdf5]==0.5.4' 'gymnasium==1.4.0' 'numpy==2.4.6' 'pillow==13.0.0' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import os
import tempfile
import warnings
from collections import OrderedDict

os.environ["MINARI_DATASETS_PATH"] = tempfile.mkdtemp(dir=os.getcwd())
warnings.simplefilter("ignore")
import gymnasium as gym
import minari
import numpy as np
from minari.data_collector import EpisodeBuffer

box = gym.spaces.Box(-1, 1, (1,), np.float32)
space = gym.spaces.Dict(OrderedDict(place=box, coin=box))
rows = {"place": np.full((3, 1), 0.25, np.float32), "coin": np.full((3, 1), -1.0, np.float32)}
episode = EpisodeBuffer(
    observations=rows,
    actions=np.zeros(2, np.int64),
    rewards=np.zeros(2),
    terminations=np.array([False, True]),
    truncations=np.zeros(2, bool),
    infos={},
)
minari.create_dataset_from_buffers(
    "coin-v0", [episode], observation_space=space, action_space=gym.spaces.Discrete(2)
)
loaded = minari.load_dataset("coin-v0")
observations = next(loaded.iterate_episodes()).observations
first = {key: part[0] for key, part in observations.items()}
by_theirs = gym.spaces.flatten(loaded.observation_space, first).tolist()
by_the_env = gym.spaces.flatten(space, first).tolist()
equal = loaded.observation_space == space
print("minari", minari.__version__, list(space), list(loaded.observation_space), equal, by_the_env, by_theirs)
assert list(space) == ["place", "coin"] and list(loaded.observation_space) == list(observations) == ["coin", "place"]
assert equal and by_the_env == [0.25, -1.0] and by_theirs == [-1.0, 0.25]
PYTHON
