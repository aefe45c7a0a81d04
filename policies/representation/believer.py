"""Stage 2 of the Believer: first a variational embedding of the state, then the belief about it given the history.

The state's embedding z^s is the mean of a Gaussian that tells the state, the reward and its own next value through a
bottleneck; the published code left only weights of it. The belief is learned on whole episodes by the evidence bound.

Dimension key: T steps, B batch, D distinct transitions, E episodes, R rows, K samples, S state, X its embedding,
C context, Z latent.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from buffers.augment import copy_angles, turn_actions
from buffers.dataset import StoredEpisodes
from buffers.episode_buffer import EpisodeBuffer
from buffers.transitions import Batch, TransitionData, draw, epoch_generator
from envs.factors import factors
from policies.losses import masked_mean
from policies.models.believer import Believer, HistoryModel
from policies.probing.fit import linear_probe
from policies.probing.text import as_table
from policies.representation.disentangled import finite_means
from torchkit.cvae import Gaussian
from torchkit.fast.adam import Adam
from torchkit.networks import Encoder, EncoderConfig, mlp

STATE_METRICS = ("state_total", "reconstruction", "reward", "state_dynamics", "kl")
BELIEF_METRICS = ("elbo",)
MIN_STD = 1e-5  # of the state's embedding
MAX_ROWS, NUM_SAMPLES = 4_000, 30  # of the report: rows a half, and samples a row


class StateModel(nn.Module):
    """q(z^s | s), a Gaussian (…, X), and what must be told from its samples."""

    def __init__(self, encoder: EncoderConfig, action_dim: int, hidden_dim: int, action_embedding_dim: int):
        super().__init__()
        X = encoder.out_dim
        self.encoder = Encoder(replace(encoder, out_dim=2 * X))
        self.action_embedding = nn.Linear(action_dim, action_embedding_dim)
        self.dynamics = mlp(X + action_embedding_dim, (hidden_dim,) * 3, X + 1, out_bound=None)  # next z^s, reward
        self.decoder = mlp(X, (hidden_dim,) * 2, encoder.in_dim, out_bound=None)

    def posterior(self, state: Tensor) -> Gaussian:
        """From states (…, S)."""
        return Gaussian.of(self.encoder(state.float()), MIN_STD)

    def mean_encoder(self) -> Encoder:
        """An encoder to the mean alone, z^s: what is left of all this after stage 2."""
        wide = self.encoder.config
        narrow = Encoder(replace(wide, out_dim=wide.out_dim // 2))
        weights = self.encoder.state_dict()
        last = f"rest.{len(self.encoder.rest) - 1}."
        halves = {key: value[: len(value) // 2] for key, value in weights.items() if key.startswith(last)}
        narrow.load_state_dict(weights | halves)
        return narrow.to(next(self.parameters()).device)

    def losses(self, data: TransitionData, batch: Batch, noise_DX: Tensor) -> dict[str, Tensor]:
        """Each term, unweighted: scalars. The next z^s is that of the same encoder, without gradient."""
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
    """Trains both, one after the other; the draw of an epoch, noise included, depends on seed and epoch alone."""

    def __init__(
        self,
        state_model: StateModel,
        believer: Believer,
        data: TransitionData,
        stored: StoredEpisodes,
        config: BelieverTraining,
        seed: int,
        device: torch.device,
    ):
        self.config, self.seed, self.device, self.epoch = config, seed, device, 0
        self.state_model, self.believer, self.data = state_model.to(device), believer.to(device), data.to(device)
        self.episodes, self.num_episodes, self.mirrored = episode_buffer(stored), len(stored), stored.mirrored
        copies = [np.flatnonzero(stored.expert)] * stored.n_aug  # numbers of episodes, those of copies at the end
        self.episode_numbers = np.concatenate([np.arange(len(stored)), *copies])
        self.num_epochs = config.num_epochs
        self.parts = {"state_model": self.state_model, "believer": self.believer}
        rates = {"state_model": config.state_lr, "believer": config.lr}
        self.optimisers = {name: Adam(part.parameters(), rates[name]) for name, part in self.parts.items()}

    def train_epoch(self) -> dict[str, float]:
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
        self.epoch += 1
        return finite_means(self.epoch, STATE_METRICS if of_state else BELIEF_METRICS, total / count)

    def _state_steps(self, rng: torch.Generator) -> Iterator[tuple[Tensor, list[Tensor]]]:
        for index in draw(len(self.data), self.config.batch_size, rng):
            batch = self.data.batch(index, rng, self.device)
            width = self.believer.history.config.x_dim
            noise_DX = torch.randn(len(batch.distinct_D), width, generator=rng).to(self.device)
            terms = self.state_model.losses(self.data, batch, noise_DX)
            loss = torch.stack([self.config.weights[name] * term for name, term in terms.items()]).sum()
            yield loss, [loss, *terms.values()]

    def _belief_steps(self, rng: torch.Generator) -> Iterator[tuple[Tensor, list[Tensor]]]:
        encoder = self.state_model.mean_encoder().requires_grad_(False)
        for index in draw(len(self.episode_numbers), self.config.episodes, rng):
            turned = self.num_episodes < len(self.episode_numbers)
            angle_B = copy_angles(index, self.num_episodes, rng, self.mirrored).numpy() if turned else None
            batch = self.episodes.episodes(self.episode_numbers[index.numpy()], angle_B, self.device)
            noise = torch.randn(*batch.row_mask.shape, self.believer.history.config.latent_dim, generator=rng)
            context, z_state = self.believer.history(batch), batch.state.through(encoder)
            elbo = masked_mean(self.believer.elbo(context, z_state, noise.to(self.device)), batch.row_mask)
            yield -elbo, [elbo]

    def state_dict(self) -> dict[str, Any]:
        """All that changes: weights, optimisers, the epoch."""
        return {
            **{name: part.state_dict() for name, part in self.parts.items()},
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
            "epoch": self.epoch,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state_dict` was taken."""
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
            self.optimisers[name].load_state_dict(state["optimisers"][name])
        self.epoch = state["epoch"]


def episode_buffer(stored: StoredEpisodes) -> EpisodeBuffer:
    """All episodes, to be drawn whole."""
    longest = int(stored.length.max())
    buffer = EpisodeBuffer(stored.spec, int((stored.length + 1).sum()), longest, seed=0)
    for number in range(len(stored)):
        buffer.add(stored.episode(number))
    return buffer


def believer_report(
    stored: StoredEpisodes, encoder: Encoder, model: HistoryModel, env: gym.Env[Any, Any], seed: int
) -> dict[str, Any]:
    """How well samples of the belief tell z^s, and each hidden factor, on episodes that the probes did not see.

    Returns:
        explained: the share of z^s's variance that the mean of the samples explains.
        spread: the variance of the samples over the squared error of their mean, 1 where the belief is as sure as it
            may be.
        factors: by name of each hidden one, for rows whose observation leaves it open: how many of the samples of a
            history that has not shown it (`untold`) and of one that has (`told`) tell its true value, by a linear
            probe of z^s, of which `z_s` is the accuracy.
    """
    order = np.random.default_rng(seed).permutation(len(stored))
    episodes, middle = episode_buffer(stored), len(order) // 2
    halves = [_rows(stored, episodes, encoder, model, half) for half in (order[: middle or 1], order[middle:])]
    declared = [factors(env, half["obs"], half["state"]) for half in halves]
    train, test = halves
    error = np.square(test["samples"].mean(axis=1) - test["z"]).sum(axis=1).mean()
    spread = test["samples"].var(axis=1, ddof=1).sum(axis=1).mean()
    result: dict[str, Any] = {"env_id": stored.spec.env_id, "episodes": len(stored), "factors": {}}
    result |= {"explained": float(1 - error / test["z"].var(axis=0).sum()), "spread": float(spread / error)}
    for name, on_train in declared[0].items():
        on_test = declared[1][name]
        if not on_test.is_hidden:
            continue
        shown_R = _so_far(~on_test.hidden_R, test["episode"])
        rows = {"untold": on_test.hidden_R & ~shown_R, "told": on_test.hidden_R & shown_R}

        def probe(x_RF: NDArray[Any], label_R: NDArray[Any], on_train: Any = on_train) -> float:
            ones = np.ones(len(train["z"]))
            return linear_probe(train["z"], on_train.label_R, ones, x_RF, label_R, np.ones(len(x_RF)))

        result["factors"][name] = {"z_s": probe(test["z"][on_test.hidden_R], on_test.label_R[on_test.hidden_R])} | {
            case: probe(
                test["samples"][chosen].reshape(-1, test["z"].shape[1]),
                on_test.label_R[chosen].repeat(test["samples"].shape[1]),
            )
            for case, chosen in rows.items()
            if chosen.any()
        }
    return result


def believer_text(result: Mapping[str, Any]) -> str:
    """The report as Markdown."""
    lines = [
        f"# What the belief about {result['env_id']} tells",
        "",
        f"The samples' mean explains {result['explained']:.3f} of the variance of z_s; their variance is "
        f"{result['spread']:.2f} of the squared error of that mean (1: as sure as it may be).",
        "",
    ]
    header = ["factor", "z_s", "samples, untold", "samples, told"]
    rows = [
        [name, *(f"{row[case]:.3f}" if case in row else "-" for case in ("z_s", "untold", "told"))]
        for name, row in result["factors"].items()
    ]
    if rows:
        lines += [
            "The share of samples that tell the true value of a hidden factor, while the observation leaves it open,",
            "before and after the episode has shown it; z_s: the accuracy of the linear probe that reads them.",
            "",
            *as_table(header, rows),
            "",
        ]
    return "\n".join(lines)


@torch.no_grad()
def _rows(
    stored: StoredEpisodes, episodes: EpisodeBuffer, encoder: Encoder, model: HistoryModel, episode_E: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    """The rows that are acted from, of up to `MAX_ROWS` rows of whole episodes, one episode after the other."""
    lengths = stored.length[episode_E]
    count = max(1, int(np.searchsorted(lengths.cumsum(), MAX_ROWS)))
    batch = episodes.episodes(episode_E[:count], device=next(model.parameters()).device)

    def rows(x: Tensor) -> Tensor:
        return x[:-1].transpose(0, 1)[batch.mask.T > 0]

    views = {"obs": batch.obs.full(), "state": batch.state.full(), "z": batch.state.through(encoder)}
    tensors = {name: rows(x) for name, x in views.items()}
    noise_RKF = torch.randn(len(tensors["z"]), NUM_SAMPLES, model.noise_dim, generator=torch.Generator().manual_seed(0))
    tensors["samples"] = model.samples(rows(model(batch)), noise_RKF.to(tensors["z"].device))
    number = np.arange(count).repeat(lengths[:count])
    return {name: x.cpu().numpy() for name, x in tensors.items()} | {"episode": number}


def _so_far(seen_R: NDArray[np.bool_], episode_R: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether it was seen in the same episode, at this row or before."""
    count = seen_R.cumsum()
    first_R = np.searchsorted(episode_R, episode_R)  # the first row of the same episode
    return count > count[first_R] - seen_R[first_R]
