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

    def encode(self, x_TBF: Tensor) -> Tensor:
        """The history (T, B, H) of whole sequences that all start at the first row: `forward` without a carry."""
        start_TB = x_TBF.new_zeros(x_TBF.shape[:2])
        return self.forward(x_TBF, start_TB, None)[0]
