"""The history and the action must tell the next history: L = ‖f(h_t, a_t) - h⁻_{t+1}‖² (self-prediction, ZP).

h⁻ comes from a copy of the memory that follows it by τ, fed with the embeddings that the memory itself is fed with;
no gradient goes through it (Subramanian et al., 2022; Ni et al., 2024).
"""

import copy
from collections.abc import Mapping
from typing import ClassVar, Self

import torch
from ml_collections import ConfigDict
from torch import Tensor

from buffers.batch import EpisodeBatch
from policies.extensions import AuxiliaryLoss, transition_rows
from policies.models.trunk import Trunk
from torchkit.networks import mlp
from torchkit.sequence import Memory
from utils.errors import UserError
from utils.reads import WIDTH, Reads


class SelfPrediction(AuxiliaryLoss):
    """The latent model f and the memory's slow copy."""

    reads: ClassVar[Reads] = {"hidden_dims": WIDTH}

    def __init__(self, memory: Memory, action_dim: int, hidden_dims: tuple[int, ...], weight: float):
        super().__init__()
        self.net = mlp(memory.out_dim + action_dim, hidden_dims, memory.out_dim)
        self.slow = copy.deepcopy(memory).requires_grad_(False).eval()
        self._memory = (memory,)  # in a tuple: it is the agent's, not a module of this loss
        self.loss_weight = weight

    @classmethod
    def build(cls, trunk: Trunk, settings: ConfigDict) -> Self:
        rl = trunk.config.rl
        if rl.get("burn_in", 0) or rl.get("carry", "zero") != "zero":
            raise UserError(
                "--config_rl.auxiliary.use: self_prediction is for burn_in=0 and carry=zero, since its slow memory "
                "begins with nothing"
            )
        trunk.width("memory_input")  # which the slow copy reads
        return cls(trunk.memory, trunk.spec.action_dim, settings.hidden_dims, settings.weight)

    def extend(self, views: dict[str, Tensor], batch: EpisodeBatch) -> None:
        """Adds what f predicts of every row (T+1, B, H), `next_history`, and the slow copy's `slow_history`."""
        with torch.no_grad():
            views["slow_history"] = self.slow.encode(views["memory_input"].detach()).float()
        history = views["history"]
        action_TBA = torch.cat([batch.prev_action[1:], torch.zeros_like(batch.prev_action[:1])])
        known = torch.cat([history, action_TBA.to(history.dtype)], dim=-1)
        views["next_history"] = batch.on_real_rows(self.net, known).float()

    def loss(self, views: Mapping[str, Tensor], batch: EpisodeBatch) -> Tensor:
        """The squared error of every transition, as rows (T+1, B)."""
        return transition_rows((views["next_history"][:-1] - views["slow_history"][1:]).square().sum(-1))

    def mask(self, batch: EpisodeBatch) -> Tensor:
        return transition_rows(batch.mask)

    @torch.no_grad()
    def after_step(self, tau: float) -> None:
        slow: list[Tensor] = list(self.slow.parameters())
        memory: list[Tensor] = list(self._memory[0].parameters())
        if slow:
            torch._foreach_lerp_(slow, memory, tau)
