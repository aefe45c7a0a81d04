"""The view `history`: a memory of embeddings of what was observed, done and, where wanted, paid."""

import inspect

import torch
from ml_collections import ConfigDict
from torch import Tensor, nn

from buffers.batch import PublicBatch
from buffers.rows import Rows
from policies.models.views import Fold, Inputs, Views
from torchkit.networks import init_linear
from torchkit.sequence import MEMORIES, Carry, Memory
from utils.errors import UserError, choose


class History(Fold):
    """`history` (…, H): embeddings of the previous action, the observation and, where an embedder is given, the
    previous reward, folded by a memory. What goes into the memory is the view `memory_input`, if `shows_input`.
    """

    shows_input = False

    def __init__(
        self,
        obs_embedder: nn.Module,
        action_embedder: nn.Module,
        reward_embedder: nn.Module | None,
        memory: Memory,
    ):
        super().__init__()
        self.obs_embedder, self.action_embedder, self.reward_embedder = obs_embedder, action_embedder, reward_embedder
        self.memory = memory
        self.out_dim = memory.out_dim

    def initial_carry(self, batch_size: int) -> Carry:
        return self.memory.initial_carry(batch_size)

    def forward(self, batch: PublicBatch) -> Views:
        rows = batch.previous.embedded(self.action_embedder).beside(batch.obs.embedded(self.obs_embedder))
        if self.reward_embedder is not None:
            rows = rows.beside(Rows.all_different(self.reward_embedder(batch.prev_reward[..., None])))
        encode = self.memory.encode
        views = {"history": encode(rows.full()) if rows.in_order else encode(rows.distinct, rows.place)}
        return views | ({"memory_input": rows.full()} if self.shows_input else {})

    def step(self, now: Inputs, carry: Carry | None) -> tuple[Tensor, Carry]:
        parts = [self.action_embedder(now.prev_action_NA), self.obs_embedder(now.obs_NO)]
        if self.reward_embedder is not None:
            parts.append(self.reward_embedder(now.prev_reward_N[..., None]))
        x_NF = torch.cat(parts, dim=-1)
        history_1NH, carry = self.memory(x_NF[None], now.start_N[None], carry)
        return history_1NH[0], carry


def build_memory(config_seq: ConfigDict, width: int, context: int, flag: str = "--config_seq") -> Memory:
    """The memory that a config names, for inputs of `width`; one with a limited reach gets `context` rows.

    `flag` is how the user named the config, for errors.

    Raises:
        UserError: an unknown memory, or settings that it does not take.
    """
    kind = choose(MEMORIES, config_seq.memory, f"{flag}.memory")
    takes = set(inspect.signature(kind).parameters) - {"in_dim", "context"}
    for name in config_seq.kwargs:
        if name not in takes:
            raise UserError(
                f"{flag}.memory: {config_seq.memory} has no kwargs.{name}, it takes {', '.join(sorted(takes))}; "
                f"configs/seq/{config_seq.memory}.py has its own"
            )
    kwargs = dict(config_seq.kwargs)
    if "context" in inspect.signature(kind).parameters:
        kwargs["context"] = context
    try:
        return kind(width, **kwargs)
    except UserError as error:
        raise UserError(f"{flag}.kwargs.{error}") from error


def vector_embedder(in_dim: int, out_dim: int) -> nn.Sequential:
    """Linear-ReLU."""
    return nn.Sequential(init_linear(nn.Linear(in_dim, out_dim)), nn.ReLU())
