"""A GRU layer over a whole sequence with a hand-written backward pass.

Torch's own CPU layer differentiates each step on its own: per step it accumulates into the weight gradients. Here the
forward keeps the gates, and the backward walks back with one product a step and then takes each weight's gradient as
one product over all steps. Equal to `nn.GRU` (tested); unlike it, it can take those products in bfloat16.
"""

from typing import Any

import torch
from torch import Tensor

from utils.device import products_of

aten = torch.ops.aten


class _GRUScan(torch.autograd.Function):
    """(T, B, 3H) projected inputs -> (T, B, H), with torch's gate order: reset, update, new."""

    @staticmethod
    def forward(
        ctx: Any, projected: Tensor, weight: Tensor, bias: Tensor, initial: Tensor, low_precision: bool
    ) -> Tensor:
        T, B, H3 = projected.shape
        H = H3 // 3
        hidden = projected.new_empty(T + 1, B, H)
        new = projected.new_empty(T, B, H)
        hidden[0] = initial
        gates = projected + bias  # becomes reset, update, and the recurrent part of the new value
        gates[..., 2 * H :] = bias[2 * H :]
        transposed = weight.t().contiguous()
        rows = hidden.unbind(0)
        steps = zip(
            rows[:-1],
            rows[1:],
            projected[..., 2 * H :].unbind(0),
            gates.unbind(0),
            gates[..., : 2 * H].unbind(0),
            gates[..., :H].unbind(0),
            gates[..., H : 2 * H].unbind(0),
            gates[..., 2 * H :].unbind(0),
            new.unbind(0),
            strict=True,
        )
        with products_of(B, H, H3):
            for h, h_next, p_new, whole, both, reset, update, r_new, n in steps:
                whole.addmm_(h, transposed)
                both.sigmoid_()
                torch.addcmul(p_new, reset, r_new, out=n).tanh_()
                torch.lerp(n, h, update, out=h_next)
        ctx.low_precision = low_precision
        ctx.save_for_backward(weight, hidden, gates, new)
        return hidden[1:]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None, None]:
        weight, hidden, gates, new = ctx.saved_tensors
        T, B, H = new.shape
        before = hidden[:-1]
        reset, update, r_new = gates[..., :H], gates[..., H : 2 * H], gates[..., 2 * H :]
        into_new = aten.tanh_backward(1 - update, new)
        # d(recurrent part) = slope * dh, gate by gate
        slope = gates.new_empty(T, B, 3, H)
        aten.sigmoid_backward(into_new * r_new, reset, grad_input=slope[:, :, 0])
        aten.sigmoid_backward(before - new, update, grad_input=slope[:, :, 1])
        torch.mul(into_new, reset, out=slope[:, :, 2])
        d_recurrent = torch.empty_like(slope)
        d_hidden = grads[0].clone()  # row t becomes the whole gradient of hidden[t + 1]
        whole = d_recurrent.view(T, B, 3 * H)
        steps = zip(
            d_hidden.unbind(0),
            d_hidden[:, :, None].unbind(0),
            slope.unbind(0),
            d_recurrent.unbind(0),
            whole.unbind(0),
            update.unbind(0),
            strict=True,
        )
        following: tuple[Tensor, ...] | None = None
        with products_of(B, 3 * H, H):
            for dh, dh_wide, s, dr, dr_flat, u in reversed(list(steps)):
                if following is not None:
                    dh.addcmul_(following[0], following[1]).addmm_(following[2], weight)
                torch.mul(s, dh_wide, out=dr)
                following = (dh, u, dr_flat)
        flat, inputs = whole.view(T * B, 3 * H), before.reshape(T * B, H)
        if ctx.low_precision:
            d_weight = (flat.bfloat16().t() @ inputs.bfloat16()).float()
        else:
            d_weight = flat.t() @ inputs
        d_initial = None
        if ctx.needs_input_grad[3]:
            d_initial = (d_hidden[0] * update[0]).addmm_(whole[0], weight)
        d_bias = flat.sum(0)
        torch.mul(d_hidden, into_new, out=whole[..., 2 * H :])
        return whole, d_weight, d_bias, d_initial, None


def gru_scan(projected_TBG: Tensor, initial_BH: Tensor, weight_hh: Tensor, bias_hh: Tensor) -> Tensor:
    """The outputs (T, B, H) of one GRU layer from projected inputs W_ih x + b_ih (T, B, 3H); weights as in `nn.GRU`.

    Under autocast the products over all steps run in its lower precision, the recurrence itself in float32.
    """
    low_precision = torch.is_autocast_enabled(projected_TBG.device.type)
    with torch.autocast(projected_TBG.device.type, enabled=False):
        return _GRUScan.apply(projected_TBG.float(), weight_hh, bias_hh, initial_BH, low_precision)
