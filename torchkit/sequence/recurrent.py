"""Recurrent memories on torch's own GRU and LSTM."""

import itertools

import torch
from torch import Tensor, nn

from torchkit.sequence.base import Carry, Memory
from torchkit.sequence.gru_scan import gru_scan


class Recurrent(Memory):
    """A stack of recurrent layers with orthogonal weights and zero biases; the carry is one (layers, B, H) a state."""

    num_states: int
    net: nn.GRU | nn.LSTM

    def __init__(self, in_dim: int, out_dim: int = 128, layers: int = 1):
        super().__init__()
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

    def encode(self, x_TBF: Tensor) -> Tensor:
        return self._run(x_TBF, self.initial_carry(x_TBF.shape[1]))[0]

    def forward(self, x_TBF: Tensor, start_TB: Tensor, carry: Carry | None = None) -> tuple[Tensor, Carry]:
        carry = self.initial_carry(x_TBF.shape[1]) if carry is None else carry
        first_rows = [0, *(torch.nonzero(start_TB[1:].any(dim=1)).flatten() + 1).tolist(), len(x_TBF)]
        outputs = []
        for first, end in itertools.pairwise(first_rows):
            # a new episode forgets the old one; between two such rows torch's own loop runs undisturbed
            carry = tuple(c * (1 - start_TB[first][:, None]) for c in carry)
            output, carry = self._run(x_TBF[first:end], carry)
            outputs.append(output)
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs), carry


class GRU(Recurrent):
    """Gated recurrent unit (Cho et al., 2014); on the CPU by `gru_scan`, which can take products in bfloat16."""

    num_states = 1

    def _make(self, in_dim: int, out_dim: int, layers: int) -> nn.GRU:
        return nn.GRU(in_dim, out_dim, layers)

    def _run(self, x_TBF: Tensor, carry: Carry) -> tuple[Tensor, Carry]:
        if len(x_TBF) == 1 or x_TBF.device.type != "cpu":
            output, hidden = self.net(x_TBF, carry[0])
            return output, (hidden,)
        last = []
        for layer in range(self.layers):
            names = (f"{kind}_{way}_l{layer}" for kind in ("weight", "bias") for way in ("ih", "hh"))
            x_TBF = gru_scan(x_TBF, carry[0][layer], *(getattr(self.net, name) for name in names))
            last.append(x_TBF[-1])
        return x_TBF, (torch.stack(last),)


class LSTM(Recurrent):
    """Long short-term memory (Hochreiter & Schmidhuber, 1997)."""

    num_states = 2

    def _make(self, in_dim: int, out_dim: int, layers: int) -> nn.LSTM:
        return nn.LSTM(in_dim, out_dim, layers)

    def _run(self, x_TBF: Tensor, carry: Carry) -> tuple[Tensor, Carry]:
        return self.net(x_TBF, carry)
