"""No memory: what is known at a step is what arrives at that step."""

from torch import Tensor, nn

from torchkit.networks import mlp
from torchkit.sequence.base import Carry, Memory
from utils.errors import at_least_one


class Markov(Memory):
    """The features themselves (`hidden_dims` empty), or a per-step MLP of them with `out_dim` outputs."""

    under_vmap = True

    def __init__(self, in_dim: int, out_dim: int = 128, hidden_dims: tuple[int, ...] = ()):
        super().__init__()
        at_least_one({"out_dim": out_dim, "hidden_dims": hidden_dims})
        self.out_dim = out_dim if hidden_dims else in_dim
        self.net = mlp(in_dim, hidden_dims, out_dim, out_bound=None) if hidden_dims else nn.Identity()

    def initial_carry(self, batch_size: int) -> Carry:
        return ()

    def forward(self, x_TBF: Tensor, start_TB: Tensor, carry: Carry | None = None) -> tuple[Tensor, Carry]:
        return self.net(x_TBF), ()
