"""GRU layers of several seeds side by side under `torch.func.vmap`: one batched product a step for all of them.

The same recurrence and gradients as `gru_loop`, with a dimension K of seeds; cuDNN has no such layer.
"""

from typing import Any

import torch
from torch import Tensor

from torchkit.sequence.base import at


class _Scans(torch.autograd.Function):
    """(T, K, B, 3H) projected inputs, weights (K, 3H, H), biases (K, 3H), initial states (K, B, H) -> (T, K, B, H)."""

    @staticmethod
    def forward(ctx: Any, projected: Tensor, weight: Tensor, bias: Tensor, initial: Tensor) -> Tensor:
        T, K, B, H3 = projected.shape
        H = H3 // 3
        hidden = projected.new_empty(T + 1, K, B, H)
        gates = projected.new_empty(T, K, B, 2 * H)
        recurrent = projected.new_empty(T, K, B, H3)
        new = projected.new_empty(T, K, B, H)
        hidden[0] = initial
        transposed, bias_K1 = weight.transpose(1, 2), bias[:, None]
        for h, h_next, p, r, gate, n in zip(hidden[:-1], hidden[1:], projected, recurrent, gates, new, strict=True):
            torch.baddbmm(bias_K1, h, transposed, out=r)
            torch.add(p[..., : 2 * H], r[..., : 2 * H], out=gate).sigmoid_()
            torch.addcmul(p[..., 2 * H :], gate[..., :H], r[..., 2 * H :], out=n).tanh_()
            torch.lerp(n, h, gate[..., H:], out=h_next)
        ctx.save_for_backward(weight, hidden, gates, recurrent, new)
        return hidden[1:]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        weight, hidden, gates, recurrent, new = ctx.saved_tensors
        T, K, B, H = new.shape
        before, reset, update = hidden[:-1], gates[..., :H], gates[..., H:]
        into_new = (1 - update) * (1 - new * new)
        slope = torch.stack(
            [
                into_new * recurrent[..., 2 * H :] * reset * (1 - reset),
                (before - new) * update * (1 - update),
                into_new * reset,
            ],
            dim=-2,
        )
        d_recurrent = torch.empty_like(slope)
        whole = d_recurrent.view(T, K, B, 3 * H)
        d_hidden = grads[0].clone()
        for t in reversed(range(T)):
            torch.mul(slope[t], d_hidden[t][..., None, :], out=d_recurrent[t])
            if t > 0:
                d_hidden[t - 1].addcmul_(d_hidden[t], update[t]).baddbmm_(whole[t], weight)
        flat = whole.transpose(0, 1).reshape(K, T * B, 3 * H)
        d_weight = flat.transpose(1, 2) @ before.transpose(0, 1).reshape(K, T * B, H)
        d_bias = flat.sum(1)
        d_initial = (d_hidden[0] * update[0]).baddbmm(whole[0], weight)
        torch.mul(d_hidden, into_new, out=whole[..., 2 * H :])
        return whole, d_weight, d_bias, d_initial


class _Seed(torch.autograd.Function):
    """One seed's layer as `vmap` sees it."""

    @staticmethod
    def forward(projected: Tensor, weight: Tensor, bias: Tensor, initial: Tensor) -> Tensor:
        return _Scans.apply(projected[:, None], weight[None], bias[None], initial[None])[:, 0]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Nothing to keep: gradients are those of `_Scans`."""

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        raise NotImplementedError("only under vmap")

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Tensor) -> tuple[Tensor, int]:
        dims = (1, 0, 0, 0)  # where each has its seeds
        moved = [
            x.movedim(at, to)
            if at is not None
            else x.unsqueeze(to).expand(*x.shape[:to], info.batch_size, *x.shape[to:])
            for x, at, to in zip(inputs, in_dims, dims, strict=True)
        ]
        return _Scans.apply(*moved), 1


def gru_loops(projected_NG: Tensor, place_TB: Tensor, initial_BH: Tensor, weight_hh: Tensor, bias_hh: Tensor) -> Tensor:
    """The outputs (T, B, H) of one GRU layer, to be called under `vmap`; arguments as of `gru_loop`."""
    return _Seed.apply(at(projected_NG, place_TB), weight_hh, bias_hh, initial_BH)
