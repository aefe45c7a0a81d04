"""The memory must predict the state embedding: L = β · error(k(h_t), z^s_t) (Nguyen et al., CoRL 2024)."""

from collections.abc import Mapping
from typing import Self

import torch
from ml_collections import ConfigDict
from torch import Tensor, nn

from buffers.batch import EpisodeBatch
from policies.extensions import AuxiliaryLoss, Parts
from policies.losses import PREDICTION_ERRORS, prediction_error
from torchkit.networks import mlp
from utils.errors import choose_name


class _ScaleGradient(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, scale: float) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor, float], output: Tensor) -> None:
        ctx.scale = inputs[1]  # type: ignore[attr-defined]

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0] * ctx.scale, None  # type: ignore[attr-defined]


class StatePrediction(AuxiliaryLoss):
    """The predictor k of z^s from the history, and its error.

    `weight` (β) scales the gradient that reaches the memory; k itself always learns at full strength, so that with
    β = 0 it still tells the information gain. The prediction is published as the view `predicted_state`. With
    `look_ahead` there is a second one, of the state to come from the history and the action, `foreseen_state`.
    """

    loss_weight = 1.0  # β acts on the gradient instead

    def __init__(
        self, in_dim: int, target: str, target_dim: int, hidden_dims: tuple[int, ...], weight: float, error: str
    ):
        super().__init__()
        self.net = mlp(in_dim, hidden_dims, target_dim)
        self.target, self.weight, self.error = target, weight, error
        self.sizes = (in_dim, hidden_dims, target_dim)
        self.ahead: nn.Sequential | None = None

    def look_ahead(self, action_dim: int) -> None:
        """Adds the prediction of z^s after the action, from the history before it."""
        in_dim, hidden_dims, target_dim = self.sizes
        self.ahead = mlp(in_dim + action_dim, hidden_dims, target_dim)

    @classmethod
    def build(cls, parts: Parts, settings: ConfigDict) -> Self:
        """The predictor of z^s, φ being what `config_rl.z_state` says."""
        error = choose_name(PREDICTION_ERRORS, settings.error, "--config_rl.auxiliary.state_prediction.error")
        width = parts.width("z_state")
        return cls(parts.width("history"), "z_state", width, settings.hidden_dims, settings.weight, error)

    def extend(self, views: dict[str, Tensor], batch: EpisodeBatch) -> None:
        """Adds `predicted_state` (T+1, B, Z), once for all that read it."""
        history = _ScaleGradient.apply(views["history"], self.weight)
        views["predicted_state"] = batch.on_real_rows(self.net, history).float()
        if self.ahead is not None:
            before = torch.cat([torch.zeros_like(history[:1]), history[:-1]])
            known = torch.cat([before, batch.prev_action.to(history.dtype)], dim=-1)
            views["foreseen_state"] = batch.on_real_rows(self.ahead, known).float()

    def loss(self, views: Mapping[str, Tensor], batch: EpisodeBatch) -> Tensor:
        """The error of every row (T+1, B), against the state of the same row."""
        error = prediction_error(views["predicted_state"], views[self.target], self.error)
        if self.ahead is not None:
            error = error + prediction_error(views["foreseen_state"], views[self.target], self.error)
        return error
