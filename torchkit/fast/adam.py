"""Adam by torch's own fused kernel, without the rest of `torch.optim`."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

BETAS = (0.9, 0.999)


class Adam:
    """Adam (Kingma & Ba, 2015); steps and checkpoints are those of `torch.optim.Adam(..., fused=True)`.

    That takes 1.5 s to make, since the first optimiser of a process imports torch's compiler, and 0.2 ms a step beside
    the kernel: a fifth of stage 2 on a small domain.

    Args:
        parameters: what learns, float32, all on one device.
        lr: may be set at any time.

    Attributes:
        state: of each parameter its number of steps, (), and the means of its gradient and of its square, in the shape
            of the parameter.
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float, eps: float = 1e-8):
        self.parameters, self.lr, self.eps = list(parameters), lr, eps
        values = [parameter.detach() for parameter in self.parameters]
        self._steps: Tensor | None = torch.zeros(len(values), device=values[0].device)
        self.state = [
            {"step": steps, "exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
            for p, steps in zip(values, self._steps.unbind(), strict=True)
        ]

    def hand_over(self, state: Mapping[int, dict[str, Tensor]]) -> None:
        """From now on the steps are taken elsewhere, where `state` of these parameters, by their numbers, is kept."""
        self._steps = None
        for number, own in state.items():
            self.state[number] = own

    @property
    def steps(self) -> int:
        """How many have been taken."""
        return int(max(own["step"] for own in self.state))

    def zero_grad(self) -> None:
        """Forgets the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Moves each parameter that has a gradient."""
        assert self._steps is not None, "the steps are taken elsewhere"
        gradients, own = [p.grad for p in self.parameters], self.state
        moving = [p for p, gradient in zip(self.parameters, gradients, strict=True) if gradient is not None]
        if not moving:
            return
        if len(moving) == len(own):
            self._steps += 1  # all at once
        else:
            own = [each for each, gradient in zip(own, gradients, strict=True) if gradient is not None]
            torch._foreach_add_([each["step"] for each in own], 1.0)
        torch._fused_adam_(
            moving,
            [gradient for gradient in gradients if gradient is not None],
            [each["exp_avg"] for each in own],
            [each["exp_avg_sq"] for each in own],
            [],  # of AMSGrad
            [each["step"] for each in own],
            lr=self.lr,
            beta1=BETAS[0],
            beta2=BETAS[1],
            weight_decay=0.0,
            eps=self.eps,
            amsgrad=False,
            maximize=False,
        )

    def state_dict(self) -> dict[str, Any]:
        """All that steps change, by the number of the parameter, as `torch.optim` has it."""
        return {"state": dict(enumerate(self.state))}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Goes on where `state_dict` was taken, be it on another device; a parameter unknown there begins anew.

        Raises:
            ValueError: it is of other parameters.
        """
        state = saved["state"]
        shapes = {number: own["exp_avg"].shape for number, own in enumerate(self.state)}
        if wrong := [number for number in state if state[number]["exp_avg"].shape != shapes.get(number)]:
            raise ValueError(f"the saved state of Adam is of other parameters: number {wrong[0]} does not fit")
        for number, own in enumerate(self.state):
            for name, tensor in own.items():
                tensor.copy_(state[number][name]) if number in state else tensor.zero_()
