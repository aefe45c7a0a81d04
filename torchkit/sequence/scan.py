"""h_t = a_t h_{t-1} + u_t over all steps at once, with exact gradients, of real and of complex numbers.

Affine maps compose, (a', u') after (a, u) being (a' a, a' u + u'), so that pairs of steps become one and about 2 log T
passes do, O(T) work in all (Blelloch, 1990). Three ways that agree (tested): `scan` takes the compiled kernel where
there is one, and else `log_depth`; `loop` is the reference. Where an episode starts nothing of before is read: a NaN
there does not survive, in values nor in gradients.
"""

from typing import Any

import torch
from torch import Tensor

from torchkit.fast import has_compiler
from torchkit.sequence.base import forget

HALF = (torch.bfloat16, torch.float16)
KERNELS = (torch.float32, torch.complex64)  # what they are of


def scan(decay: Tensor, inputs: Tensor, start_TB: Tensor | None = None, carry_BH: Tensor | None = None) -> Tensor:
    """The states (T, B, H) after each step.

    A single step is made of operations that can be traced, but for complex numbers. Under `vmap` seeds become a further
    dimension of the batch.

    Args:
        decay: what is kept of a state, (T, B, H), or (H,) where it is the same at all steps.
        inputs: what comes in, (T, B, H); half precision is computed in float32, and float32 comes out.
        start_TB: above 0 where an episode starts; None for nowhere.
        carry_BH: the state before the first step; None for 0.
    """
    decay, inputs, initial = _prepared(decay, inputs, carry_BH)
    if len(inputs) == 1:
        return loop(decay, inputs, start_TB, initial)
    compiled = inputs.device.type == "cpu" and inputs.dtype in KERNELS and has_compiler()
    return _Scan.apply(decay, inputs, None if start_TB is None else start_TB > 0, initial, compiled)


def loop(decay: Tensor, inputs: Tensor, start_TB: Tensor | None = None, carry_BH: Tensor | None = None) -> Tensor:
    """`scan`, a step at a time."""
    decay, inputs, state = _prepared(decay, inputs, carry_BH)
    states = []
    for t, input_BH in enumerate(inputs):
        before = state if start_TB is None else forget(state, start_TB[t])
        state = (decay if decay.ndim == 1 else decay[t]) * before + input_BH
        states.append(state)
    return torch.stack(states)


def log_depth(decay: Tensor, inputs: Tensor, start: Tensor | None, before: Tensor) -> Tensor:
    """The states (T, …, H) by pairs of steps; no autograd.

    Args:
        decay: (T, …, H), or (H,), better in double precision: squared log T times, it loses as many bits.
        inputs: (T, …, H).
        start: bool (T, …), or None.
        before: the state before, (…, H).
    """
    first = _after(_rows(decay, 0), before, inputs[0], None if start is None else start[0])[None]
    if len(inputs) == 1:
        return first
    # steps 1 and 2 as one, 3 and 4 …: the states after them follow from the first
    one, two = slice(1, -1 if len(inputs) % 2 == 0 else None, 2), slice(2, None, 2)
    even = first
    if len(inputs) > 2:
        starts = (None, None) if start is None else (start[one] | start[two], start[two])
        pairs = _after(_rows(decay, two), inputs[one], inputs[two], starts[1])
        even = torch.cat([first, log_depth(_rows(decay, two) * _rows(decay, one), pairs, starts[0], first[0])])
    odd = slice(1, None, 2)
    states = torch.empty_like(inputs)
    states[::2] = even
    before = even[: len(inputs) // 2]
    states[odd] = _after(_rows(decay, odd), before, inputs[odd], None if start is None else start[odd])
    return states


def _rows(decay: Tensor, which: int | slice) -> Tensor:
    return decay if decay.ndim == 1 else decay[which]


def _after(decay: Tensor, before: Tensor, inputs: Tensor, start: Tensor | None) -> Tensor:
    """The state after a step."""
    state = torch.addcmul(inputs, decay.to(inputs.dtype), before)
    return state if start is None else torch.where(start[..., None], inputs, state)


def _prepared(decay: Tensor, inputs: Tensor, carry: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Decay, inputs and the state before, of one kind, half precision as float32."""
    decay, inputs = (x.float() if x.dtype in HALF else x for x in (decay, inputs))
    return decay, inputs, torch.zeros_like(inputs[0]) if carry is None else carry.to(inputs.dtype)


class _Scan(torch.autograd.Function):
    """Arguments as of `log_depth`, but that decay may be (H,); `compiled`: by the kernels.

    The gradients are a scan as well, from the last step to the first: g_t = d_t + a_{t+1}* g_{t+1} by what came in, and
    by the decay g_t h_{t-1}*.
    """

    @staticmethod
    def forward(decay: Tensor, inputs: Tensor, start: Tensor | None, before: Tensor, compiled: bool) -> Tensor:
        if not compiled:
            double = torch.promote_types(decay.dtype, torch.float64)
            return log_depth(decay.to(double) if decay.ndim == 1 else decay, inputs, start, before)
        from torchkit.fast.scans import scan_forward  # when it is needed: it takes a while

        states = torch.empty_like(inputs, memory_format=torch.contiguous_format)
        scan_forward(*_arrays(decay, inputs, before, states), _flags(start))
        return states

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        decay, _, start, before, ctx.compiled = inputs
        ctx.save_for_backward(decay, start, before, output)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        decay, start, before, states = ctx.saved_tensors
        if not ctx.compiled or torch.is_grad_enabled():  # the kernels have no second derivative
            return *_gradients(grads[0], decay, start, before, states), None
        from torchkit.fast.scans import scan_backward

        d_inputs, d_before = torch.empty_like(states), torch.zeros_like(before, memory_format=torch.contiguous_format)
        d_decay = torch.zeros_like(decay, memory_format=torch.contiguous_format)
        sums = torch.zeros(states.shape[-1], dtype=torch.promote_types(states.dtype, torch.float64)).numpy()
        scan_backward(*_arrays(grads[0], decay, before, states, d_inputs, d_decay, d_before), _flags(start), sums)
        return d_decay, d_inputs, None, d_before, None

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[int | None, ...],
        decay: Tensor,
        inputs: Tensor,
        start: Tensor | None,
        before: Tensor,
        compiled: bool,
    ) -> tuple[Tensor, int]:
        def side_by_side(x: Tensor, of: int | None, at: int) -> Tensor:
            return (
                x.unsqueeze(at).expand(*x.shape[:at], info.batch_size, *x.shape[at:])
                if of is None
                else x.movedim(of, at)
            )

        inputs = side_by_side(inputs, in_dims[1], 1)
        if decay.ndim - (in_dims[0] is not None) == 1:
            decay = side_by_side(decay, in_dims[0], 0)[:, None].expand_as(inputs)
        else:
            decay = side_by_side(decay, in_dims[0], 1)
        start = None if start is None else side_by_side(start, in_dims[2], 1)
        return _Scan.apply(decay, inputs, start, side_by_side(before, in_dims[3], 0), compiled), 1


def _gradients(
    gradient: Tensor, decay: Tensor, start: Tensor | None, before: Tensor, states: Tensor
) -> tuple[Tensor, Tensor, None, Tensor]:
    """By decay, inputs and the state before, in operations that have gradients of their own."""
    later = decay.conj()
    d_before = _rows(later, 0)
    if decay.ndim > 1:
        later = torch.cat([later[1:], torch.zeros_like(later[:1])]).flip(0)
    starts = None if start is None else torch.cat([start[1:], start[:1]]).flip(0)
    d_inputs = _Scan.apply(later, gradient.flip(0), starts, torch.zeros_like(before), False).flip(0)
    past = torch.cat([before[None], states[:-1]]).conj()
    d_before = d_before * d_inputs[0]
    if start is not None:
        past = torch.where(start[..., None], 0.0, past)
        d_before = torch.where(start[0][..., None], 0.0, d_before)
    return (d_inputs * past).sum_to_size(decay.shape), d_inputs, None, d_before


def _arrays(*tensors: Tensor) -> list[Any]:
    """As the kernels read them: rows of numbers, steps and batch made one dimension."""
    return [x.detach().resolve_conj().contiguous().view(-1, x.shape[-1]).numpy() for x in tensors]


def _flags(start: Tensor | None) -> Any:
    return (torch.zeros(0, dtype=torch.bool) if start is None else start.flatten()).numpy()
