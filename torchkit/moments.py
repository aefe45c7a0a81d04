"""Mean and covariance of an embedding: the unit in which a prediction of it is judged.

Dimension key: R rows, Z embedding.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

WIDEST = 1024  # numbers of an embedding whose covariance is kept


@dataclass(frozen=True)
class Moments:
    """The mean (Z,) of an embedding over weighted rows, its total variance and, where Z is not too large, covariance.

    `spread` is the squared error of the best prediction that knows nothing, E‖z - E z‖²: all there is to be gained.
    """

    mean_Z: Tensor
    spread: float
    covariance_ZZ: Tensor | None = None

    @classmethod
    def of(cls, z_RZ: Tensor, weight_R: Tensor) -> "Moments":
        """Those of rows by their weights, computed in float64."""
        share_R1 = (weight_R.double() / weight_R.double().sum())[:, None]
        z_RZ = z_RZ.double()
        mean_Z = (share_R1 * z_RZ).sum(0)
        gap_RZ = z_RZ - mean_Z
        spread = float((share_R1 * gap_RZ.square()).sum())
        narrow = z_RZ.shape[1] <= WIDEST
        return cls(mean_Z.float(), spread, ((share_R1 * gap_RZ).T @ gap_RZ).float() if narrow else None)

    @property
    def rms(self) -> float:
        """The root of `spread`, away from 0."""
        return max(math.sqrt(self.spread), 1e-6)

    def standardised(self) -> "Moments":
        """Those of (z - mean) / rms."""
        covariance_ZZ = None if self.covariance_ZZ is None else self.covariance_ZZ / self.rms**2
        return Moments(torch.zeros_like(self.mean_Z), self.spread / self.rms**2, covariance_ZZ)

    def whitening(self, floor: float) -> tuple[Tensor, Tensor]:
        """Principal axes (Z, Z), a column each, and what divides each coordinate to give it variance 1, (Z,).

        Axes along which there is less than `floor` of the total variance are divided by infinity: nothing is there.

        Raises:
            ValueError: the embedding is too wide.
        """
        if self.covariance_ZZ is None:
            raise ValueError(f"{len(self.mean_Z)} numbers are too many, at most {WIDEST} can be whitened")
        variance_Z, axes_ZZ = torch.linalg.eigh(self.covariance_ZZ.double())
        seen_Z = variance_Z > max(floor * self.spread, 1e-30)
        return axes_ZZ.float(), variance_Z.clamp(min=0).sqrt().where(seen_Z, math.inf).float()

    def to_json(self) -> dict[str, Any]:
        """Plain values for a json file."""
        covariance = None if self.covariance_ZZ is None else self.covariance_ZZ.tolist()
        return {"mean": self.mean_Z.tolist(), "spread": self.spread, "covariance": covariance}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Moments":
        """The inverse of `to_json`.

        Raises:
            KeyError, TypeError, ValueError, RuntimeError: they are something else.
        """
        mean_Z = torch.tensor(values["mean"], dtype=torch.float32)
        given = values["covariance"]
        covariance_ZZ = None if given is None else torch.tensor(given, dtype=torch.float32)
        spread, shape = float(values["spread"]), mean_Z.shape * 2
        fits = mean_Z.ndim == 1 and (covariance_ZZ is None or covariance_ZZ.shape == shape) and spread >= 0
        numbers = (mean_Z, torch.tensor(spread), *([] if covariance_ZZ is None else [covariance_ZZ]))
        if not fits or not all(bool(tensor.isfinite().all()) for tensor in numbers):
            raise ValueError("its moments are no mean and covariance")
        return cls(mean_Z, spread, covariance_ZZ)
