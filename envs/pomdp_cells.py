"""What the statements of a file on finite POMDPs say of the cells of its matrices, of which later ones win."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from envs.finite import Entries, Floats, Ints


@dataclass(frozen=True)
class Cells:
    """Cells of several matrices, in their order.

    Attributes:
        matrix, row, column: where each stands.
        value: what is in it.
        time: when that was said.
    """

    matrix: Ints
    row: Ints
    column: Ints
    value: Floats
    time: Ints

    def split(self, num: int) -> list[Entries]:
        """The cells of each of `num` matrices that are not 0."""
        there = self.value != 0
        bounds = np.searchsorted(self.matrix[there], np.arange(1, num))
        parts = (np.split(field[there], bounds) for field in (self.row, self.column, self.value))
        return list(zip(*parts))


class Statements:
    """What the statements of one kind say of the cells of A matrices (rows, columns); later ones win.

    Times are the places of the statements among the tokens.
    """

    def __init__(self, num: int, rows: int, columns: int) -> None:
        self.shape = (num, rows, columns)
        self.singles: list[tuple[int, int, int, float, int]] = []  # matrix, row, column (-1: all), value, time
        self.blocks: list[Sequence[Any]] = []  # the same of arrays that broadcast
        self.written = np.full((num, rows), -1)  # when a row was last written as a whole

    def write(self, matrix: int, row: int, cells: tuple[Any, Any, Any], time: int) -> None:
        """Writes whole rows, -1 for all; `cells` are the row, column and value of what is not 0 in them."""
        num, rows, _ = self.shape
        chosen = np.ix_(*(np.arange(size) if i < 0 else np.array([i]) for i, size in ((matrix, num), (row, rows))))
        self.written[chosen] = np.maximum(self.written[chosen], time)
        self.blocks.append((chosen[0][:, None], *cells, time))

    def final(self, fits: Callable[[float], None]) -> Cells:
        """The cells that hold in the end; `fits` is told the bytes that this takes."""
        nothing = [np.zeros(0)] * 5
        parts = [np.broadcast_arrays(*block) for block in (*self._spread_singles(), *self.blocks, nothing)]
        fits(100.0 * sum(part[0].size for part in parts))
        fields = [np.concatenate([part[i].ravel() for part in parts]) for i in range(5)]
        matrix, row, column, time = (fields[i].astype(np.intp) for i in (0, 1, 2, 4))
        key = (matrix * self.shape[1] + row) * self.shape[2] + column
        order = np.lexsort((time, key))
        last = order[np.append(np.diff(key[order]) != 0, [True] * (len(order) > 0)).astype(bool)]
        last = last[time[last] >= self.written[matrix[last], row[last]]]
        return Cells(matrix[last], row[last], column[last], fields[3][last], time[last])

    def _spread_singles(self) -> list[Sequence[Any]]:
        """The single cells by which of their indices stand for all."""
        if not self.singles:
            return []
        index_3N, value_N, time_N = (np.array(self.singles).T[i] for i in (slice(3), 3, 4))
        spread: list[Sequence[Any]] = []
        for wild in np.unique(index_3N < 0, axis=1).T:
            some = ((index_3N < 0) == wild[:, None]).all(axis=0)
            index: list[Any] = [one[some].reshape(-1, 1, 1, 1) for one in index_3N]
            for axis in np.flatnonzero(wild):
                index[axis] = np.arange(self.shape[axis]).reshape([-1 if i == axis else 1 for i in range(-1, 3)])
            spread.append((*index, value_N[some].reshape(-1, 1, 1, 1), time_N[some].reshape(-1, 1, 1, 1)))
        return spread
