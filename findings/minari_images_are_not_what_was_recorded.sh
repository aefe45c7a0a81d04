#!/usr/bin/env bash
# Minari 0.5.4: image observations of three channels come back changed, since they are kept as JPEG by default.
# What decides is the space alone: 8-bit, height x width x 3, of ordinary size. jpeg_encoding=False keeps the bytes.
#
# Seen: a picture of smooth colours with one sharp edge is up to 15 levels off; 0 with jpeg_encoding=False.
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

os.environ["MINARI_DATASETS_PATH"] = tempfile.mkdtemp(dir=".")
warnings.simplefilter("ignore")
import gymnasium as gym
import minari
import numpy as np
from minari import DataCollector

ramp = np.linspace(0, 200, 84)
picture = np.stack([ramp[:, None] + 0 * ramp, ramp + 0 * ramp[:, None], 0.5 * (ramp[:, None] + ramp)], -1)
picture[30:50, 30:50] = 255
picture = picture.astype(np.uint8)


class Shows(gym.Env):
    observation_space, action_space = gym.spaces.Box(0, 255, picture.shape, np.uint8), gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return picture, {}

    def step(self, action):
        return picture, 0.0, True, False, {}


def furthest_off(**options):
    env = DataCollector(Shows(), **options)
    env.reset()
    env.step(0)
    name = f"shows{len(options)}-v0"
    env.create_dataset(dataset_id=name)
    (episode,) = minari.load_dataset(name).iterate_episodes()
    return int(np.abs(episode.observations.astype(int) - picture.astype(int)).max())


seen = (furthest_off(), furthest_off(jpeg_encoding=False))
print("minari", minari.__version__, "levels off, by default and without JPEG:", seen)
assert seen[0] >= 8
assert seen[1] == 0
PYTHON
