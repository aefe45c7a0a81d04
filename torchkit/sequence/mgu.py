"""The minimal gated unit: a GRU with one gate (Zhou et al., 2016)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from torchkit.fast.gated_loop import GatedLoop
from torchkit.sequence.stack import GatedLayer, GatedStack, matrices


def _step(read_BP: Tensor, state_BH: Tensor, weight_GH: Tensor) -> Tensor:
    (gate, new), (of_gate, of_new) = read_BP.chunk(2, dim=-1), weight_GH.chunk(2)
    gate = (gate + F.linear(state_BH, of_gate)).sigmoid()
    return state_BH + gate * ((new + F.linear(gate * state_BH, of_new)).tanh() - state_BH)


def _by_weight(d_read_RP: Tensor, before_RH: Tensor, gates_RP: Tensor) -> Tensor:
    (d_gate, d_new), (gate, _) = d_read_RP.chunk(2, dim=-1), gates_RP.chunk(2, dim=-1)
    return torch.cat([d_gate.t() @ before_RH, d_new.t() @ (gate * before_RH)])


class MGULayer(GatedLayer):
    """h' = (1 - f) h + f tanh(W (f h) + U x + b), f = σ(U_f x + W_f h + b_f)."""

    parts = 2
    loop = GatedLoop("mgu", _step, _by_weight)

    def __init__(self, in_dim: int, width: int):
        super().__init__(in_dim, width)
        self.recurrent = matrices(width, width, 2, bias=False)  # W_f, W


class MGU(GatedStack):
    """Layers of `MGULayer`."""

    layer = MGULayer
