"""The neuromodulated bistable recurrent cell (Vecoven, Ernst & Drion, 2021)."""

import torch.nn.functional as F
from torch import Tensor

from torchkit.fast.gated_loop import GatedLoop
from torchkit.sequence.stack import GatedLayer, GatedStack, matrices


def _step(read_BP: Tensor, state_BH: Tensor, weight_GH: Tensor) -> Tensor:
    gates, new = read_BP.split(weight_GH.shape, dim=-1)
    keep, feedback = (gates + F.linear(state_BH, weight_GH)).chunk(2, dim=-1)
    keep = keep.sigmoid()
    return keep * state_BH + (1 - keep) * (new + (1 + feedback.tanh()) * state_BH).tanh()


def _by_weight(d_read_RP: Tensor, before_RH: Tensor, gates_RP: Tensor) -> Tensor:
    return d_read_RP[:, : 2 * before_RH.shape[-1]].t() @ before_RH


class NBRCLayer(GatedLayer):
    """That of `brc` with matrices W_c h and W_a h: units set each other's gate and feedback."""

    parts = 3
    loop = GatedLoop("brc", _step, _by_weight)

    def __init__(self, in_dim: int, width: int):
        super().__init__(in_dim, width)
        self.recurrent = matrices(width, width, 2, bias=False)  # W_c, W_a


class NBRC(GatedStack):
    """Layers of `NBRCLayer`."""

    layer = NBRCLayer
