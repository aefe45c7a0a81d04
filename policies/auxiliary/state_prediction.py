"""The memory must predict the state embedding: L = β · error(k(h_t), z^s_t) (Nguyen et al., CoRL 2024).

Scale, offset and geometry of z_state are accidents of its training. `share` and `nats` predict a standardised z_state
instead, so that neither loss nor bonus depends on them.
"""

from collections.abc import Mapping
from typing import ClassVar, Self

import torch
from ml_collections import ConfigDict
from torch import Tensor, nn

from buffers.batch import EpisodeBatch
from policies.extensions import AuxiliaryLoss
from policies.losses import PREDICTION_ERRORS, prediction_error
from policies.models.trunk import Trunk
from torchkit.moments import Moments
from torchkit.networks import mlp
from utils.errors import UserError, choose_name
from utils.reads import ANY, WIDTH, Reads


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


class Unit(nn.Module):
    """An affine map of z_state (…, Z) to the form in which it is predicted, by its moments over the domain's states.

    `share`: (z - E z) / √(E‖z - E z‖²), so that the best prediction from nothing has an error of 1. `nats`: coordinates
    along the principal axes, each of variance 1. Others leave z_state as it is.
    """

    FLOOR = 1e-4  # share of the variance below which an axis counts as empty

    def __init__(self, kind: str, dim: int):
        super().__init__()
        self.kind, self.measures = kind, kind in ("share", "nats")
        self.unknown = self.measures  # whether the moments are still to come
        if self.measures:
            self.centre_Z = frozen(torch.zeros(dim))
            self.scale_Z = frozen(torch.full((dim,), torch.nan))
            self.register_load_state_dict_post_hook(Unit._loaded)
        if kind == "nats":
            self.axes_ZZ = frozen(torch.eye(dim))

    def _loaded(self, _: object) -> None:
        self.unknown = bool(self.scale_Z.isnan().any())

    def measure(self, moments: Moments) -> None:
        """Takes over the moments of z_state.

        Raises:
            UserError: z_state has too many numbers to be whitened.
        """
        if not self.measures:
            return
        self.unknown = False
        self.centre_Z.copy_(moments.mean_Z)
        self.scale_Z.fill_(moments.rms)
        if self.kind == "nats":
            try:
                axes_ZZ, std_Z = moments.whitening(self.FLOOR)
            except ValueError as error:
                raise UserError(f"--config_rl.auxiliary.state_prediction.error=nats: {error}; choose share") from error
            self.axes_ZZ.copy_(axes_ZZ)
            self.scale_Z.copy_(std_Z)

    def forward(self, z: Tensor) -> Tensor:
        if not self.measures:
            return z
        centred = z.float() - self.centre_Z
        return (centred @ self.axes_ZZ if self.kind == "nats" else centred) / self.scale_Z


def frozen(value: Tensor) -> nn.Parameter:
    """A parameter that no optimiser trains; a buffer would not be among what several seeds learn as one batch."""
    return nn.Parameter(value, requires_grad=False)


class StatePrediction(AuxiliaryLoss):
    """The predictor k of z_state from the history, and its error.

    `weight` (β) scales the gradient that reaches the memory; k itself always learns at full strength, so that with
    β = 0 it still tells the information gain. The prediction is published as the view `predicted_state`, and what it
    is held against as `state_target`. With `look_ahead` there is a second one, of the state to come from the history
    and the action, `foreseen_state`.
    """

    loss_weight = 1.0  # β acts on the gradient instead
    under_vmap = True
    reads: ClassVar[Reads] = {"error": ANY, "hidden_dims": WIDTH}

    def __init__(
        self, in_dim: int, target: str, target_dim: int, hidden_dims: tuple[int, ...], weight: float, error: str
    ):
        super().__init__()
        out_dim = 2 * target_dim if error == "nats" else target_dim
        self.net = mlp(in_dim, hidden_dims, out_dim)
        self.target, self.weight, self.error = target, weight, error
        self.sizes = (in_dim, hidden_dims, out_dim)
        self.unit = Unit(error, target_dim)
        self.ahead: nn.Sequential | None = None

    def look_ahead(self, action_dim: int) -> None:
        """Adds the prediction of z_state after the action, from the history before it."""
        in_dim, hidden_dims, out_dim = self.sizes
        self.ahead = mlp(in_dim + action_dim, hidden_dims, out_dim)

    @classmethod
    def build(cls, trunk: Trunk, settings: ConfigDict) -> Self:
        """The predictor of z_state, by the state embedder that `config_rl.z_state` says."""
        error = choose_name(PREDICTION_ERRORS, settings.error, "--config_rl.auxiliary.state_prediction.error")
        width = trunk.width("z_state")
        part = cls(trunk.width("history"), "z_state", width, settings.hidden_dims, settings.weight, error)
        if (moments := trunk.moments("z_state")) is not None:
            part.unit.measure(moments)
        return part

    @property
    def unmeasured(self) -> tuple[str, ...]:
        return (self.target,) if self.unit.unknown else ()

    def measure(self, moments: Mapping[str, Moments]) -> None:
        self.unit.measure(moments[self.target])

    def extend(self, views: dict[str, Tensor], batch: EpisodeBatch) -> None:
        """Adds `predicted_state` and `state_target` (T+1, B, Z), once for all that read them."""
        history = _ScaleGradient.apply(views["history"], self.weight)
        views["predicted_state"] = batch.on_real_rows(self.net, history).float()
        views["state_target"] = self.unit(views[self.target])
        if self.ahead is not None:
            before = torch.cat([torch.zeros_like(history[:1]), history[:-1]])
            known = torch.cat([before, batch.prev_action.to(history.dtype)], dim=-1)
            views["foreseen_state"] = batch.on_real_rows(self.ahead, known).float()

    def loss(self, views: Mapping[str, Tensor], batch: EpisodeBatch) -> Tensor:
        """The error of every row (T+1, B), against the state of the same row."""
        error = self.errors(views["predicted_state"], views["state_target"])
        if self.ahead is not None:
            error = error + self.errors(views["foreseen_state"], views["state_target"])
        return error

    def errors(self, prediction: Tensor, target: Tensor) -> Tensor:
        """How far predictions (…, X) of rows of `state_target` (…, Z) are off, (…)."""
        return prediction_error(prediction, target, self.error)
