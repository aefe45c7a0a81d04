"""Named feature views of a batch: public ones, which a deployed policy can compute, and privileged ones, of the state.

The two live in separate modules. A policy holds `PublicViews` only, which are given a `PublicBatch`: they cannot read
what they will not have.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn

from buffers.batch import EpisodeBatch, PublicBatch, Rows
from policies.models.sources import Sources
from torchkit.sequence import Carry

Views = dict[str, Tensor]


class Inputs(NamedTuple):
    """What a policy reads at a step of N envs: the observation and its own past."""

    obs_NO: Tensor
    prev_action_NA: Tensor
    prev_reward_N: Tensor
    start_N: Tensor


class Fold(nn.Module):
    """A public view that remembers. It reads observations and its own past, of a batch as of a step.

    Attributes:
        out_dim: the width F of the view.
        trained_by: the auxiliary loss by which alone it learns; None for one that learns by whatever reads it.
        kept_as: the key in a policy's json of what says how to rebuild it; None where the configs say it all.
    """

    out_dim: int
    trained_by: ClassVar[str | None] = None
    kept_as: ClassVar[str | None] = None

    @classmethod
    def build(cls, sources: Sources, training_only: dict[str, nn.Module]) -> Self:
        """The fold that the config asks for.

        Args:
            sources: what it is made of; `sources.kept` has what `from_json` gave, where all weights will be loaded.
            training_only: where it puts what its loss needs and no policy may have, under a name of its choice.
        """
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        """Plain values for a policy's json, under `kept_as`."""
        raise NotImplementedError

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Any:
        """What `build` reads of these values in `sources.kept`.

        Raises:
            KeyError, TypeError, ValueError: they are damaged.
        """
        raise NotImplementedError

    def initial_carry(self, batch_size: int) -> Carry:
        """The carry of `batch_size` episodes that have seen nothing."""
        raise NotImplementedError

    def forward(self, batch: PublicBatch, carry: Carry | None = None) -> Views:
        """The view (T+1, B, F), and others that parts may read.

        Without a carry all rows are those of whole episodes that start at the first; with one they start where
        `batch.start` says.
        """
        raise NotImplementedError

    def carry_after(self, batch: PublicBatch, carry: Carry | None) -> Carry:
        """The carry after the last of the rows, which start where `batch.start` says."""
        for inputs in zip(batch.obs.full(), batch.prev_action, batch.prev_reward, batch.start, strict=True):
            _, carry = self.step(Inputs(*inputs), carry)
        assert carry is not None, "there are rows"
        return carry

    def step(self, now: Inputs, carry: Carry | None) -> tuple[Tensor, Carry]:
        """The view (N, F) at one step of N envs and the carry; where `start_N` is 1 the past is forgotten."""
        raise NotImplementedError


class PublicViews(nn.Module):
    """Views of what a policy has: `folds`, which remember, and `shortcuts`, embeddings of the present observation.

    `kept` is what a policy's json must say of them beside the configs, by its keys.
    """

    def __init__(
        self,
        folds: Mapping[str, Fold],
        shortcuts: Mapping[str, nn.Module],
        kept: Mapping[str, dict[str, Any]] | None = None,
    ):
        super().__init__()
        self.kept = dict(kept or {})
        self.folds, self.shortcuts = nn.ModuleDict(folds), nn.ModuleDict(shortcuts)
        self._folds = dict(folds)  # the same, with their types
        self._carry_sizes = [len(fold.initial_carry(1)) for fold in folds.values()]

    def initial_carry(self, batch_size: int) -> Carry:
        """The folds' carries, one after the other, of `batch_size` episodes that have seen nothing."""
        return tuple(part for fold in self._folds.values() for part in fold.initial_carry(batch_size))

    @property
    def names(self) -> tuple[str, ...]:
        """The views that a head may read."""
        return (*self.shortcuts, *self.folds)

    def forward(self, batch: PublicBatch) -> Views:
        """Views (T+1, B, F); folds begin with the batch's carry and what stands before it, of which nothing is learned.

        Of a batch that holds more, its public part alone goes on.
        """
        batch = batch.public
        views = {name: _spread(batch.obs.embedded(embed)) for name, embed in self.shortcuts.items()}
        carries = None if batch.carry is None else self.unpacked(batch.carry)
        for number, fold in enumerate(self._folds.values()):
            carry = None if carries is None else carries[number]
            if batch.before is not None:
                with torch.no_grad():
                    carry = fold.carry_after(batch.before, carry)
            views |= fold(batch) if carry is None else fold(batch, carry)
        return views

    @cached_property
    def _parts(self) -> list[list[tuple[int, torch.Size, torch.dtype]]]:
        """Of each part of each fold's carry, where the batch stands among its dimensions, and one env's shape."""
        found = []
        for fold in self._folds.values():
            parts = []
            for one, two in zip(fold.initial_carry(1), fold.initial_carry(2), strict=True):
                axis = [a == b for a, b in zip(one.shape, two.shape, strict=True)].index(False)
                parts.append((axis, one.squeeze(axis).shape, one.dtype))
            found.append(parts)
        return found

    @property
    def carry_dim(self) -> int:
        """How many numbers a carry of one env has."""
        return sum(shape.numel() for parts in self._parts for _, shape, _ in parts)

    def packed(self, carry: Carry) -> Tensor:
        """A carry of N envs as (N, C) float32."""
        axes = [axis for parts in self._parts for axis, _, _ in parts]
        flat = [
            part.movedim(axis, 0).flatten().view(part.shape[axis], -1) for part, axis in zip(carry, axes, strict=True)
        ]
        return torch.cat([part.float() for part in flat], dim=1)

    def unpacked(self, packed_NC: Tensor) -> list[Carry]:
        """Each fold's carry."""
        found, begin = [], 0
        for parts in self._parts:
            mine: Carry = ()
            for axis, shape, dtype in parts:
                part = packed_NC[:, begin : begin + shape.numel()].to(dtype)
                mine += (part.reshape(-1, *shape).movedim(0, axis),)
                begin += shape.numel()
            found.append(mine)
        return found

    def step(self, now: Inputs, carry: Carry | None) -> tuple[Views, Carry]:
        """One step of N envs: views (N, F) and the folds' carries, one after the other."""
        views = {name: embed(now.obs_NO) for name, embed in self.shortcuts.items()}
        after: Carry = ()
        for (name, fold), size in zip(self._folds.items(), self._carry_sizes, strict=True):
            mine, carry = (None, None) if carry is None else (carry[:size], carry[size:])
            views[name], new = fold.step(now, mine)
            after += new
        return views, after


def _spread(rows: Rows) -> Tensor:
    """All rows of a view (T+1, B, F), with the distinct ones at hand as `few` where they are few."""
    view = rows.full()
    if not rows.in_order:
        view.few = rows  # type: ignore[attr-defined]
    return view


def before_steps(views: Mapping[str, Tensor]) -> Views:
    """The views (T, B, F) at the rows before each step: a head on them leaves out the rows after which nothing is done.

    Of episodes of a single step these are half of all rows.
    """
    return {name: _some(view, slice(None, -1)) for name, view in views.items()}


def after_steps(views: Mapping[str, Tensor]) -> Views:
    """The views (T, B, F) at the rows after each step."""
    return {name: _some(view, slice(1, None)) for name, view in views.items()}


def _some(view: Tensor, steps: slice) -> Tensor:
    """Some of a view's rows, with the distinct ones still at hand."""
    some, few = view[steps], getattr(view, "few", None)
    if few is not None:
        some.few = Rows(few.distinct, few.place[steps])  # type: ignore[attr-defined]
    return some


class PrivilegedViews(nn.Module):
    """Views of the state, for training only: learned embeddings, and frozen ones such as `z_state`, by stage 2."""

    def __init__(self, embedders: Mapping[str, nn.Module], frozen: Mapping[str, nn.Module]):
        super().__init__()
        self.embedders, self.frozen = nn.ModuleDict(embedders), nn.ModuleDict(frozen)
        self.frozen.requires_grad_(False)

    @property
    def names(self) -> tuple[str, ...]:
        """The views that there are."""
        return (*self.embedders, *self.frozen)

    def forward(self, batch: EpisodeBatch) -> Views:
        """Views (T+1, B, F) of the state rows."""
        views = {name: batch.state.through(embed) for name, embed in self.embedders.items()}
        with torch.no_grad():
            views |= {name: batch.state.through(embed) for name, embed in self.frozen.items()}
        return views
