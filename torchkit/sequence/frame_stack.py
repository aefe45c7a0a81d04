"""The last few steps side by side: what a policy without memory is usually given (Mnih et al., 2015)."""

import torch
from torch import Tensor

from torchkit.networks import mlp
from torchkit.sequence.base import Carry, Memory
from utils.errors import UserError, at_least_one


class FrameStack(Memory):
    """An MLP of the features of this step and of the `frames` - 1 before, zeros where the episode is not so old.

    The carry is what is before, (frames - 1, B, F), the oldest first.
    """

    under_vmap = True

    def __init__(self, in_dim: int, out_dim: int = 128, frames: int = 4, hidden_dims: tuple[int, ...] = ()):
        super().__init__()
        at_least_one({"out_dim": out_dim, "hidden_dims": hidden_dims})
        if frames < 2:
            raise UserError(f"frames={frames}: at least 2 are needed; the memory mlp reads one")
        self.in_dim, self.out_dim, self.frames = in_dim, out_dim, frames
        self.net = mlp(frames * in_dim, hidden_dims, out_dim, out_bound=None)

    def initial_carry(self, batch_size: int) -> Carry:
        return (next(self.parameters()).new_zeros(self.frames - 1, batch_size, self.in_dim),)

    def forward(self, x_TBF: Tensor, start_TB: Tensor, carry: Carry | None = None) -> tuple[Tensor, Carry]:
        T = len(x_TBF)
        (before,) = self.initial_carry(x_TBF.shape[1]) if carry is None else carry
        rows = torch.cat([before.to(x_TBF.dtype), x_TBF])
        episode_TB = (start_TB > 0).long().cumsum(0)  # 0 is that of the carry
        episode = torch.cat([torch.zeros_like(before[..., 0], dtype=torch.long), episode_TB])
        seen = [
            torch.where((episode[first : first + T] == episode_TB)[..., None], rows[first : first + T], 0.0)
            for first in range(self.frames)
        ]
        last = torch.stack([past[-1] for past in seen[1:]])
        return self.net(torch.cat(seen, dim=-1)), (last.to(before.dtype),)
