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


def popgym_cards(env: gym.Env[Any, Any]) -> NDArray[np.float32]:
    """Of POPGym's HigherLower how often each of 13 ranks was dealt, and the rank that lies there, one-hot (26,).

    Its own state leaves the rank out (findings/popgym_higher_lower_state_lacks_the_card.sh).
    """
    base: Any = env.unwrapped
    rank = int(base.deck.show("player", ["ranks_idx"]).item())
    dealt_13 = base.get_state()
    return np.concatenate([dealt_13, np.eye(len(dealt_13))[rank]]).astype(np.float32)


def popgym_maze(env: gym.Env[Any, Any]) -> NDArray[np.float32]:
    """Of POPGym's Labyrinths the codes of all cells, which were visited, and the agent's row and column.

    Their own state has neither the agent's place nor the cells that are not explored.
    """
    base: Any = env.unwrapped
    return np.concatenate([base.maze.grid.ravel(), base.explored.ravel(), base.position]).astype(np.float32)
