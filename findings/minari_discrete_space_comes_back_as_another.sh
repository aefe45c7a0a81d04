#!/usr/bin/env bash
# Minari 0.5.4: a Discrete action space loses its dtype in a data set, and is then unequal to the env's.
# What is written with Discrete(3, start=1, dtype=int32) is loaded as int64; a check for equality refuses it.
#
# Seen: loaded dtype int64, unequal; with the default dtype int64 it comes back equal.
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

os.environ["MINARI_DATASETS_PATH"] = tempfile.mkdtemp(dir=os.getcwd())
warnings.simplefilter("ignore")
import gymnasium as gym
import minari
import numpy as np
from minari.data_collector import EpisodeBuffer


def written_and_loaded(dtype):
    space = gym.spaces.Discrete(3, start=1, dtype=dtype)
    episode = EpisodeBuffer(
        observations=np.zeros((3, 1), np.float32),
        actions=np.array([1, 3], dtype),
        rewards=np.zeros(2),
        terminations=np.array([False, True]),
        truncations=np.zeros(2, bool),
        infos={},
    )
    name = f"coin{np.dtype(dtype).name}-v0"
    minari.create_dataset_from_buffers(
        name, [episode], observation_space=gym.spaces.Box(0, 1, (1,)), action_space=space
    )
    loaded = minari.load_dataset(name).action_space
    return str(loaded.dtype), loaded == space


seen = {np.dtype(dtype).name: written_and_loaded(dtype) for dtype in (np.int32, np.int64)}
print("minari", minari.__version__, seen)
assert seen == {"int32": ("int64", False), "int64": ("int64", True)}
PYTHON
