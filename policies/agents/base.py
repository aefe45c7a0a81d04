"""What every family of agents is to the trainer, and the policy that is left when training is over."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from buffers.batch import EpisodeBatch
from policies.models.views import Head, Inputs, PublicViews
from torchkit.actions import Actions
from torchkit.sequence import Carry

Array = NDArray[Any]


class HistoryPolicy(nn.Module):
    """The deployed part: public views and one head, which may read these alone.

    `actions` says what the head's outputs mean.
    """

    def __init__(self, public: PublicViews, head: Head, actions: Actions):
        super().__init__()
        assert set(head.inputs) <= set(public.names), f"a policy reads {public.names}, not {head.inputs}"
        self.public, self.head, self.actions = public, head, actions

    def step(self, now: Inputs, carry: Carry | None) -> tuple[Tensor, Carry]:
        """The head's output (N, X), and the carry."""
        views, carry = self.public.step(now, carry)
        return self.head(views), carry

    def greedy(self, output: Tensor) -> Tensor:
        """The best action (N,), or (N, A), by the head's output."""
        return self.actions.best(output)


class Agent(nn.Module):
    """Acts on histories, learns from episode batches, and can be put down and taken up.

    `wants_aux_batch` asks the trainer for a second batch an update; `on_policy` for fresh whole episodes, of which each
    batch is learned from once. `env_steps` is set by the trainer and drives whatever follows a schedule.
    """

    wants_aux_batch: bool = False
    on_policy: bool = False
    env_steps: int = 0
    device: torch.device

    @property
    def policy(self) -> HistoryPolicy:
        """The module that acts."""
        raise NotImplementedError

    def act(
        self, obs_NO: Array, prev_action_NA: Array, prev_reward_N: Array, start_N: Array, carry: Any, explore: bool
    ) -> tuple[Array, Any]:
        """Actions (N,) or (N, A), and the carry of the next step."""
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

    def greedy(self) -> "Acting":
        """The agent as a rollout policy that does not explore."""
        return Acting(self, explore=False)

    def exploring(self) -> "Acting":
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


def to_tensors(
    device: torch.device, obs_NO: Array, prev_action_NA: Array, prev_reward_N: Array, start_N: Array
) -> Inputs:
    """What a policy reads at a step, as float32 tensors on the device."""
    arrays = (obs_NO, prev_action_NA, prev_reward_N, start_N)
    return Inputs(*(torch.from_numpy(np.ascontiguousarray(a, np.float32)).to(device) for a in arrays))
