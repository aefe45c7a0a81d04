"""All histories of a finite POMDP to a depth, or all its beliefs, and Bellman's operators on their action values.

Dimension key: H histories, N those of one depth, R first ones, S states before, E states after, A actions, O
observations. Q[h, a] is the value of an action after a history, U[h, s, a] that of the same where the state is known to
be s: the value of a policy that goes on by the history alone (Baisero, Daley & Amato, 2022). U is 0 where h rules s
out.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from envs.finite import FinitePOMDP, Floats, dense
from policies.exact.dynamics import first_beliefs
from utils.errors import UserError

Ints = npt.NDArray[np.intp]
Bools = npt.NDArray[np.bool_]

MOST_NUMBERS = 50_000_000  # in one array: 400 MB
DIGITS = 12  # by which beliefs are told apart


@dataclass(frozen=True, eq=False)
class Histories:
    """Histories with their beliefs, given that the episode goes on, and what each action may lead to.

    Attributes:
        model: the POMDP.
        depth: the number of decisions of the longest history and its last action; 0: episodes are not cut off.
        first_R: the probabilities of the first histories, which stand first: one for each first observation, or one.
        belief_HS: Pr(s | h).
        child_HAO: the number of the history that goes on with a and o; -1: there is none.
        chance_HAO: Pr(o, the episode goes on | h, a), where there is such a history; else 0.
        on_ASE: Pr(s', the episode goes on | s, a).
        see_AEO: Pr(o | a, s').
    """

    model: FinitePOMDP
    depth: int
    first_R: Floats
    belief_HS: Floats
    child_HAO: Ints
    chance_HAO: Floats
    on_ASE: Floats
    see_AEO: Floats

    def __len__(self) -> int:
        return len(self.belief_HS)

    def expectation(self, u_HSA: Floats) -> Floats:
        """E: the Q (H, A) of a U, Q[h, a] = Σ_s Pr(s | h) U[h, s, a]."""
        q_HA: Floats = np.einsum("hs,hsa->ha", self.belief_HS, u_HSA)
        return q_HA

    def evaluated_states(self, u_HSA: Floats, policy_H: Ints) -> Floats:
        """B_π U (H, S, A): the reward, and U of what follows where the policy goes on."""
        value_HS = np.take_along_axis(u_HSA, policy_H[:, None, None], axis=2)[:, :, 0]
        value_HS = np.concatenate([value_HS, np.zeros_like(value_HS[:1])])  # the last row is that of child -1
        after_HSA = np.empty_like(u_HSA)
        for a, (on_SE, see_EO) in enumerate(zip(self.on_ASE, self.see_AEO)):
            seen_HE = sum(value_HS[self.child_HAO[:, a, o]] * see_EO[:, o] for o in range(see_EO.shape[1]))
            after_HSA[:, :, a] = seen_HE @ on_SE.T
        u = self.model.reward_SA + self.model.discount * after_HSA
        return np.where(self.belief_HS[:, :, None] > 0, u, 0.0)

    def evaluated(self, q_HA: Floats, policy: Ints | Floats) -> Floats:
        """B_π Q (H, A), of actions (H,) or of probabilities (H, A)."""
        policy_HA = policy if policy.ndim == 2 else np.eye(q_HA.shape[1])[policy.astype(np.intp)]
        value_H = np.append((policy_HA * q_HA).sum(axis=1), 0.0)
        after_HA = np.einsum("hao,hao->ha", self.chance_HAO, value_H[self.child_HAO])
        return self.belief_HS @ self.model.reward_SA + self.model.discount * after_HA

    def optimised(self, q_HA: Floats) -> Floats:
        """B Q (H, A): B_π Q by the policy that is greedy to Q."""
        return self.evaluated(q_HA, greedy(q_HA))

    def start_value(self, q_HA: Floats) -> float:
        """The value before the first observation of who is greedy to Q."""
        return float(self.first_R @ q_HA[: len(self.first_R)].max(axis=1))

    def visits(self, policy_H: Ints, least: float = 1e-15) -> Floats:
        """How often an episode of the policy comes by each history (H,), until it goes on by a chance below `least`."""
        every = np.arange(len(self))
        child_HO, chance_HO = self.child_HAO[every, policy_H], self.chance_HAO[every, policy_H]
        now_H: Floats = np.zeros(len(self))
        now_H[: len(self.first_R)] = self.first_R
        visits_H = np.zeros(len(self))
        while now_H.sum() > least:
            visits_H += now_H
            flow_HO = now_H[:, None] * chance_HO
            now_H = _summed(child_HO[flow_HO > 0], flow_HO[flow_HO > 0], len(self))
        return visits_H


def greedy(q_HA: Floats) -> Ints:
    """The best action after each history (H,), the first of equal ones."""
    return q_HA.argmax(axis=1)


def history_tree(model: FinitePOMDP, depth: int) -> Histories:
    """All histories of fewer than `depth` actions that are possible: a decision each, the last at depth - 1.

    Raises:
        UserError: they are too many.
    """
    if depth < 1:
        raise UserError(f"--horizon: {depth} decisions; at least 1")
    on_ASE, see_AEO = _dense(model)
    first_R, belief_NS = first_beliefs(model)
    beliefs, children, chances, number = [], [], [], len(belief_NS)
    for left in reversed(range(depth)):
        if left:
            chance_NAO, next_MS = _followed(belief_NS, on_ASE, see_AEO, f"--horizon: {depth} decisions are")
        else:  # the last decision leads nowhere
            chance_NAO, next_MS = np.zeros((len(belief_NS), len(see_AEO), see_AEO.shape[2])), belief_NS[:0]
        child_NAO = np.full(chance_NAO.shape, -1, np.intp)
        child_NAO[chance_NAO > 0] = number + np.arange(len(next_MS))
        number += len(next_MS)
        beliefs.append(belief_NS)
        children.append(child_NAO)
        chances.append(chance_NAO)
        belief_NS = next_MS
    tables = np.concatenate(beliefs), np.concatenate(children), np.concatenate(chances)
    return Histories(model, depth, first_R, *tables, on_ASE, see_AEO)


def belief_graph(model: FinitePOMDP, most: int = 10_000) -> Histories:
    """Every belief that an episode may come by, once, each standing for all histories that lead to it.

    Raises:
        UserError: they are more than `most`, as where they never end; or rewards are not discounted.
    """
    if model.discount >= 1:
        raise UserError("--horizon: rewards that are not discounted need one")
    on_ASE, see_AEO = _dense(model)
    first_R, belief_NS = first_beliefs(model)
    number: dict[bytes, int] = {}
    name_R, new_NS = _numbered(belief_NS, number)
    first_R = _summed(name_R, first_R, len(new_NS))
    beliefs, children, chances = [new_NS], [], []
    while len(new_NS):
        chance_NAO, next_MS = _followed(new_NS, on_ASE, see_AEO, "--horizon: beliefs without one are")
        child_NAO = np.full(chance_NAO.shape, -1, np.intp)
        child_NAO[chance_NAO > 0], new_NS = _numbered(next_MS, number)
        if len(number) > most:
            raise UserError(f"--horizon: there are more than {most:,} beliefs; give a horizon")
        beliefs.append(new_NS)
        children.append(child_NAO)
        chances.append(chance_NAO)
    tables = np.concatenate(beliefs), np.concatenate(children), np.concatenate(chances)
    return Histories(model, 0, first_R, *tables, on_ASE, see_AEO)


def _summed(index_N: Ints, weight_N: Floats, length: int) -> Floats:
    """The sums of the weights of each index (length,)."""
    return np.bincount(index_N, weight_N, minlength=length).astype(np.float64)


def _numbered(belief_NS: Floats, number: dict[bytes, int]) -> tuple[Ints, Floats]:
    """The numbers of beliefs (N,), and those that had none yet, which get the next ones."""
    known = len(number)
    name_N = np.array([number.setdefault(row.tobytes(), len(number)) for row in belief_NS.round(DIGITS) + 0.0], np.intp)
    new, row = np.unique(name_N, return_index=True)
    return name_N, belief_NS[row[new >= known]]


def _dense(model: FinitePOMDP) -> tuple[Floats, Floats]:
    """Pr(s', goes on | s, a) (A, S, E) and Pr(o | a, s') (A, E, O)."""
    actions = range(len(model.actions))
    numbers = len(actions) * len(model.states) * max(len(model.states), len(model.observations))
    if numbers > MOST_NUMBERS:
        raise UserError(f"--method: tables of {len(model.states):,} states do not fit; choose a point-based one")
    return np.stack([dense(model.going_on(a)) for a in actions]), np.stack(
        [dense(see_EO) for see_EO in model.observation_AEO]
    )


def _followed(belief_NS: Floats, on_ASE: Floats, see_AEO: Floats, what: str) -> tuple[Floats, Floats]:
    """Pr(o, goes on | belief, a) (N, A, O), and the beliefs after those that are possible (M, S), in their order."""
    numbers = belief_NS.size * see_AEO.shape[0] * see_AEO.shape[2]
    if numbers > MOST_NUMBERS:
        raise UserError(f"{what} too many for tables ({numbers:,} numbers); take fewer")
    weight_NAOE = np.einsum("ns,ase,aeo->naoe", belief_NS, on_ASE, see_AEO, optimize=["einsum_path", (0, 1), (0, 1)])
    chance_NAO = weight_NAOE.sum(axis=-1)
    return chance_NAO, weight_NAOE[chance_NAO > 0] / chance_NAO[chance_NAO > 0, None]
