"""The minimal gated unit: a GRU with one gate (Zhou et al., 2016)."""

import torch.nn.functional as F
from torch import Tensor

from torchkit.sequence.stack import GatedLayer, GatedStack, matrices


class MGULayer(GatedLayer):
    """h' = (1 - f) h + f tanh(W (f h) + U x + b), f = σ(U_f x + W_f h + b_f)."""

    parts = 2

    def __init__(self, in_dim: int, width: int):
        super().__init__(in_dim, width)
        self.recurrent = matrices(width, width, 2, bias=False)  # W_f, W

    def step(self, read_BP: Tensor, state_BH: Tensor) -> Tensor:
        gate, new = read_BP.chunk(2, dim=-1)
        of_gate, of_new = self.recurrent.weight.chunk(2)
        gate = (gate + F.linear(state_BH, of_gate)).sigmoid()
        return state_BH + gate * ((new + F.linear(gate * state_BH, of_new)).tanh() - state_BH)


class MGU(GatedStack):
    """Layers of `MGULayer`."""

    layer = MGULayer
