"""Linear layers, with ReLU between them, with a backward pass of their own, for many rows on one thread of a CPU.

A layer's product, bias and ReLU are one compiled call, and so are its gradients: torch takes a call and a pass through
memory for each, and MKL leaves the wide vectors of some makers' processors unused.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from torchkit.fast import has_compiler

Array = NDArray[np.float32]

BLOCK = 64  # rows that are looked at together
FEW = 16  # rows of which a call costs more than it saves
WORK = 1_000_000  # multiplications, likewise, whatever the widths: to act, torch's operations serve


class _Dense(torch.autograd.Function):
    """x (R, K), shared inputs (U, D) and their place (R,), the numbers (M,) of the rows that count, whether the last
    layer has a ReLU, each layer's weight and bias -> the last layer's outputs (R, N), 0 on the other rows.

    Without shared inputs these and their place are None, and the numbers where all rows count. What stands between the
    layers is this function's own and never a tensor of torch's, which costs more than it looks.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        shared: Tensor | None,
        place: Tensor | None,
        rows: Tensor | None,
        rectified: bool,
        *parameters: Tensor,
    ) -> Tensor:
        from torchkit.fast.kernels import dense_forward, rows_forward  # when they are needed: it takes a while

        arrays = [parameter.detach().numpy() for parameter in parameters]
        weights, biases = arrays[::2], arrays[1::2]
        ctx.save_for_backward(x, shared, *parameters[::2])
        ctx.shared, ctx.place = None if shared is None else shared.detach().numpy(), None
        ctx.rows, ctx.count = None if rows is None else rows.numpy(), len(x)
        plain = ctx.shared is None and ctx.rows is None
        acts = [x.detach().numpy()]
        for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            through = rectified or layer < len(weights) - 1
            if layer == 0 and not plain:
                added = _through(ctx.shared, weight, bias) if ctx.shared is not None else bias[None]
                ctx.rows = np.arange(len(x)) if ctx.rows is None else ctx.rows
                ctx.place = np.zeros(len(x), np.int64) if place is None else place.numpy()
                acts.append(np.empty((len(ctx.rows), len(bias)), np.float32))
                rows_forward(acts[0], ctx.rows, added, ctx.place, weight, through, acts[1])
            else:
                acts.append(np.empty((len(acts[-1]), len(bias)), np.float32))
                dense_forward(acts[-2], weight, bias, through, acts[-1])
        ctx.acts, ctx.last = acts[:-1], acts[-1] if rectified else None
        if rows is None:
            return torch.from_numpy(acts[-1])
        out = np.zeros((len(x), acts[-1].shape[1]), np.float32)
        out[ctx.rows] = acts[-1]
        return torch.from_numpy(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        from torchkit.fast.kernels import dense_backward, linear_gradients, rows_backward

        _, _, *saved = ctx.saved_tensors  # torch sees to it that nobody has changed them
        weights = [weight.detach().numpy() for weight in saved]
        d_out = grads[0].contiguous().numpy()
        if ctx.rows is not None and len(ctx.rows) < ctx.count:
            d_out = d_out[ctx.rows]
        d_out = _without_zeros(d_out)
        some = slice(len(d_out))  # of the rows that were computed
        acts = [ctx.acts[0], *(act[some] for act in ctx.acts[1:])]
        rows = None if ctx.rows is None else ctx.rows[some]
        out = d_out if ctx.last is None else ctx.last[some]  # without a ReLU nothing is read of it
        gradients: list[Tensor | None] = []
        d_shared: Any = None
        for layer in reversed(range(len(weights))):
            weight, act, rectified = weights[layer], acts[layer], ctx.last is not None or layer < len(weights) - 1
            d_weight, d_bias = np.empty_like(weight), np.empty(len(weight), np.float32)
            wanted = layer > 0 or ctx.needs_input_grad[0]
            if layer == 0 and ctx.place is not None:
                d_act = np.zeros(act.shape if wanted else (0, act.shape[1]), np.float32)
                d_added = np.empty((1 if ctx.shared is None else len(ctx.shared), len(weight)), np.float32)
                rows_backward(act, rows, ctx.place, weight, out, rectified, d_out, d_act, d_added, d_weight)
                if ctx.shared is None:
                    d_bias = d_added[0]
                else:
                    rest = np.ascontiguousarray(weight[:, act.shape[1] :])
                    d_rest = np.empty_like(rest)
                    linear_gradients(ctx.shared, d_added, d_rest, d_bias)
                    d_weight[:, act.shape[1] :] = d_rest
                    if ctx.needs_input_grad[1]:
                        d_shared = torch.from_numpy(_through(d_added, rest.T, np.zeros(rest.shape[1], np.float32)))
            else:
                d_act = np.empty(act.shape if wanted else (0, act.shape[1]), np.float32)
                d_act[some.stop :] = 0.0
                dense_backward(act[some], weight, out, rectified, d_out, d_act[some], d_weight, d_bias)
            gradients += [torch.from_numpy(d_bias), torch.from_numpy(d_weight)]
            out, d_out = act, d_act
        d_x = torch.from_numpy(d_out) if ctx.needs_input_grad[0] else None
        return d_x, d_shared, None, None, None, *reversed(gradients)


def _without_zeros(d_out: Array) -> Array:
    """The gradients (M, N) of outputs but for those at the end that are all 0, as where a last row bootstraps."""
    count = len(d_out)
    while count and not d_out[max(0, count - BLOCK) : count].any():
        count = max(0, count - BLOCK)
    return d_out[:count]


def _through(x: Array, weight: Array, bias: Array) -> Array:
    """Rows (U, D) through the last D columns of a layer's weight, and its bias."""
    from torchkit.fast.kernels import dense_forward

    out = np.empty((len(x), len(bias)), np.float32)
    dense_forward(x, np.ascontiguousarray(weight[:, weight.shape[1] - x.shape[1] :]), bias, False, out)
    return out


def is_fast(x: Tensor, fewest: int = FEW) -> bool:
    """Whether `dense` is worth calling on rows (…, K): many of float32 on the one thread of a CPU, not under autocast.

    Many are `fewest`. Without Numba it cannot be called, and nothing that is traced or under `vmap` may call it.
    """
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.numel() >= fewest * x.shape[-1]
        and torch.get_num_threads() == 1
        and not torch.is_autocast_enabled("cpu")
        and has_compiler()
    )


def dense(
    x: Tensor,
    layers: Sequence[tuple[Tensor, Tensor]],
    rows: Tensor | None = None,
    shared: tuple[Tensor, Tensor] | None = None,
    rectified: bool = False,
) -> Tensor:
    """Rows (…, K) through layers of weight and bias, with ReLU between them: (…, N).

    Args:
        x: the rows.
        layers: weight (N, K) and bias (N,) of each.
        rows: the numbers (M,) of the rows that count, of those of x made flat; the others become 0. None for all.
        shared: further inputs behind those of x, (U, D) distinct ones and which each row reads, (…).
        rectified: whether ReLU comes after the last layer as well.

    Raises:
        ValueError: shapes that do not fit each other.
        TypeError: something is not float32.
        IndexError: a row or a place that is not there.
    """
    inputs = [x] if shared is None else [x, shared[0]]
    width = sum(each.shape[-1] for each in inputs)
    parameters = [each.contiguous() for layer in layers for each in layer]
    if shared is not None and shared[1].shape != x.shape[:-1]:
        raise ValueError(f"places {tuple(shared[1].shape)} for rows {tuple(x.shape[:-1])}")
    for weight, bias in zip(parameters[::2], parameters[1::2], strict=True):
        if tuple(weight.shape) != (len(bias), width):
            raise ValueError(f"a layer of {tuple(weight.shape)} and {tuple(bias.shape)} for {width} inputs")
        width = len(bias)
    if kinds := {str(each.dtype) for each in (*inputs, *parameters)} - {"torch.float32"}:
        raise TypeError(f"layers are float32, not {', '.join(sorted(kinds))}")
    distinct, place = (None, None) if shared is None else (shared[0].contiguous(), shared[1].flatten())
    flat = x.reshape(-1, x.shape[-1]).contiguous()
    return _Dense.apply(flat, distinct, place, rows, rectified, *parameters).view(*x.shape[:-1], width)
