"""Heads over named views, and critics, which are heads over public and privileged ones; for training alone."""

from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from buffers.batch import EpisodeBatch, PublicBatch, Rows
from policies.models.views import PrivilegedViews, PublicViews, Views
from torchkit.networks import MLP, mlp


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
        """Views (…, F) to outputs (…, out_dim) in float32; with their batch given, padding costs nothing.

        Views of a batch are of all its rows, or of those before or after each step (`before_steps`, `after_steps`).

        Nor does, then, a last view of which few rows are distinct cost more than these.
        """
        tensors = [views[name] for name in self.inputs]
        fast = batch is not None and self.net.is_fast(tensors[0])
        few: Rows | None = getattr(tensors[-1], "few", None) if fast and len(tensors) > 1 else None
        if few is not None:
            del tensors[-1]
        x = tensors[0]
        if len(tensors) > 1:
            x = torch.cat([tensor.to(x.dtype) for tensor in tensors], dim=-1)
        return self._net(x) if batch is None else batch.on_real_rows(self.net if fast else self._net, x, few)

    def of_samples(self, views_RF: Mapping[str, Tensor], sample_KRF: Tensor) -> Tensor:
        """Outputs (K, R, out_dim) at R rows of views with K values each of the last input.

        What the views give the first layer is computed once for all K.
        """
        fixed_RF = torch.cat([views_RF[name] for name in self.inputs[:-1]], dim=-1)
        first, width = self.net[0], fixed_RF.shape[-1]
        assert isinstance(first, nn.Linear)
        of_views = F.linear(fixed_RF, first.weight[:, :width], first.bias)
        x_KRF = of_views + F.linear(sample_KRF, first.weight[:, width:])
        return x_KRF.float() if len(self.net) == 1 else self._net(self.net[1](x_KRF), slice(2, None))

    def _net(self, x: Tensor, layers: slice = slice(None)) -> Tensor:
        """Under autocast the hidden layers, of all or of the last ones, run in lower precision, the output not."""
        net = self.net if layers == slice(None) else MLP(*list(self.net)[layers])
        if x.dtype == torch.float32 and not torch.is_autocast_enabled(x.device.type):
            return net(x)
        hidden = net[:-1](x)
        with torch.autocast(x.device.type, enabled=False):
            return net[-1](hidden.float())


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

    def forward(
        self, views: Views, batch: EpisodeBatch, action: Tensor | None = None, which: slice = slice(None)
    ) -> list[Tensor]:
        """The outputs (T+1, B, ·) of each head, or of `which` alone; `action` (T+1, B, A) where these see one.

        Of views at the rows before each step, and their actions, they are (T, B, ·); likewise of those after.
        """
        if self.action_embedder is not None and action is not None:
            views = views | {"action": self.action_embedder(action)}
        return [head(views, batch) for head in list(self.heads)[which]]

    def of_samples(self, views_RF: Views, action_KRA: Tensor) -> list[Tensor]:
        """The outputs (K, R) of each head at K actions for each of R rows of views, all in one product a layer."""
        assert self.action_embedder is not None, "discrete actions are all judged at once"
        embedded = self.action_embedder(action_KRA)
        return [head.of_samples(views_RF, embedded).squeeze(-1) for head in self.heads if isinstance(head, Head)]
