"""Named feature views of a batch: public ones, which a deployed policy can compute, and privileged ones, of the state.

The two live in separate modules. A policy holds `PublicViews` only, which are given a `PublicBatch`: they cannot read
what they will not have.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from buffers.batch import EpisodeBatch, PublicBatch, Rows
from torchkit.networks import mlp
from torchkit.sequence import Carry, Memory

PUBLIC = ("history", "belief", "observation", "z_obs")
PRIVILEGED = ("state", "z_state", "signal")

Views = dict[str, Tensor]


class Inputs(NamedTuple):
    """What a policy reads at a step of N envs: the observation and its own past."""

    obs_NO: Tensor
    prev_action_NA: Tensor
    prev_reward_N: Tensor
    start_N: Tensor


class Fold(nn.Module):
    """A public view that remembers. It reads observations and its own past, of a batch as of a step."""

    out_dim: int

    def initial_carry(self, batch_size: int) -> Carry:
        """The carry of `batch_size` episodes that have seen nothing."""
        raise NotImplementedError

    def forward(self, batch: PublicBatch) -> Views:
        """The view (T+1, B, F) of whole episodes that all start at the first row, and others that parts may read."""
        raise NotImplementedError

    def step(self, now: Inputs, carry: Carry | None) -> tuple[Tensor, Carry]:
        """The view (N, F) at one step of N envs and the carry; where `start_N` is 1 the past is forgotten."""
        raise NotImplementedError


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


class PublicViews(nn.Module):
    """Views of what a policy has: `folds`, which remember, and `shortcuts`, embeddings of the present observation."""

    def __init__(self, folds: Mapping[str, Fold], shortcuts: Mapping[str, nn.Module]):
        super().__init__()
        self.folds, self.shortcuts = nn.ModuleDict(folds), nn.ModuleDict(shortcuts)
        self._folds = dict(folds)  # the same, with their types
        self._carry_sizes = [len(fold.initial_carry(1)) for fold in folds.values()]

    def initial_carry(self, batch_size: int) -> Carry:
        """The folds' carries, one after the other, of `batch_size` episodes that have seen nothing."""
        return tuple(part for fold in self._folds.values() for part in fold.initial_carry(batch_size))

    @property
    def names(self) -> tuple[str, ...]:
        """The views that a head may read."""
        return (*self.shortcuts, *self.folds)

    def forward(self, batch: PublicBatch) -> Views:
        """Views (T+1, B, F) of whole episodes that all start at the first row.

        Of a batch that holds more, its public part alone goes on.
        """
        batch = batch.public
        views = {name: batch.obs.through(embed) for name, embed in self.shortcuts.items()}
        for fold in self._folds.values():
            views |= fold(batch)
        return views

    def step(self, now: Inputs, carry: Carry | None) -> tuple[Views, Carry]:
        """One step of N envs: views (N, F) and the folds' carries, one after the other."""
        views = {name: embed(now.obs_NO) for name, embed in self.shortcuts.items()}
        after: Carry = ()
        for (name, fold), size in zip(self._folds.items(), self._carry_sizes, strict=True):
            mine, carry = (None, None) if carry is None else (carry[:size], carry[size:])
            views[name], new = fold.step(now, mine)
            after += new
        return views, after


class PrivilegedViews(nn.Module):
    """Views of the state, for training only: learned embeddings, and frozen ones such as `z_state`, φ of stage 2."""

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

    def __init__(
        self,
        inputs: Iterable[str],
        dims: Mapping[str, int],
        hidden_dims: tuple[int, ...],
        out_dim: int,
        out_bound: float = 3e-3,
    ):
        super().__init__()
        self.inputs = tuple(inputs)
        self.net = mlp(sum(dims[name] for name in self.inputs), hidden_dims, out_dim, out_bound)

    def forward(self, views: Mapping[str, Tensor], batch: PublicBatch | None = None) -> Tensor:
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


class Critic(nn.Module):
    """Heads over public and privileged views, and over a continuous action; for training only.

    `public` is None where it reads the views of the policy's own memory instead. Twin critics are two heads.
    """

    def __init__(
        self,
        public: PublicViews | None,
        privileged: PrivilegedViews,
        heads: Iterable[Head],
        action_embedder: nn.Module | None = None,
    ):
        super().__init__()
        self.public, self.privileged, self.heads = public, privileged, nn.ModuleList(heads)
        self.action_embedder = action_embedder

    def views(self, batch: EpisodeBatch, given: Views) -> Views:
        """All that its heads may see (T+1, B, F): its own views beside those given, the policy's among them."""
        public = {} if self.public is None else self.public(batch)
        return given | public | self.privileged(batch)

    def forward(self, views: Views, batch: EpisodeBatch, action: Tensor | None = None) -> list[Tensor]:
        """The outputs (T+1, B, ·) of each head; `action` (T+1, B, A) where the heads see one."""
        if self.action_embedder is not None:
            assert action is not None, "this critic judges actions"
            views = views | {"action": self.action_embedder(action)}
        return [head(views, batch) for head in self.heads]
