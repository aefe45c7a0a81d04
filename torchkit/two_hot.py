"""Numbers of any size as a categorical distribution: two-hot targets over bins that grow exponentially.

Bins and their expectation are those of DreamerV3 (Hafner et al., Nature 2025): a target is split between the two bins
around it so that its mean is itself, and the mean is taken of the bins' own values, not of their logarithms.
"""

import torch
from torch import Tensor, nn

LIMIT = 20.0  # of the bins, in symlog


def symlog(x: Tensor) -> Tensor:
    """sign(x) log(1 + |x|), (…) -> (…)."""
    return x.sign() * x.abs().log1p()


def symexp(x: Tensor) -> Tensor:
    """The inverse of `symlog`, (…) -> (…)."""
    return x.sign() * x.abs().expm1()


class TwoHot(nn.Module):
    """Bins N, from -4.9e8 to 4.9e8, equally far apart in symlog and symmetric about 0.

    Args:
        bins: N, at least 3.
        limit: of the last bin, in symlog.
    """

    def __init__(self, bins: int, limit: float = LIMIT):
        super().__init__()
        above = symexp(torch.linspace(limit, -limit, bins, dtype=torch.float64)[: bins // 2])
        values = torch.cat([-above, torch.zeros(bins % 2, dtype=torch.float64), above.flip(0)]).float()
        self.register_buffer("values_N", values, persistent=False)
        self.values_N: Tensor

    def mean(self, logits: Tensor) -> Tensor:
        """The expectation (…) of logits (…, N); exactly 0 where they are symmetric."""
        half = len(self.values_N) // 2
        share = logits.float().softmax(-1)
        with torch.autocast(logits.device.type, enabled=False):  # bins are far too large for bfloat16
            return (share[..., -half:] - share[..., :half].flip(-1)) @ self.values_N[-half:]

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The cross-entropy (…, M) of logits (…, N) against the two-hot forms of M targets (…, M), without a gradient."""
        targets = targets.detach().clamp(self.values_N[0], self.values_N[-1])
        above = torch.searchsorted(self.values_N, targets.contiguous()).clamp(1, len(self.values_N) - 1)  # of NaN as well
        low, high = self.values_N[above - 1], self.values_N[above]
        below_M, above_M = logits.gather(-1, torch.cat([above - 1, above], dim=-1)).chunk(2, dim=-1)
        return logits.logsumexp(-1, keepdim=True) - torch.lerp(below_M, above_M, (targets - low) / (high - low))
