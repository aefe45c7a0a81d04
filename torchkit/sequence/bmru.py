"""The bistable memory recurrent unit: each state is one of two, and jumps or stays (De Geeter et al., 2026).

Rebuilt from what the abstract of arXiv 2601.09495 says, not from the paper's equations or code. What it cannot do:

- Whether a state is written hangs on the present input alone. A pure stack cannot tell the first step from later ones
  unless an input marks it, so that "copy the first input" is beyond it; `hybrid` has a layer of transients below.
- A state is quantised, and so would values be that read it alone; the block's residual shows them the input as well.
- A write cuts the gradient to all before, and where nothing writes, candidates learn by the tail of a surrogate alone:
  a `threshold` far above 1 does not train.
- A candidate that lies on the threshold within rounding may be written by one program and not by another.
"""

import math

import torch
from torch import Tensor, nn

from torchkit.fast.gates import Gates
from torchkit.sequence.stack import Block, ScannedLayer, Stack, linear
from utils.errors import UserError


def step(x: Tensor) -> Tensor:
    """1 above 0, else 0; its gradient is 4 σ(4x) (1 - σ(4x)), straight through."""
    soft = (4 * x).sigmoid()
    return (x > 0).to(x.dtype) + (soft - soft.detach())


def sign(x: Tensor) -> Tensor:
    """-1, 0 or 1; its gradient is 1 - tanh² x, straight through."""
    soft = x.tanh()
    return x.sign() + (soft - soft.detach())


def gates(candidate: Tensor, threshold_H: Tensor, size_H: Tensor) -> tuple[Tensor, Tensor]:
    """1 - z and z α sign(c), (…, H) each."""
    write = step(candidate.abs() - threshold_H.abs())
    return 1 - write, write * size_H * sign(candidate)


GATES = Gates("bmru", gates, outputs=2, parts=1)


class BMRUCell(ScannedLayer):
    """h' = (1 - z) h + z α sign(c) with c = W x + b and z = 1 where |c| > |β|, else 0.

    c starts of unit variance for inputs of unit variance, α at 1, β at `threshold`: at 1 some 30 % of steps write.
    """

    def __init__(self, width: int, threshold: float):
        super().__init__()
        self.state_dim = width
        self.candidate = linear(width, width)
        for parameter, std in zip(self.candidate.parameters(), (width**-0.5, 0.0), strict=True):
            nn.init.normal_(parameter, std=std)
        self.threshold = nn.Parameter(torch.full((width,), float(threshold)))  # β
        self.size = nn.Parameter(torch.ones(width))  # α

    def read(self, x: Tensor) -> tuple[Tensor, ...]:
        with torch.autocast(x.device.type, enabled=False):  # rounded by half precision it would write elsewhere
            candidate = self.candidate(x.to(self.threshold.dtype))
            keep, inputs = GATES(candidate, self.threshold, self.size)
        return keep, inputs


class BMRU(Stack):
    """Blocks of `BMRUCell`."""

    def __init__(self, in_dim: int, out_dim: int = 128, layers: int = 1, threshold: float = 1.0):
        positive(threshold)
        super().__init__(in_dim, out_dim, layers, lambda number, width: Block(width, BMRUCell(width, threshold)))


def positive(threshold: float) -> None:
    """Refuses a threshold at which everything or nothing writes.

    Raises:
        UserError: begins with the field.
    """
    if not 0 < threshold < math.inf:
        raise UserError(f"threshold={threshold}: a number above 0 is needed")
