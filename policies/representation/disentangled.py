"""Stage 2: embeddings of state and observation that are informative, relevant to the task, and do not overlap.

φ(s) = z^s and ψ(o) = z^o are trained together (Nguyen et al., CoRL 2024) to tell their inputs (Jensen-Shannon
information maximisation), to predict the next embeddings and the reward, and to share nothing (CLUB). z^s then keeps
what matters and the present observation does not show.

Dimension key: M real steps, D distinct transitions, U distinct rows, B batch, O observation, S state, A actions,
Z embedding.
"""

import itertools
import math
import warnings
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from buffers.augment import turn_actions
from buffers.transitions import Batch, TransitionData, draw, epoch_generator
from torchkit.fast.adam import Adam
from torchkit.mutual_information import Club, club_upper_bound_of_pairs, jsd_loss
from torchkit.networks import Encoder, EncoderConfig
from utils.device import products_of
from utils.errors import DivergenceError, UserError

CHUNK = 512  # rows
METRICS = ("total", "max_s_zs", "max_o_zo", "min_zs_zo", "state_dynamics", "obs_dynamics", "reward", "club_likelihood")


@dataclass(frozen=True)
class RepresentationConfig:
    """Sizes and weights of the objective; a weight of 0 leaves its term out."""

    obs_encoder: EncoderConfig
    state_encoder: EncoderConfig
    action_dim: int
    hidden_dim: int = 128
    action_embedding_dim: int = 16
    reward_weight: float = 1.0
    state_dynamics_weight: float = 1.0
    obs_dynamics_weight: float = 1.0
    overlap_weight: float = 1.0
    state_info_weight: float = 0.0
    obs_info_weight: float = 1.0

    def __post_init__(self) -> None:
        if self.obs_encoder.out_dim != self.state_encoder.out_dim:
            raise ValueError("both embeddings must have the same size: the dynamics read their mean")


class RepresentationObjective(nn.Module):
    """Both encoders and all that trains them: tails for the local features, dynamics with three heads, CLUB."""

    def __init__(self, config: RepresentationConfig):
        super().__init__()
        self.config = config
        Z = config.obs_encoder.out_dim
        self.s_encoder = Encoder(config.state_encoder)
        self.o_encoder = Encoder(config.obs_encoder)
        self.s_local = self.s_encoder.make_rest() if config.state_info_weight else None
        self.o_local = self.o_encoder.make_rest() if config.obs_info_weight else None
        self.action_embedding = nn.Linear(config.action_dim, config.action_embedding_dim)
        sizes = (Z + config.action_embedding_dim, *[config.hidden_dim] * 3)
        layers = [layer for a, b in itertools.pairwise(sizes) for layer in (nn.Linear(a, b), nn.ReLU())]
        self.dynamics = nn.Sequential(*layers, nn.Linear(config.hidden_dim, 2 * Z + 1))  # next z^s, next z^o, reward
        self.club = Club(Z, Z)

    def representation_parameters(self) -> list[nn.Parameter]:
        """Everything but CLUB, which has its own optimiser."""
        club = {id(parameter) for parameter in self.club.parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in club]

    def embed(self, data: TransitionData, batch: Batch) -> "tuple[_Embedded, _Embedded]":
        """A batch's states and observations, embedded."""
        return _embed(self.s_encoder, data, "state", batch), _embed(self.o_encoder, data, "obs", batch)

    def losses(
        self,
        data: TransitionData,
        batch: Batch,
        permutation_B: Tensor,
        embedded: "tuple[_Embedded, _Embedded] | None" = None,
    ) -> dict[str, Tensor]:
        """The weighted total and each term, unweighted: scalars, smaller is better.

        `max_s_zs` and `max_o_zo` are Jensen-Shannon losses (0 where nothing is known), `min_zs_zo` is the positive part
        of the CLUB bound in nats, whose gradient reaches both encoders.

        Args:
            permutation_B: a random permutation of the batch, for CLUB's shuffled pairs.
            embedded: what `embed` makes of the batch, where that is at hand.
        """
        config, d, Z = self.config, batch.distinct_D, self.config.obs_encoder.out_dim
        s, o = self.embed(data, batch) if embedded is None else embedded
        terms = {"max_s_zs": _info_loss(self.s_local, s, batch), "max_o_zo": _info_loss(self.o_local, o, batch)}

        excess_DD = batch.pairs(permutation_B) - batch.share_D.diag()
        mu_DZ, logvar_DZ = self.club(s.z_DZ)
        terms["min_zs_zo"] = club_upper_bound_of_pairs(mu_DZ, logvar_DZ, o.z_DZ, excess_DD).relu()

        action = data.action[d] if batch.angle_D is None else turn_actions(data.action[d], batch.angle_D)
        predicted = self.dynamics(torch.cat([0.5 * (s.z_DZ + o.z_DZ), self.action_embedding(action)], dim=-1))
        discount_D1 = data.discount[d, None]  # a true ending is followed by the zero vector, a time limit is not
        after = torch.cat([discount_D1 * s.next_DZ, discount_D1 * o.next_DZ, data.reward[d, None]], dim=-1)
        errors = batch.mean((predicted - after).square()).split([Z, Z, 1])
        terms |= {name: error.sum() for name, error in zip(("state_dynamics", "obs_dynamics", "reward"), errors)}
        weights = {
            "max_s_zs": config.state_info_weight,
            "max_o_zo": config.obs_info_weight,
            "min_zs_zo": config.overlap_weight,
            "state_dynamics": config.state_dynamics_weight,
            "obs_dynamics": config.obs_dynamics_weight,
            "reward": config.reward_weight,
        }
        weight = errors[0].new_tensor([weights[name] for name in terms])
        return {"total": torch.stack(list(terms.values())) @ weight, **terms}

    @torch.no_grad()
    def embed_pairs(self, data: TransitionData, batches: list[Batch]) -> list[tuple[Tensor, Tensor]]:
        """(z^s, z^o) of each batch's distinct transitions, without gradients, in one forward pass for all batches."""
        views, width = ((self.s_encoder, "state"), (self.o_encoder, "obs")), self.config.hidden_dim
        return list(zip(*(_embed_each(encoder, data, view, batches, width) for encoder, view in views)))


@dataclass(frozen=True)
class _Embedded:
    """Distinct rows seen through an encoder, and where each transition finds its own."""

    local: Tensor  # (U, …) first-block activations
    z_UZ: Tensor
    place_D: Tensor
    z_DZ: Tensor
    next_DZ: Tensor  # after the transition, without gradient


def _embed(encoder: Encoder, data: TransitionData, view: str, batch: Batch) -> _Embedded:
    """Embeds the rows before with gradient and those after without; each distinct row once."""
    ids, next_ids = data.ids(view)
    id_D, next_id_D = ids[batch.distinct_D], next_ids[batch.distinct_D]
    if data.is_small(view, batch):  # all its rows at once, the rows after included
        local = encoder.local(data.read(view, data.numbers(view)))
        z_UZ = encoder.rest(local).float()
        return _Embedded(local, z_UZ, id_D, z_UZ[id_D], z_UZ.detach()[next_id_D])
    number, angle, place_D = batch.frames(id_D)
    local = encoder.local(data.read(view, number, angle))
    z_UZ = encoder.rest(local).float()
    with torch.no_grad():
        next_DZ = _embed_rows(encoder, data, view, next_id_D, batch)
    return _Embedded(local, z_UZ, place_D, z_UZ[place_D], next_DZ)


def _embed_rows(encoder: Encoder, data: TransitionData, view: str, id_D: Tensor, batch: Batch) -> Tensor:
    """Embeddings (D, Z) of rows by number, each distinct row embedded once, in parts that a cache can hold."""
    number, angle, place_D = (data.numbers(view), None, id_D) if data.is_small(view, batch) else batch.frames(id_D)
    parts = number.split(CHUNK)
    angles = [None] * len(parts) if angle is None else angle.split(CHUNK)
    return torch.cat([encoder(data.read(view, *part)).float() for part in zip(parts, angles)])[place_D]


def _embed_each(
    encoder: Encoder, data: TransitionData, view: str, batches: list[Batch], width: int
) -> Sequence[Tensor]:
    """Embeddings (D, Z) of the rows before each batch's transitions, in one forward pass of layers about that wide."""
    (ids, _), sizes = data.ids(view), [len(batch.distinct_D) for batch in batches]
    if all(data.is_small(view, batch) for batch in batches):
        with products_of(len(data.numbers(view)), width, width):
            z_UZ = encoder(data.read(view, data.numbers(view))).float()
        return z_UZ[ids[torch.cat([batch.distinct_D for batch in batches])]].split(sizes)
    joined = Batch.side_by_side(batches)
    z = _embed_rows(encoder, data, view, ids[joined.distinct_D], joined)
    return z.split(sizes)


def _info_loss(tail: nn.Module | None, view: _Embedded, batch: Batch) -> Tensor:
    """The Jensen-Shannon loss of a view; distinct rows are each other's negatives and their own positives."""
    if tail is None:
        return view.z_UZ.new_zeros(())
    count_U = view.z_UZ.new_zeros(len(view.z_UZ)).index_add_(0, view.place_D, batch.count_D)
    positive_UU = torch.eye(len(count_U), device=count_U.device)
    low = view.local.dtype == torch.bfloat16
    with torch.autocast(view.local.device.type, torch.bfloat16) if low else nullcontext():
        local_UZ = tail(view.local)
    return jsd_loss(local_UZ.float(), view.z_UZ, positive_UU, count_U)


@dataclass(frozen=True)
class TrainingConfig:
    """Optimiser settings of stage 2.

    Both learning rates fall linearly to 0 over the last `anneal` share of the `num_epochs`: at a constant rate (0, as
    published) the loss now and then leaps, and what comes out depends on the epoch at which one stops.

    CLUB's likelihood steps are taken on batches of the epoch drawn at random and embedded for it (`club_rows` fresh, as
    published), or on the last `club_steps` batches as they were embedded for the encoders' steps (recent). Of images
    the fresh ones cost more than all the rest.

    `precision` bf16: encoders in bfloat16, where the processor is fast at it.
    """

    lr: float = 1e-3
    club_lr: float = 1e-3
    batch_size: int = 500
    club_steps: int = 5
    num_epochs: int = 1000
    anneal: float = 0.0
    club_rows: str = "fresh"
    precision: str = "fp32"


class RepresentationTrainer:
    """Trains a `RepresentationObjective` on data in memory; the draw of an epoch depends on seed and epoch alone."""

    def __init__(
        self,
        objective: RepresentationObjective,
        data: TransitionData,
        config: TrainingConfig,
        seed: int,
        device: torch.device,
    ):
        if not len(data):
            raise UserError("--data_path: the data set holds no transitions")
        self.objective, self.data, self.config = objective.to(device), data.to(device), config
        self.seed, self.device, self.epoch, self.num_epochs = seed, device, 0, config.num_epochs
        self.batch_size = min(config.batch_size, len(data))
        if self.batch_size < config.batch_size:
            warnings.warn(
                f"{len(data)} transitions do not fill a batch of {config.batch_size}: the batch is all of them",
                stacklevel=2,
            )
        self.parameters = objective.representation_parameters()
        self.optimiser = Adam(self.parameters, config.lr)
        self.club_optimiser = Adam(objective.club.parameters(), config.club_lr)

    def train_epoch(self) -> dict[str, float]:
        """One pass over the data in batches, the incomplete last one dropped; returns the means of `METRICS`.

        Raises:
            DivergenceError: a loss is not finite.
        """
        rng = epoch_generator(self.seed, self.epoch)
        batches = [self.data.batch(i, rng, self.device) for i in draw(len(self.data), self.batch_size, rng)]
        self._set_learning_rates()
        total, width = torch.zeros(len(METRICS), device=self.device), self.objective.config.hidden_dim
        recent: deque[Any] | None = deque(maxlen=self.config.club_steps) if self.config.club_rows == "recent" else None
        for batch in batches:
            permutation_B = torch.randperm(self.batch_size, generator=rng).to(self.device)
            self.optimiser.zero_grad()
            with products_of(len(batch.distinct_D), width, width):
                with self._autocast():
                    embedded = self.objective.embed(self.data, batch)
                losses = self.objective.losses(self.data, batch, permutation_B, embedded)
                losses["total"].backward(inputs=self.parameters)  # through CLUB, not into it
            self.optimiser.step()
            if recent is None:
                picked = torch.randint(len(batches), (self.config.club_steps,), generator=rng).tolist()
                likelihood = self.fit_club([batches[i] for i in picked])
            else:
                recent.append((batch, tuple(view.z_DZ.detach() for view in embedded)))
                likelihood = self._fit_club(recent)
            total += torch.stack([*[losses[name].detach() for name in METRICS[:-1]], likelihood])
        self.epoch += 1
        return finite_means(self.epoch, METRICS, total / len(batches))

    def fit_club(self, batches: list[Batch]) -> Tensor:
        """One likelihood step of CLUB a batch, the encoders left alone; returns the mean log-likelihood (detached)."""
        with self._autocast():
            pairs = self.objective.embed_pairs(self.data, batches)
        return self._fit_club(list(zip(batches, pairs)))

    def _fit_club(self, pairs: Collection[tuple[Batch, tuple[Tensor, ...]]]) -> Tensor:
        """The same on (z^s, z^o) of the batches' distinct transitions."""
        mean, ascend = torch.zeros((), device=self.device), self.objective.club.ascent()
        for batch, (z_s, z_o) in pairs:
            mean += ascend(z_s, z_o, batch.share_D)
            self.club_optimiser.step()
        return mean / len(pairs)

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, torch.bfloat16) if self.config.precision == "bf16" else nullcontext()

    def _set_learning_rates(self) -> None:
        """Those of this epoch."""
        left = (self.config.num_epochs - self.epoch) / max(1.0, self.config.anneal * self.config.num_epochs)
        share = min(1.0, max(0.0, left)) if self.config.anneal else 1.0
        for optimiser, lr in ((self.optimiser, self.config.lr), (self.club_optimiser, self.config.club_lr)):
            optimiser.lr = share * lr

    def state_dict(self) -> dict[str, Any]:
        """All that changes: weights, optimisers, the epoch."""
        return {
            "objective": self.objective.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "club_optimiser": self.club_optimiser.state_dict(),
            "epoch": self.epoch,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state_dict` was taken."""
        self.objective.load_state_dict(state["objective"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.club_optimiser.load_state_dict(state["club_optimiser"])
        self.epoch = state["epoch"]


def finite_means(epoch: int, names: Sequence[str], values: Tensor) -> dict[str, float]:
    """Metrics by name.

    Raises:
        DivergenceError: one is not finite.
    """
    metrics = dict(zip(names, values.tolist()))
    if bad := [name for name, value in metrics.items() if not math.isfinite(value)]:
        raise DivergenceError(f"epoch {epoch}: {', '.join(bad)} is not finite; lower lr in --config_repr")
    return metrics


class Trainer(Protocol):
    """What trains a kind of representations: epochs that can be put down and taken up."""

    epoch: int
    num_epochs: int

    def train_epoch(self) -> dict[str, float]:
        """The metrics of one more epoch."""

    def state_dict(self) -> dict[str, Any]:
        """All that changes."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state_dict` was taken."""


def train_representations(trainer: Trainer) -> Iterator[tuple[int, dict[str, float]]]:
    """Trains all epochs that are left; yields the number of each finished epoch and its metrics."""
    while trainer.epoch < trainer.num_epochs:
        metrics = trainer.train_epoch()
        yield trainer.epoch, metrics
