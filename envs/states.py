"""What the simulators of others know: functions for `config_env.state_fn`, each of an env to an array."""

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray


def minigrid(env: gym.Env[Any, Any]) -> NDArray[np.float32]:
    """MiniGrid's whole grid, (width, height, 3) codes of what stands where, and where the agent is and looks."""
    base: Any = env.unwrapped
    return np.concatenate([base.grid.encode().ravel(), base.agent_pos, [base.agent_dir]]).astype(np.float32)


def atari_ram(env: gym.Env[Any, Any]) -> NDArray[np.float32]:
    """The 128 bytes of an Atari's memory (Bellemare et al., 2013), as numbers from 0 to 1."""
    base: Any = env.unwrapped
    return base.ale.getRAM().astype(np.float32) / 255
