"""What every family of agents is to the trainer."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from ml_collections import ConfigDict
from numpy.typing import NDArray
from torch import Tensor, nn

from buffers.batch import EpisodeBatch
from policies.acting.rollout import Policy
from policies.models.policy import HistoryPolicy
from policies.models.sources import Sources
from torchkit.actions import Actions
from utils.reads import Reads

Array = NDArray[Any]


class Agent(nn.Module):
    """Acts on histories, learns from episode batches, and can be put down and taken up.

    `wants_aux_batch` asks the trainer for a second batch an update; `learns_from` names its experience
    (`policies.training.experience`). `env_steps` is what its clock shows, updates where no env is stepped, and
    drives whatever follows a schedule.
    `under_vmap` says whether a learner's `losses` works under `torch.func.vmap`: updates of several seeds as one batch.
    `of_teacher` says whether it learns of a teacher's advice. `reads` names the fields of `config.rl` that it needs;
    `discrete_actions` and `continuous_actions` what its policy's outputs mean, None where it takes no such actions.
    """

    discrete_actions: ClassVar[Actions]
    continuous_actions: ClassVar[Actions | None] = None
    wants_aux_batch: bool = False
    under_vmap: ClassVar[bool] = False
    of_teacher: ClassVar[bool] = False
    reads: ClassVar[Reads] = {}
    learns_from: str
    env_steps: int = 0
    device: torch.device

    @classmethod
    def continuous_of(cls, config_rl: ConfigDict) -> Actions | None:
        """`continuous_actions`, or others where its config asks for them."""
        return cls.continuous_actions

    @classmethod
    def build(cls, sources: Sources, actions: Actions, seed: int, device: torch.device) -> Self:
        """An agent of any variant of the family, by `sources.config.rl`.

        Raises:
            UserError: the config asks for what cannot be.
        """
        raise NotImplementedError

    @property
    def policy(self) -> HistoryPolicy:
        """The module that acts."""
        raise NotImplementedError

    @property
    def deployed(self) -> HistoryPolicy:
        """The module that acts greedily and is kept: `policy`, or an average of what it has been."""
        return self.policy

    @property
    def unmeasured(self) -> bool:
        """Whether it is still to be told, by `measure`, how what it predicts of the state varies."""
        return False

    def measure(self, batch: EpisodeBatch) -> None:
        """Takes the unit of what it predicts of the state from episodes of the domain; called once, before learning."""

    def act(
        self, obs_NO: Array, prev_action_NA: Array, prev_reward_N: Array, start_N: Array, carry: Any, explore: bool
    ) -> tuple[Array, Any]:
        """Actions (N,) or (N, A), and the carry of the next step."""
        raise NotImplementedError

    def packed(self, carry: Any) -> Array:
        """What the acting memory holds of N envs, (N, C), as batches have it; `carry` is that of an exploring step."""
        raise NotImplementedError

    def update(self, batch: EpisodeBatch, aux_batch: EpisodeBatch | None = None) -> Mapping[str, Tensor]:
        """One gradient step; returns scalar metrics.

        Raises:
            DivergenceError: the loss is not finite; the networks that act were not changed by it.
        """
        raise NotImplementedError

    def checkpoint(self) -> dict[str, Any]:
        """Networks, optimisers, generators: all that changes."""
        raise NotImplementedError

    def load_checkpoint(self, state: dict[str, Any]) -> None:
        """Puts everything back where `checkpoint` was taken."""
        raise NotImplementedError

    def greedy(self) -> Policy:
        """The agent as a rollout policy that does not explore."""
        return Acting(self, explore=False)

    def exploring(self) -> Policy:
        """The agent as a rollout policy that explores."""
        return Acting(self, explore=True)


class Acting:
    """An agent in the form that rollouts call."""

    def __init__(self, agent: Agent, explore: bool):
        self.agent, self.explore = agent, explore

    def __call__(
        self, obs_NO: Array, prev_action_NA: Array, prev_reward_N: Array, start_N: Array, carry: Any
    ) -> tuple[Array, Any]:
        return self.agent.act(obs_NO, prev_action_NA, prev_reward_N, start_N, carry, self.explore)
