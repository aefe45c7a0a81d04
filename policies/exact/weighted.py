"""Advantage-weighted regression with exact critics on a grid domain: what the objective itself comes to.

An agent that remembers knows its cell and, once told, the hidden fact; so that these are its histories, as far as they
matter. Data are unlimited, critics and regression exact; what is left is what the critics see, the expectile, and the
weights (AAWR; Hu et al., NeurIPS 2025).

Dimension key: J joint states of the domain, X = 2 J pairs of one and whether the fact was told, Z what the agent knows,
Y what critics see, A actions.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.grid import NUM_ACTIONS, GridRules

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
SEEN = ("history and state", "state", "history")  # by critics
MOST_WEIGHT = 100.0


class Outcome(NamedTuple):
    """Of an episode: how likely it ends in success, and how likely elsewhere for good; the mean discounted return."""

    success: float
    failure: float
    value: float


class Regressed(NamedTuple):
    """A policy (Z, A) that was learned, and the critics' V (Y,) by which it was."""

    policy_ZA: Floats
    value_Y: Floats


@dataclass(frozen=True)
class Told:
    """A grid domain with whether the agent was told; `horizon` in steps, `discount` a step."""

    rules: GridRules
    horizon: int = 50
    discount: float = 0.95

    @cached_property
    def next_XA(self) -> Ints:
        """The pair that follows."""
        J, joint_JA = self.rules.num_joint, self.rules.next_JA
        told_XA = np.concatenate([self.rules.informative_J[joint_JA], np.ones_like(joint_JA, bool)])
        return np.concatenate([joint_JA, joint_JA]) + J * told_XA

    @cached_property
    def start_X(self) -> Floats:
        """How likely an episode starts so."""
        J, start_J, told_J = self.rules.num_joint, self.rules.start_J, self.rules.informative_J
        start_X = np.zeros(2 * J)
        np.add.at(start_X, np.arange(J) + J * told_J, start_J)
        return start_X

    @cached_property
    def ends_XA(self) -> NDArray[np.bool_]:
        """Whether the episode ends."""
        return self.rules.ends_J[self.next_XA % self.rules.num_joint]

    @cached_property
    def reward_XA(self) -> Floats:
        """What is paid."""
        return self.rules.reward_J[self.next_XA % self.rules.num_joint]

    @cached_property
    def agent_X(self) -> Ints:
        """The number of what the agent knows: its cell, or the joint state once told."""
        return np.concatenate([self.rules.cell_J, np.arange(self.rules.num_joint) + self.rules.num_cells])

    @property
    def num_agent(self) -> int:
        """Z."""
        return self.rules.num_cells + self.rules.num_joint

    def seen(self, what: str) -> tuple[Ints, int]:
        """The number of what critics see of each pair (X,), one of `SEEN`, and Y."""
        J = self.rules.num_joint
        if what == "history":
            return self.agent_X, self.num_agent
        return (np.arange(2 * J), 2 * J) if what == "history and state" else (np.arange(2 * J) % J, J)

    def played(self, policy_XA: Floats) -> tuple[Floats, Outcome]:
        """How often each pair is visited in an episode of a policy (X,), and what comes out."""
        visits_X, now_X, scale = np.zeros(len(self.start_X)), self.start_X, 1.0
        success, failure, value = 0.0, 0.0, 0.0
        succeeds_XA = self.rules.success_J[self.next_XA % self.rules.num_joint]
        for _ in range(self.horizon):
            visits_X = visits_X + now_X
            taken_XA = now_X[:, None] * policy_XA
            success += float(taken_XA[succeeds_XA].sum())
            failure += float(taken_XA[self.ends_XA & ~succeeds_XA].sum())
            value += scale * float((taken_XA * self.reward_XA).sum())
            on = ~self.ends_XA
            now_X = np.asarray(np.bincount(self.next_XA[on], taken_XA[on], len(now_X)), np.float64)
            scale *= self.discount
        return visits_X, Outcome(success, failure, value)

    def first_policy(self, greedy_share: float) -> Floats:
        """(Z, A): uniform until told, then so often along a shortest way, all of which are alike, and else uniform."""
        informed_JA = self.rules.informed_actions(self.rules.state(np.arange(self.rules.num_joint))).astype(float)
        best_JA = informed_JA / np.maximum(informed_JA.sum(1, keepdims=True), 1.0)
        told_JA = greedy_share * best_JA + (1 - greedy_share) / NUM_ACTIONS
        told_JA[informed_JA.sum(1) == 0] = 1 / NUM_ACTIONS
        return np.concatenate([np.full((self.rules.num_cells, NUM_ACTIONS), 1 / NUM_ACTIONS), told_JA])

    def experts(self, guess_share: float) -> Floats:
        """(Z, A): what experts do on average, of whom so many go to a goal that they guess; uniform where none goes."""
        rules, J = self.rules, self.rules.num_joint
        joint_X, told_X = np.tile(np.arange(J), 2), np.repeat([False, True], J)
        taken_ZA = np.zeros((self.num_agent, NUM_ACTIONS))
        kinds = [(1 - guess_share, False, 0)]
        kinds += [(guess_share / rules.num_hidden, True, goal) for goal in range(rules.num_hidden)]
        for share, guesses, goal in kinds:
            action_X = rules.expert(joint_X, told_X, np.full(2 * J, goal), np.full(2 * J, guesses))
            policy_XA = np.eye(NUM_ACTIONS)[action_X]
            visits_X, _ = self.played(policy_XA)
            np.add.at(taken_ZA, self.agent_X, share * visits_X[:, None] * policy_XA)
        total_Z1 = taken_ZA.sum(1, keepdims=True)
        return np.where(total_Z1 > 0, taken_ZA / np.maximum(total_Z1, 1e-300), 1 / NUM_ACTIONS)

    def regressed(
        self,
        policy_ZA: Floats,
        seen: str,
        expectile: float,
        inverse_temperature: float | None,
        marginal: bool = False,
        value_Y: Floats | None = None,
    ) -> "Regressed":
        """The policy after one regression on what another does, by that one's exact values.

        Args:
            policy_ZA: whose actions are stored.
            seen: by the critics, one of `SEEN`.
            expectile: from 0.5 on.
            inverse_temperature: of weights `exp(A · …)`; None for those of positive advantages alone.
            marginal: whether advantages are averaged over the states that what the agent knows leaves open.
            value_Y: what V may be near, to begin with.
        """
        policy_XA = policy_ZA[self.agent_X]
        visits_X, _ = self.played(policy_XA)
        taken_XA = visits_X[:, None] * policy_XA
        seen_X, Y = self.seen(seen)
        share_XA, taken_YA = _shares(seen_X, Y, taken_XA)
        value_Y = np.zeros(Y) if value_Y is None else value_Y
        value_Y, advantage_XA = self._advantages(seen_X, share_XA, taken_YA, expectile, value_Y)
        within_XA, taken_ZA = _shares(self.agent_X, self.num_agent, taken_XA)
        if marginal:
            advantage_XA = _summed(self.agent_X, self.num_agent, within_XA * advantage_XA)[self.agent_X]
        if inverse_temperature is None:
            weight_XA = (advantage_XA > 1e-9).astype(float)
        else:
            weight_XA = np.exp(np.minimum(inverse_temperature * advantage_XA, np.log(MOST_WEIGHT)))
        new_ZA = policy_ZA * _summed(self.agent_X, self.num_agent, within_XA * weight_XA)
        total_Z1 = new_ZA.sum(1, keepdims=True)
        learned_Z1 = (total_Z1 > 0) & (taken_ZA.sum(1, keepdims=True) > 0)
        return Regressed(np.where(learned_Z1, new_ZA / np.maximum(total_Z1, 1e-300), policy_ZA), value_Y)

    def _advantages(
        self, seen_X: Ints, share_XA: Floats, taken_YA: Floats, expectile: float, value_Y: Floats
    ) -> tuple[Floats, Floats]:
        """V (Y,) and A (X, A) of critics Q = E[r + γ V'] and V, the expectile of Q over stored actions."""
        likely_YA = taken_YA / np.maximum(taken_YA.sum(1, keepdims=True), 1e-300)
        after_XA = seen_X[self.next_XA]
        while True:
            target_XA = self.reward_XA + self.discount * np.where(self.ends_XA, 0.0, value_Y[after_XA])
            q_YA = _summed(seen_X, len(value_Y), share_XA * target_XA)
            before_Y, value_Y = value_Y, expectiles(q_YA, likely_YA, expectile)
            if np.abs(value_Y - before_Y).max() < 1e-7:
                return value_Y, (q_YA - value_Y[:, None])[seen_X]

    def iterated(self, iterations: int, mixed: float = 0.02, **how: Any) -> Outcome:
        """What comes out after regressions each on the policy before, which is mixed with the uniform one."""
        policy_ZA, value_Y = self.first_policy(0.7), None
        for _ in range(iterations):
            learned = self.regressed(policy_ZA, **how, value_Y=value_Y)
            policy_ZA, value_Y = (1 - mixed) * learned.policy_ZA + mixed / NUM_ACTIONS, learned.value_Y
        return self.played(policy_ZA[self.agent_X])[1]


def expectiles(value_YA: Floats, likely_YA: Floats, expectile: float) -> Floats:
    """The expectiles (Y,) of values by their probabilities, τ from 0.5 on.

    It is the greatest of the means in which the values from some rank on weigh τ and the others 1 - τ.
    """
    order_YA = np.argsort(value_YA, axis=1)
    value_YA, likely_YA = (np.take_along_axis(x, order_YA, axis=1) for x in (value_YA, likely_YA))
    best_Y = np.full(len(value_YA), -np.inf)
    for rank in range(value_YA.shape[1]):
        weight_YA = likely_YA * np.where(np.arange(value_YA.shape[1]) >= rank, expectile, 1 - expectile)
        total_Y = weight_YA.sum(1)
        mean_Y = (weight_YA * value_YA).sum(1) / np.maximum(total_Y, 1e-300)
        best_Y = np.maximum(best_Y, np.where(total_Y > 0, mean_Y, 0.0))
    return best_Y


def _summed(number_X: Ints, size: int, value_XA: Floats) -> Floats:
    """Sums (size, A) of the rows that have the same number."""
    flat = number_X[:, None] * NUM_ACTIONS + np.arange(NUM_ACTIONS)
    total = np.bincount(flat.ravel(), value_XA.ravel(), size * NUM_ACTIONS)
    return np.asarray(total, np.float64).reshape(size, NUM_ACTIONS)


def _shares(number_X: Ints, size: int, taken_XA: Floats) -> tuple[Floats, Floats]:
    """Of each action how much of what has the same number is this pair's (X, A), and how much that is (size, A)."""
    total = _summed(number_X, size, taken_XA)
    return taken_XA / np.maximum(total[number_X], 1e-300), total
