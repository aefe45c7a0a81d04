"""The neuromodulated bistable recurrent cell (Vecoven, Ernst & Drion, 2021)."""

import torch.nn.functional as F
from torch import Tensor

from torchkit.sequence.stack import GatedLayer, GatedStack, matrices


class NBRCLayer(GatedLayer):
    """That of `brc` with matrices W_c h and W_a h: units set each other's gate and feedback."""

    parts = 3

    def __init__(self, in_dim: int, width: int):
        super().__init__(in_dim, width)
        self.recurrent = matrices(width, width, 2, bias=False)  # W_c, W_a

    def step(self, read_BP: Tensor, state_BH: Tensor) -> Tensor:
        width = state_BH.shape[-1]
        gates, new = read_BP.split([2 * width, width], dim=-1)
        keep, feedback = (gates + F.linear(state_BH, self.recurrent.weight)).chunk(2, dim=-1)
        keep = keep.sigmoid()
        return keep * state_BH + (1 - keep) * (new + (1 + feedback.tanh()) * state_BH).tanh()


class NBRC(GatedStack):
    """Layers of `NBRCLayer`."""

    layer = NBRCLayer
