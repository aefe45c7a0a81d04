"""What every estimator is, and what those that fit networks share: inputs, halves, the loop.

Dimension key: B pairs, X and Y features, P particles, E embedding.
"""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from torchkit.fast.adam import Adam
from torchkit.networks import mlp

Bound = Literal["lower", "upper", "neither"]

FLOOR = 1e-6  # a feature that varies less is constant
FARTHEST = 10.0  # scales from the mean; what is farther off counts as that far, and no network meets what it never saw
CHECKS = 20  # looks at the pairs that choose the weights


@dataclass(frozen=True)
class Effort:
    """How hard networks are fitted.

    Attributes:
        steps: of Adam.
        batch: pairs a step.
        hidden_dims: widths of the networks.
        lr: its step size at the beginning; it falls to 0.
        seed: of everything that is drawn.
    """

    steps: int = 1000
    batch: int = 256
    hidden_dims: tuple[int, ...] = (128, 128)
    lr: float = 1e-3
    seed: int = 0


class Estimator:
    """An estimate of I(x; y) in nats from B pairs that are independent of each other.

    Attributes:
        bound: what it is of the information, in the limit of many pairs: a lower or an upper bound, or neither.
        doubt: where it cannot be trusted.
        of_sets: whether y may be sets of particles.
    """

    bound: ClassVar[Bound] = "neither"
    doubt: ClassVar[str] = ""
    of_sets: ClassVar[bool] = False

    def __init__(self, effort: Effort | None = None):
        self.effort = effort or Effort()

    def fit(self, x: Tensor, y: Tensor) -> float:
        """The information in nats.

        What is fitted is fitted to one half of the pairs and told of the other. Global generators stay where they are.

        Args:
            x: vectors or distributions (B, X), or sets of particles (B, P, X).
            y: the same, (B, Y) or (B, P, Y).

        Raises:
            ValueError: other shapes, too few pairs, or a number that is not finite.
        """
        if len(x) != len(y) or not {x.dim(), y.dim()} <= {2, 3}:
            raise ValueError(f"pairs of (B, X) or (B, P, X) are needed, not {tuple(x.shape)} and {tuple(y.shape)}")
        if len(x) < 8:
            raise ValueError(f"{len(x)} pairs tell nothing; at least 8")
        if not bool(x.isfinite().all() and y.isfinite().all()):
            raise ValueError("a pair has a number that is not finite")
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(self.effort.seed)
            return self._fitted(x.detach().float(), y.detach().float())

    def _fitted(self, x: Tensor, y: Tensor) -> float:
        raise NotImplementedError

    def limit(self, pairs: int) -> float:
        """The most nats that it can tell from so many pairs, or be trusted with."""
        return math.inf


@dataclass(frozen=True)
class Pairs:
    """x (B, …) and y (B, …) that belong together, row by row."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: Tensor) -> "Pairs":
        """Some of them."""
        return Pairs(self.x[rows], self.y[rows])


def split(x: Tensor, y: Tensor) -> tuple[Pairs, Pairs, Pairs]:
    """Two fifths to fit to, a tenth that chooses among weights, half to tell of: in a drawn order, standardised.

    Mean and scale of each feature are those of the first; information does not depend on them, and is no more of what
    is clipped.
    """
    order = torch.randperm(len(x))
    half, fitted = len(x) // 2, len(x) * 2 // 5
    rows = (order[:fitted], order[fitted:half], order[half:])
    pairs = Pairs(standardised(x, rows[0]), standardised(y, rows[0]))
    return pairs.take(rows[0]), pairs.take(rows[1]), pairs.take(rows[2])


def standardised(values: Tensor, rows: Tensor) -> Tensor:
    """Each feature with the mean and the scale that it has in some rows; whole numbers as they are."""
    if not values.is_floating_point():
        return values
    flat = values[rows].flatten(0, -2)
    scale = flat.std(0, correction=0)
    return ((values - flat.mean(0)) / torch.where(scale < FLOOR, 1.0, scale)).clamp(-FARTHEST, FARTHEST)


class DeepSet(nn.Module):
    """Sets of particles (B, P, X) -> (B, E), in any order: ρ of the mean of φ (Zaheer et al., 2017)."""

    def __init__(self, in_dim: int, hidden_dims: Sequence[int], out_dim: int):
        super().__init__()
        self.of_particle = mlp(in_dim, hidden_dims[:-1], hidden_dims[-1], out_bound=None)
        self.of_set = mlp(hidden_dims[-1], hidden_dims[-1:], out_dim, out_bound=None)

    def forward(self, x_BPX: Tensor) -> Tensor:
        embedded: Tensor = self.of_set(self.of_particle(x_BPX).relu().mean(dim=1))
        return embedded


def encoder(like: Tensor, hidden_dims: Sequence[int], out_dim: int) -> nn.Module:
    """A network for vectors (B, X), or for sets of particles (B, P, X), -> (B, E)."""
    if like.dim() == 3:
        return DeepSet(like.shape[-1], hidden_dims, out_dim)
    return mlp(like.shape[-1], hidden_dims, out_dim, out_bound=None)


def descend(
    net: nn.Module,
    loss: Callable[[Pairs], Tensor],
    score: Callable[[Pairs], float],
    pairs: Pairs,
    chooses: Pairs,
    effort: Effort,
) -> None:
    """Adam on drawn batches; the weights that score best on the pairs that choose are those that are left."""
    optimiser = Adam(net.parameters(), effort.lr)
    best, kept = -math.inf, copy.deepcopy(net.state_dict())
    every = max(1, effort.steps // CHECKS)
    for step in range(effort.steps):
        optimiser.lr = effort.lr * (1 - step / effort.steps)
        optimiser.zero_grad()
        loss(pairs.take(torch.randint(len(pairs), (min(effort.batch, len(pairs)),)))).backward()
        nn.utils.clip_grad_norm_(optimiser.parameters, 1.0)
        optimiser.step()
        if (step + 1) % every == 0 or step + 1 == effort.steps:
            with torch.no_grad():
                found = score(chooses)
            if found > best:
                best, kept = found, copy.deepcopy(net.state_dict())
    net.load_state_dict(kept)
