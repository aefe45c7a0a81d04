"""An env of odd spaces, and data sets in the layout of Minari's collector."""

import warnings
from collections import OrderedDict

import gymnasium as gym
import minari
import numpy as np
from minari.data_collector import EpisodeBuffer

SPACE = gym.spaces.Dict(  # in an order of its own, which is not that of the alphabet
    OrderedDict(
        place=gym.spaces.Box(-np.inf, np.inf, (2,), np.float64),
        coin=gym.spaces.Discrete(3, start=1),
        picture=gym.spaces.Box(0, 255, (4, 5, 1), np.uint8),
    )
)


class Odd(gym.Env):
    """Observations of three kinds, actions 5 to 7, a state in its infos; success on the last step."""

    observation_space, action_space = SPACE, gym.spaces.Discrete(3, start=5)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._t = 0
        return self._seen()

    def step(self, action):
        self._t += 1
        return *self._seen()[:1], float(action), self._t == 4, False, self._seen()[1]

    def _seen(self):
        obs = {
            "place": self.np_random.normal(size=2),
            "coin": self.np_random.integers(1, 4),
            "picture": self.np_random.integers(0, 256, (4, 5, 1), dtype=np.uint8),
        }
        return obs, {"hidden": {"fact": np.array([self._t, 7.0])}, "success": self._t == 4}

    def get_state(self):
        return np.array([self._t, 7.0])


gym.register("Odd-v0", entry_point="tests.helpers.recorded:Odd", max_episode_steps=10)


class Rescaled(gym.wrappers.RescaleAction):
    """Actions from -1 to 1, whatever the env's are."""

    def __init__(self, env):
        super().__init__(env, np.float32(-1), np.float32(1))


def stacked(values):
    """A list of equal trees as a tree of arrays."""
    if isinstance(values[0], dict):
        return {key: stacked([value[key] for value in values]) for key in values[0]}
    return np.stack(values)


def record(name="odd/coins-v0", env_id="Odd-v0", episodes=3, spoil=None, action_space=None, least=None):
    """Episodes in the layout of Minari's collector, by its own writer; returns what was played."""
    env, played = gym.make(env_id), []
    env.action_space.seed(0)
    for number in range(episodes):
        obs, info = env.reset(seed=number)
        rows, infos, steps, ended = [obs], [info], [], False
        while not ended:
            action = env.action_space.sample() if least is None else np.full(env.action_space.shape, least, np.float32)
            obs, reward, terminated, truncated, info = env.step(action)
            steps.append((action, reward, terminated, truncated))
            rows.append(obs)
            infos.append({"success": False} | info)
            ended = terminated or truncated
        action, reward, terminated, truncated = map(np.array, zip(*steps, strict=True))
        one = {"observations": stacked(rows), "actions": action, "rewards": reward, "infos": stacked(infos)}
        one |= {"terminations": terminated, "truncations": truncated}
        if spoil is not None:
            spoil(number, one)
        played.append(one)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        minari.create_dataset_from_buffers(
            name,
            [EpisodeBuffer(**one) for one in played],
            env=env_id,
            observation_space=env.observation_space,
            action_space=action_space or env.action_space,
        )
    return played
