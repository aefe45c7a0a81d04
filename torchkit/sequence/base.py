"""What every memory offers."""

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

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

    under_vmap: ClassVar[bool] = False
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
