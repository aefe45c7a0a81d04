"""The bistable recurrent cell (Vecoven, Ernst & Drion, 2021)."""

import torch
from torch import Tensor, nn

from torchkit.fast.gated_loop import GatedLoop
from torchkit.sequence.stack import GatedLayer, GatedStack


def _step(read_BP: Tensor, state_BH: Tensor, weight_2H: Tensor) -> Tensor:
    keep, feedback, new = read_BP.chunk(3, dim=-1)
    keep = (keep + weight_2H[0] * state_BH).sigmoid()
    feedback = 1 + (feedback + weight_2H[1] * state_BH).tanh()
    return keep * state_BH + (1 - keep) * (new + feedback * state_BH).tanh()


def _by_weight(d_read_RP: Tensor, before_RH: Tensor, gates_RP: Tensor) -> Tensor:
    H = before_RH.shape[-1]
    return (d_read_RP[:, : 2 * H].unflatten(-1, (2, H)) * before_RH[:, None]).sum(0)


class BRCLayer(GatedLayer):
    """h' = c h + (1 - c) tanh(U x + a h + b), c = σ(U_c x + w_c h + b_c), a = 1 + tanh(U_a x + w_a h + b_a).

    All but U is element by element. Where a is above 1 a unit has two stable states.
    """

    parts = 3
    loop = GatedLoop("brc", _step, _by_weight)

    def __init__(self, in_dim: int, width: int):
        super().__init__(in_dim, width)
        self.recurrent = nn.Parameter(torch.ones(2, width))  # w_c, w_a


class BRC(GatedStack):
    """Layers of `BRCLayer`."""

    layer = BRCLayer
