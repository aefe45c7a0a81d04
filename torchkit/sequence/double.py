"""The double layer of a warm-up: half of a memory is brought to last, the other half left as precise as it was."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from torchkit.sequence.base import Carry, Cell, Memory
from utils.errors import UserError, at_least_one


class Double(Memory):
    """Two memories of half the width a layer, side by side on the same input (Lambrechts et al., 2023).

    The first of each layer is what a warm-up trains.

    Args:
        make: a memory of one layer, for an input and an output width.
        out_dim: even; the width of both together.
    """

    def __init__(self, make: Callable[[int, int], Memory], in_dim: int, out_dim: int = 128, layers: int = 1):
        super().__init__()
        at_least_one({"out_dim": out_dim, "layers": layers})
        if out_dim % 2:
            raise UserError(f"out_dim={out_dim}: an even number is needed for double layers")
        self.out_dim = out_dim
        widths = [in_dim, *[out_dim] * (layers - 1)]
        self.halves: list[Memory] = [make(width, out_dim // 2) for width in widths for _ in range(2)]
        self._registered = nn.ModuleList(self.halves)
        self.under_vmap = all(half.under_vmap for half in self.halves)

    def initial_carry(self, batch_size: int) -> Carry:
        return tuple(part for half in self.halves for part in half.initial_carry(batch_size))

    def _parts(self, carry: Carry) -> list[Carry]:
        """The carry of each half."""
        size = len(carry) // len(self.halves)
        return [carry[first : first + size] for first in range(0, len(carry), size)]

    def encode(self, x: Tensor, place_TB: Tensor | None = None) -> Tensor:
        for first, second in zip(self.halves[::2], self.halves[1::2], strict=True):
            x, place_TB = torch.cat([first.encode(x, place_TB), second.encode(x, place_TB)], dim=-1), None
        return x

    def forward(self, x_TBF: Tensor, start_TB: Tensor, carry: Carry | None = None) -> tuple[Tensor, Carry]:
        before = self._parts(self.initial_carry(x_TBF.shape[1]) if carry is None else carry)
        after: list[Tensor] = []
        for layer in range(0, len(self.halves), 2):
            outputs = []
            for half in (layer, layer + 1):
                output, last = self.halves[half](x_TBF, start_TB, before[half])
                outputs.append(output)
                after += last
            x_TBF = torch.cat(outputs, dim=-1)
        return x_TBF, tuple(after)

    def warmed(self) -> list[Tensor]:
        return [parameter for half in self.halves[::2] for parameter in half.parameters()]

    def cells(self, carry: Carry) -> list[Cell]:
        firsts = zip(self.halves[::2], self._parts(carry)[::2], strict=True)
        return [cell for half, part in firsts for cell in half.cells(part)]
