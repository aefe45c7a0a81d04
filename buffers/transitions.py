"""Transitions in memory, for what learns from single steps: equal rows and equal transitions stored once.

Dimension key: M real steps, D distinct transitions, R rows, U distinct ones, B batch, O observation, S state,
A actions, Z embedding.
"""

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from buffers.augment import copy_angles, turn_rows
from buffers.images import ImageRows, PlainRows, row_storages
from envs.base import EnvSpec
from torchkit.networks import Encoder


@dataclass(frozen=True)
class TransitionData:
    """A data set of transitions in memory, with equal rows and equal transitions stored once.

    Grid domains repeat themselves: 130,000 steps of HeavenHell hold 28 states and about 110 transitions. Losses over a
    batch are computed on its distinct transitions, weighted by how often they stand in it, which changes nothing but
    the cost.

    Where the expert's episodes count with turned copies, these are further steps: each time one is drawn it is turned
    by a new angle, before and after alike (`buffers.augment`).

    Attributes:
        obs: (U, O) distinct observations, float32 or as stored, in the order of first sight.
        state: (U', S) distinct states.
        obs_id, next_obs_id, state_id, next_state_id: (D,) rows of `obs` and `state`, before and after.
        action: (D, A) one-hot or continuous.
        reward: (D,).
        discount: (D,), 0 on a true ending and 1 otherwise, a time limit included.
        steps: (M,) which distinct transition each real step is; those of the copies follow.
        first_copy: the number of the first step that is a copy.
        storages: how the rows of `obs` and `state` are stored.
        copies: of which kind the copies are, one of `buffers.augment`.
    """

    obs: Tensor
    state: Tensor
    obs_id: Tensor
    next_obs_id: Tensor
    state_id: Tensor
    next_state_id: Tensor
    action: Tensor
    reward: Tensor
    discount: Tensor
    steps: Tensor
    first_copy: int
    storages: Mapping[str, PlainRows | ImageRows]
    copies: str = "se2"

    @classmethod
    def from_rows(
        cls,
        obs_RO: NDArray[Any],
        state_RS: NDArray[Any],
        row_M: NDArray[np.int64],
        next_row_M: NDArray[np.int64],
        action_MA: NDArray[np.float32],
        reward_M: NDArray[np.float32],
        discount_M: NDArray[np.float32],
        spec: EnvSpec | None = None,
        copied_M: NDArray[np.bool_] | None = None,
        n_aug: int = 0,
        copies: str = "se2",
    ) -> "TransitionData":
        """From flat rows and, for each real step, the rows before and after it; `action_MA` as networks read it.

        `spec` says how the rows are stored; None for plain ones. `n_aug` turned copies are made of steps `copied_M`,
        of the kind `copies`.
        """
        obs_id, obs_first = row_ids(obs_RO)
        state_id, state_first = row_ids(state_RS)
        ids = [obs_id[row_M], obs_id[next_row_M], state_id[row_M], state_id[next_row_M]]
        columns: list[NDArray[Any]] = [*ids, reward_M, discount_M, action_MA]
        steps, first = row_ids(np.column_stack(columns))
        tensors = [torch.from_numpy(np.ascontiguousarray(column[first])) for column in columns]
        obs_t, next_obs_t, state_t, next_state_t, reward, discount, action = tensors
        repeated = [] if copied_M is None else [steps[copied_M]] * n_aug
        plain = {"obs": PlainRows(obs_RO.shape[1]), "state": PlainRows(state_RS.shape[1])}
        return cls(
            obs=torch.from_numpy(_take(obs_RO, obs_first)),
            state=torch.from_numpy(_take(state_RS, state_first)),
            obs_id=obs_t,
            next_obs_id=next_obs_t,
            state_id=state_t,
            next_state_id=next_state_t,
            action=action.float(),
            reward=reward.float(),
            discount=discount.float(),
            steps=torch.from_numpy(np.concatenate([steps, *repeated])),
            first_copy=len(steps),
            storages=plain if spec is None else row_storages(spec),
            copies=copies,
        )

    def __len__(self) -> int:
        return len(self.steps)

    def ids(self, view: str) -> tuple[Tensor, Tensor]:
        """Which rows of a view stand before and after each distinct transition, (D,) and (D,)."""
        return (self.obs_id, self.next_obs_id) if view == "obs" else (self.state_id, self.next_state_id)

    def read(self, view: str, number_N: Tensor, angle_N: Tensor | None = None) -> Tensor:
        """Rows (N, F) of a view as float32, turned by angles where they are given."""
        rows_NF = self.storages[view].decode((self.obs if view == "obs" else self.state)[number_N])
        if angle_N is not None:
            chosen = angle_N.nonzero().flatten()
            turn_rows(rows_NF, self.storages[view], angle_N[chosen], chosen)
        return rows_NF

    @torch.no_grad()
    def embed_all(self, encoder: Encoder, view: str, chunk: int = 4096) -> Tensor:
        """The embeddings (U, Z) of all rows of a view, as they are."""
        return torch.cat([encoder(self.read(view, part)) for part in self.numbers(view).split(chunk)])

    def numbers(self, view: str) -> Tensor:
        """The numbers (U,) of all distinct rows of a view."""
        rows = self.obs if view == "obs" else self.state
        return torch.arange(len(rows), device=rows.device)

    def is_small(self, view: str, batch: "Batch") -> bool:
        """Whether a view has no more rows than a batch has transitions, none of them turned."""
        return batch.turn_D is None and len(self.obs if view == "obs" else self.state) <= len(batch.distinct_D)

    def batch(self, step_B: Tensor, rng: torch.Generator, device: torch.device) -> "Batch":
        """B steps by their numbers, copies turned."""
        turned = self.first_copy < len(self)
        angle_B = copy_angles(step_B, self.first_copy, rng, self.copies) if turned else None
        return Batch.of(self.steps[step_B], device, angle_B)

    def to(self, device: torch.device) -> "TransitionData":
        """The same data on another device; `steps`, from which batches are drawn, stays on the CPU."""
        tensors = {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if f.name not in ("steps", "first_copy", "storages", "copies")
        }
        return replace(self, **{name: tensor.to(device) for name, tensor in tensors.items()})


def row_ids(x_RO: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers rows so that two rows have the same id if and only if they are equal element by element.

    Rows are compared by a 128-bit digest of their bytes: one pass over the data however many rows there are.

    Returns:
        The id of each row (R,), counted from 0 in the order of first sight, and the first row of each id.
    """
    ids = np.empty(len(x_RO), np.int64)
    first: list[int] = []
    seen: dict[bytes, int] = {}
    signed_zero = np.issubdtype(x_RO.dtype, np.floating)
    for r, row in enumerate(np.ascontiguousarray(x_RO)):
        content = row + 0.0 if signed_zero else row  # makes 0.0 of its equal, -0.0
        digest = hashlib.blake2b(content, digest_size=16).digest()
        if (number := seen.setdefault(digest, len(seen))) == len(first):
            first.append(r)
        ids[r] = number
    return ids, np.array(first, np.int64)


def _take(rows_RF: NDArray[Any], first: NDArray[np.int64]) -> NDArray[Any]:
    """Rows by number; the very same array where all of them are wanted, as of images that never repeat."""
    return rows_RF if len(first) == len(rows_RF) else rows_RF[first]


@dataclass(frozen=True)
class Batch:
    """B transitions as D distinct ones: their numbers, how often each occurs, and where each of the B is found.

    Where copies are turned, `turn_D` numbers the turn of each, 0 for none, and `angle_T` is its angle; a transition and
    its copy, or two copies of it, are distinct.
    """

    distinct_D: Tensor
    count_D: Tensor
    place_B: Tensor
    turn_D: Tensor | None = None
    angle_T: Tensor | None = None

    @classmethod
    def of(cls, transition_B: Tensor, device: torch.device, angle_B: Tensor | None = None) -> "Batch":
        """From the numbers of B transitions, and the angles by which they are turned."""
        if angle_B is None:
            distinct, place, count = transition_B.unique(return_inverse=True, return_counts=True)
            return cls(distinct.to(device), count.to(device, torch.float32), place.to(device))
        turn_B = torch.where(angle_B == 0, 0, torch.arange(1, len(angle_B) + 1))
        (distinct, turn), place, count = _unique_pairs(transition_B, turn_B)
        angle_T = torch.cat([angle_B.new_zeros(1), angle_B])
        moved = (x.to(device) for x in (distinct, count.float(), place, turn, angle_T))
        return cls(*moved)

    @classmethod
    def side_by_side(cls, batches: Sequence["Batch"]) -> "Batch":
        """Several batches as one, in which nothing of one is taken for the same as something of another."""
        sizes = [0, *itertools.accumulate(len(batch.distinct_D) for batch in batches)]
        distinct_D, count_D = (torch.cat([getattr(b, name) for b in batches]) for name in ("distinct_D", "count_D"))
        place_B = torch.cat([batch.place_B + size for batch, size in zip(batches, sizes)])
        turns, angles, first = [], [], 0
        for batch in batches:
            if batch.turn_D is None or batch.angle_T is None:
                return cls(distinct_D, count_D, place_B)
            turns.append(torch.where(batch.turn_D == 0, 0, batch.turn_D + first))
            angles.append(batch.angle_T[1:])
            first += len(angles[-1])
        return cls(distinct_D, count_D, place_B, torch.cat(turns), torch.cat([angles[0].new_zeros(1), *angles]))

    def __len__(self) -> int:
        return len(self.place_B)

    @property
    def angle_D(self) -> Tensor | None:
        """The angle of each distinct transition, where copies are turned."""
        return None if self.turn_D is None or self.angle_T is None else self.angle_T[self.turn_D]

    def frames(self, id_D: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """The distinct rows among those of the transitions: their numbers, angles, and where each of the D is found."""
        if self.turn_D is None or self.angle_T is None:
            number, place_D = id_D.unique(return_inverse=True)
            return number, None, place_D
        (number, turn), place_D, _ = _unique_pairs(id_D, self.turn_D)
        return number, self.angle_T[turn], place_D

    @cached_property
    def share_D(self) -> Tensor:
        """The share of each distinct transition in the B."""
        return self.count_D / len(self)

    def mean(self, value_D: Tensor) -> Tensor:
        """The mean over the B transitions of what is known for the distinct ones, (D,) or (D, X): () or (X,)."""
        return self.share_D @ value_D

    def pairs(self, permutation_B: Tensor) -> Tensor:
        """The share of each pair of distinct transitions where the B are held against a permutation of them, (D, D)."""
        D = len(self.distinct_D)
        met = self.place_B * D + self.place_B[permutation_B]
        return met.bincount(minlength=D * D).view(D, D) / len(self)


def _unique_pairs(a: Tensor, b: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor, Tensor]:
    """The distinct pairs of two columns of numbers from 0 on, where each pair is found, and how often it occurs."""
    size = a.max() + 1
    code, place, count = (a + size * b).unique(return_inverse=True, return_counts=True)
    return (code % size, code // size), place, count


def epoch_generator(seed: int, epoch: int) -> torch.Generator:
    """The source of all that is random in an epoch."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0]))


def draw(count: int, batch_size: int, rng: torch.Generator) -> Iterator[Tensor]:
    """The numbers below `count` in random order, in batches (B,); an incomplete last one is dropped if not the only."""
    order = torch.randperm(count, generator=rng)
    size = min(batch_size, count)
    for start in range(0, count - size + 1, size):
        yield order[start : start + size]
