"""`{"obs", "state"}` for vector envs that step many at once and can tell their states.

Dimension key: N envs, O observation, S state.
"""

import math
from typing import Any, Protocol, cast, runtime_checkable

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.base import (
    Categories,
    EnvSpec,
    ManyEnvs,
    categories_told,
    close_or_warn,
    features_told,
    groups_told,
    storage_told,
)
from envs.wrappers import Bools, Floats, Views
from utils.errors import UserError


@runtime_checkable
class VectorWithState(ManyEnvs, Protocol):
    """The vector env that `AsymmetricVectorWrapper` takes, one of gymnasium's; `envs.arrays.ArrayVectorEnv` is one.

    Its `obs_storage`, `state_storage`, `state_groups` and categories are those of `PartiallyObservableEnv`, and may be
    missing.
    """

    np_random: np.random.Generator
    single_observation_space: spaces.Box
    single_state_space: spaces.Box
    obs_image_shape: tuple[int, ...] | None
    state_image_shape: tuple[int, ...] | None
    state_features: tuple[str, ...]
    max_episode_steps: int

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        """Starts all envs, or those of `options["reset_mask"]`: the observations (N, O)."""

    def step(self, actions: NDArray[Any]) -> tuple[Floats, NDArray[np.float64], Bools, Bools, dict[str, Any]]:
        """One step of all envs."""

    def get_state(self) -> Floats:
        """The states (N, S)."""


class AsymmetricVectorWrapper(gym.vector.VectorWrapper):
    """Publishes `{"obs": (N, O), "state": (N, S)}` for a vector env that can tell its states."""

    def __init__(self, env: VectorWithState, env_id: str) -> None:
        super().__init__(cast("gym.vector.VectorEnv[Any, Any, Any]", env))
        single = spaces.Dict(obs=env.single_observation_space, state=env.single_state_space)
        self.single_observation_space = single
        self.observation_space = batch_space(single, env.num_envs)
        self.spec_sizes = EnvSpec(
            env_id=env_id,
            obs_dim=env.single_observation_space.shape[0],
            state_dim=env.single_state_space.shape[0],
            action_dim=spaces.flatdim(env.single_action_space),
            discrete=isinstance(env.single_action_space, spaces.Discrete),
            max_episode_steps=env.max_episode_steps,
            obs_image_shape=env.obs_image_shape,
            state_image_shape=env.state_image_shape,
            state_features=features_told(env.state_features, env.single_state_space.shape[0], env.state_image_shape),
            state_groups=groups_told(getattr(env, "state_groups", None), env.single_state_space.shape[0]),
            obs_categories=_categories(env, "obs", env.single_observation_space.shape[0]),
            state_categories=_categories(env, "state", env.single_state_space.shape[0]),
            obs_storage=storage_told(getattr(env, "obs_storage", ()), env.obs_image_shape, "obs_storage"),
            state_storage=storage_told(getattr(env, "state_storage", ()), env.state_image_shape, "state_storage"),
        )
        for name, shape, size in (
            ("obs_image_shape", env.obs_image_shape, self.spec_sizes.obs_dim),
            ("state_image_shape", env.state_image_shape, self.spec_sizes.state_dim),
        ):
            if shape is not None and (len(shape) != 3 or math.prod(shape) != size):
                raise UserError(f"config_env.id: {size} numbers of {env_id} are no image of {name}={tuple(shape)}")
        self._inner = env

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Views, dict[str, Any]]:
        """Starts all envs, or those of `options["reset_mask"]`."""
        obs, info = self._inner.reset(seed=seed, options=options)
        return {"obs": obs, "state": self._inner.get_state()}, info

    def step(self, actions: NDArray[Any]) -> tuple[Views, NDArray[np.float64], Bools, Bools, dict[str, Any]]:
        """One step of all envs."""
        obs, reward, terminated, truncated, info = self._inner.step(actions)
        return {"obs": obs, "state": self._inner.get_state()}, reward, terminated, truncated, info

    def lost_steps(self) -> Bools:
        """None is ever lost."""
        return np.zeros(self.num_envs, bool)

    def expert_action(self, guess_N: Bools) -> NDArray[Any]:
        return self._inner.expert_action(guess_N)

    def saw_information(self) -> Bools | None:
        return self._inner.saw_information()

    def render_frame(self, index: int = 0) -> NDArray[np.uint8]:
        return self._inner.render_frame(index)

    def state_dict(self) -> dict[str, Any]:
        return self._inner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._inner.load_state_dict(state)

    def close(self, **kwargs: Any) -> None:
        """Frees what the envs hold; where that fails it is warned of."""
        close_or_warn(self._inner, self.spec_sizes.env_id)


def _categories(env: VectorWithState, view: str, dim: int) -> Categories:
    """Those of a view, where the env tells any."""
    name = f"{view}_categories"
    return categories_told(getattr(env, name, ()), dim, name)
