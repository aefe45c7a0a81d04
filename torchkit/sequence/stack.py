"""What memories of several layers share: a stack of layers, and the block that is put around a parallel cell."""

from collections.abc import Callable
from typing import ClassVar

from torch import Tensor, nn

from torchkit.fast.gated_loop import GatedLoop
from torchkit.fast.gates import Gates
from torchkit.networks import MLP, mlp
from torchkit.sequence.base import Carry, Cell, Memory, Step, at
from torchkit.sequence.scan import scan
from utils.errors import at_least_one


class Layer(nn.Module):
    """A recurrence: what it reads of a row alone, and what it makes of rows one after the other.

    Attributes:
        state_dim: the width of its carry.
    """

    state_dim: int

    def read(self, x: Tensor) -> tuple[Tensor, ...]:
        """What the recurrence reads of rows (…, F); of rows that stand in many places it is made once."""
        raise NotImplementedError

    def run(self, read: tuple[Tensor, ...], start_TB: Tensor | None, carry_BH: Tensor) -> tuple[Tensor, Tensor]:
        """Returns outputs (T, B, H) and the last carry from what was read, (T, B, ·) each; no start is None."""
        raise NotImplementedError

    def finish(self, x_TBF: Tensor, output_TBH: Tensor) -> Tensor:
        """What the layer gives, from its own input and what `run` gave."""
        return output_TBH


class ScannedLayer(Layer):
    """A recurrence that reads what is kept of its state and what comes in, and none of its state."""

    def run(self, read: tuple[Tensor, ...], start_TB: Tensor | None, carry_BH: Tensor) -> tuple[Tensor, Tensor]:
        keep, inputs = read
        states_TBH = scan(keep, inputs, start_TB, carry_BH)
        return states_TBH, states_TBH[-1]


class Stack(Memory):
    """Layers one on the other; the carry is one (B, ·) of each.

    Args:
        out_dim: the width of the history, and of each layer.
        layers: how many.
        make: the layer of a number from 0 on, for inputs of a width.
        blocks: whether inputs are of the width `out_dim`; others go through a linear layer first.
    """

    under_vmap = True

    def __init__(self, in_dim: int, out_dim: int, layers: int, make: Callable[[int, int], Layer], blocks: bool = True):
        super().__init__()
        at_least_one({"out_dim": out_dim, "layers": layers})
        self.in_dim, self.out_dim = in_dim, out_dim
        self.embed = nn.Linear(in_dim, out_dim) if blocks and in_dim != out_dim else nn.Identity()
        first = out_dim if blocks else in_dim
        self.layers: list[Layer] = [make(number, out_dim if number else first) for number in range(layers)]
        self._registered = nn.ModuleList(self.layers)

    def initial_carry(self, batch_size: int) -> Carry:
        weight = next(self.parameters())
        return tuple(weight.new_zeros(batch_size, layer.state_dim) for layer in self.layers)

    def encode(self, x: Tensor, place_TB: Tensor | None = None) -> Tensor:
        batch_size = x.shape[1] if place_TB is None else place_TB.shape[1]
        return self._run(x, place_TB, None, self.initial_carry(batch_size))[0]

    def forward(self, x_TBF: Tensor, start_TB: Tensor, carry: Carry | None = None) -> tuple[Tensor, Carry]:
        return self._run(x_TBF, None, start_TB, self.initial_carry(x_TBF.shape[1]) if carry is None else carry)

    def _run(self, x: Tensor, place_TB: Tensor | None, start_TB: Tensor | None, carry: Carry) -> tuple[Tensor, Carry]:
        """The history (T, B, H) and the last carry; x as in `encode`, no start is None."""
        x, after = self.embed(x), []
        for layer, carry_BH in zip(self.layers, carry, strict=True):
            read = layer.read(x)
            if place_TB is not None:
                read, x, place_TB = tuple(at(r, place_TB) for r in read), at(x, place_TB), None
            output_TBH, last_BH = layer.run(read, start_TB, carry_BH)
            x = layer.finish(x, output_TBH)
            after.append(last_BH)
        return x, tuple(after)


GLU = Gates("glu", nn.functional.glu, outputs=1, parts=2)


def linear(in_dim: int, out_dim: int) -> MLP:
    """A linear layer that is fast for many rows (`torchkit.fast.dense`)."""
    return mlp(in_dim, (), out_dim, out_bound=None)


class Block(Layer):
    """LayerNorm, a parallel cell, a gated linear unit (Dauphin et al., 2017), and the block's input added."""

    def __init__(self, width: int, cell: Layer):
        super().__init__()
        self.state_dim = cell.state_dim
        self.norm, self.cell = nn.LayerNorm(width), cell
        self.gated = linear(width, 2 * width)

    def read(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.cell.read(self.norm(x))

    def run(self, read: tuple[Tensor, ...], start_TB: Tensor | None, carry_BH: Tensor) -> tuple[Tensor, Tensor]:
        return self.cell.run(read, start_TB, carry_BH)

    def finish(self, x_TBF: Tensor, output_TBH: Tensor) -> Tensor:
        return x_TBF + GLU(self.gated(output_TBH))


class GatedLayer(Layer):
    """A recurrence whose gates read the last state, so that it goes a step at a time, compiled where it can be.

    Matrices start by Xavier's uniform rule, biases at 0, as in Lambrechts et al. (2022).

    Attributes:
        parts: how many vectors U x + b a step reads, side by side.
        loop: how a step goes.
        by_steps: never as one compiled call.
        recurrent: what it makes of the state.
    """

    parts: ClassVar[int]
    loop: ClassVar[GatedLoop]
    by_steps: bool = False
    recurrent: nn.Linear | nn.Parameter

    def __init__(self, in_dim: int, width: int):
        super().__init__()
        self.state_dim = width
        self.inputs = matrices(in_dim, width, self.parts)

    @property
    def weight(self) -> Tensor:
        """That of the state."""
        return self.recurrent.weight if isinstance(self.recurrent, nn.Linear) else self.recurrent

    def read(self, x: Tensor) -> tuple[Tensor, ...]:
        return (self.inputs(x),)

    def run(self, read: tuple[Tensor, ...], start_TB: Tensor | None, carry_BH: Tensor) -> tuple[Tensor, Tensor]:
        run = self.loop.plain if self.by_steps else self.loop
        states_TBH = run(read[0], start_TB, carry_BH, self.weight)
        return states_TBH, states_TBH[-1]


class GatedStack(Stack):
    """Layers of one kind, `layer`, with a width of their own."""

    layer: ClassVar[type[GatedLayer]]

    def __init__(self, in_dim: int, out_dim: int = 128, layers: int = 1):
        super().__init__(in_dim, out_dim, layers, lambda number, width: self.layer(width, out_dim), blocks=False)

    def prepare_vmap(self) -> None:
        for layer in self.layers:
            if isinstance(layer, GatedLayer):
                layer.by_steps = True

    def cells(self, carry: Carry) -> list[Cell]:
        def step_of(layer: Layer) -> Step:
            return lambda x_BF, state: (layer.run(layer.read(x_BF[None]), None, state[0])[1],)

        widths = [self.in_dim, *[self.out_dim] * (len(self.layers) - 1)]
        return [
            Cell(step_of(layer), width, (state,))
            for layer, width, state in zip(self.layers, widths, carry, strict=True)
        ]


def matrices(in_dim: int, width: int, parts: int, bias: bool = True) -> nn.Linear:
    """Several matrices as one, each by Xavier's uniform rule (Glorot & Bengio, 2010)."""
    layer = nn.Linear(in_dim, parts * width, bias)
    for part in layer.weight.detach().chunk(parts):
        nn.init.xavier_uniform_(part)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer
