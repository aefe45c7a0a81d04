"""Rows of which many are the same: found by value or by key, and computed once."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


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


def round_up(rows: Tensor) -> Tensor:
    """Row numbers (R,) with the first repeated up to a multiple of 64: libraries prepare a product per new size."""
    return torch.cat([rows, rows[:1].expand(-len(rows) % 64)])


def parameters_of(net: Callable[[Tensor], Tensor]) -> Iterator[nn.Parameter]:
    """The parameters of a module; none of a plain function."""
    return net.parameters() if isinstance(net, nn.Module) else iter(())


@dataclass
class Rows:
    """Rows (T+1, B, F) of which many may be the same: the U distinct ones, and where each row finds its own.

    A network that works row by row runs on the distinct ones only (`through`), which on a grid are a few dozen.
    `in_order` says that the distinct rows are all rows, as they stand. Between `EpisodeBatch.encoding_once` and its end
    `known` keeps what each network made of them, and images as networks prepare them.
    """

    distinct: Tensor
    place: Tensor
    in_order: bool = False
    known: dict[Any, Tensor] | None = None

    @classmethod
    def all_different(cls, rows: Tensor) -> "Rows":
        """Rows (T+1, B, F) that are not searched for doubles."""
        count = rows.shape[0] * rows.shape[1]
        return cls(rows.flatten(0, 1), torch.arange(count, device=rows.device).view(rows.shape[:2]), in_order=True)

    def full(self) -> Tensor:
        """All rows (T+1, B, F)."""
        if self.in_order:
            return self.distinct.view(*self.place.shape, -1)
        return self.distinct.index_select(0, self.place.flatten()).view(*self.place.shape, -1)

    def through(self, net: Callable[[Tensor], Tensor]) -> Tensor:
        """The same as `net(self.full())`."""
        return self.embedded(net).full()

    def embedded(self, net: Callable[[Tensor], Tensor]) -> "Rows":
        """What `net` makes of the rows, the doubles among them still found in one place."""
        return Rows(self._apply(net), self.place, self.in_order)

    def beside(self, other: "Rows") -> "Rows":
        """Both rows' features side by side, this one's first; few distinct ones stay few."""
        mine, theirs = len(self.distinct), len(other.distinct)
        if 2 * mine * theirs > self.place.numel():
            return Rows.all_different(torch.cat([self.full(), other.full()], dim=-1))
        pairs = [self.distinct.repeat_interleave(theirs, dim=0), other.distinct.repeat(mine, 1)]
        return Rows(torch.cat(pairs, dim=-1), self.place * theirs + other.place)

    def _apply(self, net: Callable[[Tensor], Tensor]) -> Tensor:
        """`net(distinct)`; one that is known is taken again, unless it lacks the gradient that is wanted now."""
        if self.known is None:
            return net(self.distinct)
        if net in self.known:
            out = self.known[net]
            if not torch.is_grad_enabled():
                return out.detach()
            if out.requires_grad or not any(p.requires_grad for p in parameters_of(net)):
                return out
        self.known[net] = out = net(self._prepared(net, self.known))
        return out

    def _prepared(self, net: Callable[[Tensor], Tensor], known: dict[Any, Tensor]) -> Tensor:
        """The distinct rows; images in the form in which encoders want them, which is made once for all of these."""
        prepare = getattr(net, "prepare", None)
        if prepare is None:
            return self.distinct
        if "prepared" not in known:
            known["prepared"] = prepare(self.distinct)
        return known["prepared"]
