"""Running normalisation: numbers of any size brought to about 1 by what has been seen of them so far.

Dimension key: R rows, F features of a row, T steps, B batch.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

LIMIT = 10.0  # what is normalised is kept within it


class Statistics(NamedTuple):
    """Of rows (R, F): how many, their mean and the sum of squared distances from it (F,), in float64."""

    num: int
    mean_F: Tensor
    squares_F: Tensor


@torch.no_grad()
def statistics(rows_RF: Tensor) -> Statistics:
    """Those of at least one row (R, F)."""
    rows_RF = rows_RF.double()
    mean_F = rows_RF.mean(0)
    return Statistics(len(rows_RF), mean_F, (rows_RF - mean_F).square().sum(0))


class RunningMoments(nn.Module):
    """Mean and variance (F,) of all rows that it was shown.

    They are buffers, so that they go where the weights go, and float64, as a sum over millions of rows asks for.

    Args:
        dim: F.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.count: Tensor = nn.Buffer(torch.zeros((), dtype=torch.float64))
        self.mean: Tensor = nn.Buffer(torch.zeros(dim, dtype=torch.float64))
        self.squares: Tensor = nn.Buffer(torch.zeros(dim, dtype=torch.float64))  # distances from it, squared, summed

    def show(self, rows_RF: Tensor) -> None:
        """Takes in more rows."""
        self.merge(statistics(rows_RF))

    @torch.no_grad()
    def merge(self, other: Statistics) -> None:
        """Takes in rows of which only the statistics are told, by Chan, Golub & LeVeque (1979)."""
        num, mean_F, squares_F = other
        apart_F, total = mean_F - self.mean, self.count + num
        self.squares += squares_F + apart_F.square() * self.count * num / total
        self.mean += apart_F * num / total
        self.count += num

    @property
    def variance(self) -> Tensor:
        """That of each entry (F,); 1 before the first rows."""
        return torch.where(self.count > 0, self.squares / self.count.clamp(min=1.0), 1.0)


class RunningNorm(RunningMoments):
    """(x - mean) / standard deviation of all rows that it was shown, entry by entry: (…, F) -> (…, F), within ±10.

    Before the first rows nothing is changed, and an entry that has always been the same becomes 0.

    Args:
        dim: F.
        of: what it is shown, such as `obs`.
    """

    def __init__(self, dim: int, of: str):
        super().__init__(dim)
        self.of = of

    def forward(self, x: Tensor) -> Tensor:
        return ((x - self.mean.to(x.dtype)) / (self.variance + 1e-8).sqrt().to(x.dtype)).clamp(-LIMIT, LIMIT)


class RewardScale(nn.Module):
    """Rewards divided by the standard deviation of discounted returns so far: (…) -> (…), within ±10.

    As gymnasium's NormalizeReward, after OpenAI's baselines: the return is that of the steps up to now, discounted
    backwards, and its mean is left in, so that signs stay. Unlike there no episode's return goes on in the next one.

    Args:
        discount: γ.
    """

    def __init__(self, discount: float):
        super().__init__()
        self.discount = discount
        self.returns = RunningNorm(1, "reward")

    @torch.no_grad()
    def show(self, reward_TB: Tensor, mask_TB: Tensor, past_B: Tensor | None = None) -> None:
        """Takes in the rewards of B episodes, where the mask is 1; `past_B` is the return of the steps before them."""
        total_B = torch.zeros_like(reward_TB[0], dtype=torch.float64) if past_B is None else past_B.double()
        rows = []
        for reward_B in reward_TB.double():
            total_B = self.discount * total_B + reward_B
            rows.append(total_B)
        self.returns.show(torch.stack(rows)[mask_TB > 0][:, None])

    def forward(self, reward: Tensor) -> Tensor:
        return (reward / (self.returns.variance[0] + 1e-8).sqrt().to(reward.dtype)).clamp(-LIMIT, LIMIT)
