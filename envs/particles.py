"""Beliefs by weighted particles, of N episodes at once: a bootstrap filter (Gordon, Salmond & Smith, 1993).

For domains that can be drawn from and say how likely an observation is, where no exact filter is at hand.

Dimension key: N episodes, R rows of one, O observation, S state, G groups, P particles of a group, M any joint states,
D drawn of them, K facts.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from envs.base import Belief, Past
from envs.factors import Factor

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]

AT_ONCE = 64  # episodes, whose particles a core's cache can still hold in part
FEW = 0.5  # effective particles, as a share of a group, below which it is drawn anew


class Simulated(Protocol):
    """What a filter needs of a domain; `envs.arrays.Rules` has it where `particles` is not 0."""

    fact_sizes: Mapping[str, int]

    def initial(self, rng: np.random.Generator, num: int) -> NDArray[Any]:
        """Draws `num` joint states in which episodes start."""

    def hypotheses(self, joint: NDArray[Any]) -> NDArray[Any]:
        """(G, M, …): the same with each value of a fact that never changes within an episode."""

    def checked(self, action: NDArray[Any], num: int) -> NDArray[Any]:
        """`num` actions as `step` takes them."""

    def move(self, rng: np.random.Generator, joint: NDArray[Any], action: NDArray[Any]) -> NDArray[Any]:
        """Draws the joint states after one action each; what is seen there need not be drawn."""

    def ends(self, joint: NDArray[Any]) -> Bools:
        """Whether arriving there ends the episode (M,)."""

    def log_likelihood(self, joint: NDArray[Any], obs: NDArray[Any]) -> Floats:
        """Log p(obs | joint) (M,), but for a constant."""

    def observe(self, joint: NDArray[Any]) -> NDArray[np.float32]:
        """What is seen there (M, O)."""

    def state(self, joint: NDArray[Any]) -> NDArray[np.float32]:
        """The states (M, S)."""

    def factors(self, obs_RO: NDArray[Any], state_RS: NDArray[Any]) -> Mapping[str, Factor]:
        """Facts by name, as labels; beliefs tell of those that `fact_sizes` names."""


@dataclass(frozen=True, eq=False)
class Cloud:
    """Weighted particles of N episodes, in G groups of P.

    Attributes:
        joint: their joint states (N, G, P, …).
        log_weight_NGP: the logarithms of weights that sum to 1 over an episode's groups; -inf for what is ruled out.
    """

    joint: NDArray[Any]
    log_weight_NGP: Floats

    def __len__(self) -> int:
        return len(self.joint)

    def take(self, rows: slice) -> "Cloud":
        """Some of the episodes."""
        return Cloud(self.joint[rows], self.log_weight_NGP[rows])

    def flat(self) -> NDArray[Any]:
        """The joint states (N G P, …)."""
        return self.joint.reshape(-1, *self.joint.shape[3:])

    def weights(self) -> Floats:
        """The weights (N, G P)."""
        return np.exp(self.log_weight_NGP).reshape(len(self), -1)


class ParticleFilter:
    """Pr(joint state | what was seen and done, and that the episode went on), by particles.

    A group of particles for each value that a fact of the whole episode may have, each as likely as another before
    anything is seen: its weight is what the evidence says of that value, and drawing anew happens within a group, so
    that no value is lost by chance. A group is drawn anew, by systematic resampling, where its effective particles
    1 / Σ w² are fewer than a `FEW` of it. What no particle of an episode explains is passed over with a warning: the
    weights stay, the particles go on by the action.

    Args:
        rules: the domain.
        particles: of an episode, over all groups.
        rng: of all that is drawn.
    """

    def __init__(self, rules: Simulated, particles: int, rng: np.random.Generator) -> None:
        self.rules, self.rng = rules, rng
        self.groups = len(rules.hypotheses(rules.initial(np.random.default_rng(0), 1)))
        self.particles = max(1, particles // self.groups)  # of a group
        self.lost = 0  # rows that no particle explained
        sizes = rules.fact_sizes
        facts = np.ndindex(*sizes.values())
        self._names = tuple(", ".join(f"{name} {i}" for name, i in zip(sizes, fact)) for fact in facts)
        self._features = dict(zip(sizes, np.indices(tuple(sizes.values())).reshape(len(sizes), -1), strict=True))

    def first(self, obs_NO: NDArray[Any]) -> Cloud:
        """The particles after the first observations, of episodes that start as the domain starts them."""
        drawn = self.rules.hypotheses(self.rules.initial(self.rng, len(obs_NO) * self.particles))
        joint = np.moveaxis(drawn.reshape(self.groups, len(obs_NO), self.particles, *drawn.shape[2:]), 0, 1)
        even_NGP = np.full(joint.shape[:3], -np.log(self.groups * self.particles))
        cloud = Cloud(np.ascontiguousarray(joint), even_NGP)
        return self._weighed(cloud, self.rules.log_likelihood(cloud.flat(), self._each(obs_NO)))

    def after(self, cloud: Cloud, action_N: NDArray[Any], obs_NO: NDArray[Any], ended_N: Bools) -> Cloud:
        """The particles after one more action and observation each, with which episodes ended, or else went on."""
        cloud = self._drawn_anew(cloud)
        action_N = self.rules.checked(np.asarray(action_N), len(cloud))
        moved = self.rules.move(self.rng, cloud.flat(), self._each(action_N))
        cloud = Cloud(moved.reshape(cloud.joint.shape), cloud.log_weight_NGP)
        likely_M = self.rules.log_likelihood(moved, self._each(obs_NO))
        return self._weighed(cloud, np.where(self.rules.ends(moved) == self._each(ended_N), likely_M, -np.inf))

    def _each(self, values: NDArray[Any]) -> NDArray[Any]:
        """What is one an episode, for each of its particles."""
        return np.repeat(values, self.groups * self.particles, axis=0)

    def _weighed(self, cloud: Cloud, log_likelihood_M: Floats) -> Cloud:
        log_NGP = cloud.log_weight_NGP + log_likelihood_M.reshape(cloud.log_weight_NGP.shape)
        total_N = _log_sum(log_NGP.reshape(len(cloud), -1))[:, None, None]
        lost_N = np.isneginf(total_N)
        self.lost += int(lost_N.sum())
        return Cloud(cloud.joint, np.where(lost_N, cloud.log_weight_NGP, log_NGP - np.where(lost_N, 0.0, total_N)))

    def _drawn_anew(self, cloud: Cloud) -> Cloud:
        log_QP = cloud.log_weight_NGP.reshape(-1, self.particles)  # Q groups of all episodes
        total_Q = _log_sum(log_QP)
        weight_QP = np.exp(log_QP - np.where(np.isneginf(total_Q), 0.0, total_Q)[:, None])
        square_Q = (weight_QP**2).sum(axis=1)
        few = np.flatnonzero(square_Q * FEW * self.particles > 1)  # none of a group that is ruled out
        if not len(few):
            return cloud
        joint = cloud.joint.reshape(len(log_QP), self.particles, *cloud.joint.shape[3:]).copy()
        joint[few] = joint[few[:, None], systematic(self.rng, weight_QP[few], self.particles)]
        even_QP = log_QP.copy()
        even_QP[few] = total_Q[few, None] - np.log(self.particles)
        return Cloud(joint.reshape(cloud.joint.shape), even_QP.reshape(cloud.log_weight_NGP.shape))

    def follow(self, pasts: Sequence[Past]) -> Iterator[Cloud]:
        """The particles at rows 0, 1, …, each of those episodes that have such a row; the longer ones come first.

        Raises:
            ValueError: episodes are not in that order.
        """
        length_N = np.array([len(past.obs_RO) for past in pasts])
        if (np.diff(length_N) > 0).any():
            raise ValueError(f"the longer episodes come first, not {length_N.tolist()}")
        cloud = self.first(np.stack([past.obs_RO[0] for past in pasts]))
        yield cloud
        for row in range(1, int(length_N[0])):
            going = pasts[: int((length_N > row).sum())]
            cloud = self.after(
                cloud.take(slice(len(going))),
                np.stack([past.action_T[row - 1] for past in going]),
                np.stack([past.obs_RO[row] for past in going]),
                np.array([past.terminated and row == len(past.obs_RO) - 1 for past in going]),
            )
            yield cloud

    def episode(self, past: Past) -> Belief:
        """The belief at each row of one episode."""
        told = [self._told(cloud) for cloud in self.follow([past])]
        self._warn()
        return Belief(
            self._names, np.concatenate([facts_NK for facts_NK, _ in told]),
            particles_RPS=np.concatenate([state_NPS for _, state_NPS in told]), features=self._features,
        )  # fmt: skip

    def last(self, pasts: Sequence[Past]) -> list[Belief]:
        """The belief at the last row of each episode, (1, …)."""
        order_N = np.argsort([-len(past.obs_RO) for past in pasts], kind="stable")
        found: dict[int, Belief] = {}
        for some in np.split(order_N, range(AT_ONCE, len(order_N), AT_ONCE)):
            for row, cloud in enumerate(self.follow([pasts[n] for n in some])):
                done = np.array([n for n in some[: len(cloud)] if len(pasts[n].obs_RO) == row + 1], np.intp)
                if not len(done):
                    continue
                facts_NK, state_NPS = self._told(cloud.take(slice(len(cloud) - len(done), None)))
                for n, facts_K, state_PS in zip(done, facts_NK, state_NPS, strict=True):
                    found[int(n)] = Belief(
                        self._names, facts_K[None], particles_RPS=state_PS[None], features=self._features
                    )
        self._warn()
        return [found[n] for n in range(len(pasts))]

    def _told(self, cloud: Cloud) -> tuple[Floats, NDArray[np.float32]]:
        """The probabilities of facts (N, K), by weight, and as many states as particles, of equal weight (N, P, S)."""
        weight_NM, joint = cloud.weights(), cloud.flat()
        state_MS = self.rules.state(joint)
        found = self.rules.factors(self.rules.observe(joint), state_MS)
        sizes = self.rules.fact_sizes
        label_M = np.ravel_multi_index([found[name].label_R for name in sizes], tuple(sizes.values()))
        label_NM = label_M.reshape(weight_NM.shape) + len(self._names) * np.arange(len(cloud))[:, None]
        facts = np.bincount(label_NM.ravel(), weight_NM.ravel(), len(self._names) * len(cloud))
        facts_NK: Floats = facts.reshape(len(cloud), -1).astype(np.float64)
        state_NMS = state_MS.reshape(*weight_NM.shape, -1)
        equal_NP = systematic(self.rng, weight_NM, weight_NM.shape[1])
        equal_NPS: NDArray[np.float32] = np.take_along_axis(state_NMS, equal_NP[..., None], axis=1)
        return facts_NK / facts_NK.sum(axis=1, keepdims=True), equal_NPS

    def _warn(self) -> None:
        if self.lost:
            warnings.warn(
                f"beliefs by particles: none explained {self.lost} rows, which were passed over", stacklevel=3
            )
            self.lost = 0


def systematic(rng: np.random.Generator, weight_NP: Floats, num: int) -> Ints:
    """Which particles to take, (N, num), by weights that sum to 1: in order, each num · w times, rounded up or down.

    One number is drawn for each row (Kitagawa, 1996).
    """
    up_to_NP = weight_NP.cumsum(axis=1)
    up_to_NP /= up_to_NP[:, -1:]
    edge_NP = np.minimum(num * up_to_NP + rng.random(len(weight_NP))[:, None], num).astype(np.intp)
    times_NP = np.diff(edge_NP, axis=1, prepend=0)
    return np.repeat(np.tile(np.arange(weight_NP.shape[1]), len(weight_NP)), times_NP.ravel()).reshape(-1, num)


def _log_sum(log_NP: Floats) -> Floats:
    """Log Σ exp (N,), -inf where there is nothing."""
    most_N = log_NP.max(axis=1)
    most_N = np.where(np.isneginf(most_N), 0.0, most_N)
    with np.errstate(divide="ignore"):
        total_N: Floats = most_N + np.log(np.exp(log_NP - most_N[:, None]).sum(axis=1))
    return total_N
