"""Named feature views of a batch: public ones, which a deployed policy can compute, and privileged ones, of the state.

The two live in separate modules. A policy holds `PublicViews` only, whose forward has no state argument: it cannot read
what it will not have.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from buffers.batch import EpisodeBatch
from torchkit.networks import mlp
from torchkit.sequence import Carry, Memory

PUBLIC = ("history", "observation", "z_obs")
PRIVILEGED = ("state", "z_state")

Views = dict[str, Tensor]


class Inputs(NamedTuple):
    """What a policy reads at a step of N envs: the observation and its own past."""

    obs_NO: Tensor
    prev_action_NA: Tensor
    prev_reward_N: Tensor
    start_N: Tensor


class PublicViews(nn.Module):
    """`history` (…, H), and as asked for `observation`, a learned embedding, and `z_obs`, ψ of stage 2.

    `history` folds embeddings of the previous action, the observation and, where an embedder is given, the previous
    reward.
    """

    def __init__(
        self,
        obs_embedder: nn.Module,
        action_embedder: nn.Module,
        reward_embedder: nn.Module | None,
        memory: Memory,
        shortcuts: Mapping[str, nn.Module],
    ):
        super().__init__()
        self.obs_embedder, self.action_embedder, self.reward_embedder = obs_embedder, action_embedder, reward_embedder
        self.memory = memory
        self.shortcuts = nn.ModuleDict(shortcuts)

    def _inputs(self, obs_embedding: Tensor, prev_action: Tensor, prev_reward: Tensor) -> Tensor:
        parts = [self.action_embedder(prev_action), obs_embedding]
        if self.reward_embedder is not None:
            parts.append(self.reward_embedder(prev_reward[..., None]))
        return torch.cat(parts, dim=-1)

    def forward(self, batch: EpisodeBatch) -> Views:
        """Views (T+1, B, F) of whole episodes that all start at the first row. Reads nothing of the state."""
        views = {name: batch.obs.through(embed) for name, embed in self.shortcuts.items()}
        inputs = self._inputs(batch.obs.through(self.obs_embedder), batch.prev_action, batch.prev_reward)
        return views | {"history": self.memory.encode(inputs)}

    def step(self, now: Inputs, carry: Carry | None) -> tuple[Views, Carry | None]:
        """One step of N envs: views (N, F) and the memory's carry; where `start_N` is 1 the memory forgets."""
        views = {name: embed(now.obs_NO) for name, embed in self.shortcuts.items()}
        x_NF = self._inputs(self.obs_embedder(now.obs_NO), now.prev_action_NA, now.prev_reward_N)
        history_1NH, carry = self.memory(x_NF[None], now.start_N[None], carry)
        return views | {"history": history_1NH[0]}, carry


class PrivilegedViews(nn.Module):
    """`state`, a learned embedding of the state, and `z_state`, φ of stage 2 (never trained here); training only."""

    def __init__(self, embedders: Mapping[str, nn.Module], frozen: Mapping[str, nn.Module]):
        super().__init__()
        self.embedders, self.frozen = nn.ModuleDict(embedders), nn.ModuleDict(frozen)
        self.frozen.requires_grad_(False)

    def forward(self, batch: EpisodeBatch) -> Views:
        """Views (T+1, B, F) of the state rows."""
        views = {name: batch.state.through(embed) for name, embed in self.embedders.items()}
        with torch.no_grad():
            views |= {name: batch.state.through(embed) for name, embed in self.frozen.items()}
        return views


class Head(nn.Module):
    """An MLP over named views; `inputs` is all that it can ever see."""

    def __init__(self, inputs: Iterable[str], dims: Mapping[str, int], hidden_dims: tuple[int, ...], out_dim: int):
        super().__init__()
        self.inputs = tuple(inputs)
        self.net = mlp(sum(dims[name] for name in self.inputs), hidden_dims, out_dim)

    def forward(self, views: Mapping[str, Tensor], batch: EpisodeBatch | None = None) -> Tensor:
        """Views (…, F) to outputs (…, out_dim) in float32; with their batch given, padding costs nothing."""
        x = views[self.inputs[0]]
        if len(self.inputs) > 1:
            x = torch.cat([views[name].to(x.dtype) for name in self.inputs], dim=-1)
        return self._net(x) if batch is None else batch.on_real_rows(self._net, x)

    def _net(self, x: Tensor) -> Tensor:
        """Under autocast the hidden layers run in lower precision, the output layer does not."""
        hidden = self.net[:-1](x)
        with torch.autocast(x.device.type, enabled=False):
            return self.net[-1](hidden.float())
