"""Replay of whole episodes: flat arrays and spans, one vectorised gather a batch.

Images that an env declares to need few bits are kept as bytes, decoded on the device of the batch, and turned there
where that is asked for.

Dimension key: T steps, B batch, R rows, U distinct rows, F features of a row, K what is stored of it.
"""

import math
from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from buffers.augment import draw_angles, turn_actions, turn_rows
from buffers.batch import VIEWS_OF_ROWS, AdvisedBatch, Episode, EpisodeBatch, Rows, UnreadRows
from buffers.images import row_storages
from buffers.stored import StoredEpisodes
from envs.base import EnvSpec
from utils.checkpoint import whole
from utils.errors import UserError
from utils.memory import gib, total_memory, zeros

FIELDS = ("obs", "state", "action", "reward", "discount")
NOTHING = 1e-6  # a weight below which past rewards do not count
COUNTERS = ("_num_protected", "_oldest", "_newest", "_protected_rows", "_next_row", "_used_rows")


class EpisodeBuffer:
    """A ring of `capacity` rows (an episode of L steps takes L + 1) behind a part that is never overwritten.

    Sampling is uniform over episodes; an episode longer than `window` steps gives a window at a uniform offset, to be
    read from `burn_in` rows before it on where the episode has so many (`EpisodeBatch.before`). What the memory holds
    there is nothing, as at the start of an episode; with `carry_dim` it is what it held when the episode was played, of
    so many numbers, and only where that is not known nothing.
    Protected episodes (demonstrations) are added first, with `protect=True`. A share `turned_share` of what is sampled
    is turned, each by an angle of its own, as `copies` says, a kind of `buffers.augment`. With
    `advised` every episode comes with a teacher's advice, and so do batches. With a `past_discount` windows come with
    what was earned before them, discounted by that.
    """

    past_discount: float | None = None

    def __init__(
        self,
        spec: EnvSpec,
        capacity: int,
        window: int,
        seed: int,
        turned_share: float = 0.0,
        copies: str = "se2",
        burn_in: int = 0,
        carry_dim: int = 0,
        advised: bool = False,
    ):
        self.spec, self.window, self.turned_share, self.copies = spec, window, turned_share, copies
        self.burn_in, self.carry_dim = burn_in, carry_dim
        self.storages = row_storages(spec)
        self.has_states = True  # False: of a data set without them; nobody reads what stands there
        self.capacity = max(capacity, 2 * (spec.max_episode_steps + 1))
        action: tuple[tuple[int, ...], type] = ((), np.int64) if spec.discrete else ((spec.action_dim,), np.float32)
        shapes: dict[str, tuple[tuple[int, ...], type]] = {
            **{view: ((storage.width,), storage.dtype) for view, storage in self.storages.items()},
            "action": action,
            "reward": ((), np.float32),
            "discount": ((), np.float32),
        }
        self.fields = (*FIELDS, "advice") if advised else FIELDS
        shapes |= {"advice": action} if advised else {}
        shapes |= {f"{view}_key": ((), np.uint64) for view in VIEWS_OF_ROWS}
        if carry_dim:
            shapes["carry"] = ((carry_dim,), np.float32)
        self.row_bytes = sum(math.prod(s) * np.dtype(t).itemsize for s, t in shapes.values())
        needs = f"--config_rl.replay_steps={capacity}: a replay of so many steps of {spec.env_id} takes"
        self._needs = f"{needs} {gib(self.capacity * self.row_bytes)}"
        self._rows: dict[str, NDArray[Any]] = {
            k: zeros((self.capacity, *s), t, self._needs) for k, (s, t) in shapes.items()
        }
        self._first = np.zeros(self.capacity // 2, np.int64)  # ring over episodes: number i stands at i % size
        self._length = np.zeros(self.capacity // 2, np.int64)
        self._expert = np.zeros(self.capacity // 2, bool)
        self._num_protected = self._oldest = self._newest = 0  # episode numbers; protected ones are 0 … P-1
        self._protected_rows = self._next_row = self._used_rows = 0
        self._rng = np.random.default_rng(seed)

    @classmethod
    def of(
        cls,
        stored: StoredEpisodes,
        window: int | None = None,
        seed: int = 0,
        turned_share: float = 0.0,
        copies: str = "se2",
        burn_in: int = 0,
        *,
        limit_is_terminal: bool = False,
        room: int = 0,
        spec: EnvSpec | None = None,
    ) -> Self:
        """All episodes of a data set, drawn whole where no window is given.

        With `limit_is_terminal` those of the recorded horizon's length end there for good. Where there is `room`, in
        rows, for others besides, those of the data set are protected. Views are stored as `spec` has it, if given.
        """
        rows, longest = int((stored.length + 1).sum()), int(stored.length.max())
        told = stored.spec if spec is None else spec
        spec = replace(
            stored.spec,
            obs_storage=told.obs_storage,
            state_storage=told.state_storage,
            max_episode_steps=max(stored.spec.max_episode_steps, told.max_episode_steps),
        )
        if room:
            rows += max(room, 2 * (spec.max_episode_steps + 1))
        buffer = cls(spec, rows, window or longest, seed, turned_share, copies, burn_in)
        buffer.has_states = stored.has_states
        for number in range(len(stored)):
            episode = stored.episode(number)
            if limit_is_terminal:
                episode.discount = episode.discount.copy()  # else it is the data set's own
                episode.end_at_limit(stored.spec.max_episode_steps)
            buffer.add(episode, protect=room > 0)
        return buffer

    def check_fits(self, rows: float) -> None:
        """Refuses a replay that will not fit into memory by the time that so many rows have been added.

        Raises:
            UserError: says what it takes, and how many steps there is room for.
        """
        memory = total_memory()
        if min(rows, self.capacity) * self.row_bytes > memory:
            raise UserError(
                f"{self._needs}, and there are {gib(memory)}; at most {int(memory / 2 / self.row_bytes):,} steps fit "
                "beside all else"
            )

    def __len__(self) -> int:
        """Number of episodes that can be drawn."""
        return self._num_protected + self._newest - self._oldest

    @property
    def num_steps(self) -> int:
        """Number of stored environment steps."""
        return int(self._length[self._slots(np.arange(len(self)))].sum())

    @property
    def max_bytes(self) -> int:
        """What the replay takes once it is full."""
        return sum(rows.nbytes for rows in (*self._rows.values(), self._first, self._length))

    def _slots(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where the spans of the index-th drawable episodes stand."""
        ring = len(self._first) - self._num_protected
        number = self._oldest + index - self._num_protected
        return np.where(index < self._num_protected, index, self._num_protected + number % ring)

    def add(self, episode: Episode, protect: bool = False) -> None:
        """Copies an episode in; the oldest unprotected ones make room.

        Raises:
            UserError: the protected part would leave no room for an episode of the longest kind.
        """
        rows = len(episode) + 1
        if protect:
            assert self._newest == 0, "demonstrations go in before anything else"
            if self._protected_rows + rows + self.spec.max_episode_steps + 1 > self.capacity:
                raise UserError(
                    f"--start_expert_training: the demonstrations leave no room in a replay of {self.capacity} rows; "
                    f"give fewer, or raise --config_rl.replay_steps"
                )
            self._num_protected += 1
            self._protected_rows += rows
            slot = self._num_protected - 1
        else:
            first_free = max(self._next_row, self._protected_rows)
            self._next_row = self._protected_rows if first_free + rows > self.capacity else first_free
            self._drop(self._next_row, self._next_row + rows, wrapped=self._next_row < first_free)
            self._newest += 1
            slot = int(self._slots(np.array([len(self) - 1]))[0])
        self._expert[slot] = episode.expert
        first = self._protected_rows - rows if protect else self._next_row
        self._write(episode, first)
        self._first[slot], self._length[slot] = first, len(episode)
        self._next_row = first + rows
        self._used_rows = max(self._used_rows, self._next_row)

    def _write(self, episode: Episode, first: int) -> None:
        """Copies its rows to those from `first` on."""
        for key in self.fields:
            values = getattr(episode, key)
            if key in VIEWS_OF_ROWS and self.storages[key].in_bytes:
                untold = key == "state" and not self.has_states  # NaN, for which there are no bits
                values = 0 * self._rows[key][: len(values)] if untold else self.storages[key].encode(values)
            self._rows[key][first : first + len(values)] = values
            if key in VIEWS_OF_ROWS:
                self._rows[f"{key}_key"][first : first + len(values)] = row_keys(values)
        if self.carry_dim:
            self._rows["carry"][first : first + len(episode) + 1] = np.nan
            if episode.carry is not None:
                self._rows["carry"][first : first + len(episode)] = episode.carry

    def _begin(self, slot_B: NDArray[np.int64]) -> NDArray[np.int64]:
        """The first rows (B,) of the episodes whose spans stand there."""
        return self._first[slot_B]

    def close(self) -> None:
        """Frees what it reads from."""

    def _drop(self, begin: int, end: int, wrapped: bool) -> None:
        """Forgets the oldest episodes whose rows overlap [begin, end), and on wrapping those left at the far end."""
        while self._oldest < self._newest:
            slot = int(self._slots(np.array([self._num_protected]))[0])
            first, last = self._first[slot], self._first[slot] + self._length[slot] + 1
            stale = wrapped and first >= self._last_end()
            if not stale and (last <= begin or first >= end):
                return
            self._oldest += 1

    def _last_end(self) -> int:
        """One past the rows of the newest episode."""
        slot = int(self._slots(np.array([len(self) - 1]))[0])
        return int(self._first[slot] + self._length[slot] + 1)

    def sample(
        self, batch_size: int, device: torch.device | str = "cpu", protected_share: float | None = None
    ) -> EpisodeBatch:
        """Draws B episodes with replacement, cut to the longest among them: T <= window.

        All are equally likely; or a share of the batch is of protected ones, as soon as there are others.
        """
        if protected_share is None or len(self) == self._num_protected:
            index_B = self._rng.integers(len(self), size=batch_size)
        else:
            kept, P = round(protected_share * batch_size), self._num_protected
            bounds = np.array([[0, P]] * kept + [[P, len(self)]] * (batch_size - kept))
            index_B = self._rng.integers(*bounds.T)
        slot_B = self._slots(index_B)
        length_B = self._length[slot_B]
        offset_B = self._rng.integers(0, np.maximum(length_B - self.window, 0) + 1)
        length_B = np.minimum(length_B, self.window)
        share = self.turned_share
        angle_B = draw_angles(self._rng, batch_size, share, self.copies) if share else None
        first_B = self._begin(slot_B)
        if offset_B.any() and (self.burn_in or self.carry_dim):
            batch = self._gather_within(first_B, offset_B, length_B, angle_B, device)
        else:
            batch = self._gather(first_B + offset_B, length_B, angle_B, device)
        batch.expert = self._by_expert(slot_B, device)
        if self.past_discount is not None and offset_B.any():
            past_B = self._past_returns(first_B, offset_B, self.past_discount)
            batch.past_return = torch.from_numpy(past_B).to(device)
        return batch

    def _past_returns(
        self, first_B: NDArray[np.int64], offset_B: NDArray[np.int64], discount: float
    ) -> NDArray[np.float64]:
        """Σ_k γ^(k-1) r_(t-k) (B,) of episodes that begin at these rows, at steps t, but for weights below 1e-6."""
        far = int(offset_B.max())
        if discount < 1:
            far = min(far, 1 if discount == 0 else math.ceil(math.log(NOTHING) / math.log(discount)))
        step_K1 = np.arange(1, far + 1)[:, None]
        row_KB = np.maximum(first_B + offset_B - step_K1, first_B)
        reward_KB = self._rows["reward"][row_KB].astype(np.float64)
        return np.where(step_K1 <= offset_B, discount ** (step_K1 - 1.0) * reward_KB, 0.0).sum(0)

    def newest(self, count: int, device: torch.device | str = "cpu") -> EpisodeBatch:
        """The `count` episodes that were added last, all of them, whole and as they were.

        Raises:
            UserError: the ring does not hold so many.
        """
        if count > self._newest - self._oldest:
            raise UserError(
                f"--config_rl.replay_steps: a replay of {self.capacity} rows does not hold {count} episodes; raise it"
            )
        return self.episodes(np.arange(len(self) - count, len(self)), device=device)

    def episodes(
        self,
        index_B: NDArray[np.int64],
        angle_B: NDArray[np.float64] | None = None,
        device: torch.device | str = "cpu",
    ) -> EpisodeBatch:
        """The index-th drawable episodes, counted from the oldest, whole; turned by angles (B,) where given."""
        slot_B = self._slots(index_B)
        batch = self._gather(self._begin(slot_B), self._length[slot_B], angle_B, device)
        batch.expert = self._by_expert(slot_B, device)
        return batch

    def _by_expert(self, slot_B: NDArray[np.int64], device: torch.device | str) -> Tensor:
        """1 where the expert acted (B,)."""
        return torch.from_numpy(self._expert[slot_B].astype(np.float32)).to(device)

    def _gather_within(
        self,
        first_B: NDArray[np.int64],
        offset_B: NDArray[np.int64],
        length_B: NDArray[np.int64],
        angle_B: NDArray[np.float64] | None,
        device: torch.device | str,
    ) -> EpisodeBatch:
        """Windows of so many steps at offsets into episodes, with what is read before them.

        Where the memory begins with nothing, its first row is as that of an episode, without an action before.
        """
        lead = min(self.burn_in, int(offset_B.max()))
        one = int(self.carry_dim > 0)  # step more, for the action before the first row
        step_B = offset_B - lead - one
        batch = self._gather(first_B + step_B, length_B + lead + one, angle_B, device, np.maximum(-step_B, 0))
        begin_B = np.maximum(offset_B - lead, 0)
        known_B, carry_BC = np.zeros(len(first_B), bool), None
        if one:
            carry = self._rows["carry"][first_B + begin_B]
            known_B = (begin_B > 0) & np.isfinite(carry).all(axis=1)
            carry_BC = torch.from_numpy(np.where(known_B[:, None], carry, 0.0)).to(device)
        begins_B = begin_B - step_B  # the row of the batch from which on memories read
        row_T1 = np.arange(len(batch.start))[:, None]
        start_TB = torch.from_numpy((row_T1 == begins_B) & ~known_B).to(device)
        batch.start = start_TB.float()
        batch.prev_action = batch.prev_action.masked_fill(start_TB[..., None], 0.0)
        batch.prev_reward = batch.prev_reward.masked_fill(start_TB, 0.0)
        return batch.window(lead + one, one, carry_BC)

    def _gather(
        self,
        first_B: NDArray[np.int64],
        length_B: NDArray[np.int64],
        angle_B: NDArray[np.float64] | None = None,
        device: torch.device | str = "cpu",
        skipped_B: NDArray[np.int64] | int = 0,
    ) -> EpisodeBatch:
        """Rows from `first_B` on; those of the first `skipped_B` steps are not of the episode, and are masked."""
        T = int(length_B.max())
        step_T1B = np.arange(T + 1)[:, None]
        rows_T1B = first_B + np.clip(step_T1B, skipped_B, length_B)
        mask_TB = ((step_T1B[:-1] < length_B) & (step_T1B[:-1] >= skipped_B)).astype(np.float32)
        last_B = first_B + length_B - 1
        rows_TB = np.minimum(rows_T1B[:-1], last_B)
        steps = {k: torch.from_numpy(self._rows[k][rows_TB]) for k in self.fields if k not in VIEWS_OF_ROWS}
        if angle_B is not None:
            for name in steps.keys() & {"action", "advice"}:
                steps[name] = turn_actions(steps[name], torch.from_numpy(angle_B))
        views = {}
        for view, storage in self.storages.items():
            plain = not storage.in_bytes and angle_B is None
            views[view] = self._distinct(view, rows_T1B) if plain else self._images(view, rows_T1B, angle_B, device)
        batch = EpisodeBatch.from_transitions(
            views["obs"],
            views["state"],
            steps["action"],
            steps["reward"],
            steps["discount"],
            torch.from_numpy(mask_TB),
            self.spec.action_dim,
        )
        return (AdvisedBatch(**vars(batch), advice=steps["advice"]) if "advice" in steps else batch).to(device)

    def _distinct(self, view: str, rows_T1B: NDArray[np.int64]) -> Rows:
        """The rows of a view without doubles; the keys tell which are the same."""
        keys = self._rows[f"{view}_key"][rows_T1B]
        _, first, place = np.unique(keys, return_index=True, return_inverse=True)
        if 2 * len(first) > keys.size:  # hardly any doubles: not worth a detour
            return Rows.all_different(torch.from_numpy(self._rows[view][rows_T1B]))
        distinct = torch.from_numpy(self._rows[view][rows_T1B.ravel()[np.resize(first, len(first) + -len(first) % 32)]])
        return Rows(distinct, torch.from_numpy(place.reshape(keys.shape)))

    def _images(
        self,
        view: str,
        rows_T1B: NDArray[np.int64],
        angle_B: NDArray[np.float64] | None,
        device: torch.device | str,
    ) -> Rows:
        """The rows of a view of images without doubles, moved as stored, and decoded and turned when they are read."""
        turn_B = np.zeros(rows_T1B.shape[1], np.int64)  # 0 as it was, else a number for each turned column
        if angle_B is not None:
            turn_B = np.where(angle_B == 0, 0, np.arange(1, len(angle_B) + 1))
        keys = keys_of_versions(self._rows[f"{view}_key"][rows_T1B], turn_B)
        _, first, place = np.unique(keys, return_index=True, return_inverse=True)
        turn_U = turn_B[first % len(turn_B)]
        order = np.argsort(turn_U, kind="stable")  # the rows of one turn side by side
        first, turn_U, place = first[order], turn_U[order], np.argsort(order)[place]
        chosen = rows_T1B.ravel()[np.resize(first, len(first) + -len(first) % 32)]
        stored, storage = torch.from_numpy(self._rows[view][chosen]).to(device), self.storages[view]

        def decoded() -> Tensor:
            distinct = storage.decode(stored)
            if angle_B is not None:
                bounds = np.searchsorted(turn_U, np.arange(1, len(turn_B) + 2)).tolist()
                for angle, begin, end in zip(angle_B.tolist(), bounds, bounds[1:]):
                    if begin < end:
                        turn_rows(distinct[begin:end], storage, torch.tensor([angle], dtype=torch.float64))
            return distinct

        return UnreadRows(decoded, torch.from_numpy(place.reshape(keys.shape)).to(device))

    def state_dict(self, rows: bool = True) -> dict[str, Any]:
        """Only the rows in use, the spans and the generator; or the generator alone, of a buffer that does not grow."""
        if not rows:
            return {"rng": self._rng.bit_generator.state}
        return {
            "rows": {k: v[: self._used_rows] for k, v in self._rows.items()},
            "first": self._first[: self._used_rows],
            "length": self._length[: self._used_rows],
            "expert": self._expert[: self._used_rows],
            "counters": {name: getattr(self, name) for name in COUNTERS},
            "rng": self._rng.bit_generator.state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Puts everything back where `state_dict` was taken."""
        self._rng.bit_generator.state = state["rng"]
        if "rows" not in state and len(self):  # a buffer that does not grow
            return
        for name in COUNTERS:
            setattr(self, name, whole(state["counters"][name], name))
        for key in {*self.fields, *state["rows"]}:
            kept, rows = self._rows[key][: self._used_rows], state["rows"][key]
            older = key in self.storages and rows.dtype != kept.dtype  # as numbers, where bits are kept today
            if older and rows.shape == (len(kept), getattr(self.spec, f"{key}_dim")):
                rows = self.storages[key].encode(rows)
            if rows.shape != kept.shape:
                raise ValueError(f"{key}: rows of {rows.shape}, where {kept.shape} are counted")
            kept[:] = rows
        of_older = np.arange(len(state["first"])) < self._num_protected  # it did not tell them from protected ones
        spans = {"_first": state["first"], "_length": state["length"], "_expert": state.get("expert", of_older)}
        for name, values in spans.items():
            getattr(self, name)[: len(values)] = values
        self._check_spans()

    def _check_spans(self) -> None:
        """Refuses counters by which episodes lie outside of the rows.

        Raises:
            ValueError: they do.
        """
        whole(self._used_rows, "_used_rows", most=self.capacity)
        whole(self._oldest, "_oldest", most=self._newest)
        whole(len(self), "the number of episodes", most=len(self._first))
        slot_E = self._slots(np.arange(len(self)))
        first_E, end_E = self._first[slot_E], self._first[slot_E] + self._length[slot_E]
        if ((first_E < 0) | (end_E <= first_E) | (end_E >= self._used_rows)).any():
            raise ValueError("an episode lies outside of its rows")


_ODD_1, _ODD_2, _ODD_3 = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def row_keys(rows: NDArray[Any]) -> NDArray[np.uint64]:
    """A 64-bit hash of each row (R, F): equal rows have equal keys, unequal ones practically never (2^-64 a pair)."""
    words = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)
    pad = -words.shape[1] % 4
    words = np.pad(words, ((0, 0), (0, pad))).view(np.uint32).astype(np.uint64) if pad else words.view(np.uint32)
    mixed = (words.astype(np.uint64) + np.arange(1, words.shape[1] + 1, dtype=np.uint64) * _ODD_1) * _ODD_2
    mixed ^= mixed >> np.uint64(29)
    mixed *= _ODD_3
    mixed ^= mixed >> np.uint64(32)
    return mixed.sum(axis=1, dtype=np.uint64)


def keys_of_versions(keys: NDArray[np.uint64], version: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Keys of rows that are there in several versions, such as turned ones; of version 0 they are as they were."""
    return keys + version.astype(np.uint64) * _ODD_1
