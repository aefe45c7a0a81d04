"""A GRU layer over a whole sequence with a hand-written backward pass, for the CPU.

Torch's own layer differentiates each step on its own: per step it accumulates into the weight gradients. Here all steps
are one compiled call, forward and back, and the weights' gradient is one product over all steps. Equal to `nn.GRU`
(tested); unlike it, it can take that product in bfloat16, and reads distinct inputs where they stand.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class _GRUScan(torch.autograd.Function):
    """Arguments as of `gru_loop`; `keep`: what the backward pass needs is kept."""

    @staticmethod
    def forward(
        ctx: Any,
        projected: Tensor,
        place: Tensor,
        initial: Tensor,
        weight: Tensor,
        bias: Tensor,
        low_precision: bool,
        keep: bool,
    ) -> Tensor:
        from torchkit.fast.kernels import gru_forward  # when it is needed: it takes a while

        (T, B), (H3, H) = place.shape, weight.shape
        kept = T if keep else 1
        hidden, gates, new = (weight.new_empty(*shape) for shape in ((T + 1, B, H), (kept, B, H3), (kept, B, H)))
        hidden[0] = initial
        gru_forward(*_arrays(projected, place, weight, bias, hidden, gates, new))
        ctx.low_precision, ctx.num_inputs = low_precision, len(projected)
        ctx.save_for_backward(weight, place, hidden, gates, new)
        return hidden[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        from torchkit.fast.kernels import gru_backward, gru_input_gradient, linear_gradients

        weight, place, hidden, gates, new = ctx.saved_tensors
        (T, B), (H3, H) = place.shape, weight.shape
        carried, d_projected = weight.new_zeros(B, H), weight.new_zeros(ctx.num_inputs, H3)
        d_product, d_inputs = weight.new_empty(T, B, H3), weight.new_empty(T, B, H)
        gru_backward(*_arrays(grads[0].contiguous(), weight, hidden, gates, new, carried, d_product, d_inputs))
        gru_input_gradient(*_arrays(place, d_product, d_inputs, d_projected))
        flat, before = d_product.view(T * B, H3), hidden[:-1].view(T * B, H)
        if ctx.low_precision or torch.get_num_threads() > 1:  # which a product of torch's makes use of
            kind = torch.bfloat16 if ctx.low_precision else torch.float32
            d_weight, d_bias = (flat.to(kind).t() @ before.to(kind)).float(), flat.sum(0)
        else:
            d_weight, d_bias = torch.empty_like(weight), weight.new_empty(H3)
            linear_gradients(*_arrays(before, flat, d_weight, d_bias))
        return d_projected, None, carried, d_weight, d_bias, None, None


def _arrays(*tensors: Tensor) -> list[Any]:
    return [tensor.detach().numpy() for tensor in tensors]


def gru_loop(projected_NG: Tensor, place_TB: Tensor, initial_BH: Tensor, weight_hh: Tensor, bias_hh: Tensor) -> Tensor:
    """The outputs (T, B, H) of one GRU layer from projected inputs W_ih x + b_ih (N, 3H); weights as in `nn.GRU`.

    `place_TB` says which of the N distinct inputs stands where. The recurrence is float32; under autocast the product
    over all steps, for the weights' gradient, is bfloat16.

    Raises:
        TypeError: weights that are not float32.
        ValueError: shapes that do not fit each other.
        IndexError: a place beyond the inputs.
    """
    H = weight_hh.shape[1]
    if {weight_hh.dtype, bias_hh.dtype, initial_BH.dtype} != {torch.float32}:
        raise TypeError(f"the loop of a GRU is float32, not {weight_hh.dtype}, {bias_hh.dtype}, {initial_BH.dtype}")
    expected = ((3 * H, H), (3 * H,), (place_TB.shape[1], H), (len(projected_NG), 3 * H))
    found = tuple(tuple(x.shape) for x in (weight_hh, bias_hh, initial_BH, projected_NG))
    if found != expected:
        raise ValueError(f"weight, bias, initial states and inputs of a GRU are {found}, not {expected}")
    learns = (projected_NG, initial_BH, weight_hh, bias_hh)
    keep = torch.is_grad_enabled() and any(x.requires_grad for x in learns)
    low_precision = torch.is_autocast_enabled(projected_NG.device.type)
    with torch.autocast(projected_NG.device.type, enabled=False):
        rows = projected_NG.float().contiguous()
        return _GRUScan.apply(rows, place_TB.contiguous(), initial_BH, weight_hh, bias_hh, low_precision, keep)
