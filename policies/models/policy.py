"""The policy that is left when training is over: public views and one head."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from policies.models.heads import Head
from policies.models.views import Inputs, PublicViews
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


def to_tensors(
    device: torch.device, obs_NO: Array, prev_action_NA: Array, prev_reward_N: Array, start_N: Array
) -> Inputs:
    """What a policy reads at a step, as float32 tensors on the device."""
    arrays = (obs_NO, prev_action_NA, prev_reward_N, start_N)
    return Inputs(*(torch.from_numpy(np.ascontiguousarray(a, np.float32)).to(device) for a in arrays))
