#!/usr/bin/env bash
# Minari 0.5.4: image observations of three channels come back changed, since they are kept as JPEG by default.
# What decides is the space alone: 8-bit, height x width x 3, of ordinary size. jpeg_encoding=False keeps the bytes.
#
# Seen: a picture of smooth colours with one sharp edge is up to 32 levels off; 0 with jpeg_encoding=False.
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

ramp = np.linspace(0, 200, 84)
picture = np.stack([ramp[:, None] + 0 * ramp, ramp + 0 * ramp[:, None], 0.5 * (ramp[:, None] + ramp)], -1)
picture[30:50, 30:50] = 255
picture = picture.astype(np.uint8)


def furthest_off(**options):
    episode = EpisodeBuffer(
        observations=np.stack([picture, picture]),
        actions=np.zeros(1, np.int64),
        rewards=np.zeros(1),
        terminations=np.ones(1, bool),
        truncations=np.zeros(1, bool),
        infos={},
    )
    name = f"shows{len(options)}-v0"
    views = {"observation_space": gym.spaces.Box(0, 255, picture.shape, np.uint8)}
    minari.create_dataset_from_buffers(name, [episode], action_space=gym.spaces.Discrete(2), **views, **options)
    (back,) = minari.load_dataset(name).iterate_episodes()
    return int(np.abs(back.observations.astype(int) - picture.astype(int)).max())


seen = (furthest_off(), furthest_off(jpeg_encoding=False))
print("minari", minari.__version__, "levels off, by default and without JPEG:", seen)
assert seen[0] >= 8
assert seen[1] == 0
PYTHON
