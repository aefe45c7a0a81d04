#!/usr/bin/env bash
# supersuit 3.11.0: frame_stack of images without a channel axis, stacked in front (stack_dim=0), holds no history: the
# newest image in every place but the last, which stays 0. A good guess is the last four. Shape, dtype and space are as
# they should be, so a policy that is to remember by its stack sees one image. In `utils/frame_stack.py`, stack_obs
# writes to [:-1] where it should to [-1].
#
# Seen: after images 1 to 6 a stack of four is 6, 6, 6, 0; it is 3, 4, 5, 6 with stack_dim=-1, or with a channel axis.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'supersuit==3.11.0' 'pettingzoo==1.27.0' 'gymnasium==1.4.0' 'numpy==2.4.6' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import gymnasium as gym
import numpy as np
import supersuit


class Clock(gym.Env):
    """Each image is filled with the number of the step."""

    action_space = gym.spaces.Discrete(2)

    def __init__(self, shape):
        self.observation_space = gym.spaces.Box(0, 255, shape, np.uint8)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 1
        return np.full(self.observation_space.shape, self.t, np.uint8), {}

    def step(self, action):
        self.t += 1
        return np.full(self.observation_space.shape, self.t, np.uint8), 0.0, False, False, {}


def stack_after_six(wrapper, shape, stack_dim):
    env = wrapper(Clock(shape), stack_size=4, stack_dim=stack_dim)
    env.reset(seed=0)
    for _ in range(5):
        stack = env.step(0)[0]
    assert stack in env.observation_space
    return np.moveaxis(stack, stack_dim, 0)[:, 0, 0].tolist()


for wrapper in (supersuit.frame_stack_v1, supersuit.frame_stack_v2):
    seen = {
        "in front": stack_after_six(wrapper, (8, 8), 0),
        "at the end": stack_after_six(wrapper, (8, 8), -1),
        "in front, with a channel": stack_after_six(wrapper, (1, 8, 8), 0),
    }
    print("supersuit", supersuit.__version__, wrapper.__name__, seen)
    assert seen == {"in front": [6, 6, 6, 0], "at the end": [3, 4, 5, 6], "in front, with a channel": [3, 4, 5, 6]}
PYTHON
