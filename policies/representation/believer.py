"""Stage 2 of the Believer: first a variational embedding of the state, then the belief about it given the history.

The state's embedding z_state is the mean of a Gaussian that tells the state, the reward and its own next value through
a bottleneck; the published code left only weights of it. The belief is learned on whole episodes by the evidence bound.

Dimension key: T steps, B batch, D distinct transitions, E episodes, R rows, K samples, S state, X its embedding,
C context, Z latent.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from buffers.augment import copy_angles, turn_actions
from buffers.episode_buffer import EpisodeBuffer
from buffers.stored import EpisodesOnDisk, StoredEpisodes
from buffers.streamed import StreamedEpisodes
from buffers.transitions import Batch, TransitionData, draw, epoch_generator
from policies.losses import masked_mean
from policies.models.believer import Believer
from policies.representation.training import Pieces, epoch_of, finite_means
from torchkit.cvae import Gaussian
from torchkit.fast.adam import Adam
from torchkit.networks import Encoder, EncoderConfig, mlp

STATE_METRICS = ("state_total", "reconstruction", "reward", "state_dynamics", "kl")
BELIEF_METRICS = ("elbo",)
MIN_STD = 1e-5  # of the state's embedding


class StateModel(nn.Module):
    """q(z_state | s), a Gaussian (…, X), and what must be told from its samples."""

    def __init__(self, encoder: EncoderConfig, action_dim: int, hidden_dim: int, action_embedding_dim: int):
        super().__init__()
        X = encoder.out_dim
        self.encoder = Encoder(replace(encoder, out_dim=2 * X))
        self.action_embedding = nn.Linear(action_dim, action_embedding_dim)
        self.dynamics = mlp(X + action_embedding_dim, (hidden_dim,) * 3, X + 1, out_bound=None)  # next z_state, reward
        self.decoder = mlp(X, (hidden_dim,) * 2, encoder.in_dim, out_bound=None)

    def posterior(self, state: Tensor) -> Gaussian:
        """From states (…, S)."""
        return Gaussian.of(self.encoder(state.float()), MIN_STD)

    def mean_encoder(self) -> Encoder:
        """An encoder to the mean alone, z_state: what is left of all this after stage 2."""
        wide = self.encoder.config
        narrow = Encoder(replace(wide, out_dim=wide.out_dim // 2))
        weights = self.encoder.state_dict()
        last = f"rest.{len(self.encoder.rest) - 1}."
        halves = {key: value[: len(value) // 2] for key, value in weights.items() if key.startswith(last)}
        narrow.load_state_dict(weights | halves)
        return narrow.to(next(self.parameters()).device)

    def losses(self, data: TransitionData, batch: Batch, noise_DX: Tensor) -> dict[str, Tensor]:
        """Each term, unweighted: scalars. The next z_state is that of the same encoder, without gradient."""
        d = batch.distinct_D
        state_DS = data.read("state", data.state_id[d], batch.angle_D)
        action = data.action[d] if batch.angle_D is None else turn_actions(data.action[d], batch.angle_D)
        q = self.posterior(state_DS)
        z_DX = q.at(noise_DX)
        with torch.no_grad():
            # a true ending is followed by the zero vector, a time limit is not
            next_DX = (
                data.discount[d, None] * self.posterior(data.read("state", data.next_state_id[d], batch.angle_D)).mean
            )
        predicted = self.dynamics(torch.cat([z_DX, self.action_embedding(action)], dim=-1))
        return {
            "reconstruction": batch.mean((self.decoder(z_DX) - state_DS).square().sum(-1)),
            "reward": batch.mean((predicted[:, -1] - data.reward[d]).square()),
            "state_dynamics": batch.mean((predicted[:, :-1] - next_DX).square().sum(-1)),
            "kl": batch.mean(q.kl_to_standard()),
        }


@dataclass(frozen=True)
class BelieverTraining:
    """Optimiser settings and weights; the first `state_epochs` of the `num_epochs` are for the state's embedding."""

    num_epochs: int
    state_epochs: int
    state_lr: float
    batch_size: int
    weights: Mapping[str, float]
    lr: float
    episodes: int


class BelieverTrainer:
    """Trains both, one after the other; the draw of an epoch, noise included, depends on seed and epoch alone.

    Where not all of `stored` fits into memory, `data` is a part of it, the state's embedding learns of `pieces` of all,
    and of the episodes half of `max_rows` rows are held.
    """

    def __init__(
        self,
        state_model: StateModel,
        believer: Believer,
        data: TransitionData,
        stored: StoredEpisodes | EpisodesOnDisk,
        config: BelieverTraining,
        seed: int,
        device: torch.device,
        pieces: Pieces | None = None,
        max_rows: int = 0,
    ):
        self.config, self.seed, self.device, self.epoch = config, seed, device, 0
        self.state_model, self.believer, self.data = state_model.to(device), believer.to(device), data.to(device)
        self.pieces: Pieces = pieces or (lambda rng: iter([self.data]))
        if isinstance(stored, EpisodesOnDisk):
            at_once = min(config.episodes, len(stored))
            self.episodes: EpisodeBuffer = StreamedEpisodes(
                stored, max_rows // 2, int(stored.length.max()), 0, batch_size=at_once, given=max_rows
            )
        else:
            self.episodes = EpisodeBuffer.of(stored)
        self.num_episodes, self.copies = len(stored), stored.copies
        copies = [np.flatnonzero(stored.expert)] * stored.n_aug  # numbers of episodes, those of copies at the end
        self.episode_numbers = np.concatenate([np.arange(len(stored)), *copies])
        self.num_epochs = config.num_epochs
        self.networks = {"state_model": self.state_model, "believer": self.believer}
        rates = {"state_model": config.state_lr, "believer": config.lr}
        self.optimisers = {name: Adam(part.parameters(), rates[name]) for name, part in self.networks.items()}

    def train_epoch(self, after_batch: Callable[[], None] = lambda: None) -> dict[str, float]:
        """One pass over all transitions or all episodes; returns the means of the metrics of the phase.

        Raises:
            DivergenceError: a loss is not finite.
        """
        rng = epoch_generator(self.seed, self.epoch)
        of_state = self.epoch < self.config.state_epochs
        steps = self._state_steps(rng) if of_state else self._belief_steps(rng)
        optimiser = self.optimisers["state_model" if of_state else "believer"]
        total, count = torch.zeros(len(STATE_METRICS if of_state else BELIEF_METRICS), device=self.device), 0
        with torch.random.fork_rng([] if self.device.type == "cpu" else [self.device]):
            torch.manual_seed(rng.initial_seed())  # of dropout, which knows the global generator alone
            for loss, shown in steps:
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                total, count = total + torch.stack(shown).detach(), count + 1
                after_batch()
        self.epoch += 1
        return finite_means(self.epoch, STATE_METRICS if of_state else BELIEF_METRICS, total / count)

    def _state_steps(self, rng: torch.Generator) -> Iterator[tuple[Tensor, list[Tensor]]]:
        width = self.believer.history.config.x_dim
        for data in self.pieces(rng):
            for index in draw(len(data), self.config.batch_size, rng):
                batch = data.batch(index, rng, self.device)
                noise_DX = torch.randn(len(batch.distinct_D), width, generator=rng).to(self.device)
                terms = self.state_model.losses(data, batch, noise_DX)
                loss = torch.stack([self.config.weights[name] * term for name, term in terms.items()]).sum()
                yield loss, [loss, *terms.values()]

    def _belief_steps(self, rng: torch.Generator) -> Iterator[tuple[Tensor, list[Tensor]]]:
        encoder = self.state_model.mean_encoder().requires_grad_(False)
        for index in draw(len(self.episode_numbers), self.config.episodes, rng):
            turned = self.num_episodes < len(self.episode_numbers)
            angle_B = copy_angles(index, self.num_episodes, rng, self.copies).numpy() if turned else None
            batch = self.episodes.episodes(self.episode_numbers[index.numpy()], angle_B, self.device)
            noise = torch.randn(*batch.row_mask.shape, self.believer.history.config.latent_dim, generator=rng)
            context, z_state = self.believer.history(batch), batch.state.through(encoder)
            elbo = masked_mean(self.believer.elbo(context, z_state, noise.to(self.device)), batch.row_mask)
            yield -elbo, [elbo]

    def state_dict(self) -> dict[str, Any]:
        """All that changes: weights, optimisers, the epoch."""
        return {
            **{name: part.state_dict() for name, part in self.networks.items()},
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
            "epoch": self.epoch,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state_dict` was taken."""
        for name, part in self.networks.items():
            part.load_state_dict(state[name])
            self.optimisers[name].load_state_dict(state["optimisers"][name])
        self.epoch = epoch_of(state, *self.optimisers.values())
