"""What counts as visited: rows of a batch as numbers of cells, by features that the config names.

Dimension key: T steps, B batch, R rows, U distinct rows, F features, H memory, K cells.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from ml_collections import ConfigDict
from torch import Tensor, nn

from buffers.batch import EpisodeBatch, Rows
from policies.models.trunk import Trunk
from torchkit.networks import Sums
from utils.errors import UserError
from utils.reads import ANY, FROM_ZERO, WIDTH, Reads

WHOLE = ("state", "observation", "history")  # of a row; else features of the state by name or number


class Codebook(nn.Module):
    """Rows (…, F) to cells: the first K that lie farther than `radius` from those before, and then the nearest.

    Args:
        dim: F.
        num: K.
        radius: Euclidean distance.
    """

    def __init__(self, dim: int, num: int, radius: float):
        super().__init__()
        self.radius = radius
        self.code_KF: Tensor = nn.Buffer(torch.full((num, dim), torch.inf))  # inf: free
        self.taken: Tensor = nn.Buffer(torch.zeros((), dtype=torch.int64))

    def _distance(self, rows_RF: Tensor, codes: slice) -> Tensor:
        return torch.cdist(rows_RF, self.code_KF[codes], compute_mode="donot_use_mm_for_euclid_dist")

    def forward(self, rows: Tensor) -> Tensor:
        """The cell of each row (…)."""
        return self.look(rows)[0]

    def look(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The cell of each row (…), before there is any 0; and whether it would become a cell of its own."""
        flat_RF = rows.flatten(0, -2).float()
        known = slice(0, max(1, int(self.taken)))
        distance_R, cell_R = self._distance(flat_RF, known).min(-1)
        new_R = (distance_R > self.radius) & (int(self.taken) < len(self.code_KF))
        return cell_R.view(rows.shape[:-1]), new_R.view(rows.shape[:-1])

    @torch.no_grad()
    def take_in(self, rows_RF: Tensor) -> None:
        """Makes cells of what is new among the rows."""
        rows_RF = rows_RF.float()
        while (first := int(self.taken)) < len(self.code_KF):
            if first:
                rows_RF = rows_RF[self._distance(rows_RF, slice(0, first)).amin(-1) > self.radius]
            if not len(rows_RF):
                return
            self.code_KF[first] = rows_RF[0]
            self.taken += 1


class SimHash(nn.Module):
    """Rows (…, H) to cells by the signs of random projections, log2 K of them, so that what is near is mostly one cell.

    (Charikar, 2002; as a count of visits: Tang et al., 2017.)
    """

    def __init__(self, dim: int, num: int):
        super().__init__()
        bits = num.bit_length() - 1
        self.weight_HX: Tensor = nn.Buffer(torch.randn(dim, bits))
        self.power_X: Tensor = nn.Buffer(2 ** torch.arange(bits))

    def forward(self, rows: Tensor) -> Tensor:
        """The cell of each row (…)."""
        return self.look(rows)[0]

    def look(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The cell of each row (…), and that none would become one of its own."""
        cell = ((rows.float() @ self.weight_HX > 0) * self.power_X).sum(-1)
        return cell, torch.zeros_like(cell, dtype=torch.bool)

    def take_in(self, rows_RF: Tensor) -> None:
        """Nothing is kept of rows."""


class Cells(nn.Module):
    """The cell of each row of a batch.

    Args:
        source: `state`, `observation` or `history`.
        select: rows of the source to features, None for all of them.
        code: features to cells.
        num: K.
    """

    reads: ClassVar[Reads] = {"features": ANY, "cells": WIDTH, "radius": FROM_ZERO}

    def __init__(self, source: str, select: nn.Module | None, code: Codebook | SimHash, num: int):
        super().__init__()
        self.source, self.select, self.code, self.num = source, select or nn.Identity(), code, num
        self._views: Mapping[str, Tensor] = {}  # of the batch that was last asked for

    @classmethod
    def build(cls, trunk: Trunk, settings: ConfigDict, flag: str) -> Self:
        """By `features`: one of `WHOLE`, or names of features of the state.

        Raises:
            UserError: there is no such feature, or too few cells.
        """
        names, num = settings.features, int(settings.cells)
        if not names or isinstance(names, str):
            raise UserError(f"{flag}.features: a tuple is needed: one of {', '.join(WHOLE)}, or features of the state")
        if names == ("history",):
            if num < 2 or num & (num - 1):
                raise UserError(f"{flag}.cells={num}: a power of 2 is needed, for signs of the history")
            return cls("history", None, SimHash(trunk.width("history"), num), num)
        if len(names) == 1 and names[0] in WHOLE:
            dim = trunk.spec.obs_dim if names[0] == "observation" else trunk.spec.state_dim
            return cls(names[0], None, Codebook(dim, num, settings.radius), num)
        groups = [group for name in names for group in trunk.spec.feature_groups(str(name), f"{flag}.features")]
        select = Sums(groups, trunk.spec.state_dim)
        return cls("state", select, Codebook(len(groups), num, settings.radius), num)

    def forward(self, views: Mapping[str, Tensor], batch: EpisodeBatch) -> Tensor:
        """(T+1, B) int64."""
        return self.look(views, batch)[0]

    @torch.no_grad()
    def look(self, views: Mapping[str, Tensor], batch: EpisodeBatch) -> tuple[Tensor, Tensor]:
        """The cell of each row (T+1, B) int64, and whether it is yet to get one of its own."""
        self._views = {self.source: views[self.source].detach()} if self.source == "history" else {}
        source = rows_of(self.source, views, batch)
        if isinstance(source, Rows):
            cell_U, new_U = self.code.look(self.select(source.distinct))
            return cell_U[source.place], new_U[source.place]
        return self.code.look(source)

    @property
    def taken(self) -> int:
        """How many cells there are by now, at least 1."""
        return self.num if isinstance(self.code, SimHash) else max(1, int(self.code.taken))

    def log_softmax(self, logits: Tensor) -> Tensor:
        """Their log q, of those that there are by now, the first ones: (…, K) -> (…, `taken`)."""
        return logits[..., : self.taken].log_softmax(-1)

    def of_learned(self, batch: EpisodeBatch) -> Tensor:
        """(T+1, B) of the batch that was last asked for, once what is new in it has got cells."""
        self.take_in(batch)
        return self(self._views, batch)

    def take_in(self, batch: EpisodeBatch) -> None:
        """Makes cells of what is new in a batch."""
        if self.taken == self.num:
            return
        rows = rows_of(self.source, {}, batch)
        real = rows.place[batch.row_mask > 0].unique()
        self.code.take_in(self.select(rows.distinct[real]))


def rows_of(source: str, views: Mapping[str, Tensor], batch: EpisodeBatch) -> Any:
    """`Rows` of state or observation, or the view (T+1, B, H)."""
    if source in ("state", "observation"):
        return batch.state if source == "state" else batch.obs
    return views[source].detach().float()
