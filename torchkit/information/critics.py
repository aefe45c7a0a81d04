"""Bounds by a critic T(x, y), which scores pairs that belong together above pairs that do not.

All are one critic, T = f(x) · g(y), so that a batch of B pairs has B (B - 1) that do not belong together. They differ
in what it descends and what is told of its scores. T⁺ are those on the diagonal of (B, B), T⁻ the others.

Dimension key: B pairs, E embedding.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from torchkit.information.base import Bound, Estimator, Pairs, descend, encoder, split
from torchkit.mutual_information import jsd_loss

WIDTH = 32  # of embeddings
TOLD = 2048  # pairs that are scored against each other when the estimate is told
RATE = 0.01  # of MINE's moving average
HIGHEST = 30.0  # score whose exponential is still descended


def apart(score_BB: Tensor) -> Tensor:
    """The scores of pairs that do not belong together, (B (B - 1),)."""
    B = len(score_BB)
    return score_BB.flatten()[:-1].view(B - 1, B + 1)[:, 1:].flatten()


def log_mean_exp(values: Tensor) -> Tensor:
    """Log of the mean of exp, a scalar, without overflow."""
    return values.logsumexp(0) - math.log(len(values))


def donsker_varadhan(score_BB: Tensor, clip: float = math.inf) -> Tensor:
    """E T⁺ - log E exp T⁻, where T⁻ is clipped to [-clip, clip] (Belghazi et al., 2018; Song & Ermon, 2020)."""
    return score_BB.diagonal().mean() - log_mean_exp(apart(score_BB).clamp(-clip, clip))


def nguyen_wainwright_jordan(score_BB: Tensor) -> Tensor:
    """1 + E T⁺ - E exp T⁻ (Nguyen, Wainwright & Jordan, 2010), whose best T is the log-ratio itself."""
    return 1.0 + score_BB.diagonal().mean() - apart(score_BB).exp().mean()


def info_nce(score_BB: Tensor) -> Tensor:
    """Log B + the mean over rows of T⁺ - log Σ exp T; never above log B (van den Oord et al., 2018)."""
    return (score_BB.diagonal() - score_BB.logsumexp(dim=1)).mean() + math.log(len(score_BB))


class Critic(nn.Module):
    """T(x, y) = f(x) · g(y), of networks with embeddings of `WIDTH`."""

    def __init__(self, pairs: Pairs, hidden_dims: tuple[int, ...]):
        super().__init__()
        self.of_x = encoder(pairs.x, hidden_dims, WIDTH)
        self.of_y = encoder(pairs.y, hidden_dims, WIDTH)

    def embed(self, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """f(x) and g(y), (B, E) each."""
        return self.of_x(pairs.x), self.of_y(pairs.y)

    def forward(self, pairs: Pairs) -> Tensor:
        """The scores of each x with each y, (B, B)."""
        f_BE, g_BE = self.embed(pairs)
        return f_BE @ g_BE.T


class ByCritic(Estimator):
    """An estimate by a critic: `loss` trains it, `told` is of its scores."""

    bound: ClassVar[Bound] = "lower"
    of_sets: ClassVar[bool] = True

    def loss(self, critic: Critic, pairs: Pairs) -> Tensor:
        """What the critic descends: as it stands, minus what is told."""
        return -self.told(critic(pairs))

    def told(self, score_BB: Tensor) -> Tensor:
        """The estimate by a batch, a scalar."""
        raise NotImplementedError

    def _fitted(self, x: Tensor, y: Tensor) -> float:
        pairs, chooses, rest = split(x, y)
        critic = Critic(pairs, self.effort.hidden_dims)
        self._begin()
        descend(
            critic, lambda some: self.loss(critic, some), lambda some: self._tell(critic, some), pairs, chooses,
            self.effort,
        )  # fmt: skip
        with torch.no_grad():
            return self._tell(critic, rest)

    def _begin(self) -> None:
        """Forgets what an earlier fit left."""

    def _tell(self, critic: Critic, pairs: Pairs) -> float:
        parts = torch.arange(len(pairs)).chunk(-(-len(pairs) // TOLD))
        weight = [len(part) / len(pairs) for part in parts]
        return sum(share * float(self.told(critic(pairs.take(part)))) for share, part in zip(weight, parts))

    def limit(self, pairs: int) -> float:
        return math.log(min(TOLD, pairs - pairs // 2))


class MINE(ByCritic):
    """Donsker-Varadhan, its gradient corrected by a moving average of E exp T⁻ (Belghazi et al., ICML 2018)."""

    doubt = "above log n, where a sample's mean of exp T⁻ misses its tail; noisy before"

    def _begin(self) -> None:
        self._mean: Tensor | None = None  # the logarithm of the moving average

    def loss(self, critic: Critic, pairs: Pairs) -> Tensor:
        score_BB = critic(pairs)
        now = log_mean_exp(apart(score_BB))
        with torch.no_grad():
            before = now if self._mean is None else self._mean
            self._mean = torch.logaddexp(before + math.log1p(-RATE), now + math.log(RATE))
        return (now - self._mean).clamp(max=HIGHEST).exp() - score_BB.diagonal().mean()

    def told(self, score_BB: Tensor) -> Tensor:
        return donsker_varadhan(score_BB)


class NWJ(ByCritic):
    """The f-divergence bound of Nguyen, Wainwright & Jordan (2010), also called MINE-f."""

    doubt = "above log n; its variance grows as exp I, and one bad score can make it very negative"

    def loss(self, critic: Critic, pairs: Pairs) -> Tensor:
        return -nguyen_wainwright_jordan(critic(pairs).clamp(max=HIGHEST))

    def told(self, score_BB: Tensor) -> Tensor:
        return nguyen_wainwright_jordan(score_BB)


class InfoNCE(ByCritic):
    """Telling the partner among B candidates (van den Oord, Li & Vinyals, 2018): steady, and never above log B."""

    doubt = "near log B of the candidates it is told by, which it cannot exceed; below it before"

    def told(self, score_BB: Tensor) -> Tensor:
        return info_nce(score_BB)


class JSD(ByCritic):
    """A critic trained by the Jensen-Shannon bound of stage 2, told by NWJ's (Poole et al., ICML 2019)."""

    doubt = "as NWJ above log n; below the truth where the critic, which learns more calmly, has not got there"

    def loss(self, critic: Critic, pairs: Pairs) -> Tensor:
        f_BE, g_BE = critic.embed(pairs)
        return jsd_loss(f_BE, g_BE, torch.eye(len(pairs)))

    def told(self, score_BB: Tensor) -> Tensor:
        return nguyen_wainwright_jordan(score_BB)


class SMILE(JSD):
    """The same critic, told by Donsker-Varadhan's bound with T⁻ clipped to ±`CLIP` (Song & Ermon, ICLR 2020)."""

    bound = "neither"
    doubt = "it may be above the truth: clipping takes from what is subtracted"
    CLIP = 5.0

    def told(self, score_BB: Tensor) -> Tensor:
        return donsker_varadhan(score_BB, self.CLIP)
