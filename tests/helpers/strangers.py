"""Envs of other people, small and each odd in its own way."""

import builtins
import signal
from pathlib import Path

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Base(gym.Env):
    """Four steps and a coin h, shown at the first: obs (t/4, h or 0), state (t/4, h); the last action is to be h."""

    observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    state_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = spaces.Discrete(2)
    length = 4

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.h = 0, int(self.np_random.integers(2))
        return self.observe(), {}

    def step(self, action):
        self.t += 1
        ended = self.t == self.length
        right = bool(ended and action == self.h)
        return self.observe(), self.pay(ended, right), ended, False, self.tell(ended, right)

    def pay(self, ended, right):
        return float(right)

    def tell(self, ended, right):
        return {}

    def observe(self):
        return np.array([self.t / 4, self.h if self.t == 0 else 0], np.float32)

    def get_state(self):
        return np.array([self.t / 4, self.h], np.float32)

    def expert_action(self, guess=False):
        return self.h


class Losing(Base):
    """Pays 1 or -1, and says of a -1 that the game is lost."""

    def pay(self, ended, right):
        return float(ended) * (1.0 if right else -1.0)

    def tell(self, ended, right):
        return {"lost": bool(ended and not right), "is_success": right}


class OneInfo(Base):
    """Hands out one dict, again and again."""

    def __init__(self):
        self.info = {}

    def tell(self, ended, right):
        self.info["is_success"] = right
        return self.info


class Passing(Base):
    """Tells of a success at the second step only."""

    def tell(self, ended, right):
        return {"success": self.t == 2}


class Unseeded(Base):
    """Follows no seed."""

    def reset(self, *, seed=None, options=None):
        return super().reset()


class Fickle(Passing):
    """The same, and follows no seed."""

    def reset(self, *, seed=None, options=None):
        return super().reset()


class Arrays(Base):
    """Rewards and flags are arrays of one; the action is asked for its item."""

    def step(self, action):
        obs, reward, terminated, truncated, info = super().step(action.item())
        return obs, np.array([reward], np.float32), np.array([terminated]), np.array([truncated]), info


class Broken(Base):
    """Gives a number that is none at the third step, in whatever `where` names."""

    def __init__(self, where="obs", value=float("nan")):
        self.where, self.value = where, value

    def broken(self, where):
        return self.value if self.where == where and self.t == 3 else 0.0

    def pay(self, ended, right):
        return float(right) + self.broken("reward")

    def observe(self):
        return super().observe() + np.float32(self.broken("obs"))

    def get_state(self):
        return super().get_state() + np.float32(self.broken("state"))


class Failing(Base):
    """Raises an error of a kind in whatever `where` names."""

    def __init__(self, where="step", kind="RuntimeError"):
        self.where, self.kind = where, kind
        self.fail("init")

    def fail(self, where):
        if self.where == where:
            raise getattr(builtins, self.kind)("no\nluck")

    def reset(self, *, seed=None, options=None):
        self.fail("reset")
        return super().reset(seed=seed)

    def step(self, action):
        self.fail("step")
        return super().step(action)

    def get_state(self):
        self.fail("state")
        return super().get_state()

    def expert_action(self, guess=False):
        self.fail("expert")
        return super().expert_action(guess)


class Red(Base):
    """Sees a red image of bytes, whose axes lie as `layout` says; its state is the same image."""

    def __init__(self, layout="hwc", shape=(3, 8, 8), declared=None):
        channels, height, width = shape
        self.image = np.zeros((height, width, channels), np.uint8)
        self.image[..., 0] = 255
        if layout == "chw":
            self.image = np.moveaxis(self.image, -1, 0)
        if layout == "flat":
            self.image = np.moveaxis(self.image, -1, 0).reshape(-1)
        self.observation_space = self.state_space = spaces.Box(0, 255, self.image.shape, np.uint8)
        if declared is not None:
            self.obs_image_shape = self.state_image_shape = declared

    def observe(self):
        return self.image

    def get_state(self):
        return self.image


class Robot(Base):
    """There is one of it."""

    taken = False

    def __init__(self):
        assert not Robot.taken, "the robot is taken"
        Robot.taken = True

    def close(self):
        Robot.taken = False


class Lever(gym.Env):
    """Pays the action, from -2 to 2, minus how far it is from 1.8; the expert knows."""

    observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    state_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = spaces.Box(-2.0, 2.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.t += 1
        return np.zeros(1, np.float32), float(action[0] - abs(action[0] - 1.8)), self.t == 2, False, {}

    def get_state(self):
        return np.zeros(1, np.float32)

    def expert_action(self, guess=False):
        return np.array([1.8], np.float32)


class Halved(gym.ActionWrapper):
    """An action from -1 to 1, doubled."""

    def __init__(self, env):
        super().__init__(env)
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def action(self, action):
        return 2 * action


class Squared(Halved):
    """An action whose way back nobody knows."""

    def action(self, action):
        return 2 * action**3


class SquaredAndBack(Squared):
    """The same, which says the way back."""

    def revert_action(self, action):
        return np.cbrt(action / 2)


class Mirrored(gym.Wrapper):
    """Changes actions in a step of its own."""

    def step(self, action):
        return super().step(-action)


class MirroredAndBack(Mirrored):
    """The same, which says the way back."""

    def revert_action(self, action):
        return -action


class OtherState(gym.Wrapper):
    """Another state than the env's own, and no space for it."""

    def get_state(self):
        return [0.25, 0.5, 0.75]


class OtherWords(gym.Wrapper):
    """A state, its space and its names, in place of the env's."""

    state_space = spaces.MultiDiscrete([3, 2])
    state_features = ("a", "b", "c", "d", "e")

    def get_state(self):
        return np.array([2, 0])


class Endless(gym.Wrapper):
    """Says of no episode that it has ended."""

    def step(self, action):
        obs, reward, _, _, info = self.env.step(action)
        return obs, reward, False, False, info


for kind in (Base, Losing, OneInfo, Passing, Fickle, Unseeded, Arrays, Broken, Failing, Red, Robot, Lever):
    gym.register(f"{kind.__name__}-v0", entry_point=kind, max_episode_steps=10)


class Keyed(Base):
    """Tells its state as a part of the observation; `get_state` is there no more."""

    observation_space = spaces.Dict(seen=Base.observation_space, all=Base.state_space)
    get_state = state_space = None

    def observe(self):
        whole = np.array([self.t / 4, self.h], np.float32)
        return {"seen": super().observe(), "all": whole}

    def tell(self, ended, right):
        return {"success": right}


class Quiet(Keyed):
    """The same, which tells no success."""

    tell = Base.tell


def many(num_envs, mode="SameStep", render_mode=None, kind=Keyed):
    """A vector env of gymnasium's."""
    return gym.vector.SyncVectorEnv([kind] * num_envs, autoreset_mode=gym.vector.AutoresetMode(mode))


class Alone(gym.vector.SyncVectorEnv):
    """A simulator of which a process may have one."""

    there = False

    def __init__(self, num_envs, render_mode=None):
        assert not Alone.there, "there is one already"
        Alone.there = True
        super().__init__([Keyed] * num_envs, autoreset_mode=gym.vector.AutoresetMode.SAME_STEP)

    def close_extras(self, **kwargs):
        Alone.there = False
        super().close_extras(**kwargs)


def quiet(num_envs, mode="SameStep"):
    return many(num_envs, mode, kind=Quiet)


class Apart(gym.vector.AsyncVectorEnv):
    """Processes of their own; once in its folder they end amid a step, as by a signal to a whole job.

    It comes to this process a little later, unless `late` is False: then it comes to the envs' alone.
    """

    def __init__(self, num_envs, late=True):
        super().__init__([Keyed] * num_envs, autoreset_mode=gym.vector.AutoresetMode.SAME_STEP)
        self.left, self.late = -1 if Path("ended").exists() else 40, late

    def step_async(self, actions):
        super().step_async(actions)
        self.left -= 1
        if not self.left:
            Path("ended").touch()
            for process in self.processes:
                process.kill()
                process.join()
            if self.late:
                signal.signal(signal.SIGALRM, lambda number, frame: signal.raise_signal(signal.SIGTERM))
                signal.setitimer(signal.ITIMER_REAL, 0.2)
