"""GELU by its tanh form (Hendrycks & Gimpel, 2016), on the CPU by compiled kernels in a fraction of torch's time."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from torchkit.fast import has_compiler


class _Gelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        from torchkit.fast.kernels import gelu_forward  # when it is needed: it takes a while

        out = torch.empty_like(x)
        gelu_forward(*_flat(x, out))
        ctx.save_for_backward(x)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        from torchkit.fast.kernels import gelu_backward

        (x,) = ctx.saved_tensors
        d_x = torch.empty_like(x)
        gelu_backward(*_flat(x, grads[0].contiguous(), d_x))
        return d_x


def _flat(*tensors: Tensor) -> list[Any]:
    return [tensor.detach().view(-1).numpy() for tensor in tensors]


def gelu(x: Tensor) -> Tensor:
    """`tanh_gelu` (tested to be the same), for float32 on the CPU by kernels; not under `vmap`, nor to be traced."""
    if x.device.type != "cpu" or x.dtype != torch.float32 or not has_compiler():
        return tanh_gelu(x)
    return _Gelu.apply(x.contiguous())


def tanh_gelu(x: Tensor) -> Tensor:
    """GELU of any shape, by torch's own operation."""
    return F.gelu(x, approximate="tanh")
