"""Estimates without networks: by counting values, and by distances to neighbours.

Dimension key: B pairs, X and Y features, K values.
"""

import numpy as np
import torch
from torch import Tensor

from torchkit.information.base import FLOOR, Estimator


def numbered(values: Tensor) -> tuple[Tensor, int]:
    """Which of the K different rows each is, (B,) int64, and K."""
    rows, label_B = torch.unique(values.flatten(1), dim=0, return_inverse=True)
    return label_B, len(rows)


def entropy_of(label_B: Tensor) -> float:
    """The plug-in entropy of whole numbers (B,) in nats."""
    share_K = label_B.bincount().double() / len(label_B)
    return float(-torch.xlogy(share_K, share_K).sum()) + 0.0


class PlugIn(Estimator):
    """H(x) + H(y) - H(x, y) of the shares in the sample, for x and y of finitely many values."""

    doubt = "too high by about (K_xy - K_x - K_y + 1) / 2B for so many different values, and useless of continuous ones"

    def _fitted(self, x: Tensor, y: Tensor) -> float:
        (x_B, num_x), (y_B, _) = numbered(x), numbered(y)
        return entropy_of(x_B) + entropy_of(y_B) - entropy_of(numbered((y_B * num_x + x_B)[:, None])[0])


class KSG(Estimator):
    """By distances to the `NEIGHBOURS` nearest pairs (Kraskov, Stögbauer & Grassberger, 2004, algorithm 1).

    Neighbours by scikit-learn; features are standardised, and where values repeat a little noise parts them.
    """

    doubt = (
        "in more than a few dimensions, where neighbours are far and it is much too low; sets of particles: not at all"
    )
    NEIGHBOURS = 3

    def _fitted(self, x: Tensor, y: Tensor) -> float:
        from sklearn.neighbors import KDTree

        if x.dim() != 2 or y.dim() != 2:
            raise ValueError("KSG is of vectors (B, X), not of sets of particles")
        x, y = (_parted(values.double()) for values in (x, y))
        both = torch.cat([x, y], dim=1)
        radius_B = KDTree(both, metric="chebyshev").query(both, self.NEIGHBOURS + 1)[0][:, -1]
        radius_B = np.nextafter(radius_B, 0)  # nearer than that one
        within = [KDTree(v, metric="chebyshev").query_radius(v, radius_B, count_only=True) for v in (x, y)]
        near = sum(torch.digamma(torch.from_numpy(count_B).double()).mean() for count_B in within)
        number = torch.tensor([float(self.NEIGHBOURS), float(len(x))], dtype=torch.float64)
        return float(torch.digamma(number).sum() - near)


def _parted(values: Tensor) -> Tensor:
    scaled = (values - values.mean(0)) / values.std(0, correction=0).clamp(min=FLOOR)
    return scaled + 1e-10 * torch.randn_like(scaled)
