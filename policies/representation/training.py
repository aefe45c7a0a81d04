"""The training of stage 2's embedders: epochs that can be put down and taken up.

Dimension key: B batch.
"""

import math
import warnings
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from buffers.transitions import Batch, TransitionData, draw, epoch_generator
from policies.representation.disentangled import RepresentationObjective
from torchkit.fast.adam import Adam
from utils.checkpoint import whole
from utils.device import products_of
from utils.errors import DivergenceError, UserError

METRICS = ("total", "max_s_zs", "max_o_zo", "min_zs_zo", "state_dynamics", "obs_dynamics", "reward", "club_likelihood")


Pieces = Callable[[torch.Generator], Iterator[TransitionData]]  # of an epoch, by the source of what is random in it


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
    """Trains a `RepresentationObjective` on data in memory; the draw of an epoch depends on seed and epoch alone.

    Where not all of them fit there, `data` is a part, and an epoch goes through `pieces` of all, one after the other.
    """

    def __init__(
        self,
        objective: RepresentationObjective,
        data: TransitionData,
        config: TrainingConfig,
        seed: int,
        device: torch.device,
        pieces: Pieces | None = None,
    ):
        if not len(data):
            raise UserError("--data_path: the data set holds no transitions")
        self.objective, self.data, self.config = objective.to(device), data.to(device), config
        self.pieces: Pieces = pieces or (lambda rng: iter([self.data]))
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

    def train_epoch(self, after_batch: Callable[[], None] = lambda: None) -> dict[str, float]:
        """One pass over the data in batches, the incomplete last one of a piece dropped; the means of `METRICS`.

        Raises:
            DivergenceError: a loss is not finite.
        """
        rng = epoch_generator(self.seed, self.epoch)
        self._set_learning_rates()
        total, count = torch.zeros(len(METRICS), device=self.device), 0
        recent: deque[Any] | None = deque(maxlen=self.config.club_steps) if self.config.club_rows == "recent" else None
        for data in self.pieces(rng):
            for shown in self._learn(data, recent, rng):
                total, count = total + shown, count + 1
                after_batch()
        self.epoch += 1
        return finite_means(self.epoch, METRICS, total / count)

    def _learn(self, data: TransitionData, recent: deque[Any] | None, rng: torch.Generator) -> Iterator[Tensor]:
        """A step for each batch of the data; yields its `METRICS`."""
        size = min(self.batch_size, len(data))  # else a piece that is smaller than the first would be passed over
        batches = [data.batch(i, rng, self.device) for i in draw(len(data), size, rng)]
        width = self.objective.config.hidden_dim
        for batch in batches:
            permutation_B = torch.randperm(len(batch), generator=rng).to(self.device)
            self.optimiser.zero_grad()
            with products_of(len(batch.distinct_D), width, width):
                with self._autocast():
                    embedded = self.objective.embed(data, batch)
                losses = self.objective.losses(data, batch, permutation_B, embedded)
                losses["total"].backward(inputs=self.parameters)  # through CLUB, not into it
            self.optimiser.step()
            if recent is None:
                picked = torch.randint(len(batches), (self.config.club_steps,), generator=rng).tolist()
                likelihood = self.fit_club([batches[i] for i in picked], data)
            else:
                recent.append((batch, tuple(view.z_DZ.detach() for view in embedded)))
                likelihood = self._fit_club(recent)
            yield torch.stack([*[losses[name].detach() for name in METRICS[:-1]], likelihood])

    def fit_club(self, batches: list[Batch], data: TransitionData | None = None) -> Tensor:
        """One likelihood step of CLUB a batch, the encoders left alone; returns the mean log-likelihood (detached).

        The batches are of `data`, the trainer's own if not given.
        """
        with self._autocast():
            pairs = self.objective.embed_pairs(self.data if data is None else data, batches)
        return self._fit_club(list(zip(batches, pairs)))

    def _fit_club(self, pairs: Collection[tuple[Batch, tuple[Tensor, ...]]]) -> Tensor:
        """The same on (z_state, z_obs) of the batches' distinct transitions."""
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
        self.epoch = epoch_of(state, self.optimiser)


def epoch_of(state: Mapping[str, Any], *optimisers: Adam) -> int:
    """The epoch of a checkpoint, of whose optimisers each has had a step or more in each of its epochs.

    Raises:
        ValueError: there cannot have been so many.
    """
    return whole(state["epoch"], "epoch", most=sum(optimiser.steps for optimiser in optimisers))


def finite_means(epoch: int, names: Sequence[str], values: Tensor) -> dict[str, float]:
    """Metrics by name.

    Raises:
        DivergenceError: one is not finite.
    """
    metrics = dict(zip(names, values.tolist()))
    if bad := [name for name, value in metrics.items() if not math.isfinite(value)]:
        raise DivergenceError(f"epoch {epoch}: {', '.join(bad)} is not finite; lower lr in --config_repr")
    return metrics


class EpochTrainer(Protocol):
    """What trains a kind of representations: epochs that can be put down and taken up."""

    epoch: int
    num_epochs: int

    def train_epoch(self, after_batch: Callable[[], None] = lambda: None) -> dict[str, float]:
        """The metrics of one more epoch; `after_batch` is called often, and may raise."""

    def state_dict(self) -> dict[str, Any]:
        """All that changes."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state_dict` was taken."""


def train_representations(
    trainer: EpochTrainer, after_batch: Callable[[], None] = lambda: None
) -> Iterator[tuple[int, dict[str, float]]]:
    """Trains all epochs that are left; yields the number of each finished epoch and its metrics."""
    while trainer.epoch < trainer.num_epochs:
        metrics = trainer.train_epoch(after_batch)
        yield trainer.epoch, metrics
