"""Pay 1/√n for the n-th visit of a cell: the yardstick of bonuses for what is new (Strehl & Littman, 2008).

Dimension key: T steps, B batch, K cells.
"""

from collections.abc import Mapping
from typing import ClassVar, Self

import torch
from ml_collections import ConfigDict
from torch import Tensor, nn

from buffers.batch import EpisodeBatch
from policies.extensions import IntrinsicReward
from policies.intrinsic.cells import Cells
from policies.models.trunk import Trunk
from utils.reads import Reads


class VisitCount(IntrinsicReward):
    """1/√n of the row after each step, where n is how often its cell was replayed; 1 where it never was."""

    reads: ClassVar[Reads] = Cells.reads

    def __init__(self, cells: Cells):
        super().__init__()
        self.cells = cells
        self.count_K: Tensor = nn.Buffer(torch.zeros(cells.num, dtype=torch.float64))

    @classmethod
    def build(cls, trunk: Trunk, settings: ConfigDict) -> Self:
        return cls(Cells.build(trunk, settings, "--config_rl.intrinsic.visit_count"))

    def reward(self, views: Mapping[str, Tensor], batch: EpisodeBatch) -> Tensor:
        cell, new = self.cells.look(views, batch)
        visits = torch.where(new, 0.0, self.count_K[cell])[1:]
        return visits.clamp(min=1.0).rsqrt().to(batch.reward.dtype)

    def learn(self, batch: EpisodeBatch) -> dict[str, Tensor]:
        """Counts real rows."""
        self.count_K += torch.bincount(self.cells.of_learned(batch)[batch.row_mask > 0], minlength=len(self.count_K))
        return {"cells": (self.count_K > 0).sum().float()}
