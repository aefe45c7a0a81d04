"""Episodes as data: one finished episode, and the time-major batch that everything downstream reads.

Of a batch's rows many are the same: networks compute these once.

Row convention (the only place where time is shifted). Row t = 0…L of an episode of length L holds `prev_action_t,
prev_reward_t, obs_t, state_t, start_t` (prev_* are zero at t = 0). Transition t < L holds `action_t, reward_t,
discount_t, mask_t`; `discount_t` is 0 on a true ending and 1 otherwise.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from torchkit.networks import MLP

VIEWS_OF_ROWS = ("obs", "state")  # what an episode, a batch, a data set hold a row of


@dataclass
class Episode:
    """One finished episode of L >= 1 steps; the row after the last action is kept.

    Attributes:
        obs: (L+1, O) float32, or the bytes (L+1, K) that `buffers.images` makes of them.
        state: (L+1, S) float32, or bytes likewise.
        action: (L,) int64 of a discrete action, or (L, A) float32.
        reward: (L,) float32.
        discount: (L,) float32, 0 on a true ending (never at a time limit), 1 otherwise.
        success: whether the task was solved; None where the env does not tell.
        expert: whether the expert acted.
        informed: whether the episode showed the hidden fact; None where the env does not tell.
        carry: what the memory of who acted held before each step, (L, C) float32; None where nothing is kept of it.
        advice: like `action`, what a teacher would have done at each step; None where none was asked.
    """

    obs: NDArray[Any]
    state: NDArray[Any]
    action: NDArray[Any]
    reward: NDArray[np.float32]
    discount: NDArray[np.float32]
    success: bool | None = None
    expert: bool = False
    informed: bool | None = None
    carry: NDArray[np.float32] | None = None
    advice: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.reward)

    def end_at_limit(self, horizon: int) -> None:
        """Has the episode end there for good if it is of the horizon's length."""
        if len(self) == horizon:
            self.discount[-1] = 0.0


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

    def to(self, device: torch.device | str) -> "Rows":
        """The same rows on another device."""
        return Rows(self.distinct.to(device), self.place.to(device), self.in_order)

    def through(self, net: Callable[[Tensor], Tensor]) -> Tensor:
        """The same as `net(self.full())`."""
        return self.embedded(net).full()

    def split(self, row: int) -> tuple["Rows", "Rows"]:
        """The rows before one, and the others."""
        if not self.in_order:
            return Rows(self.distinct, self.place[:row]), Rows(self.distinct, self.place[row:])
        rows = self.full()
        return Rows.all_different(rows[:row]), Rows.all_different(rows[row:])

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
            learns = isinstance(net, nn.Module) and any(p.requires_grad for p in net.parameters())
            if out.requires_grad or not learns:
                return out
        self.known[net] = out = net(self._prepared(net, self.known))
        return out

    def _prepared(self, net: Callable[[Tensor], Tensor], known: dict[Any, Tensor]) -> Tensor:
        """The distinct rows; images in the form in which encoders want them, which is made once for all of these."""
        prepare = getattr(net, "prepare", None)
        if prepare is None:
            return self.distinct
        key = ("prepared", getattr(net, "reading", None))
        if key not in known:
            known[key] = prepare(self.distinct)
        return known[key]


class UnreadRows(Rows):
    """Rows that are made when they are first asked for: who does not look at a view does not pay for its images."""

    def __init__(self, make: Callable[[], Tensor], place: Tensor):
        self._make, self.place, self.in_order, self.known = make, place, False, None

    @cached_property
    def distinct(self) -> Tensor:  # type: ignore[override]
        """(U, F)."""
        return self._make()

    def to(self, device: torch.device | str) -> Rows:
        return self if torch.device(device) == self.place.device else super().to(device)


@dataclass(kw_only=True)
class PublicBatch:
    """What a policy may have of B episodes side by side, in training as when deployed: nothing of the state.

    Rows are (T+1, B, ·), transitions (T, B, ·); past an episode's end the mask is 0. `action` is (T, B) int64 if
    discrete, else (T, B, A).

    Attributes:
        carry: what memories held before the first row, (B, C), as `PublicViews.packed` has it; None for nothing.
        before: rows that stand before the first, which memories read and nothing else does; None for none. Then `carry`
            is what they held before those.
    """

    obs: Rows
    prev_action: Tensor
    prev_reward: Tensor
    start: Tensor
    action: Tensor
    mask: Tensor
    carry: Tensor | None = None
    before: "PublicBatch | None" = None

    @property
    def row_mask(self) -> Tensor:
        """(T+1, B): 1 on each of the L+1 real rows of an episode, the one after the last action included."""
        return torch.cat([torch.ones_like(self.mask[:1]), self.mask])

    @cached_property
    def previous(self) -> Rows:
        """`prev_action`, of discrete actions as one row each and one for none."""
        if self.action.ndim > 2:
            return Rows.all_different(self.prev_action)
        num_actions = self.prev_action.shape[-1]
        rows = torch.eye(num_actions + 1, num_actions, device=self.mask.device)  # the last is none
        place_TB = torch.where(self.mask > 0, self.action, num_actions)
        first_B = self.prev_action[0]  # none, but of rows out of the middle of an episode
        first_B = torch.where(first_B.any(-1), first_B.argmax(-1), num_actions)
        return Rows(rows, torch.cat([first_B[None], place_TB]))

    @cached_property
    def real_rows(self) -> Tensor | None:
        """The flat numbers (R,) of the real rows among (T+1)·B, or None where all are to be computed."""
        mask = self.row_mask.flatten()
        return None if bool(mask.all()) else mask.nonzero().flatten()

    @cached_property
    def real_steps(self) -> Tensor | None:
        """The flat numbers (M,) of the real steps among T·B, or None where all are to be computed."""
        if "real_rows" in self.__dict__ and self.real_rows is None:
            return None
        mask = self.mask.flatten()
        return None if bool(mask.all()) else mask.nonzero().flatten()

    def with_padding(self) -> Self:
        """From now on padding is computed, too: for `vmap`, under which the number of real rows must not be asked."""
        self.__dict__ |= {"real_rows": None, "real_steps": None}
        return self

    def on_real_rows(self, net: Callable[[Tensor], Tensor], x: Tensor, beside: Rows | None = None) -> Tensor:
        """The same as `net(x)` of x (T+1, B, F) on real rows, and 0 on padding, where nothing is computed.

        Of x (T, B, F) real are the rows of real steps, be it those before each step or those after it. With `beside` it
        is that of x and those rows side by side.
        """
        rows = self.real_rows if len(x) > len(self.mask) else self.real_steps
        if isinstance(net, MLP) and net.is_fast(x):
            return net.of_rows(x, rows, None if beside is None else (beside.distinct, beside.place))
        if beside is not None:
            x = torch.cat([x, beside.full().to(x.dtype)], dim=-1)
        if rows is None:
            return net(x)
        y_RF = net(x.flatten(0, 1).index_select(0, round_up(rows)))[: len(rows)]
        y = y_RF.new_zeros(x.shape[0] * x.shape[1], y_RF.shape[-1])
        return y.index_copy(0, rows, y_RF).view(*x.shape[:2], -1)

    @cached_property
    def public(self) -> "PublicBatch":
        """These fields alone."""
        mine = PublicBatch(**{f.name: getattr(self, f.name) for f in fields(PublicBatch)})
        mine.__dict__["real_rows"] = self.real_rows
        return mine


@dataclass(kw_only=True)
class EpisodeBatch(PublicBatch):
    """All that is stored of B episodes, the state among it. `expert` (B,) is 1 where the expert acted.

    `past_return` (B,) is what the episodes had earned before the first row, discounted backwards; None for nothing, or
    where nobody has asked for it.
    """

    of_steps: ClassVar[tuple[str, ...]] = ("action", "mask", "reward", "discount")

    state: Rows
    reward: Tensor
    discount: Tensor
    expert: Tensor
    past_return: Tensor | None = None

    @classmethod
    def from_transitions(
        cls,
        obs: Rows | Tensor,
        state: Rows | Tensor,
        action: Tensor,
        reward: Tensor,
        discount: Tensor,
        mask: Tensor,
        num_actions: int,
    ) -> "EpisodeBatch":
        """Shifts actions and rewards into the rows that follow them; `num_actions` is the A of a one-hot action.

        No episode counts as one of the expert's.
        """
        obs, state = (x if isinstance(x, Rows) else Rows.all_different(x) for x in (obs, state))
        features = torch.nn.functional.one_hot(action, num_actions).to(reward.dtype) if action.ndim == 2 else action
        prev_action = torch.cat([torch.zeros_like(features[:1]), features * mask[..., None]])
        prev_reward = torch.cat([torch.zeros_like(reward[:1]), reward * mask])
        start = torch.zeros_like(prev_reward)
        start[0] = 1.0
        none = torch.zeros_like(reward[0])
        return cls(
            obs=obs,
            prev_action=prev_action,
            prev_reward=prev_reward,
            start=start,
            action=action,
            mask=mask,
            state=state,
            reward=reward,
            discount=discount,
            expert=none,
        )

    def window(self, first: int, begin: int, carry: Tensor | None) -> Self:
        """The batch from a row on, those from another on to be read before it; and what memories held before these."""
        _, obs = self.obs.split(begin)
        before, obs = obs.split(first - begin)
        _, state = self.state.split(first)
        rows = {name: getattr(self, name) for name in ("prev_action", "prev_reward", "start")}
        steps = {name: getattr(self, name) for name in self.of_steps}
        last = first - 1
        read = PublicBatch(
            obs=before,
            **{name: x[begin:first] for name, x in rows.items()},
            **{name: steps[name][begin:last] for name in ("action", "mask")},
            carry=carry,
        )
        later = {name: x[first:] for name, x in (rows | steps).items()}
        return replace(self, obs=obs, state=state, carry=carry, before=read if begin < first else None, **later)

    @contextmanager
    def encoding_once(self) -> Iterator[None]:
        """Within it a network runs once on the rows of a view, however often `Rows.through` is asked for it.

        For the forward passes of one update: nothing may change a network's parameters meanwhile, and networks of rows
        must do the same in training and evaluation mode.
        """
        self.obs.known, self.state.known = {}, {}
        try:
            yield
        finally:
            self.obs.known = self.state.known = None

    def to(self, device: torch.device | str) -> Self:
        """The same batch on another device."""

        def move(value: Any) -> Any:
            if value is None:
                return None
            if isinstance(value, Rows):
                return value.to(device)
            if isinstance(value, PublicBatch):
                return type(value)(**{f.name: move(getattr(value, f.name)) for f in fields(value)})
            return value.to(device, non_blocking=True)

        moved: Self = move(self)
        return moved


@dataclass(kw_only=True)
class AdvisedBatch(EpisodeBatch):
    """And what a teacher would have done: `advice`, like `action`. It may tell of the state: no policy has it."""

    of_steps = (*EpisodeBatch.of_steps, "advice")

    advice: Tensor


def round_up(rows: Tensor) -> Tensor:
    """Row numbers (R,) with the first repeated up to a multiple of 64: libraries prepare a product per new size."""
    return torch.cat([rows, rows[:1].expand(-len(rows) % 64)])
