"""The minimal GRU, whose gate reads the input alone (Feng et al., 2024, "Were RNNs all we needed?")."""

import torch
from torch import Tensor

from torchkit.fast.gates import Gates
from torchkit.sequence.scan import HALF
from torchkit.sequence.stack import Block, ScannedLayer, Stack, linear


def gates(wide: Tensor) -> tuple[Tensor, Tensor]:
    """1 - z and z g (…, H) from rows (…, 2H) of what they are taken of, side by side."""
    gate, candidate = wide.chunk(2, dim=-1)
    gate = gate.sigmoid()
    return 1 - gate, gate * torch.where(candidate < 0, candidate.sigmoid(), candidate + 0.5)


LONGEST = 100
GATES = Gates("mingru", gates, outputs=2, parts=2)


class MinGRUCell(ScannedLayer):
    """h' = (1 - z) h + z g with z = σ(W_z x + b_z), g of W_h x + b_h.

    g(v) is v + 1/2 from 0 on and σ(v) below, so that a state stays above 0. The paper scans logarithms, since a product
    of many gates may be below any number; here each is multiplied into a state, and what is lost is lost for good.
    Gates start by their biases at 1 / (1 + T), T from 1 to `LONGEST` steps, drawn evenly in logarithms (after Tallec &
    Ollivier, 2018): with all at 1/2 nothing of twenty steps ago would have a gradient.
    """

    def __init__(self, width: int):
        super().__init__()
        self.state_dim = width
        self.gate_and_candidate = linear(width, 2 * width)
        steps = LONGEST ** torch.rand(width)
        with torch.no_grad():
            self.gate_and_candidate.get_parameter("0.bias")[:width] = -steps.log()

    def read(self, x: Tensor) -> tuple[Tensor, ...]:
        wide = self.gate_and_candidate(x)
        keep, inputs = GATES(wide.float() if wide.dtype in HALF else wide)  # of half precision 1 - 0.001 is 1
        return keep, inputs


class MinGRU(Stack):
    """Blocks of `MinGRUCell`."""

    def __init__(self, in_dim: int, out_dim: int = 128, layers: int = 1):
        super().__init__(in_dim, out_dim, layers, lambda number, width: Block(width, MinGRUCell(width)))
