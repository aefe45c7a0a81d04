"""The view `travelled`: the sum of what was done so far, as of a robot that reckons how far it has come and turned.

Which of its actions counted a memory may forget, and is not told while `drop_action` keeps them from it.

Dimension key: T steps, B batch, N envs, A numbers of an action, one for each discrete one.
"""

from typing import Self

import torch
from torch import Tensor, nn

from buffers.batch import PublicBatch
from policies.models.sources import Sources
from policies.models.views import Fold, Inputs, Views
from torchkit.sequence import Carry
from torchkit.sequence.base import forget


class Travelled(Fold):
    """`travelled` (…, A), of discrete actions how often each was taken; nothing of it is learned."""

    def __init__(self, action_dim: int):
        super().__init__()
        self.out_dim = action_dim
        self.none: Tensor = nn.Buffer(torch.zeros(()), persistent=False)  # says on which device

    @classmethod
    def build(cls, sources: Sources, training_only: dict[str, nn.Module]) -> Self:
        return cls(sources.spec.action_dim)

    def initial_carry(self, batch_size: int) -> Carry:
        return (self.none.new_zeros(batch_size, self.out_dim),)

    def forward(self, batch: PublicBatch, carry: Carry | None = None) -> Views:
        """See `Fold`; after a carry no row but the first is a start."""
        travelled = batch.prev_action.cumsum(0)
        if carry is not None:
            travelled = travelled + forget(carry[0], batch.start[0])
        return {"travelled": travelled}

    def step(self, now: Inputs, carry: Carry | None) -> tuple[Tensor, Carry]:
        before = self.initial_carry(len(now.obs_NO)) if carry is None else carry
        travelled_NA = forget(before[0], now.start_N) + now.prev_action_NA
        return travelled_NA, (travelled_NA,)
