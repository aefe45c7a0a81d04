"""The domains, agents and replays that the benchmarks share: HeavenHell, and made-up 84x84 images."""

from importlib import import_module
from typing import Any

import numpy as np
import torch
from ml_collections import ConfigDict

from benchmarks.images import SIZE
from benchmarks.images import SPEC as IMAGES
from benchmarks.images import episode as image_episode
from benchmarks.straightforward import PlainReplay
from buffers.batch import Episode
from buffers.episode_buffer import EpisodeBuffer
from envs.base import AsymmetricVectorEnv, EnvSpec
from envs.make import make_vector_env
from policies.acting.rollout import RandomPolicy, run_episodes
from policies.build import build_agent
from policies.models.sources import Sources
from utils.merging import apply_domain

CPU = torch.device("cpu")
ENCODERS = {6: "sphinx", 11: "car_flag_2d", SIZE: "robot"}  # by the width of the image


def domain(name: str = "heaven_hell") -> ConfigDict:
    """A domain's config."""
    return import_module(f"configs.envs.{name}").get_config()


def make_envs(num_envs: int, config_env: ConfigDict | None = None) -> AsymmetricVectorEnv:
    """N envs, of HeavenHell if not said otherwise."""
    return make_vector_env(domain() if config_env is None else config_env, num_envs, seed=0)


def make_agent(
    spec: EnvSpec,
    family: str,
    memory: str,
    config_env: ConfigDict | None = None,
    width: int = 0,
    embedders: str | None = None,
    row: str = "mi",
    **rl: Any,
) -> Any:
    """An agent of a row with both embedders of the folder `embedders`, else of random weights.

    `width` is the GRU's where given, `rl` overrides fields.
    """
    shape = spec.obs_image_shape
    config = {
        "rl": import_module(f"configs.rl.{family}").get_config(row),
        "seq": import_module(f"configs.seq.{memory}").get_config(),
        "repr": import_module(f"configs.repr.{ENCODERS[shape[-1]] if shape else 'heaven_hell'}").get_config(),
    }
    for part in config.values():
        part.unlock()
    if config_env is not None:
        apply_domain(config["rl"], config_env, family, set())
    if shape and shape[-1] == SIZE:  # the robots' encoder, as in benchmarks/images.py
        config["seq"].image.obs_dim = 64
        config["seq"].image.cnn.update({"channels": (32, 64, 64), "kernels": (8, 4, 3), "strides": (4, 2, 1)})
    if width:
        config["seq"].kwargs.out_dim = width
    unknown = {} if embedders else {"z_obs": "scratch", "z_state": "random"}
    config["rl"].update(unknown | rl)
    return build_agent(Sources(spec, ConfigDict(config), embedders, embedders), 0, CPU)


def random_episodes(count: int, length: int | None = None, num_envs: int = 64) -> tuple[EnvSpec, list[Episode]]:
    """Episodes of HeavenHell by random actions; only those of `length` steps where it is given."""
    envs = make_envs(num_envs)
    spec, seed = envs.spec_sizes, 0
    episodes: list[Episode] = []
    while len(episodes) < count:
        policy = RandomPolicy(spec.action_dim, spec.discrete, np.random.default_rng(seed))
        fresh = run_episodes(envs, policy, 8 * num_envs, seed)
        episodes += [each for each in fresh if length in (None, len(each))]
        seed += 1
    return spec, episodes[:count]


def image_episodes(count: int, length: int) -> tuple[EnvSpec, list[Episode]]:
    """Made-up episodes of 84x84 images, one step in five without a change."""
    rng = np.random.default_rng(0)
    return IMAGES, [image_episode(length, rng) for _ in range(count)]


def replays(spec: EnvSpec, episodes: list[Episode], capacity: int | None = None) -> tuple[EpisodeBuffer, PlainReplay]:
    """The same episodes in both kinds of replay."""
    rows = sum(len(each) + 1 for each in episodes)
    fast, plain = EpisodeBuffer(spec, capacity or rows, spec.max_episode_steps, 0), PlainReplay(spec, 0)
    for each in episodes:
        fast.add(each)
        plain.add(each)
    return fast, plain


def made_up_episodes(count: int, length: int) -> tuple[EnvSpec, list[Episode]]:
    """Whole episodes of any length, with observations and states out of a few values as a grid gives them."""
    rng, spec = np.random.default_rng(0), EnvSpec("MadeUp-v0", 3, 3, 4, True, length)
    episodes = []
    for _ in range(count):
        obs, state = rng.integers(-1, 2, (2, length + 1, 3)).astype(np.float32)
        discount = np.ones(length, np.float32)
        discount[-1] = 0.0
        reward = rng.normal(size=length).astype(np.float32)
        episodes.append(Episode(obs, state, rng.integers(4, size=length), reward, discount))
    return spec, episodes
