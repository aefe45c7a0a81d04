"""Gates of memories, many operations of torch's on each number, as one compiled pass forward and one back, for the CPU.

Equal to the plain functions that they are given (tested), which serve elsewhere: on a GPU, in other precisions, under
`vmap`, and for the few rows of a step.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from torchkit.fast.dense import is_fast

FEW = 40_000  # numbers of which a function of one's own, which torch takes a while to call, costs more than it saves


@dataclass(frozen=True)
class Gates:
    """A function of rows (…, K) and of vectors (H,) that gives one or more (…, H), by `<name>_forward` of the kernels.

    Attributes:
        name: of the kernels.
        plain: the same by torch's operations; returns a tensor or, of several outputs, a tuple.
        outputs: how many.
        parts: how many times as wide rows are as outputs.
    """

    name: str
    plain: Callable[..., Any]
    outputs: int
    parts: int

    def __call__(self, x: Tensor, *vectors: Tensor) -> Any:
        """The outputs, by whichever way is faster."""
        fast = x.numel() >= FEW and is_fast(x) and not torch.jit.is_tracing()  # type: ignore[attr-defined]
        return _Gates.apply(self, x, *vectors) if fast else self.plain(x, *vectors)


class _Gates(torch.autograd.Function):
    @staticmethod
    def forward(gates: Gates, x: Tensor, *vectors: Tensor) -> Any:
        from torchkit.fast import kernels  # when they are needed: it takes a while

        outputs = tuple(x.new_empty(*x.shape[:-1], x.shape[-1] // gates.parts) for _ in range(gates.outputs))
        getattr(kernels, f"{gates.name}_forward")(*_arrays(x, *vectors, *outputs))
        return outputs if gates.outputs > 1 else outputs[0]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.name = inputs[0].name
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        from torchkit.fast import kernels

        x, *vectors = ctx.saved_tensors
        d_x, d_vectors = torch.empty_like(x, memory_format=torch.contiguous_format), map(torch.zeros_like, vectors)
        found = (d_x, *d_vectors)
        getattr(kernels, f"{ctx.name}_backward")(*_arrays(x, *vectors, *grads, *found))
        return None, *found

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], gates: Gates, *inputs: Tensor) -> tuple[Any, Any]:
        outputs = torch.func.vmap(gates.plain, in_dims=in_dims[1:])(*inputs)
        return outputs, (0,) * gates.outputs if gates.outputs > 1 else 0


def _arrays(*tensors: Tensor) -> list[Any]:
    """Rows (R, ·), and vectors as they are."""
    return [
        x.detach().contiguous().view(-1, x.shape[-1]).numpy() if x.ndim > 1 else x.detach().numpy() for x in tensors
    ]
