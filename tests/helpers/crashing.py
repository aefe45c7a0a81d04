"""An env that ends its process."""

import os

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Crashing(gym.Env):
    """Pays the number of the step; action 1 ends the process, as a segmentation fault would."""

    observation_space = spaces.Box(-1e3, 1e3, (1,), np.float32)
    action_space = spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.get_state(), {}

    def step(self, action):
        if action == 1:
            os._exit(7)
        if action == 2:
            raise ValueError("no action 2")
        self.t += 1
        return self.get_state(), float(self.t), False, False, {}

    def get_state(self):
        return np.full(1, self.t, np.float32)


gym.register("Crashing-v0", entry_point=Crashing)
