"""Recurrent memories on torch's own GRU and LSTM."""

import itertools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torchkit.fast import has_compiler
from torchkit.fast.gru_loop import gru_loop
from torchkit.fast.gru_loops import gru_loops
from torchkit.sequence.base import Carry, Cell, Memory, Step, at, forget
from utils.device import has_bfloat16
from utils.errors import at_least_one


class Recurrent(Memory):
    """A stack of recurrent layers with orthogonal weights and zero biases; the carry is one (layers, B, H) a state."""

    num_states: int
    net: nn.GRU | nn.LSTM

    def __init__(self, in_dim: int, out_dim: int = 128, layers: int = 1):
        super().__init__()
        at_least_one({"out_dim": out_dim, "layers": layers})
        self.out_dim, self.layers = out_dim, layers
        self.net = self._make(in_dim, out_dim, layers)
        for name, parameter in self.net.named_parameters():
            if name.startswith("weight"):
                nn.init.orthogonal_(parameter)
            else:
                nn.init.zeros_(parameter)

    def _make(self, in_dim: int, out_dim: int, layers: int) -> nn.GRU | nn.LSTM:
        raise NotImplementedError

    def _run(self, x_TBF: Tensor, carry: Carry) -> tuple[Tensor, Carry]:
        raise NotImplementedError

    def initial_carry(self, batch_size: int) -> Carry:
        weight = next(self.net.parameters())
        return tuple(weight.new_zeros(self.layers, batch_size, self.out_dim) for _ in range(self.num_states))

    def cells(self, carry: Carry) -> list[Cell]:
        def step_of(layer: int) -> Step:
            weights = [
                getattr(self.net, f"{kind}_{way}_l{layer}") for kind in ("weight", "bias") for way in ("ih", "hh")
            ]
            return lambda x_BF, state: self._cell(x_BF, state, weights)

        widths = [self.net.input_size, *[self.out_dim] * (self.layers - 1)]
        return [Cell(step_of(n), width, tuple(c[n] for c in carry)) for n, width in enumerate(widths)]

    def _cell(self, x_BF: Tensor, state: Carry, weights: list[Tensor]) -> Carry:
        """One step of one layer."""
        raise NotImplementedError

    def encode(self, x: Tensor, place_TB: Tensor | None = None) -> Tensor:
        x_TBF = x if place_TB is None else at(x, place_TB)
        return self._run(x_TBF, self.initial_carry(x_TBF.shape[1]))[0]

    def forward(self, x_TBF: Tensor, start_TB: Tensor, carry: Carry | None = None) -> tuple[Tensor, Carry]:
        carry = self.initial_carry(x_TBF.shape[1]) if carry is None else carry
        if len(x_TBF) == 1:
            return self._run(x_TBF, tuple(forget(c, start_TB[0]) for c in carry))
        first_rows = [0, *(torch.nonzero(start_TB[1:].any(dim=1)).flatten() + 1).tolist(), len(x_TBF)]
        outputs = []
        for first, end in itertools.pairwise(first_rows):
            # a new episode forgets the old one; between two such rows torch's own loop runs undisturbed
            carry = tuple(forget(c, start_TB[first]) for c in carry)
            output, carry = self._run(x_TBF[first:end], carry)
            outputs.append(output)
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs), carry


Loop = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


class GRU(Recurrent):
    """Gated recurrent unit (Cho et al., 2014).

    Its layers run by `loop` over projected inputs; where that is None, by `gru_loop` on a CPU that has Numba, and by
    torch's own loop elsewhere.
    """

    under_vmap = True
    num_states = 1
    loop: Loop | None = None

    def prepare_vmap(self) -> None:
        self.loop = gru_loops

    def _make(self, in_dim: int, out_dim: int, layers: int) -> nn.GRU:
        return nn.GRU(in_dim, out_dim, layers)

    def _cell(self, x_BF: Tensor, state: Carry, weights: list[Tensor]) -> Carry:
        return (torch.gru_cell(x_BF, state[0], *weights),)

    def _loop_on(self, device: torch.device) -> Loop | None:
        return self.loop or (gru_loop if device.type == "cpu" and has_compiler() else None)

    def _run(self, x_TBF: Tensor, carry: Carry) -> tuple[Tensor, Carry]:
        on_cpu = x_TBF.device.type == "cpu"
        if len(x_TBF) == 1 and on_cpu and torch.is_inference_mode_enabled():  # sooner than a sequence
            x_BF, states = x_TBF[0], []
            for cell in self.cells(carry):
                (x_BF,) = cell.step(x_BF, cell.state)
                states.append(x_BF)
            return x_BF[None], (torch.stack(states),)
        loop = self._loop_on(x_TBF.device)
        if len(x_TBF) == 1 or loop is None:
            output, hidden = self.net(x_TBF, carry[0])
            return output, (hidden,)
        output, last = self._layers(loop, x_TBF, None, carry[0])
        return output, (last,)

    def encode(self, x: Tensor, place_TB: Tensor | None = None) -> Tensor:
        loop = self._loop_on(x.device)
        if place_TB is None or loop is None:
            return super().encode(x, place_TB)
        return self._layers(loop, x, place_TB, self.initial_carry(place_TB.shape[1])[0])[0]

    def _layers(self, loop: Loop, x: Tensor, place_TB: Tensor | None, initial_LBH: Tensor) -> tuple[Tensor, Tensor]:
        """The outputs (T, B, H) of the last layer and the last states of all (layers, B, H); x as in `encode`."""
        last = []
        for layer, initial_BH in enumerate(initial_LBH.unbind(0)):
            weight_ih, weight_hh, bias_ih, bias_hh = (
                getattr(self.net, f"{kind}_{way}_l{layer}") for kind in ("weight", "bias") for way in ("ih", "hh")
            )
            projected = F.linear(x.flatten(0, -2), weight_ih, bias_ih)
            if place_TB is None:
                place_TB = torch.arange(len(projected), device=x.device).view(x.shape[:2])
            x, place_TB = loop(projected, place_TB, initial_BH, weight_hh, bias_hh), None
            last.append(x[-1])
        return x, torch.stack(last)


class LSTM(Recurrent):
    """Long short-term memory (Hochreiter & Schmidhuber, 1997)."""

    num_states = 2

    def _make(self, in_dim: int, out_dim: int, layers: int) -> nn.LSTM:
        return nn.LSTM(in_dim, out_dim, layers)

    def _cell(self, x_BF: Tensor, state: Carry, weights: list[Tensor]) -> Carry:
        return torch.lstm_cell(x_BF, state, *weights)

    def _run(self, x_TBF: Tensor, carry: Carry) -> tuple[Tensor, Carry]:
        kind = x_TBF.device.type
        if torch.is_autocast_enabled(kind) and not has_bfloat16(x_TBF.device):
            with torch.autocast(kind, enabled=False):  # oneDNN has no LSTM in bfloat16 that it would have to imitate
                return self.net(x_TBF.float(), carry)
        return self.net(x_TBF, carry)
