"""A made-up image domain that turns exactly: a smooth blob under a smooth camera, which its action moves."""

import gymnasium as gym
import numpy as np

from envs.base import EnvSpec, PartiallyObservableEnv

SIZE = 24
STORAGE = ((0.0, 0.5, 8), (0.0, 0.0, 0))
STATE_STORAGE = ((0.0, 0.5, 8), (0.0, 1.0, 1))


def spec_of(size=SIZE, action_dim=5, horizon=6):
    """The sizes of the domain; `size` may be that of the real ones."""
    shape, dim = (2, size, size), 2 * size * size
    return EnvSpec(
        "Blob-v0", dim, dim, action_dim, False, horizon, shape, shape, ("depth", "mask"), STORAGE, STATE_STORAGE
    )


def picture(position, size=SIZE):
    """(size · size,) with a hill of height 0.5 at `position`, in pixels from the image's centre."""
    away = [np.arange(size) - (size - 1) / 2 - p for p in position]
    return 0.5 * np.exp(-(away[0][:, None] ** 2 + away[1][None] ** 2) / 18).astype(np.float32).ravel()


def views_of(position, size=SIZE):
    """What is observed of the blob, and its state, whose mask is where the hill is higher than 0.3."""
    depth = picture(position, size)
    return (
        np.concatenate([depth, np.zeros_like(depth)]),
        np.concatenate([depth, (depth > 0.3).astype(np.float32)]),
    )


class Blob(PartiallyObservableEnv):
    """The blob starts somewhere and is to be brought to the centre; an action moves it by up to 4 pixels an axis."""

    obs_image_shape = state_image_shape = (2, SIZE, SIZE)
    obs_storage, state_storage = STORAGE, STATE_STORAGE
    state_features = ("depth", "mask")

    def __init__(self, action_dim=5, render_mode=None):
        self.observation_space = self.state_space = gym.spaces.Box(0, 1, (2 * SIZE * SIZE,), np.float32)
        self.action_space = gym.spaces.Box(-1, 1, (action_dim,), np.float32)
        self.plane = slice(1, 3) if action_dim == 5 else slice(0, 2)
        self.position = np.zeros(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position = self.np_random.uniform(-7, 7, 2)
        return views_of(self.position)[0], {}

    def step(self, action):
        self.position = np.clip(self.position + 4 * action[self.plane], -9, 9)
        won = bool(np.linalg.norm(self.position) < 1)
        return views_of(self.position)[0], float(won), won, False, {"success": won}

    def get_state(self):
        return views_of(self.position)[1]

    def expert_action(self, guess=False):
        action = np.zeros(self.action_space.shape, np.float32)
        action[self.plane] = np.clip(-self.position / 4, -1, 1)
        return action


gym.register("Blob-v0", Blob, max_episode_steps=6)
