"""Envs that draw themselves in every way that other people's do, or fail at it."""

import gymnasium as gym
import numpy as np

from tests.helpers.strangers import Base


class Coin(Base):
    """Draws itself."""

    metadata = {"render_modes": ["rgb_array"]}

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def tell(self, ended, right):
        return {"success": right}

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


class Leaving(Coin):
    def render(self):
        raise SystemExit


class Unmade(Coin):
    def __init__(self, render_mode=None):
        if render_mode is not None:
            raise OSError("no display at all")


class Mute(Coin):
    metadata = {"render_modes": []}


class Unclosed(Coin):
    def close(self):
        raise RuntimeError("cannot be closed")


DRAWN = {"Coin": Coin, "Grey": Grey, "Rgba": Rgba, "Float": Float, "Growing": Growing, "Many": Many}
FAILING = {"Raising": Raising, "Leaving": Leaving, "Unmade": Unmade, "Mute": Mute, "Unclosed": Unclosed}
for name, kind in (DRAWN | FAILING).items():
    gym.register(f"drawing/{name}-v0", entry_point=kind)
