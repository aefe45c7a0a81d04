"""What every memory offers."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from utils.errors import UserError

Carry = tuple[Tensor, ...]
Step = Callable[[Tensor, Carry], Carry]


class Cell(NamedTuple):
    """A nonlinear recurrence by itself: how an input (B, F) changes its state, F, and a state to begin with."""

    step: Step
    in_dim: int
    state: Carry


class Memory(nn.Module):
    """Folds features into a history; see the package's docstring for the contract.

    The constructor takes the width of the features, then the `kwargs` of the config; a memory of limited reach also
    takes `context`, the rows of an episode, and keeps it. There it refuses settings that cannot be, by a `UserError`
    that begins with the field, as `layers=0: at least 1 is needed`.

    Attributes:
        out_dim: the width of the history.
        under_vmap: whether `encode`, after `prepare_vmap`, works under `torch.func.vmap` (updates of several seeds as
            one batch).
    """

    under_vmap: bool = False
    out_dim: int

    def prepare_vmap(self) -> None:
        """From now on `encode` is to be called under `vmap` alone; nothing to do where torch's own operations do."""

    def initial_carry(self, batch_size: int) -> Carry:
        """The carry of `batch_size` sequences that have seen nothing."""
        raise NotImplementedError

    def forward(self, x_TBF: Tensor, start_TB: Tensor, carry: Carry | None = None) -> tuple[Tensor, Carry]:
        """Returns the history (T, B, H) after each step and the carry after the last.

        Where `start_TB` is 1 it comes out as from no carry, whatever stood in it, NaN among it: see `forget`.
        """
        raise NotImplementedError

    def cells(self, carry: Carry) -> list[Cell]:
        """What can be warmed up (`torchkit.sequence.warmup`), in the states of a carry; none if not said otherwise."""
        return []

    def warmed(self) -> list[Tensor]:
        """The parameters that a warm-up moves."""
        return list(self.parameters())

    def encode(self, x: Tensor, place_TB: Tensor | None = None) -> Tensor:
        """The history (T, B, H) of whole sequences x (T, B, F) that all start at the first row.

        `forward` without a carry; with `place_TB`, x (U, F) are the distinct rows and it says where they stand.
        """
        x_TBF = x if place_TB is None else at(x, place_TB)
        return self.forward(x_TBF, x_TBF.new_zeros(x_TBF.shape[:2]), None)[0]


def at(rows_UF: Tensor, place_TB: Tensor) -> Tensor:
    """The rows that stand at each place: (T, B, F)."""
    return rows_UF.index_select(0, place_TB.flatten()).view(*place_TB.shape, -1)


def forget(carry: Tensor, start_B: Tensor) -> Tensor:
    """A carry (…, B, H) with 0 where an episode starts; a product by 1 - start would keep a NaN."""
    return torch.where(start_B[:, None] > 0, 0.0, carry)


def check_memory(memory: Memory, in_dim: int, steps: int = 3) -> None:
    """Tries on a few made-up rows, on the CPU, whether a memory keeps its contract; no random stream is moved.

    With three steps there is an episode that starts within the sequence; with one it costs two steps of acting, and
    tells what acting needs.

    Raises:
        UserError: it does not; begins with its class.
    """
    x_TBF = torch.linspace(-40.0, 40.0, steps * 2 * in_dim).sin().view(steps, 2, in_dim)
    start_TB = torch.zeros(steps, 2)
    start_TB[0] = start_TB[1:2, 0] = start_TB[2:3, 1] = 1.0
    training = memory.training
    memory.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=()):
            _check_on(memory, x_TBF, start_TB)
    finally:
        memory.train(training)


def _check_on(memory: Memory, x_TBF: Tensor, start_TB: Tensor) -> None:
    who = type(memory).__name__
    part, carry = _stepped(memory, x_TBF[:1], start_TB[:1], None)
    broken = tuple(torch.full_like(c, torch.nan) if c.is_floating_point() else c for c in carry)
    parts = [part]
    for t in range(1, len(x_TBF)):
        part, carry = _stepped(memory, x_TBF[t : t + 1], start_TB[t : t + 1], carry)
        parts.append(part)
    whole_TBH, _ = _stepped(memory, x_TBF, start_TB, broken)
    fresh = [(whole_TBH[0], parts[0][0])]
    for t, b in (start_TB[1:].nonzero() + torch.tensor([1, 0])).tolist():
        alone_11H, _ = memory(x_TBF[t : t + 1, b : b + 1], torch.zeros(1, 1), None)
        fresh.append((whole_TBH[t, b], alone_11H[0, 0]))
    if not all(torch.allclose(found, expected, rtol=1e-3, atol=1e-4) for found, expected in fresh):
        raise UserError(f"{who}: where start_TB is 1 it must forget what came before, a NaN as well (see `forget`)")
    if not torch.allclose(whole_TBH, torch.cat(parts), rtol=1e-3, atol=1e-4):
        raise UserError(f"{who}: a sequence that is split must come out as the whole")


def _stepped(memory: Memory, x_TBF: Tensor, start_TB: Tensor, carry: Carry | None) -> tuple[Tensor, Carry]:
    """History and carry, if they are of the right form."""
    who, (T, B) = f"{type(memory).__name__}.forward", start_TB.shape
    if not isinstance(getattr(memory, "out_dim", None), int):
        raise UserError(f"{type(memory).__name__} lacks out_dim, the width of its history")
    returned = memory(x_TBF, start_TB, carry)
    if not isinstance(returned, tuple) or len(returned) != 2 or not isinstance(returned[0], Tensor):
        raise UserError(f"{who} must return the history and the carry")
    history_TBH, after = returned
    if history_TBH.shape != (T, B, memory.out_dim):
        needed = f"(T, B, out_dim) = {(T, B, memory.out_dim)}"
        raise UserError(f"{who} returned a history of {tuple(history_TBH.shape)}; {needed} is needed")
    shapes = [c.shape for c in memory.initial_carry(B)]
    if not isinstance(after, tuple) or [getattr(c, "shape", None) for c in after] != shapes:
        raise UserError(f"{who} must return as carry a tuple of tensors, of the shapes of initial_carry")
    return history_TBH, after
