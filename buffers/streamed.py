"""Replay of a data set that stays on disk: episodes are read when they are drawn, and some are kept for the next draw.

What is drawn does not depend on what is kept, so that a run is the same, bit for bit, whatever fits into memory.
"""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from buffers.episode_buffer import EpisodeBuffer
from buffers.stored import EpisodesOnDisk
from utils.errors import UserError

ABSENT = -1


class StreamedEpisodes(EpisodeBuffer):
    """All episodes of a data set, of which at most `max_rows` rows are in memory; the oldest read ones make room.

    Args:
        stored: the data set.
        max_rows: an episode of L steps takes L + 1.
        window, seed, turned_share, copies, burn_in: as of `EpisodeBuffer`.
        limit_is_terminal: episodes of the horizon's length end there for good.
        batch_size: as many episodes must fit at once.
        given: what the user gave for this and for other rows, in equal parts; `max_rows` if not given.

    Raises:
        UserError: they do not.
    """

    def __init__(
        self,
        stored: EpisodesOnDisk,
        max_rows: int,
        window: int,
        seed: int,
        turned_share: float = 0.0,
        copies: str = "se2",
        burn_in: int = 0,
        *,
        limit_is_terminal: bool = False,
        batch_size: int = 1,
        given: int | None = None,
    ):
        self.stored, self.max_rows, self._terminal = stored, max_rows, limit_is_terminal
        self._given = max_rows if given is None else given
        self._taken = stored.length + 1  # rows of each episode
        self.check_room(batch_size)
        super().__init__(stored.spec, max_rows, window, seed, turned_share, copies, burn_in)
        self.has_states = stored.has_states
        self._first = np.full(len(stored), ABSENT)  # where those in memory begin
        self._length, self._expert = stored.length, stored.expert
        self._newest = len(stored)  # the number of an episode is its slot
        self._held: deque[int] = deque()  # their slots, the oldest read one first, as they stand from `_next_row` on

    @property
    def rows_held(self) -> int:
        """How many are in memory."""
        return int(self._taken[list(self._held)].sum())

    def check_room(self, batch_size: int) -> None:
        """Refuses a bound within which neither a batch of the longest episodes and one more fit, nor all there are.

        Raises:
            UserError: says how many rows are needed.
        """
        longest = np.sort(self._taken)[::-1]
        needed = min(int(longest[:batch_size].sum() + longest[0]), int(longest.sum()))
        if self.max_rows < needed:
            raise UserError(
                f"--max_rows={self._given}: {batch_size} episodes at once of up to {longest[0] - 1} steps need "
                f"{needed * (self._given // self.max_rows)}; give as many, or fewer episodes a batch"
            )

    def _begin(self, slot_B: NDArray[np.int64]) -> NDArray[np.int64]:
        """Reads what of these episodes is not in memory."""
        wanted = np.unique(slot_B)
        missing = [slot for slot in wanted.tolist() if self._first[slot] == ABSENT]
        if missing:
            self.check_room(len(wanted))
        asked = set(wanted.tolist())
        for slot in missing:  # grows where what is wanted has to make room
            missing += asked.intersection(self._read(slot))
        return self._first[slot_B]

    def _read(self, slot: int) -> list[int]:
        """Reads an episode over the oldest ones; returns those that are no longer in memory."""
        rows, first, gone = int(self._taken[slot]), self._next_row, list[int]()
        if first + rows > self.max_rows:  # what stands from there to the end is the oldest
            first = 0
            while self._held and self._first[self._held[0]] >= self._next_row:
                gone.append(self._held.popleft())
        while self._held and first <= self._first[self._held[0]] < first + rows:
            gone.append(self._held.popleft())
        self._first[gone] = ABSENT
        episode = self.stored.episode(slot)
        if self._terminal:
            episode.end_at_limit(self.spec.max_episode_steps)
        self._write(episode, first)
        self._first[slot], self._next_row = first, first + rows
        self._held.append(slot)
        return gone

    def close(self) -> None:
        self.stored.close()
