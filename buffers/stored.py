"""Episodes of a data set: in memory, as flat arrays, or on disk, read one at a time.

Dimension key: O observation, S state, A actions; E episodes, R rows (an episode of L steps owns L + 1), M transitions.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from buffers.batch import Episode
from buffers.images import ImageRows, PlainRows, row_storages
from envs.base import EnvSpec, told
from utils.config import json_tuples
from utils.errors import UserError, first_line

Array = NDArray[Any]
OF_ROWS = ("obs", "state", "action", "reward", "discount")
UNREADABLE = (OSError, RuntimeError, ValueError, KeyError)


@dataclass(frozen=True)
class Transitions:
    """Where the M real steps of a dataset lie: `row` (M,) before the action, `next_row` (M,) after it, int64."""

    row: NDArray[np.int64]
    next_row: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.row)


class About:
    """What a data set says of its E episodes, wherever their rows are.

    Attributes:
        length: (E,) int64, each episode's number of steps L.
        success: (E,) bool, whether the task was solved; None where the env does not tell.
        expert: (E,) bool, whether the expert acted.
        informed: (E,) bool, whether the episode showed the hidden fact; None where the env does not tell.
        metadata: what the collector wrote: `env_id`, `seed`, `spec` (sizes), `sha256`, `git_revision`, `coverage`, ...
    """

    length: NDArray[np.int64]
    success: NDArray[np.bool_] | None
    expert: NDArray[np.bool_]
    informed: NDArray[np.bool_] | None
    metadata: dict[str, Any]

    def __len__(self) -> int:
        return len(self.length)

    @cached_property
    def spec(self) -> EnvSpec:
        """The sizes of the domain that the episodes come from."""
        return EnvSpec(**json_tuples(self.metadata["spec"]))

    @cached_property
    def storages(self) -> dict[str, PlainRows | ImageRows]:
        """How the rows of the views `obs` and `state` are stored."""
        return row_storages(self.spec)

    @property
    def has_states(self) -> bool:
        """Whether states were recorded; else they are NaN."""
        return bool(self.metadata.get("has_states", True))

    @property
    def n_aug(self) -> int:
        """How many turned copies of each of the expert's episodes are to be made when it is read; 0 for none."""
        return int(self.metadata.get("augmentation", {}).get("n_aug", 0))

    @property
    def copies(self) -> str:
        """Of which kind these copies are to be."""
        return str(self.metadata.get("augmentation", {}).get("kind", ""))

    def episode(self, index: int) -> Episode:
        """One episode."""
        raise NotImplementedError


@dataclass
class StoredEpisodes(About):
    """E episodes as flat arrays over their R rows; on the last row of an episode action, reward and discount are 0.

    Attributes:
        obs: (R, O) float32, or uint8 where it was stored so; or bytes (R, K) of images, which `read` decodes.
        state: (R, S), likewise.
        action: (R,) int64 of a discrete action, or (R, A) float32.
        reward: (R,) float32.
        discount: (R,) float32, 0 on a true ending (never at a time limit), 1 on other steps.
        first: (E,) int64, each episode's first row; it owns the L + 1 rows from there on.
    """

    obs: Array
    state: Array
    action: Array
    reward: NDArray[np.float32]
    discount: NDArray[np.float32]
    first: NDArray[np.int64]
    length: NDArray[np.int64]
    success: NDArray[np.bool_] | None
    expert: NDArray[np.bool_]
    informed: NDArray[np.bool_] | None
    metadata: dict[str, Any]

    def read(self, view: str, row: NDArray[np.int64]) -> NDArray[np.float32]:
        """Some rows (R, F) of a view as float32."""
        values: NDArray[np.float32] = self.storages[view].decode(torch.from_numpy(getattr(self, view)[row])).numpy()
        return values

    def episode(self, index: int) -> Episode:
        """Its arrays are views of the flat ones."""
        first, end = self.first[index], self.first[index] + self.length[index]
        return Episode(
            obs=self.obs[first : end + 1],
            state=self.state[first : end + 1],
            action=self.action[first:end],
            reward=self.reward[first:end],
            discount=self.discount[first:end],
            success=None if self.success is None else bool(self.success[index]),
            expert=bool(self.expert[index]),
            informed=None if self.informed is None else bool(self.informed[index]),
        )

    def transitions(self) -> Transitions:
        """The rows of all real steps, in order; index the flat arrays with them."""
        is_step_R = np.ones(len(self.reward), bool)
        is_step_R[self.first + self.length] = False
        row = np.flatnonzero(is_step_R)
        return Transitions(row=row, next_row=row + 1)


@dataclass
class EpisodesOnDisk(About):
    """E episodes that stay where they are stored, and are read one at a time.

    Attributes:
        reader: gives a data set of the one episode of a number.
        close: frees what reading needs.
    """

    length: NDArray[np.int64]
    success: NDArray[np.bool_] | None
    expert: NDArray[np.bool_]
    informed: NDArray[np.bool_] | None
    metadata: dict[str, Any]
    reader: Callable[[int], StoredEpisodes]
    close: Callable[[], None]

    @classmethod
    def of(
        cls, reader: Callable[[int], StoredEpisodes], count: int, close: Callable[[], None], files: Sequence[int | Path]
    ) -> Self:
        """By reading each of so many episodes once, of which no rows are kept; the reader checks their values.

        `files`, or their descriptors, are what it reads: none may change from now on.
        """
        before = marks(files)

        def unchanged(number: int) -> StoredEpisodes:
            found = reader(number)
            if marks(files) != before:  # what HDF5 reads past the end of a file that was cut is 0
                raise OSError("its file was changed after training had begun")
            return found

        length, expert = np.zeros(count, np.int64), np.zeros(count, bool)
        success, informed, metadata = list[bool | None](), list[bool | None](), dict[str, Any]()
        for number in range(count):
            one = reader(number)
            length[number], expert[number], metadata = one.length[0], one.expert[0], one.metadata
            success.append(None if one.success is None else bool(one.success[0]))
            informed.append(None if one.informed is None else bool(one.informed[0]))
        return cls(length, told(success), expert, told(informed), metadata, unchanged, close)

    def one(self, number: int) -> StoredEpisodes:
        """A data set of the one episode of that number, read now.

        Raises:
            UserError: it could be read when training began, and cannot any more.
        """
        try:
            return self.reader(number)
        except UNREADABLE as error:
            raise UserError(
                f"--data_path: episode {number} cannot be read any more ({first_line(error)}); see to the data set, "
                "then the same command goes on"
            ) from error

    def episode(self, index: int) -> Episode:
        """Read now; its arrays are its own."""
        return self.one(index).episode(0)

    def some(self, number_E: NDArray[np.int64]) -> StoredEpisodes:
        """These episodes, read now, in that order."""
        return joined([self.one(number) for number in number_E.tolist()])

    def pieces(self, order_E: NDArray[np.int64], max_rows: int) -> list[NDArray[np.int64]]:
        """The numbers of all episodes in a given order, cut into pieces of about as many rows, `max_rows` at most.

        That must be no less than the longest episode has.
        """
        rows_E = self.length[order_E] + 1
        longest, total = int(rows_E.max()), int(rows_E.sum())
        count = -(-total // (max_rows - longest + 1))  # where a piece begins late by up to an episode, it still fits
        piece_E = (np.cumsum(rows_E) - rows_E) * count // total
        return [order_E[piece_E == piece] for piece in range(count)]


def marks(files: Sequence[int | Path]) -> list[tuple[int, int]]:
    """Size and time of the last change of each file, by its path or descriptor.

    Raises:
        OSError: one is not there.
    """
    return [(found.st_size, found.st_mtime_ns) for found in map(os.stat, files)]


def joined(parts: Sequence[StoredEpisodes]) -> StoredEpisodes:
    """Data sets of one origin and of an episode each as one."""
    length = np.concatenate([part.length for part in parts])
    columns: dict[str, Any] = {name: np.concatenate([getattr(p, name) for p in parts]) for name in ("expert", *OF_ROWS)}
    for name in ("success", "informed"):
        said = [getattr(part, name) for part in parts]
        columns[name] = told([None if one is None else bool(one[0]) for one in said])
    first = np.concatenate([[0], np.cumsum(length + 1)[:-1]])
    return StoredEpisodes(**columns, first=first, length=length, metadata=parts[0].metadata)
