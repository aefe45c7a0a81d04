"""Hamiltonian Monte Carlo over many chains at once (Neal, 2011). Knows nothing of policies.

Dimension key: C chains, of any shape; D numbers of a position.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Chains(NamedTuple):
    """Where chains have come to.

    Attributes:
        position_CD: their last positions.
        acceptance: the mean probability with which a proposal was accepted, a scalar.
        moved: the share of chains that accepted one at all, a scalar.
    """

    position_CD: Tensor
    acceptance: Tensor
    moved: Tensor


def hamiltonian(
    log_density: Callable[[Tensor], Tensor], start_CD: Tensor, transitions: int, step: float, leaps: int
) -> Chains:
    """Moves chains by as many transitions, of so many leapfrog steps each, with the Metropolis test.

    Args:
        log_density: of positions (…, D) to (…), up to a constant.
        start_CD: where they start; all run in one product.
        transitions: how often momenta are drawn; from torch's global generator.
        step: of the leapfrog, in units of a position whose scale should be about 1.
        leaps: leapfrog steps a transition.
    """
    x_CD, (now_C, slope_CD) = start_CD.detach(), _with_slope(log_density, start_CD)
    moved_C, accepted = torch.zeros_like(now_C, dtype=torch.bool), []
    for _ in range(transitions):
        momentum_CD = torch.randn_like(x_CD)
        half_CD, new_CD, new_slope_CD, new_C = momentum_CD + 0.5 * step * slope_CD, x_CD, slope_CD, now_C
        for leap in range(leaps):
            new_CD = new_CD + step * half_CD
            new_C, new_slope_CD = _with_slope(log_density, new_CD)
            half_CD = half_CD + (step if leap < leaps - 1 else 0.5 * step) * new_slope_CD
        kinetic_C = 0.5 * (momentum_CD.square() - half_CD.square()).sum(-1)
        log_ratio_C = (new_C - now_C + kinetic_C).nan_to_num(nan=-torch.inf)
        accept_C = torch.rand_like(now_C).log() < log_ratio_C
        x_CD = torch.where(accept_C[..., None], new_CD, x_CD)
        slope_CD = torch.where(accept_C[..., None], new_slope_CD, slope_CD)
        now_C = torch.where(accept_C, new_C, now_C)
        moved_C = moved_C | accept_C
        accepted.append(log_ratio_C.clamp(max=0.0).exp().mean())
    return Chains(x_CD, torch.stack(accepted).mean(), moved_C.float().mean())


def _with_slope(log_density: Callable[[Tensor], Tensor], x_CD: Tensor) -> tuple[Tensor, Tensor]:
    """The log-density (C,) and its gradient (C, D)."""
    with torch.enable_grad():
        x_CD = x_CD.detach().requires_grad_()
        value_C = log_density(x_CD)
        (slope_CD,) = torch.autograd.grad(value_C.sum(), x_CD)
    return value_C.detach(), slope_CD
