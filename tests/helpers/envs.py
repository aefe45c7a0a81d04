"""Envs made up for tests."""

import numpy as np

from envs.base import EnvSpec
from utils.errors import NoExpertError


class Countdown:
    """N envs whose episodes last 1 to `horizon` steps, drawn anew each time; obs: (slot, episode, step).

    Action 1 succeeds if it is the last one. Episodes of the horizon's length are cut off, the others end.
    """

    def __init__(self, num_envs=4, horizon=5, expert=True, seed=0):
        self.num_envs, self.horizon, self.expert, self.seed = num_envs, horizon, expert, seed
        self.spec_sizes = EnvSpec("Countdown-v0", 3, 1, 2, True, horizon)
        self.guesses = []

    def reset(self, *, seed=None, options=None):
        mask = np.ones(self.num_envs, bool) if options is None else options["reset_mask"]
        if seed is not None:
            self.rng = np.random.default_rng(seed)
            self.length, self.episode = np.zeros(self.num_envs, int), np.full(self.num_envs, -1)
            self.t = np.zeros(self.num_envs, int)
        self.length = np.where(mask, self.rng.integers(1, self.horizon + 1, self.num_envs), self.length)
        self.episode, self.t = self.episode + mask, np.where(mask, 0, self.t)
        return self.views(), {}

    def views(self):
        obs = np.stack([np.arange(self.num_envs), self.episode, self.t], axis=1).astype(np.float32)
        return {"obs": obs, "state": self.length[:, None].astype(np.float32)}

    def step(self, actions):
        self.t = self.t + 1
        over = self.t == self.length
        cut = over & (self.length == self.horizon)
        return self.views(), actions + 0.5 * self.t, over & ~cut, cut, {"success": over & (actions == 1)}

    def lost_steps(self):
        return np.zeros(self.num_envs, bool)

    def expert_action(self, guess_N):
        if not self.expert:
            raise NoExpertError("Countdown-v0 has no expert")
        self.guesses.append(np.array(guess_N))
        return np.ones(self.num_envs, np.int64)

    def saw_information(self):
        return self.t >= 2

    def render_frame(self, index=0):
        return np.full((32, 32, 3), 10 * int(self.t[index]), np.uint8)

    def state_dict(self):
        return {"rng": self.rng.bit_generator.state} | {k: getattr(self, k).copy() for k in ("length", "episode", "t")}

    def load_state_dict(self, state):
        self.rng = np.random.default_rng()
        self.rng.bit_generator.state = state["rng"]
        for key in ("length", "episode", "t"):
            setattr(self, key, state[key].copy())

    def close(self):
        pass
