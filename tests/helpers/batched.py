"""A small batched simulator in IsaacLab's convention: torch in and out, groups, resets in the same step."""

from types import SimpleNamespace

import numpy as np
import torch
from gymnasium import spaces

ALIVE = []  # instances that were made and not closed yet


class Simulator:
    """A coin h for each env, shown to the policy at the first step; the critic sees it all along.

    The episode is cut off after `length` steps. It ends before if the action is above 0.9, and pays 1 where h was 1.
    """

    def __init__(self, num_envs, length=4, direct=False, render_mode=None):
        self.num_envs, self.device, self.max_episode_length = num_envs, torch.device("cpu"), length
        self.single_observation_space = spaces.Dict(
            policy=spaces.Box(-np.inf, np.inf, (2,)), critic=spaces.Box(-np.inf, np.inf, (2,))
        )
        self.single_action_space = spaces.Box(-np.inf, np.inf, (1,))
        self.render_mode, self.rng, self.extras = render_mode, torch.Generator().manual_seed(0), {}
        self.t, self.h = torch.zeros(num_envs), torch.zeros(num_envs)
        if direct:
            self._get_observations = self.observe
        else:
            self.observation_manager = SimpleNamespace(compute=self.observe)
        ALIVE.append(self)

    def observe(self):
        known = torch.stack([self.t / self.max_episode_length, self.h], dim=1)
        return {"policy": known * torch.stack([torch.ones_like(self.t), self.t == 0], dim=1), "critic": known}

    def _reset_idx(self, env_ids):
        self.t[env_ids] = 0.0
        self.h[env_ids] = torch.randint(2, (len(env_ids),), generator=self.rng).float()

    def reset(self, seed=None, options=None):
        if seed is not None:
            self.rng.manual_seed(seed)
        self._reset_idx(torch.arange(self.num_envs))
        return self.observe(), self.extras

    def step(self, action):
        assert isinstance(action, torch.Tensor) and action.shape == (self.num_envs, 1)
        self.t = self.t + 1
        terminated, truncated = action[:, 0] > 0.9, self.t >= self.max_episode_length
        reward = (terminated & (self.h == 1)).float()
        self.extras = {"log": {"Episode/reward": 0.0}, "success": terminated & (self.h == 1)}
        if len(ended := (terminated | truncated).nonzero().flatten()):
            self._reset_idx(ended)
        return self.observe(), reward, terminated, truncated, self.extras

    def render(self):
        return np.full((8, 8, 3), 10 * int(self.t[0]), np.uint8) if self.render_mode else None

    def close(self):
        ALIVE.remove(self)


class Unclosed(Simulator):
    """The same, which fails when it is closed."""

    def close(self):
        raise RuntimeError("cannot be closed")


class Unasked(Simulator):
    """The same, which takes no render_mode and draws."""

    def __init__(self, num_envs):
        super().__init__(num_envs, render_mode="own")


class Broken(Simulator):
    """The same, which fails of its own as it is made."""

    def __init__(self, num_envs):
        raise TypeError("unsupported operand")


class Untold:
    """Resets in the same step and tells no last observation."""

    single_observation_space = spaces.Box(0.0, 1.0, (1,))
    single_action_space = spaces.Discrete(2)

    def __init__(self, num_envs):
        self.num_envs, self.t = num_envs, 0

    def observe(self):
        return np.full((self.num_envs, 1), self.t / 2, np.float32)

    def reset(self, seed=None, options=None):
        self.t = 0
        return self.observe(), {}

    def step(self, action):
        self.t = (self.t + 1) % 2
        ended = np.full(self.num_envs, self.t == 0)
        return self.observe(), ended.astype(np.float32), np.zeros_like(ended), ended, {}

    def close(self):
        pass
