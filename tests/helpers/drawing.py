"""Envs that draw themselves in every way that other people's do, or fail at it."""

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Coin(gym.Env):
    """Four steps; a coin is shown at first, and the last action must be its side."""

    metadata = {"render_modes": ["rgb_array"]}
    observation_space = spaces.Box(0, 1, (2,), np.float32)
    state_space = spaces.Box(0, 1, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.coin = 0, int(self.np_random.integers(2))
        return self.seen(), {}

    def seen(self):
        return np.array([self.t / 4, self.coin if self.t == 0 else 0], np.float32)

    def get_state(self):
        return np.array([self.t / 4, self.coin], np.float32)

    def step(self, action):
        self.t += 1
        won = self.t == 4 and action == self.coin
        return self.seen(), float(won), self.t == 4, False, {"success": won}

    def render(self):
        return np.full((20, 30, 3), 60 * self.t, np.uint8)


class Grey(Coin):
    def render(self):
        return super().render()[..., 0]


class Rgba(Coin):
    def render(self):
        return np.concatenate([super().render(), np.full((20, 30, 1), 255, np.uint8)], axis=-1)


class Float(Coin):
    def render(self):
        return super().render() / 255.0


class Growing(Coin):
    def render(self):
        return np.full((20 + self.t, 30 - self.t, 3), 60 * self.t, np.uint8)


class Many(Coin):
    def render(self):
        return [super().render(), super().render()]


class Raising(Coin):
    def render(self):
        raise RuntimeError("no display here")


class Unmade(Coin):
    def __init__(self, render_mode=None):
        if render_mode is not None:
            raise OSError("no display at all")


class Nothing(Coin):
    def render(self):
        return None


class Cube(Coin):
    def render(self):
        return np.zeros((2, 20, 30, 3), np.uint8)


class Mute(Coin):
    metadata = {"render_modes": []}


class Unclosed(Coin):
    def close(self):
        raise RuntimeError("cannot be closed")


DRAWN = {"Coin": Coin, "Grey": Grey, "Rgba": Rgba, "Float": Float, "Growing": Growing, "Many": Many}
UNDRAWN = {"Raising": Raising, "Unmade": Unmade, "Nothing": Nothing, "Cube": Cube}
for name, kind in (DRAWN | UNDRAWN | {"Mute": Mute, "Unclosed": Unclosed}).items():
    gym.register(f"drawing/{name}-v0", entry_point=kind)
