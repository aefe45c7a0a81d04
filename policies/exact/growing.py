"""Arrays that grow by rows."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Growing:
    """An array (N, …) to which rows are added; room is doubled when it is used up."""

    def __init__(self, row_shape: tuple[int, ...] = (), dtype: Any = np.float64):
        self._room = np.empty((16, *row_shape), dtype)
        self._num = 0

    def __len__(self) -> int:
        return self._num

    @property
    def rows(self) -> Array:
        """All that were added, a view: what is written into it is kept."""
        return self._room[: self._num]

    def add(self, rows: Any) -> None:
        """Appends rows (M, …)."""
        wanted = self._num + len(rows)
        if wanted > len(self._room):
            room = np.empty((max(wanted, 2 * len(self._room)), *self._room.shape[1:]), self._room.dtype)
            room[: self._num] = self.rows
            self._room = room
        self._room[self._num : wanted] = rows
        self._num = wanted

    def replace(self, rows: Array) -> None:
        """Holds these rows instead."""
        self._num = 0
        self.add(rows)
