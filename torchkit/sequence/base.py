"""What every memory offers."""

from torch import Tensor, nn

Carry = tuple[Tensor, ...]


class Memory(nn.Module):
    """Folds features into a history; see the package's docstring for the contract."""

    out_dim: int

    def initial_carry(self, batch_size: int) -> Carry:
        """The carry of `batch_size` sequences that have seen nothing."""
        raise NotImplementedError

    def forward(self, x_TBF: Tensor, start_TB: Tensor, carry: Carry | None = None) -> tuple[Tensor, Carry]:
        """Returns the history (T, B, H) after each step and the carry after the last."""
        raise NotImplementedError

    def encode(self, x: Tensor, place_TB: Tensor | None = None) -> Tensor:
        """The history (T, B, H) of whole sequences x (T, B, F) that all start at the first row.

        `forward` without a carry; with `place_TB`, x (U, F) are the distinct rows and it says where they stand.
        """
        x_TBF = x if place_TB is None else at(x, place_TB)
        return self.forward(x_TBF, x_TBF.new_zeros(x_TBF.shape[:2]), None)[0]


def at(rows_UF: Tensor, place_TB: Tensor) -> Tensor:
    """The rows that stand at each place: (T, B, F)."""
    return rows_UF.index_select(0, place_TB.flatten()).view(*place_TB.shape, -1)
