"""The view `history`: a memory of embeddings of what was observed, done and, where wanted, paid."""

from typing import Self

import torch
from torch import Tensor, nn

from buffers.batch import PublicBatch, Rows
from policies.models.encoders import build_memory, vector_embedder
from policies.models.sources import Sources
from policies.models.views import Fold, Inputs, Views
from torchkit.networks import DropRows
from torchkit.sequence import Carry, Memory
from utils.errors import UserError


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
        drop_action: float = 0.0,
    ):
        super().__init__()
        self.drop_action = DropRows(drop_action) if drop_action else None
        self.obs_embedder, self.action_embedder, self.reward_embedder = obs_embedder, action_embedder, reward_embedder
        self.memory = memory
        self.out_dim = memory.out_dim

    @classmethod
    def build(cls, sources: Sources, training_only: dict[str, nn.Module]) -> Self:
        """Embedders and the memory of `config.seq`."""
        sizes, spec = sources.sizes, sources.spec
        width = int(sizes.obs_dim + sizes.action_dim + sizes.reward_dim)
        drop_action = float(sources.config.rl.get("drop_action", 0.0))
        if not 0 <= drop_action < 1:
            raise UserError(f"--config_rl.drop_action={drop_action}: a share from 0 on, below 1, is needed")
        memory = build_memory(sources.config.seq, width, spec.max_episode_steps + 1)
        return cls(
            obs_embedder=sources.embedder(spec.obs_dim, spec.obs_image_shape, sizes.obs_dim),
            action_embedder=vector_embedder(spec.action_dim, sizes.action_dim),
            reward_embedder=sources.reward_embedder(sizes.reward_dim),
            memory=memory,
            drop_action=drop_action,
        )

    def initial_carry(self, batch_size: int) -> Carry:
        return self.memory.initial_carry(batch_size)

    def read(self, batch: PublicBatch) -> Rows:
        """What the memory reads of a batch."""
        previous = batch.previous
        if self.drop_action is not None and self.training:  # else a copycat learns to do what was done before
            previous = Rows.all_different(self.drop_action(batch.prev_action))
        rows = previous.embedded(self.action_embedder).beside(batch.obs.embedded(self.obs_embedder))
        if self.reward_embedder is not None:
            rows = rows.beside(Rows.all_different(self.reward_embedder(batch.prev_reward[..., None])))
        return rows

    def forward(self, batch: PublicBatch, carry: Carry | None = None) -> Views:
        rows = self.read(batch)
        encode = self.memory.encode
        if carry is not None:
            views = {"history": self.memory(rows.full(), batch.start, carry)[0]}
        else:
            views = {"history": encode(rows.full()) if rows.in_order else encode(rows.distinct, rows.place)}
        return views | ({"memory_input": rows.full()} if self.shows_input else {})

    def carry_after(self, batch: PublicBatch, carry: Carry | None) -> Carry:
        return self.memory(self.read(batch).full(), batch.start, carry)[1]

    def step(self, now: Inputs, carry: Carry | None) -> tuple[Tensor, Carry]:
        parts = [self.action_embedder(now.prev_action_NA), self.obs_embedder(now.obs_NO)]
        if self.reward_embedder is not None:
            parts.append(self.reward_embedder(now.prev_reward_N[..., None]))
        x_NF = torch.cat(parts, dim=-1)
        history_1NH, carry = self.memory(x_NF[None], now.start_N[None], carry)
        return history_1NH[0], carry
