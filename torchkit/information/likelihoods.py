"""Estimates by a fitted q(y | x): Barber-Agakov's bound from below, CLUB from above.

Dimension key: B pairs, Y features, K values.
"""

import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from torchkit.information.base import FLOOR, Effort, Estimator, Pairs, descend, encoder, split
from torchkit.information.counting import entropy_of, numbered
from torchkit.mutual_information import Club, club_log_likelihood

SPREAD = 6.0  # logarithms of variances stay within ± this
LOG_TAU = math.log(2 * math.pi)


class Conditional(nn.Module):
    """q(y | x) = N(μ(x), exp(logvar(x))), the network of CLUB; a set of particles x is embedded before."""

    def __init__(self, pairs: Pairs, hidden_dims: tuple[int, ...]):
        super().__init__()
        if pairs.y.dim() != 2:
            raise ValueError("q(y | x) is of vectors y (B, Y), not of sets of particles; exchange x and y")
        width = hidden_dims[-1]
        self.embed = encoder(pairs.x, hidden_dims, width)
        self.q = Club(width, pairs.y.shape[1], width, SPREAD)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """μ(x) and logvar(x), (B, Y) each."""
        of_q: tuple[Tensor, Tensor] = self.q(self.embed(x).relu())
        return of_q

    def log_likelihood(self, pairs: Pairs) -> Tensor:
        """The mean of log q(y | x), a scalar."""
        mu_BY, logvar_BY = self(pairs.x)
        return 0.5 * (club_log_likelihood(mu_BY, logvar_BY, pairs.y).mean() - pairs.y.shape[1] * LOG_TAU)


class CLUB(Estimator):
    """The contrastive log-ratio upper bound (Cheng et al., ICML 2020), by all pairs that do not belong together."""

    bound = "upper"
    doubt = "far above the truth where there is much information, ρ² / (1 - ρ²) a Gaussian pair; no bound if q is off"

    def _fitted(self, x: Tensor, y: Tensor) -> float:
        pairs, chooses, rest = split(x, y)
        q = fitted(Conditional(pairs, self.effort.hidden_dims), Conditional.log_likelihood, pairs, chooses, self.effort)
        with torch.no_grad():
            mu_BY, logvar_BY = q(rest.x)
            mean_Y, square_Y = rest.y.mean(0), rest.y.square().mean(0)
            shuffled_BY = mu_BY.square() - 2 * mu_BY * mean_Y + square_Y  # the mean of (μ - ỹ)² over all ỹ
            gap_BY = (shuffled_BY - (mu_BY - rest.y).square()) * (-logvar_BY).exp()
            return float(0.5 * gap_BY.sum(1).mean())


class BarberAgakov(Estimator):
    """H(y) + E log q(y | x) (Barber & Agakov, 2003).

    Where y takes few values, so that each has been seen `ENOUGH` times on average, q is a distribution over these and
    H(y) is their plug-in entropy. Else q is Gaussian and H(y) that of a Gaussian of the same covariance.
    """

    bound = "neither"
    doubt = "a lower one where y takes few values or is Gaussian, else none, as its entropy is taken for a Gaussian's"
    ENOUGH = 20

    def _fitted(self, x: Tensor, y: Tensor) -> float:
        label_B, K = numbered(y)
        if y.dim() == 2 and len(y) >= self.ENOUGH * K:
            return self._of_values(x, label_B, K)
        pairs, chooses, rest = split(x, y)
        q = fitted(Conditional(pairs, self.effort.hidden_dims), Conditional.log_likelihood, pairs, chooses, self.effort)
        with torch.no_grad():
            return float(_gaussian_entropy(rest.y) + q.log_likelihood(rest))

    def _of_values(self, x: Tensor, label_B: Tensor, num: int) -> float:
        pairs, chooses, rest = split(x, label_B)
        net = encoder(pairs.x, self.effort.hidden_dims, num)

        def log_likelihood(net: nn.Module, some: Pairs) -> Tensor:
            return -cross_entropy(net(some.x), some.y)

        net = fitted(net, log_likelihood, pairs, chooses, self.effort)
        with torch.no_grad():
            return entropy_of(label_B) + float(log_likelihood(net, rest))


N = TypeVar("N", bound=nn.Module)


def fitted(net: N, log_likelihood: Callable[[N, Pairs], Tensor], pairs: Pairs, chooses: Pairs, effort: Effort) -> N:
    """The network by maximum likelihood."""
    descend(
        net, lambda some: -log_likelihood(net, some), lambda some: float(log_likelihood(net, some)), pairs, chooses,
        effort,
    )  # fmt: skip
    return net


def _gaussian_entropy(y_BY: Tensor) -> Tensor:
    """That of a Gaussian of the same covariance, in nats; what is constant counts as `FLOOR` wide."""
    spread_YY = torch.cov(y_BY.T).reshape(y_BY.shape[1], y_BY.shape[1])
    variance_Y = torch.linalg.eigvalsh(spread_YY.double()).clamp(min=FLOOR**2)
    return 0.5 * (variance_Y.log().sum() + y_BY.shape[1] * (1 + LOG_TAU))
