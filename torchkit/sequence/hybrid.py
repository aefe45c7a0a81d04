"""Blocks of transients and of persistent states in turn (De Geeter et al., 2026)."""

from torchkit.sequence.bmru import BMRUCell, positive
from torchkit.sequence.lru import LRUCell, ring
from torchkit.sequence.stack import Block, Stack
from utils.errors import UserError


class Hybrid(Stack):
    """A block of `LRUCell`, then one of `BMRUCell`, and so on: what fades below, what stays above it."""

    def __init__(
        self,
        in_dim: int,
        out_dim: int = 128,
        layers: int = 2,
        r_min: float = 0.9,
        r_max: float = 0.999,
        threshold: float = 1.0,
    ):
        ring(r_min, r_max)
        positive(threshold)
        if layers < 2:
            raise UserError(f"layers={layers}: at least 2 are needed, one of each kind")

        def make(number: int, width: int) -> Block:
            return Block(width, BMRUCell(width, threshold) if number % 2 else LRUCell(width, r_min, r_max))

        super().__init__(in_dim, out_dim, layers, make)
