"""How much a policy's memory holds of the belief: I(memory; belief), on fresh episodes (Lambrechts et al., 2022).

Dimension key: N pairs, R rows of an episode, H memory, K facts, D variables.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from ml_collections import ConfigDict
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from buffers.batch import Episode
from buffers.episode_buffer import EpisodeBuffer
from buffers.images import row_storages
from envs.base import AsymmetricVectorEnv, Belief, EnvSpec, Past
from envs.factors import factors
from envs.make import describing_env
from policies.acting.embedded_envs import seen_in_place_of_observations
from policies.acting.evaluate import GreedyPolicy, measures
from policies.acting.rollout import Policy, run_episodes
from policies.models.policy import HistoryPolicy
from policies.probing.fit import fit_mlp
from torchkit.information import ESTIMATORS
from torchkit.information.base import Effort
from torchkit.information.counting import entropy_of, numbered
from utils.errors import UserError, choose
from utils.seeding import generator

EPISODES = 1024  # a look
EFFORT = Effort(steps=120, batch=128, hidden_dims=(64, 64), lr=4e-3)
ESTIMATOR = "infonce"  # as near as any on values as few as beliefs have, and the steadiest
READ_EPISODES, READ_STEPS = 256, 600  # of a readout
READ_PARTICLES = 250  # of a belief, at most: every so many of equally weighted ones, which are drawn in order
AT_ONCE = 128  # episodes whose memories are worked out together; samples of beliefs take many times their room
SAME = 1e-6  # beliefs that differ by less are one


@dataclass(frozen=True)
class Pairs:
    """Memories and beliefs at one row of each of N episodes.

    Attributes:
        memory_NH: what the policy's folds show.
        beliefs: by name: `belief`, what the domain tells, (N, K) or sets of P states (N, P, S); of each feature of its
            state that hides in it, by the feature's name; `irrelevant`, of variables that mean nothing.
        returns: of the episodes, undiscounted.
    """

    memory_NH: Tensor
    beliefs: dict[str, Tensor]
    returns: list[float]


class BeliefGauge:
    """Takes the measure of policies on a domain that tells its belief, exactly or by particles.

    An episode gives one pair, at a row that is drawn among those at which the policy acts: so pairs are independent,
    and a row of a short episode counts more than one of a long one. A memory is what its folds show to the heads, of an
    LSTM the output without the cell state.

    Args:
        config: the domain and what is seen of it, `env` and `rl`.
        envs: to play in.
        flag: what asks for it, for errors.
        estimator: one of `ESTIMATORS`.
        episodes: that are played for a measure.

    Attributes:
        by_particles: whether beliefs are told by particles.

    Raises:
        UserError: the domain tells no belief, or one by particles to an estimator of vectors.
    """

    def __init__(
        self,
        config: ConfigDict,
        envs: AsymmetricVectorEnv,
        flag: str,
        estimator: str = ESTIMATOR,
        episodes: int = EPISODES,
    ):
        self.envs, self.spec, self.domain = envs, envs.spec_sizes, describing_env(config.env)
        self.episodes, self.estimator = episodes, choose(ESTIMATORS, estimator, "--estimator")(EFFORT)
        none = f"{flag}: {self.spec.env_id} does not tell its belief"
        if observe := config.rl.get("observe", ()):
            what = seen_in_place_of_observations(observe)
            raise UserError(f"{flag}: what acts here sees {what}, not the domain's observations")
        first = self.envs.reset(seed=0)[0]["obs"][:1]
        try:
            told = self.domain.belief(first, np.zeros((0, self.spec.action_dim)), False)
        except UserError as error:  # what its model takes is not there: memory, or a package
            raise UserError(f"{none} ({error})") from error
        if told is None:
            raise UserError(none)
        self.by_particles = told.particles_RPS is not None
        if self.by_particles and not self.estimator.of_sets:
            able = ", ".join(name for name, made in ESTIMATORS.items() if made.of_sets)
            raise UserError(f"--estimator: {estimator!r} is not of beliefs by particles; choose from {able}")

    def measure(self, policy: HistoryPolicy, seed: int, acting: Policy | None = None) -> dict[str, float]:
        """Nats of I(memory; belief) and of the entropy of the belief, which is the most that there can be of it.

        Each is under the belief's name, the entropy with `_entropy`, where beliefs are few enough for it to be counted,
        as those by particles never are; and `return`, the mean of these episodes.

        Args:
            policy: whose memory it is.
            seed: of the episodes.
            acting: what plays them; the policy, greedily, if not given.
        """
        pairs = self.pairs(policy, seed, acting)
        found = {"return": float(np.mean(pairs.returns))}
        for name, belief_NK in pairs.beliefs.items():
            label_N, num = numbered((belief_NK / SAME).round())
            found[name] = self.estimator.fit(pairs.memory_NH, belief_NK) if num > 1 else 0.0
            if 2 * num <= len(label_N) and not self.by_particles:
                found[f"{name}_entropy"] = entropy_of(label_N)
        return found

    def pairs(self, policy: HistoryPolicy, seed: int, acting: Policy | None = None) -> Pairs:
        """One of each episode."""
        episodes = run_episodes(self.envs, acting or GreedyPolicy(policy), self.episodes, seed)
        rng = generator(seed, "rows")
        row_N = [int(rng.integers(len(episode))) for episode in episodes]
        memory_NRH = memories(policy, episodes, self.spec)
        told = self._last_beliefs(episodes, row_N)
        probability_NK = _last(one.probability_RK for one in told)
        beliefs = {"belief": probability_NK}
        if (first := told[0].particles_RPS) is not None:
            every = -(-first.shape[1] // READ_PARTICLES)
            beliefs["belief"] = _last(one.particles_RPS for one in told)[:, ::every]
        shares = self.features(told[0])
        beliefs |= {
            name: probability_NK @ torch.from_numpy(shares[name]) for name in shares if not _whole(shares[name])
        }
        if told[0].irrelevant_RD is not None:
            beliefs["irrelevant"] = _last(one.irrelevant_RD for one in told)
        memory_NH = torch.stack([memory_RH[row] for memory_RH, row in zip(memory_NRH, row_N)])
        return Pairs(memory_NH, beliefs, [float(measures(episode)["return"] or 0.0) for episode in episodes])

    def belief(self, episode: Episode, row: int) -> Belief:
        """The belief at the rows of an episode, up to one; at its end that it ended is known."""
        told = self.domain.belief(*self._past(episode, row))
        assert told is not None, "it was told before"
        return told

    def labels(self, episode: Episode) -> dict[str, NDArray[np.int64]]:
        """The true value of each factor that the domain declares, at each row (R,)."""
        found = factors(self.domain, self.rows("obs", episode.obs), self.rows("state", episode.state))
        return {name: factor.label_R for name, factor in found.items()}

    def rows(self, view: str, stored_RK: NDArray[Any]) -> NDArray[np.float32]:
        """Rows of a view of an episode as numbers (R, ·), however they are stored."""
        rows: NDArray[np.float32] = row_storages(self.spec)[view].decode(torch.from_numpy(stored_RK)).numpy()
        return rows

    def _last_beliefs(self, episodes: Sequence[Episode], row_N: Sequence[int]) -> list[Belief]:
        """Those at one row of each episode."""
        number: dict[tuple[bytes, bytes], int] = {}  # greedy episodes begin alike
        pasts, which_N = list[Past](), list[int]()
        for episode, row in zip(episodes, row_N, strict=True):
            past = episode.obs[: row + 1].tobytes(), episode.action[:row].tobytes()
            if past not in number:
                number[past] = len(pasts)
                pasts.append(self._past(episode, row))
            which_N.append(number[past])
        told = self.domain.last_beliefs(pasts)
        assert told is not None, "it was told before"
        return [told[which] for which in which_N]

    def _past(self, episode: Episode, row: int) -> Past:
        ended = row == len(episode) and episode.discount[-1] == 0
        return Past(self.rows("obs", episode.obs[: row + 1]), episode.action[:row], bool(ended))

    def features(self, told: Belief) -> dict[str, NDArray[np.float64]]:
        """Of each feature of which the belief says something, by name, which facts it has which value of (K, V)."""
        groups = ((name, [number for number in number_S if number >= 0]) for name, number_S in self.spec.state_groups)
        features = dict(told.features) | {name: np.array(number) for name, number in groups}
        return {
            name: np.eye(number_K.max() + 1)[number_K]
            for name, number_K in features.items()
            if len(number_K) == len(told.names)
        }

    def readout(self, policy: HistoryPolicy, seed: int) -> Callable[[Tensor], NDArray[np.float64]]:
        """What can be read from memories (R, H): the probabilities of the facts (R, K), by a network that has learned
        from fresh greedy episodes to tell the exact belief.
        """
        episodes = run_episodes(self.envs, GreedyPolicy(policy), READ_EPISODES, seed)
        told = [self.belief(episode, len(episode)).probability_RK for episode in episodes]
        memory_RH = torch.cat(memories(policy, episodes, self.spec)).numpy()
        belief_RK = torch.from_numpy(np.concatenate(told)).float()
        mean_H, scale_H = memory_RH.mean(0), memory_RH.std(0) + SAME
        read = fit_mlp(
            (memory_RH - mean_H) / scale_H,
            belief_RK.shape[1],
            np.full(len(memory_RH), 1 / len(memory_RH)),
            seed,
            READ_STEPS,
            lambda out, rows: cross_entropy(out, belief_RK[rows]),
        )

        def told_by(memory_RH: Tensor) -> NDArray[np.float64]:
            output_RK = torch.from_numpy(read((memory_RH.numpy() - mean_H) / scale_H))
            return np.asarray(output_RK.double().softmax(-1).numpy())

        return told_by


def memories(policy: HistoryPolicy, episodes: Sequence[Episode], spec: EnvSpec) -> list[Tensor]:
    """What a policy's folds show at each row of episodes, (R, H) each, on the CPU.

    Raises:
        UserError: it has none.
    """
    names = list(policy.public.folds)
    if not names:
        raise UserError("--gauge: the policy has no memory")
    device = next(policy.parameters()).device
    found: list[Tensor] = []
    for some in (episodes[i : i + AT_ONCE] for i in range(0, len(episodes), AT_ONCE)):
        rows = sum(len(episode) + 1 for episode in some)
        buffer = EpisodeBuffer(spec, rows, spec.max_episode_steps, seed=0)
        for episode in some:
            buffer.add(episode)
        with torch.inference_mode():
            views = policy.public(buffer.newest(len(some), device))
            memory_RNH = torch.cat([views[name].float() for name in names], dim=-1).cpu()
        found += [memory_RNH[: len(episode) + 1, n].clone() for n, episode in enumerate(some)]
    return found


def _whole(share_KV: NDArray[np.float64]) -> bool:
    """Whether a feature is all that the belief is about."""
    return np.array_equal(share_KV, np.eye(len(share_KV)))


def _last(rows: Any) -> Tensor:
    """The last row of each, (N, K)."""
    return torch.from_numpy(np.stack([np.asarray(one[-1], np.float64) for one in rows]))
