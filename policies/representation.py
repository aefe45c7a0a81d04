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
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from buffers.augment import copy_angles, turn_actions, turn_rows
from buffers.images import ImageRows, PlainRows, row_storages
from envs.base import EnvSpec
from torchkit.mutual_information import Club, club_upper_bound, jsd_loss, row_ids
from torchkit.networks import Encoder, EncoderConfig
from utils.errors import DivergenceError, UserError

CHUNK = 512  # rows
METRICS = ("total", "max_s_zs", "max_o_zo", "min_zs_zo", "state_dynamics", "obs_dynamics", "reward", "club_likelihood")


@dataclass(frozen=True)
class TransitionData:
    """A data set of transitions in memory, with equal rows and equal transitions stored once.

    Grid domains repeat themselves: 130,000 steps of HeavenHell hold 28 states and about 110 transitions. Losses over a
    batch are computed on its distinct transitions, weighted by how often they stand in it, which changes nothing but
    the cost.

    Where the expert's episodes count with turned copies, these are further steps: each time one is drawn it is turned
    by a new angle, before and after alike (`buffers.augment`).

    Attributes:
        obs: (U, O) distinct observations, float32 or as stored, in the order of first sight.
        state: (U', S) distinct states.
        obs_id, next_obs_id, state_id, next_state_id: (D,) rows of `obs` and `state`, before and after.
        action: (D, A) one-hot or continuous.
        reward: (D,).
        discount: (D,), 0 on a true ending and 1 otherwise, a time limit included.
        steps: (M,) which distinct transition each real step is; those of the copies follow.
        first_copy: the number of the first step that is a copy.
        storages: how the rows of `obs` and `state` are stored.
    """

    obs: Tensor
    state: Tensor
    obs_id: Tensor
    next_obs_id: Tensor
    state_id: Tensor
    next_state_id: Tensor
    action: Tensor
    reward: Tensor
    discount: Tensor
    steps: Tensor
    first_copy: int
    storages: Mapping[str, PlainRows | ImageRows]

    @classmethod
    def from_rows(
        cls,
        obs_RO: NDArray[Any],
        state_RS: NDArray[Any],
        row_M: NDArray[np.int64],
        next_row_M: NDArray[np.int64],
        action_MA: NDArray[np.float32],
        reward_M: NDArray[np.float32],
        discount_M: NDArray[np.float32],
        spec: EnvSpec | None = None,
        copied_M: NDArray[np.bool_] | None = None,
        n_aug: int = 0,
    ) -> "TransitionData":
        """From flat rows and, for each real step, the rows before and after it; `action_MA` as networks read it.

        `spec` says how the rows are stored; None for plain ones. `n_aug` turned copies are made of steps `copied_M`.
        """
        obs_id, obs_first = row_ids(obs_RO)
        state_id, state_first = row_ids(state_RS)
        ids = [obs_id[row_M], obs_id[next_row_M], state_id[row_M], state_id[next_row_M]]
        columns: list[NDArray[Any]] = [*ids, reward_M, discount_M, action_MA]
        steps, first = row_ids(np.column_stack(columns))
        tensors = [torch.from_numpy(np.ascontiguousarray(column[first])) for column in columns]
        obs_t, next_obs_t, state_t, next_state_t, reward, discount, action = tensors
        copies = [] if copied_M is None else [steps[copied_M]] * n_aug
        plain = {"obs": PlainRows(obs_RO.shape[1]), "state": PlainRows(state_RS.shape[1])}
        return cls(
            obs=torch.from_numpy(_take(obs_RO, obs_first)),
            state=torch.from_numpy(_take(state_RS, state_first)),
            obs_id=obs_t,
            next_obs_id=next_obs_t,
            state_id=state_t,
            next_state_id=next_state_t,
            action=action.float(),
            reward=reward.float(),
            discount=discount.float(),
            steps=torch.from_numpy(np.concatenate([steps, *copies])),
            first_copy=len(steps),
            storages=plain if spec is None else row_storages(spec),
        )

    def __len__(self) -> int:
        return len(self.steps)

    def ids(self, view: str) -> tuple[Tensor, Tensor]:
        """Which rows of a view stand before and after each distinct transition, (D,) and (D,)."""
        return (self.obs_id, self.next_obs_id) if view == "obs" else (self.state_id, self.next_state_id)

    def read(self, view: str, number_N: Tensor, angle_N: Tensor | None = None) -> Tensor:
        """Rows (N, F) of a view as float32, turned by angles where they are given."""
        rows_NF = self.storages[view].decode((self.obs if view == "obs" else self.state)[number_N])
        if angle_N is not None:
            chosen = angle_N.nonzero().flatten()
            turn_rows(rows_NF, self.storages[view], angle_N[chosen], chosen)
        return rows_NF

    @torch.no_grad()
    def embed_all(self, encoder: Encoder, view: str, chunk: int = 4096) -> Tensor:
        """The embeddings (U, Z) of all rows of a view, as they are."""
        return torch.cat([encoder(self.read(view, part)) for part in self.numbers(view).split(chunk)])

    def numbers(self, view: str) -> Tensor:
        """The numbers (U,) of all distinct rows of a view."""
        rows = self.obs if view == "obs" else self.state
        return torch.arange(len(rows), device=rows.device)

    def is_small(self, view: str, batch: "Batch") -> bool:
        """Whether a view has no more rows than a batch has transitions, none of them turned."""
        return batch.turn_D is None and len(self.obs if view == "obs" else self.state) <= len(batch.distinct_D)

    def batch(self, step_B: Tensor, rng: torch.Generator, device: torch.device) -> "Batch":
        """B steps by their numbers, copies turned."""
        turned = self.first_copy < len(self)
        return Batch.of(self.steps[step_B], device, copy_angles(step_B, self.first_copy, rng) if turned else None)

    def to(self, device: torch.device) -> "TransitionData":
        """The same data on another device; `steps`, from which batches are drawn, stays on the CPU."""
        tensors = {
            f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("steps", "first_copy", "storages")
        }
        return replace(self, **{name: tensor.to(device) for name, tensor in tensors.items()})


def _take(rows_RF: NDArray[Any], first: NDArray[np.int64]) -> NDArray[Any]:
    """Rows by number; the very same array where all of them are wanted, as of images that never repeat."""
    return rows_RF if len(first) == len(rows_RF) else rows_RF[first]


@dataclass(frozen=True)
class Batch:
    """B transitions as D distinct ones: their numbers, how often each occurs, and where each of the B is found.

    Where copies are turned, `turn_D` numbers the turn of each, 0 for none, and `angle_T` is its angle; a transition and
    its copy, or two copies of it, are distinct.
    """

    distinct_D: Tensor
    count_D: Tensor
    place_B: Tensor
    turn_D: Tensor | None = None
    angle_T: Tensor | None = None

    @classmethod
    def of(cls, transition_B: Tensor, device: torch.device, angle_B: Tensor | None = None) -> "Batch":
        """From the numbers of B transitions, and the angles by which they are turned."""
        if angle_B is None:
            distinct, place, count = transition_B.unique(return_inverse=True, return_counts=True)
            return cls(distinct.to(device), count.to(device, torch.float32), place.to(device))
        turn_B = torch.where(angle_B == 0, 0, torch.arange(1, len(angle_B) + 1))
        (distinct, turn), place, count = _unique_pairs(transition_B, turn_B)
        angle_T = torch.cat([angle_B.new_zeros(1), angle_B])
        moved = (x.to(device) for x in (distinct, count.float(), place, turn, angle_T))
        return cls(*moved)

    @classmethod
    def side_by_side(cls, batches: Sequence["Batch"]) -> "Batch":
        """Several batches as one, in which nothing of one is taken for the same as something of another."""
        sizes = [0, *itertools.accumulate(len(batch.distinct_D) for batch in batches)]
        distinct_D, count_D = (torch.cat([getattr(b, name) for b in batches]) for name in ("distinct_D", "count_D"))
        place_B = torch.cat([batch.place_B + size for batch, size in zip(batches, sizes)])
        turns, angles, first = [], [], 0
        for batch in batches:
            if batch.turn_D is None or batch.angle_T is None:
                return cls(distinct_D, count_D, place_B)
            turns.append(torch.where(batch.turn_D == 0, 0, batch.turn_D + first))
            angles.append(batch.angle_T[1:])
            first += len(angles[-1])
        return cls(distinct_D, count_D, place_B, torch.cat(turns), torch.cat([angles[0].new_zeros(1), *angles]))

    @property
    def angle_D(self) -> Tensor | None:
        """The angle of each distinct transition, where copies are turned."""
        return None if self.turn_D is None or self.angle_T is None else self.angle_T[self.turn_D]

    def frames(self, id_D: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """The distinct rows among those of the transitions: their numbers, angles, and where each of the D is found."""
        if self.turn_D is None or self.angle_T is None:
            number, place_D = id_D.unique(return_inverse=True)
            return number, None, place_D
        (number, turn), place_D, _ = _unique_pairs(id_D, self.turn_D)
        return number, self.angle_T[turn], place_D

    def mean(self, value_D: Tensor) -> Tensor:
        """The mean over the B transitions of a value that is known for the distinct ones."""
        return value_D @ self.count_D / len(self.place_B)


def _unique_pairs(a: Tensor, b: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor, Tensor]:
    """The distinct pairs of two columns of numbers from 0 on, where each pair is found, and how often it occurs."""
    size = a.max() + 1
    code, place, count = (a + size * b).unique(return_inverse=True, return_counts=True)
    return (code % size, code // size), place, count


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
        config, d = self.config, batch.distinct_D
        s, o = self.embed(data, batch) if embedded is None else embedded
        terms = {"max_s_zs": _info_loss(self.s_local, s, batch), "max_o_zo": _info_loss(self.o_local, o, batch)}

        mu_DZ, logvar_DZ = self.club(s.z_DZ)
        z_o_BZ, place_B = o.z_DZ[batch.place_B], batch.place_B
        bound = club_upper_bound(mu_DZ[place_B], logvar_DZ[place_B], z_o_BZ, z_o_BZ[permutation_B])
        terms["min_zs_zo"] = bound.relu()

        fused_DZ = 0.5 * (s.z_DZ + o.z_DZ)
        action = data.action[d] if batch.angle_D is None else turn_actions(data.action[d], batch.angle_D)
        hidden = torch.cat([fused_DZ, self.action_embedding(action)], dim=-1)
        next_s_DZ, next_o_DZ, reward_D1 = self.dynamics(hidden).split([s.z_DZ.shape[1], o.z_DZ.shape[1], 1], dim=-1)
        discount_D1 = data.discount[d, None]  # a true ending is followed by the zero vector, a time limit is not
        terms["state_dynamics"] = batch.mean((next_s_DZ - discount_D1 * s.next_DZ).square().sum(-1))
        terms["obs_dynamics"] = batch.mean((next_o_DZ - discount_D1 * o.next_DZ).square().sum(-1))
        terms["reward"] = batch.mean((reward_D1.squeeze(-1) - data.reward[d]).square())
        weights = {
            "max_s_zs": config.state_info_weight,
            "max_o_zo": config.obs_info_weight,
            "min_zs_zo": config.overlap_weight,
            "state_dynamics": config.state_dynamics_weight,
            "obs_dynamics": config.obs_dynamics_weight,
            "reward": config.reward_weight,
        }
        total = torch.stack([weights[name] * terms[name] for name in weights]).sum()
        return {"total": total, **terms}

    @torch.no_grad()
    def embed_pairs(self, data: TransitionData, batches: list[Batch]) -> list[tuple[Tensor, Tensor]]:
        """(z^s, z^o) of each batch's distinct transitions, without gradients, in one forward pass for all batches."""
        joined = Batch.side_by_side(batches)
        z_s = _embed_rows(self.s_encoder, data, "state", data.state_id[joined.distinct_D], joined)
        z_o = _embed_rows(self.o_encoder, data, "obs", data.obs_id[joined.distinct_D], joined)
        sizes = [len(batch.distinct_D) for batch in batches]
        return list(zip(z_s.split(sizes), z_o.split(sizes)))


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


def _info_loss(tail: nn.Module | None, view: _Embedded, batch: Batch) -> Tensor:
    """The Jensen-Shannon loss of a view; distinct rows are each other's negatives and their own positives."""
    if tail is None:
        return view.z_UZ.new_zeros(())
    count_U = view.z_UZ.new_zeros(len(view.z_UZ)).index_add_(0, view.place_D, batch.count_D)
    positive_UU = torch.eye(len(count_U), device=count_U.device)
    with torch.autocast(view.local.device.type, enabled=view.local.dtype == torch.bfloat16):
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
        self.optimiser = torch.optim.Adam(self.parameters, lr=config.lr, eps=1e-8, fused=True)
        self.club_parameters = list(objective.club.parameters())
        self.club_optimiser = torch.optim.Adam(self.club_parameters, lr=config.club_lr, eps=1e-8, fused=True)

    def train_epoch(self) -> dict[str, float]:
        """One pass over the data in batches, the incomplete last one dropped; returns the means of `METRICS`.

        Raises:
            DivergenceError: a loss is not finite.
        """
        rng = epoch_generator(self.seed, self.epoch)
        batches = [self.data.batch(i, rng, self.device) for i in draw(len(self.data), self.batch_size, rng)]
        self._set_learning_rates()
        total = torch.zeros(len(METRICS), device=self.device)
        recent: deque[Any] | None = deque(maxlen=self.config.club_steps) if self.config.club_rows == "recent" else None
        for batch in batches:
            permutation_B = torch.randperm(self.batch_size, generator=rng).to(self.device)
            with self._autocast():
                embedded = self.objective.embed(self.data, batch)
            losses = self.objective.losses(self.data, batch, permutation_B, embedded)
            self.optimiser.zero_grad(set_to_none=True)
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
        mean = torch.zeros((), device=self.device)
        club = self.objective.club
        for batch, (z_s, z_o) in pairs:
            likelihood = batch.mean(club.log_likelihood(z_s, z_o))
            self.club_optimiser.zero_grad(set_to_none=True)
            (-likelihood).backward()
            self.club_optimiser.step()
            mean += likelihood.detach() / len(pairs)
        return mean

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16")

    def _set_learning_rates(self) -> None:
        """Those of this epoch."""
        left = (self.config.num_epochs - self.epoch) / max(1.0, self.config.anneal * self.config.num_epochs)
        share = min(1.0, max(0.0, left)) if self.config.anneal else 1.0
        for optimiser, lr in ((self.optimiser, self.config.lr), (self.club_optimiser, self.config.club_lr)):
            for group in optimiser.param_groups:
                group["lr"] = share * lr

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


def epoch_generator(seed: int, epoch: int) -> torch.Generator:
    """The source of all that is random in an epoch."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0]))


def draw(count: int, batch_size: int, rng: torch.Generator) -> Iterator[Tensor]:
    """The numbers below `count` in random order, in batches (B,); an incomplete last one is dropped if not the only."""
    order = torch.randperm(count, generator=rng)
    size = min(batch_size, count)
    for start in range(0, count - size + 1, size):
        yield order[start : start + size]


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
