"""The linear recurrent unit: complex states that turn and fade at learned rates (Orvieto et al., 2023)."""

import math

import torch
from torch import Tensor, nn

from torchkit.sequence.base import forget
from torchkit.sequence.scan import scan
from torchkit.sequence.stack import Block, Layer, Stack, linear
from utils.errors import UserError


class LRUCell(Layer):
    """h' = λ h + √(1 - |λ|²) B x, y = Re(C h) + D x, with λ = exp(-e^ν + i e^θ) of half the width, rounded up.

    As many real numbers as the width are remembered, real and imaginary parts side by side. B x and y have biases, 0 at
    the start, when |λ|² is drawn evenly between r_min² and r_max², the angle between 0 and 2π.
    """

    def __init__(self, width: int, r_min: float, r_max: float):
        super().__init__()
        size = (width + 1) // 2
        self.state_dim = 2 * size
        square = r_min**2 + (r_max**2 - r_min**2) * torch.rand(size)
        self.log_fade = nn.Parameter((-0.5 * square.log()).log())  # ν
        self.log_angle = nn.Parameter((2 * math.pi * torch.rand(size).clamp(min=1e-6)).log())  # θ
        self.enter, self.leave = linear(width, 2 * size), linear(2 * size, width)  # B and C
        for layer, std in ((self.enter, (2 * width) ** -0.5), (self.leave, size**-0.5)):
            for parameter, spread in zip(layer.parameters(), (std, 0.0), strict=True):
                nn.init.normal_(parameter, std=spread)
        self.past = nn.Parameter(torch.randn(width))  # D

    def read(self, x: Tensor) -> tuple[Tensor, ...]:
        half = self.log_fade.exp().tanh()
        size = (2 * half / (1 + half)).sqrt()  # 1 - exp(-2x), also of small x; ONNX knows no expm1
        return self.enter(x) * size.repeat_interleave(2), self.past * x

    def run(self, read: tuple[Tensor, ...], start_TB: Tensor | None, carry_BH: Tensor) -> tuple[Tensor, Tensor]:
        entering, past = read[0].to(carry_BH.dtype).unflatten(-1, (-1, 2)), read[1]
        before, fade, angle = carry_BH.unflatten(-1, (-1, 2)), torch.exp(-self.log_fade.exp()), self.log_angle.exp()
        if len(entering) > 1:
            decay, inputs, carry = torch.polar(fade, angle), *map(torch.view_as_complex, (entering, before))
            states = torch.view_as_real(scan(decay, inputs, start_TB, carry))
        else:  # in real numbers, which can be exported
            real, imaginary = (before if start_TB is None else forget(before, start_TB[0][:, None])).unbind(-1)
            cos, sin = fade * angle.cos(), fade * angle.sin()
            states = entering + torch.stack([cos * real - sin * imaginary, cos * imaginary + sin * real], dim=-1)
        states_TBH = states.flatten(-2)
        return self.leave(states_TBH) + past, states_TBH[-1]


class LRU(Stack):
    """Blocks of `LRUCell`."""

    def __init__(self, in_dim: int, out_dim: int = 128, layers: int = 1, r_min: float = 0.9, r_max: float = 0.999):
        ring(r_min, r_max)
        super().__init__(in_dim, out_dim, layers, lambda number, width: Block(width, LRUCell(width, r_min, r_max)))


def ring(r_min: float, r_max: float) -> None:
    """Refuses a ring of decays that is none.

    Raises:
        UserError: begins with the name of a field.
    """
    if not 0 <= r_min < r_max < 1:
        raise UserError(f"r_max={r_max}: above r_min={r_min} and below 1 is needed, and r_min from 0 on")
