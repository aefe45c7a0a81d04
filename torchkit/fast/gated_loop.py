"""Cells whose gates read the last state, all steps as one compiled call, forward and back, for the CPU.

By torch a step is some fifteen operations on few numbers, and its gradient some thirty. Equal to the plain steps
(tested), which serve elsewhere: on a GPU, in other precisions, while a graph is traced, and for one step.

Dimension key: T steps, B batch, H width, P what is read of a row, some vectors of H side by side, R = T B rows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from torchkit.fast import has_compiler


@dataclass(frozen=True)
class GatedLoop:
    """A cell by its step; the state before it is 0 where an episode starts.

    Where a graph is to be transformed (`torch.func`, second derivatives), `plain` is to be called.

    Attributes:
        name: of the kernels, `<name>_forward` and `<name>_backward`.
        step: the next state (B, H) from what is read of a row (B, P), the state (B, H) and the recurrent weight.
        by_weight: the gradient by the recurrent weight from that by what is read (R, P), the states before (R, H) and
            the gates (R, P) as the kernel leaves them.
    """

    name: str
    step: Callable[[Tensor, Tensor, Tensor], Tensor]
    by_weight: Callable[[Tensor, Tensor, Tensor], Tensor]

    def __call__(self, read_TBP: Tensor, start_TB: Tensor | None, carry_BH: Tensor, weight: Tensor) -> Tensor:
        """The states (T, B, H), compiled where it can be; starts (T, B) are above 0, None for none."""
        same = {x.dtype for x in (read_TBP, carry_BH, weight)} == {torch.float32}
        fast = len(read_TBP) > 1 and same and read_TBP.device.type == "cpu" and has_compiler()
        traced = torch.jit.is_tracing() or torch.compiler.is_compiling()  # type: ignore[attr-defined]
        if not fast or traced:
            return self.plain(read_TBP, start_TB, carry_BH, weight)
        T, B, _ = read_TBP.shape  # of which the kernels take what they are given to be
        start_TB, carry_BH = None if start_TB is None else start_TB.expand(T, B), carry_BH.expand(B, -1)
        learns = torch.is_grad_enabled() and any(x.requires_grad for x in (read_TBP, carry_BH, weight))
        states_TBH: Tensor = _Loop.apply(self, learns, read_TBP, start_TB, carry_BH, weight)
        return states_TBH

    def plain(self, read_TBP: Tensor, start_TB: Tensor | None, carry_BH: Tensor, weight: Tensor) -> Tensor:
        """The same a step at a time."""
        states, state_BH = [], carry_BH
        for t, read_BP in enumerate(read_TBP):
            if start_TB is not None:
                state_BH = state_BH.masked_fill(start_TB[t, :, None] > 0, 0.0)
            state_BH = self.step(read_BP, state_BH, weight)
            states.append(state_BH)
        return torch.stack(states)


class _Loop(torch.autograd.Function):
    """Arguments as of `GatedLoop`; `learns`: what the backward pass needs is kept."""

    @staticmethod
    def forward(
        ctx: Any, loop: GatedLoop, learns: bool, read: Tensor, start: Tensor | None, carry: Tensor, weight: Tensor
    ) -> Tensor:
        from torchkit.fast import kernels  # when they are needed: it takes a while

        (T, B, P), H = read.shape, carry.shape[-1]
        kept = T if learns else 1
        states, before, gates = (read.new_empty(*shape) for shape in ((T, B, H), (kept, B, H), (kept, B, P)))
        starts = torch.empty(0, 0, dtype=torch.bool) if start is None else start > 0
        arrays = _arrays(read, starts, weight, carry, states, before, gates)
        getattr(kernels, f"{loop.name}_forward")(*arrays)
        ctx.loop = loop
        ctx.save_for_backward(starts, weight, before, gates)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        from torchkit.fast import kernels

        start, weight, before, gates = ctx.saved_tensors
        d_carry, d_read = torch.zeros_like(before[0]), torch.empty_like(gates)
        arrays = _arrays(grads[0], start, weight, before, gates, d_carry, d_read)
        getattr(kernels, f"{ctx.loop.name}_backward")(*arrays)
        d_weight = ctx.loop.by_weight(*(x.flatten(0, 1) for x in (d_read, before, gates)))
        return None, None, d_read, None, d_carry, d_weight


def _arrays(*tensors: Tensor) -> list[Any]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]
