"""An off-policy actor-critic on tables, paid for what will be visited, of many seeds at once (Bolland et al., 2026).

Each seed keeps a replay of one-step transitions, from which in turn its measures of visits, its critic and its actor
learn; expectations over actions are sums, and a transition never leads from one episode into the next. The measures are
judged exactly, by `policies.exact.visitation`.

Dimension key: N seeds, B transitions of a batch, S states, A actions, Z features.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from envs.finite import FinitePOMDP, Floats, Ints, dense
from policies.exact.visitation import Process, entropy, softmax
from utils.errors import choose_name

BONUSES = ("none", "future", "marginal")
LEAST = 12.0  # by which a logit may lie below the greatest


@dataclass(frozen=True)
class Settings:
    """What is learned, and how: rates are those of the tables.

    Attributes:
        bonus: of `BONUSES`.
        reward, intrinsic, policy_entropy: the weights α_r, α_∞ and α_sac.
        discount: γ of rewards and visits.
        horizon: steps after which an episode is cut off.
        replay: transitions that are kept.
        relative: a bonus is paid less log Z, as published: what ends an episode is spared it, where else it is lost.
        warm_up: steps before the actor learns, uniform ones: values that only begin to rise lead back to where they do.
    """

    bonus: str
    reward: float = 1.0
    intrinsic: float = 0.01
    policy_entropy: float = 0.002
    discount: float = 0.98
    horizon: int = 200
    batch: int = 32
    replay: int = 10_000
    warm_up: int = 3000
    relative: bool = False
    visits_rate: float = 0.5
    critic_rate: float = 0.5
    actor_rate: float = 0.02


class Seen(NamedTuple):
    """What a look at all seeds tells, each an array (N,): see `Explorers.look`."""

    step: int
    found: dict[str, Floats]


class Explorers:
    """N seeds of one model whose transitions are certain.

    Args:
        model: the domain.
        feature_S: which feature each state is.
        settings: the same for all.
        num: N.
        seed: of all that is drawn.
    """

    def __init__(self, model: FinitePOMDP, feature_S: Ints, settings: Settings, num: int, seed: int = 0):
        choose_name(BONUSES, settings.bonus, "bonus")
        self.model, self.settings, self.num = model, settings, num
        self.rng, self.every = np.random.default_rng(seed), np.arange(num)
        self.next_SA = np.stack([dense(m).argmax(1) for m in model.transition_ASE], axis=1)
        self.ends_SA = np.stack([dense(model.ending(a)).any(1) for a in range(len(model.actions))], axis=1)
        self.feature_S, self.num_features = feature_S, int(feature_S.max()) + 1
        shape = (num, *self.next_SA.shape)
        self.logit_NSA, self.value_NSA = np.zeros(shape), np.zeros(shape)
        self.future_NSAZ = np.full((*shape, self.num_features), 1 / self.num_features)
        self.marginal_NZ = np.full((num, self.num_features), 1 / self.num_features)
        self.replay_NRX = np.zeros((num, settings.replay, 3), np.intp)  # state, action, steps since the start
        self.stored, self.age_N = 0, np.zeros(num, np.intp)
        self.start = int(model.start_S.argmax())
        self.state_N = np.full(num, self.start)
        self.process = Process.of(model, np.eye(self.num_features)[feature_S], settings.discount)

    def run(self, steps: int, every: int) -> Iterator[Seen]:
        """Steps of each seed, with an update after each once a batch is there; a look before, and `every` so many."""
        yield self.look(0)
        for step in range(1, steps + 1):
            self.step()
            if self.stored > self.settings.batch:
                self.update()
            if step % every == 0:
                yield self.look(step)

    def step(self) -> None:
        """One step of each seed, which is stored; an episode that ends or is cut off starts anew."""
        policy_NA = softmax(self.logit_NSA[self.every, self.state_N])
        draw_N1 = self.rng.random((self.num, 1))
        action_N = np.minimum((draw_N1 > policy_NA.cumsum(1)).sum(1), policy_NA.shape[1] - 1)
        at = self.stored % self.settings.replay
        self.replay_NRX[:, at] = np.stack([self.state_N, action_N, self.age_N], axis=1)
        self.stored += 1
        self.age_N = self.age_N + 1
        over_N = self.ends_SA[self.state_N, action_N] | (self.age_N == self.settings.horizon)
        self.state_N = np.where(over_N, self.start, self.next_SA[self.state_N, action_N])
        self.age_N = np.where(over_N, 0, self.age_N)

    def update(self) -> None:
        """One of measures, critic and actor, on a batch of each seed."""
        to, gamma = self.settings, self.settings.discount
        row_NB = self.rng.integers(min(self.stored, to.replay), size=(self.num, to.batch))
        seed = self.every[:, None]
        state, action, age = np.moveaxis(self.replay_NRX[seed, row_NB], -1, 0)
        after, ends = self.next_SA[state, action], self.ends_SA[state, action]
        log_policy = _log_softmax(self.logit_NSA[seed, after])
        policy, feature = np.exp(log_policy), self.feature_S[after]
        if to.bonus == "future":
            shown = np.eye(self.num_features)[feature]
            ahead = np.einsum("nba,nbaz->nbz", policy, self.future_NSAZ[seed, after])
            ahead = np.where(ends[..., None], shown, ahead)  # an episode that has ended stays
            target = (1 - gamma) * shown + gamma * ahead
            known = self.future_NSAZ[seed, state, action]
            self.future_NSAZ[seed, state, action] = known + to.visits_rate * (target - known)
            bonus = entropy(known)
        elif to.bonus == "marginal":
            weight = gamma**age
            visits_NZ = np.zeros_like(self.marginal_NZ)
            np.add.at(visits_NZ, (seed, self.feature_S[state]), weight / weight.sum(1, keepdims=True))
            self.marginal_NZ += 0.02 * to.visits_rate * (visits_NZ - self.marginal_NZ)
            bonus = -np.log(np.maximum(self.marginal_NZ[seed, feature], 1e-12))
        else:
            bonus = np.zeros(state.shape)
        if to.relative and to.bonus != "none":
            bonus = bonus - np.log(self.num_features)
        paid = to.reward * self.model.reward_SA[state, action] + to.intrinsic * bonus
        value = (policy * (self.value_NSA[seed, after] - to.policy_entropy * log_policy)).sum(-1)
        known = self.value_NSA[seed, state, action]
        target = paid + gamma * np.where(ends, 0.0, value)
        self.value_NSA[seed, state, action] = known + to.critic_rate * (target - known)
        if self.stored < to.warm_up:
            return
        log_policy = _log_softmax(self.logit_NSA[seed, state])
        worth = self.value_NSA[seed, state] - to.policy_entropy * log_policy
        gain = worth - (np.exp(log_policy) * worth).sum(-1, keepdims=True)
        logit = self.logit_NSA[seed, state] + to.actor_rate * gain
        self.logit_NSA[seed, state] = np.maximum(logit - logit.max(-1, keepdims=True), -LEAST)

    def look(self, step: int, episodes: int = 16) -> Seen:
        """Of the present policies: the discounted `return`, which is exact, the entropy of visits over `across`
        episodes, exact as well, and `within` one, the mean of some that are drawn; all discounted.
        """
        twice = len(self.process.start_S) // len(self.feature_S)
        found: dict[str, list[float]] = {"return": [], "across": [], "within": []}
        reward_SA = np.concatenate([self.model.reward_SA, np.zeros_like(self.model.reward_SA)][:twice])
        for logit_SA in self.logit_NSA:
            policy_SA = np.tile(softmax(logit_SA), (twice, 1))
            values = self.process.values(reward_SA, policy_SA)
            found["return"].append(float(self.process.start_S @ (policy_SA * values).sum(1)))
            found["across"].append(float(entropy(self.process.marginal(policy_SA))))
            found["within"].append(self._within(policy_SA, episodes))
        return Seen(step, {name: np.array(values) for name, values in found.items()})

    def _within(self, policy_SA: Floats, episodes: int) -> float:
        """The mean entropy of the discounted visits of single episodes of as many steps as the horizon has."""
        rng, to = np.random.default_rng(0), self.settings
        upto_SA, state_E, going_E = policy_SA.cumsum(1), np.full(episodes, self.start), np.ones(episodes, bool)
        visits_EZ, every = np.zeros((episodes, self.num_features)), np.arange(episodes)
        for weight in to.discount ** np.arange(to.horizon):
            visits_EZ[every, self.feature_S[state_E]] += weight
            draw_E1 = rng.random((episodes, 1))
            action_E = np.minimum((draw_E1 > upto_SA[state_E]).sum(1), policy_SA.shape[1] - 1)
            going_E &= ~self.ends_SA[state_E, action_E]
            state_E = np.where(going_E, self.next_SA[state_E, action_E], state_E)
        return float(entropy(visits_EZ / visits_EZ.sum(1, keepdims=True)).mean())


def _log_softmax(logits: Floats) -> Floats:
    """Over the last axis."""
    found: Floats = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return found
