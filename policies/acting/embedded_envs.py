"""Envs whose observation is made of what a policy will not have: the state itself, or embeddings of stage 2.

What acts sees these here because they are this env's observation: a teacher the state, the checks zero-on and zero-off
the embeddings. No policy learned on it can be deployed on the domain.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from ml_collections import ConfigDict
from numpy.typing import NDArray
from torch import Tensor, nn

from envs.base import AsymmetricVectorEnv, EnvSpec
from envs.make import make_vector_env, maker
from policies.models.on_disk import EMBEDDERS, load_embedder
from utils.errors import UserError, choose

MakeEnvs = Callable[..., AsymmetricVectorEnv]
STATE = ("state",)  # what a teacher observes


Shown = dict[str, NDArray[np.float32]]


class EnvsBehind:
    """N envs behind others that may show their views otherwise (`_seen`); all else is theirs."""

    def __init__(self, envs: AsymmetricVectorEnv):
        self.envs, self.spec_sizes = envs, envs.spec_sizes

    def _seen(self, views: Shown) -> Shown:
        """What is shown in place of the views of a reset or a step."""
        return views

    @property
    def num_envs(self) -> int:
        """N."""
        return self.envs.num_envs

    @property
    def single_action_space(self) -> spaces.Space[Any]:
        """The actions of one env."""
        return self.envs.single_action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, Any]]:
        """As the domain's."""
        views, info = self.envs.reset(seed=seed, options=options)
        return self._seen(views), info

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[
        dict[str, NDArray[np.float32]], NDArray[np.floating[Any]], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]
    ]:
        """As the domain's."""
        views, reward_N, terminated_N, truncated_N, info = self.envs.step(actions)
        return self._seen(views), reward_N, terminated_N, truncated_N, info

    def lost_steps(self) -> NDArray[np.bool_]:
        """The domain's."""
        return self.envs.lost_steps()

    def expert_action(self, guess_N: NDArray[np.bool_]) -> NDArray[Any]:
        """The domain's expert."""
        return self.envs.expert_action(guess_N)

    def saw_information(self) -> NDArray[np.bool_] | None:
        """Whether the domain's own observation has shown the hidden fact (N,)."""
        return self.envs.saw_information()

    def render_frame(self, index: int = 0) -> NDArray[np.uint8]:
        """A picture of the domain."""
        return self.envs.render_frame(index)

    def state_dict(self) -> dict[str, Any]:
        """The domain's."""
        return self.envs.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The domain's."""
        self.envs.load_state_dict(state)

    def close(self) -> None:
        """Frees what the domain holds."""
        self.envs.close()


class EmbeddedObservations(EnvsBehind):
    """N envs whose observation is made of embeddings of the observation and of the state.

    Args:
        envs: the domain.
        embedders: for each part of the new observation, `z_obs` or `z_state`, an encoder of that view.
    """

    def __init__(self, envs: AsymmetricVectorEnv, embedders: dict[str, nn.Module]):
        super().__init__(envs)
        self.embedders = embedders
        width = self._embed(np.zeros((1, envs.spec_sizes.obs_dim)), np.zeros((1, envs.spec_sizes.state_dim))).shape[1]
        self.spec_sizes = replace(envs.spec_sizes, obs_dim=width, obs_image_shape=None, obs_storage=())

    @torch.inference_mode()
    def _embed(self, obs_NO: NDArray[Any], state_NS: NDArray[Any]) -> NDArray[np.float32]:
        views = {"z_obs": obs_NO, "z_state": state_NS}
        rows: list[Tensor] = [
            embed(torch.as_tensor(views[name], dtype=torch.float32)) for name, embed in self.embedders.items()
        ]
        return torch.cat(rows, dim=-1).numpy()

    def _seen(self, views: Shown) -> Shown:
        return {"obs": self._embed(views["obs"], views["state"]), "state": views["state"]}


class ObservedState(EnvsBehind):
    """N envs whose observation is the state: where a teacher learns."""

    def __init__(self, envs: AsymmetricVectorEnv):
        super().__init__(envs)
        self.spec_sizes = with_state_observed(envs.spec_sizes)

    def _seen(self, views: Shown) -> Shown:
        return {"obs": views["state"], "state": views["state"]}


def seen_in_place_of_observations(observe: Sequence[str]) -> str:
    """What acts by `config.rl.observe` sees where that names anything, in words."""
    return "the state" if tuple(observe) == STATE else "embeddings"


def with_state_observed(spec: EnvSpec) -> EnvSpec:
    """The sizes of a domain whose observation is its state."""
    return replace(spec, obs_dim=spec.state_dim, obs_image_shape=spec.state_image_shape, obs_storage=spec.state_storage)


class WatchedEnvs(EnvsBehind):
    """N envs whose present views are at hand in `views`: for who stands beside the policy, and is not it."""

    def __init__(self, envs: AsymmetricVectorEnv):
        super().__init__(envs)
        self.views: Shown = {}

    def _seen(self, views: Shown) -> Shown:
        self.views = views
        return views

    def state_dict(self) -> dict[str, Any]:
        """The domain's, and the views."""
        return {"envs": self.envs.state_dict(), "views": {name: view.copy() for name, view in self.views.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The domain's, and the views."""
        self.envs.load_state_dict(state["envs"])
        self.views = dict(state["views"])


def env_maker(
    config: ConfigDict, state_embedder: str | None, obs_embedder: str | None, num_envs: int | None = None
) -> tuple[MakeEnvs, set[str]]:
    """Makes envs of `config.env` that show what `config.rl.observe` says; and the embedder flags that this needs.

    The function takes `num_envs`, and `seed` and `render_mode` as `make_vector_env` does; the `num_envs` given here are
    those of a vector env that allows one instance.

    Raises:
        UserError: an embedder is missing or does not fit.
    """
    observe, make_domain = config.rl.get("observe", ()), maker(config.env, num_envs)
    if not observe:
        return make_domain, set()
    if tuple(observe) == STATE:
        return lambda num_envs, **options: ObservedState(make_domain(num_envs, **options)), set()
    with closing(make_vector_env(config.env, 1, seed=0)) as domain:
        spec = domain.spec_sizes
    paths = {"z_obs": obs_embedder, "z_state": state_embedder}
    embedders: dict[str, nn.Module] = {}
    flags = set()
    of_file = {"z_state": ("pretrained",), "z_obs": ("trainable", "frozen")}
    for name in observe:
        if name in of_file and config.rl[name] not in of_file[name]:
            raise UserError(
                f"--config_rl.{name}={config.rl[name]}: what acts on {name} (config_rl.observe) takes it from a file; "
                f"choose {' or '.join(of_file[name])}"
            )
        flag = choose(EMBEDDERS, name, "--config_rl.observe")[1]
        if (path := paths[name]) is None:
            raise UserError(f"{flag}: needed by config_rl.observe={tuple(observe)}")
        embedders[name] = load_embedder(name, path, spec, config).eval()
        flags.add(flag)

    def make(num_envs: int, **options: Any) -> AsymmetricVectorEnv:
        return EmbeddedObservations(make_domain(num_envs, **options), embedders)

    return make, flags
