"""Numbers of any size as a categorical distribution: two-hot targets over bins that grow exponentially.

Bins and their expectation are those of DreamerV3 (Hafner et al., Nature 2025): a target is split between the two bins
around it so that its mean is itself, and the mean is taken of the bins' own values, not of their logarithms.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

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

    def shares(self, logits: Tensor) -> Tensor:
        """The probabilities of logits (…, N), without a gradient: `mean` and `loss` need them both."""
        return logits.detach().float().softmax(-1)

    def mean(self, share: Tensor) -> Tensor:
        """The expectation (…) by probabilities (…, N); exactly 0 where they are symmetric."""
        half = len(self.values_N) // 2
        with torch.autocast(share.device.type, enabled=False):  # bins are far too large for bfloat16
            return (share[..., -half:] - share[..., :half].flip(-1)) @ self.values_N[-half:]

    def loss(self, logits: Tensor, share: Tensor, targets: Tensor) -> Tensor:
        """The cross-entropy of logits (…, N), whose probabilities are `share`, against M two-hot targets: (…, M).

        Targets (…, M) are numbers, and get no gradient.
        """
        targets = targets.detach().clamp(self.values_N[0], self.values_N[-1])
        above = torch.searchsorted(self.values_N, targets.contiguous()).clamp(1, len(self.values_N) - 1)  # NaN's too
        low, high = self.values_N[above - 1], self.values_N[above]
        part = (targets - low) / (high - low)
        return _CrossEntropy.apply(
            logits.float(), share, torch.cat([above - 1, above], -1), torch.cat([1 - part, part], -1)
        )


class _CrossEntropy(torch.autograd.Function):
    """Logits and their probabilities (…, N), the bins (…, 2M) of M targets and how much each counts -> (…, M).

    The gradient by logits is written out: the probabilities are there, and targets are few of the bins.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, share: Tensor, bins: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(share, bins, weight)
        total = logits.amax(-1, keepdim=True) - share.amax(-1, keepdim=True).log()
        below, above = (weight * logits.gather(-1, bins)).chunk(2, dim=-1)
        return total - (below + above)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        share, bins, weight = ctx.saved_tensors
        d_logits = share * grads[0].sum(-1, keepdim=True)
        return d_logits.scatter_add_(-1, bins, -weight * torch.cat([grads[0], grads[0]], dim=-1)), None, None, None
