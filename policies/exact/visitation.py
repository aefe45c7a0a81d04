"""What will be visited, exactly: future and marginal visitation measures of finite decision processes.

q(z | s, a) = (1-γ) Σ_{Δ≥1} γ^{Δ-1} Pr(z_{t+Δ} = z | s_t = s, a_t = a, π) is the measure of the features z that are to
come, q(z) = (1-γ) Σ_t γ^t Pr(z_t = z) that of an episode (Bolland, Lambrechts & Ernst, 2024; 2026). An episode that has
ended stays where it is for ever.

Dimension key: S states, A actions, Z features.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np

from envs.finite import FinitePOMDP, Floats, dense
from policies.exact.histories import Histories


@dataclass(frozen=True, eq=False)
class Process:
    """A decision process whose state is seen, and what counts as visited.

    Attributes:
        start_S: the distribution of the first state.
        transition_ASS: Pr(s' | s, a), rows sum to 1.
        feature_SAZ: h(z | s, a), sums to 1 over z; (S, 1, Z) where it hangs on the state alone.
        discount: γ < 1, of visits and rewards.
    """

    start_S: Floats
    transition_ASS: Floats
    feature_SAZ: Floats
    discount: float

    @classmethod
    def of(cls, model: FinitePOMDP, feature_SZ: Floats, discount: float) -> Self:
        """That of a model and features of its states; where episodes end, with an ended state of each besides (2S)."""
        actions = range(len(model.actions))
        goes_on, ends = (np.stack([dense(part(a)) for a in actions]) for part in (model.going_on, model.ending))
        return cls._of_parts(model.start_S, goes_on, ends, feature_SZ, discount)

    @classmethod
    def of_beliefs(cls, histories: Histories, feature_HZ: Floats, discount: float) -> Self:
        """That of one who sees no state, but knows its history: of beliefs in the place of states."""
        num, num_actions = len(histories), len(histories.model.actions)
        goes_on, every = np.zeros((num_actions, num, num)), np.arange(num)
        for action in range(num_actions):
            for child_H, chance_H in zip(histories.child_HAO[:, action].T, histories.chance_HAO[:, action].T):
                np.add.at(goes_on[action], (every, np.maximum(child_H, 0)), np.where(child_H < 0, 0.0, chance_H))
        ends = np.eye(num) * (1 - goes_on.sum(2))[:, :, None]
        start_H = np.append(histories.first_R, np.zeros(num - len(histories.first_R)))
        return cls._of_parts(start_H, goes_on, ends, feature_HZ, discount)

    @classmethod
    def _of_parts(
        cls, start_S: Floats, goes_on_ASS: Floats, ends_ASS: Floats, feature_SZ: Floats, discount: float
    ) -> Self:
        if not ends_ASS.any():
            return cls(start_S, goes_on_ASS, feature_SZ[:, None], discount)
        stays = np.broadcast_to(np.eye(len(start_S)), goes_on_ASS.shape)
        both = np.block([[goes_on_ASS, ends_ASS], [np.zeros_like(stays), stays]])
        twice = np.concatenate([feature_SZ, feature_SZ])
        return cls(np.append(start_S, np.zeros_like(start_S)), both, twice[:, None], discount)

    def moved(self, policy_SA: Floats) -> Floats:
        """Pr(s' | s) (S, S) under a policy."""
        return np.einsum("sa,ase->se", policy_SA, self.transition_ASS)

    def shown(self, policy_SA: Floats) -> Floats:
        """Pr(z | s) (S, Z) under a policy."""
        found: Floats = (policy_SA[..., None] * self.feature_SAZ).sum(1)
        return found

    def from_here(self, policy_SA: Floats) -> Floats:
        """(1-γ) Σ_{Δ≥0} γ^Δ Pr(z_{t+Δ} = z | s_t = s) (S, Z), by a linear solve."""
        gamma = self.discount
        inverse_of = np.eye(len(self.start_S)) - gamma * self.moved(policy_SA)
        return np.linalg.solve(inverse_of, (1 - gamma) * self.shown(policy_SA)).astype(np.float64)

    def future(self, policy_SA: Floats) -> Floats:
        """q(z | s, a) (S, A, Z): (1-γ) P (I - γ P_π)^{-1} h."""
        return self._before(self.from_here(policy_SA))

    def marginal(self, policy_SA: Floats) -> Floats:
        """q(z) (Z,)."""
        return self.start_S @ self.from_here(policy_SA)

    def occupancy(self, policy_SA: Floats) -> Floats:
        """(1-γ) Σ_t γ^t Pr(s_t = s, a_t = a) (S, A)."""
        gamma = self.discount
        inverse_of = np.eye(len(self.start_S)) - gamma * self.moved(policy_SA)
        visits_S = np.linalg.solve(inverse_of.T, (1 - gamma) * self.start_S)
        return visits_S[:, None] * policy_SA

    def bootstrapped(
        self, q_SAZ: Floats, policy_SA: Floats, steps: int = 1, behaviour_SA: Floats | None = None
    ) -> Floats:
        """T q: features of the next `steps` states, and q where the last of them and an action of the policy lead.

        With `behaviour_SA` the actions between are another policy's, whose steps no weights correct: for more than one
        step its fixed point is not that of the policy.
        """
        for step in range(steps):
            by_SA = policy_SA if behaviour_SA is None or step == 0 else behaviour_SA  # the last step is taken first
            ahead_SZ = (1 - self.discount) * self.shown(by_SA) + self.discount * np.einsum("sa,saz->sz", by_SA, q_SAZ)
            q_SAZ = self._before(ahead_SZ)
        return q_SAZ

    def values(self, reward_SA: Floats, policy_SA: Floats, temperature: float = 0.0) -> Floats:
        """Q(s, a) (S, A) of a policy, paid `temperature` times its entropy in each state that follows."""
        paid_S = (policy_SA * reward_SA).sum(1) + temperature * entropy(policy_SA)
        value_S = np.linalg.solve(np.eye(len(paid_S)) - self.discount * self.moved(policy_SA), paid_S)
        return reward_SA + self.discount * self._before(value_S[:, None])[..., 0]

    def _before(self, x_SX: Floats) -> Floats:
        """E[x(s') | s, a] (S, A, X)."""
        return np.einsum("ase,ex->sax", self.transition_ASS, x_SX)


def entropy(probability: Floats) -> Floats:
    """In nats, over the last axis."""
    log = np.log(probability, where=probability > 0, out=np.zeros_like(probability))
    found: Floats = -(probability * log).sum(-1) + 0.0
    return found


def divergence(probability: Floats, target: Floats) -> Floats:
    """KL(p ‖ q*) in nats, over the last axis; q* is above 0 where p is."""
    log = np.log(target, where=probability > 0, out=np.zeros_like(probability))
    found: Floats = -entropy(probability) - (probability * log).sum(-1)
    return found


def total_variation(p: Floats, q: Floats) -> Floats:
    """Half the sum of the differences, over the last axis."""
    found: Floats = 0.5 * np.abs(p - q).sum(-1)
    return found


def future_entropy(process: Process, policy_SA: Floats) -> Floats:
    """The reward of future visitation, H(q(· | s, a)) (S, A): -KL to the uniform distribution, and log Z."""
    return entropy(process.future(policy_SA))


def marginal_surprise(process: Process, policy_SA: Floats) -> Floats:
    """The reward of marginal visitation, -log q(z) of the features of a step (S, A)."""
    q_Z = process.marginal(policy_SA)
    paid = process.feature_SAZ @ -np.log(np.maximum(q_Z, np.finfo(float).tiny))
    return np.broadcast_to(paid, process.transition_ASS.shape[1::-1])


Reward = Callable[[Process, Floats], Floats]


def soft_policy_iteration(
    process: Process, reward: Reward, temperature: float, rounds: int = 500, rate: float = 0.1
) -> Floats:
    """A policy (S, A) proportional to exp(Q / temperature), where Q is paid a reward that hangs on the policy itself.

    Args:
        process: the process.
        reward: of the process and a policy, (S, A).
        temperature: also what a nat of the policy's entropy is worth.
        rounds: evaluations.
        rate: how far logits go towards Q / temperature in a round; a reward that hangs on the policy makes it swing
            where that is 1.
    """
    num_actions, num_states = process.transition_ASS.shape[:2]
    logits_SA = np.zeros((num_states, num_actions))
    for _ in range(rounds):
        policy_SA = softmax(logits_SA)
        q_SA = process.values(reward(process, policy_SA), policy_SA, temperature)
        logits_SA += rate * (q_SA / temperature - logits_SA)
        logits_SA -= logits_SA.max(1, keepdims=True)
    return softmax(logits_SA)


def softmax(logits: Floats) -> Floats:
    """Over the last axis."""
    weight = np.exp(logits - logits.max(-1, keepdims=True))
    found: Floats = weight / weight.sum(-1, keepdims=True)
    return found
