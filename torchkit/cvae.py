"""Conditional variational autoencoder of diagonal Gaussians (Sohn, Lee & Yan, 2015): a latent for what a context leaves
open.

Dimension key: X what is to be told, C context, Z latent, K samples.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from torchkit.networks import ACTIVATION, init_linear, mlp


class Gaussian(NamedTuple):
    """A diagonal Gaussian, mean and standard deviation (…, X)."""

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, raw: Tensor, min_std: float) -> "Gaussian":
        """From a network's output (…, 2X); deviations are at least `min_std`."""
        mean, spread = raw.float().chunk(2, dim=-1)
        return cls(mean, softplus(spread.contiguous()) + min_std)  # torch takes 17 times as long for every other row

    def at(self, noise: Tensor) -> Tensor:
        """The sample that standard normal noise (…, X) picks, differentiable in mean and deviation."""
        return self.mean + self.std * noise

    def log_prob(self, x: Tensor) -> Tensor:
        """The logarithm of the density at x: (…, X) -> (…)."""
        return -(0.5 * ((x - self.mean) / self.std).square() + self.std.log() + 0.5 * math.log(2 * math.pi)).sum(-1)

    def kl_to_standard(self) -> Tensor:
        """KL(N(mean, std²) ‖ N(0, 1)), (…)."""
        return (0.5 * (self.mean.square() + self.std.square() - 1) - self.std.log()).sum(-1)


class ConditionalGaussian(nn.Module):
    """An MLP from an input (…, X) and a context (…, C) to a Gaussian (…, Z).

    The first layer's two halves are separate maps, so that K inputs (…, K, X) to a context (…, 1, C) cost that of the
    context once.
    """

    def __init__(self, in_dim: int, context_dim: int, hidden_dims: Sequence[int], out_dim: int, min_std: float):
        super().__init__()
        first, *rest = hidden_dims
        self.of_input, self.of_context = nn.Linear(in_dim, first, bias=False), nn.Linear(context_dim, first)
        bound = first**-0.5
        nn.init.uniform_(self.of_input.weight, -bound, bound)
        init_linear(self.of_context, bound)
        self.rest = nn.Sequential(ACTIVATION(), *mlp(first, rest, 2 * out_dim, out_bound=None))
        self.min_std = min_std

    def forward(self, x: Tensor, context: Tensor) -> Gaussian:
        return Gaussian.of(self.rest(self.of_input(x) + self.of_context(context)), self.min_std)


def elbo(
    posterior: ConditionalGaussian, decoder: ConditionalGaussian, x: Tensor, context: Tensor, noise: Tensor
) -> Tensor:
    """The bound log N(z; 0, 1) + log p(x | z, context) - log q(z | x, context) at z = mean + std · noise of q: (…).

    Its mean over `noise` (…, Z) is at most log p(x | context); x (…, X), context (…, C).
    """
    q = posterior(x, context)
    z = q.at(noise)
    prior = Gaussian(torch.zeros_like(z), torch.ones_like(z))
    return prior.log_prob(z) + decoder(z, context).log_prob(x) - q.log_prob(z)
