"""Dynamic programming and Q-learning over histories, with and without the state (Baisero, Daley & Amato, UAI 2022).

The letters are those of `policies.exact.histories`.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from envs.finite import FinitePOMDP, Floats, informed_values
from policies.exact.histories import Histories, Ints, belief_graph, greedy, history_tree
from utils.errors import UserError

METHODS = ("vi", "aavi", "api", "aql")
Reading = Literal["consistent", "algorithm3", "eq14_naive"]
TOLERANCE = 1e-14  # of the greatest value: a change by which sweeps end
LEAP = 1000  # sweeps, after which the rest of the series is tried at once
READINGS: tuple[Reading, ...] = get_args(Reading)


@dataclass(frozen=True, eq=False)
class Values:
    """An iterate: Q (H, A), U (H, S, A) of the methods that have one, and the policy (H,) that is greedy to Q."""

    q_HA: Floats
    u_HSA: Floats | None = None

    @property
    def policy_H(self) -> Ints:
        """The first of the best actions after each history."""
        return greedy(self.q_HA)

    def distance(self, other: "Values") -> float:
        """The greatest difference of any entry."""
        far = float(np.abs(self.q_HA - other.q_HA).max())
        if self.u_HSA is None or other.u_HSA is None:
            return far
        return max(far, float(np.abs(self.u_HSA - other.u_HSA).max()))

    def limit(self, last: "Values", factor: float) -> "Values":
        """Where this comes to if what was added to the one before falls by the same factor for ever."""
        times = factor / (1.0 - factor) if 0.0 < factor < 1.0 else 0.0
        u_HSA = self.u_HSA
        if u_HSA is not None and last.u_HSA is not None:
            u_HSA = u_HSA + times * (u_HSA - last.u_HSA)
        return Values(self.q_HA + times * (self.q_HA - last.q_HA), u_HSA)


Iterates = Generator[Values, Values | None, None]  # what is sent is gone on from, in place of the last one


def settled(iterates: Iterates, tolerance: float = TOLERANCE, most: int = 100_000) -> tuple[Values, int]:
    """The first iterate that is like the one before, by `tolerance` of the greatest value, or the last; and its number.

    Changes that fall by a factor a sweep, as by γ where episodes never end, would take some 30 / (1 - γ) sweeps. So
    each `LEAP` sweeps what is left of the geometric series is added, and taken back if changes do not fall by it.

    Raises:
        UserError: there are more than `most`.
    """
    last, number = next(iterates), 0
    once_HA = np.zeros_like(last.q_HA)  # what was added half a leap ago
    for number, now in enumerate(iterates, 1):
        change, size = now.distance(last), max(1.0, float(np.abs(now.q_HA).max()))
        if change <= tolerance * size:
            return now, number
        if number == most:
            raise UserError(
                f"--method: values of up to {size:.6g} still change by {change:.2g} in sweep {most:,}; give a horizon"
            )
        added_HA = now.q_HA - last.q_HA
        if number % LEAP == LEAP // 2:
            once_HA = added_HA
        elif number % LEAP == 0:
            fallen = float((added_HA * once_HA).sum() / max(float((once_HA**2).sum()), np.finfo(float).tiny))
            limit = now.limit(last, max(0.0, fallen) ** (2 / LEAP))
            tried = iterates.send(limit)
            now = tried if tried.distance(limit) < change else iterates.send(now)
        last = now
    return last, number


def value_iteration(histories: Histories, q_HA: Floats) -> Iterates:
    """Q, B Q, B² Q, …"""
    while True:
        sent = yield Values(q_HA)
        q_HA = histories.optimised(q_HA if sent is None else sent.q_HA)


def asymmetric_value_iteration(histories: Histories, u_HSA: Floats, q_HA: Floats) -> Iterates:
    """AAVI, Algorithm 2: U by the policy that is greedy to Q, then Q by U. Where Q = EU, its Q are those of VI."""
    while True:
        now = Values(q_HA, u_HSA)
        now = (yield now) or now
        assert now.u_HSA is not None, "each sweep has one"
        u_HSA = histories.evaluated_states(now.u_HSA, now.policy_H)
        q_HA = histories.expectation(u_HSA)


def asymmetric_policy_iteration(histories: Histories, policy_H: Ints, tolerance: float = 1e-12) -> Iterates:
    """API, Algorithm 1: U of a policy, Q by U, and the policy that is greedy to Q; until no value rises any more.

    A rise counts above `tolerance`, and above what U is certain to where sweeps end, `TOLERANCE` of it / (1 - γ).
    """
    best_HA = np.full((len(histories), 1), -np.inf)
    rounding = 0.0 if histories.depth else TOLERANCE / (1.0 - histories.model.discount)
    while True:
        u_HSA = policy_values(histories, policy_H)
        q_HA = histories.expectation(u_HSA)
        yield Values(q_HA, u_HSA)
        if (q_HA <= best_HA + max(tolerance, rounding * float(np.abs(u_HSA).max()))).all():
            return
        best_HA, policy_H = q_HA, greedy(q_HA)


def policy_values(histories: Histories, policy_H: Ints) -> Floats:
    """U^π (H, S, A), the fixed point of B_π."""

    def sweeps() -> Iterates:
        u_HSA = np.zeros((*histories.belief_HS.shape, len(histories.model.actions)))
        while True:
            sent = yield Values(histories.expectation(u_HSA), u_HSA)
            if sent is not None and sent.u_HSA is not None:
                u_HSA = sent.u_HSA
            u_HSA = histories.evaluated_states(u_HSA, policy_H)

    u_HSA = settled(sweeps())[0].u_HSA
    assert u_HSA is not None, "each sweep has one"
    return u_HSA


def policy_evaluation(histories: Histories, policy: Ints | Floats) -> Iterates:
    """0, B_π 0, B_π² 0, … on Q, of actions (H,) or of probabilities (H, A)."""
    q_HA = np.zeros((len(histories), len(histories.model.actions)))
    while True:
        sent = yield Values(q_HA)
        q_HA = histories.evaluated(q_HA if sent is None else sent.q_HA, policy)


def imitation_limit(histories: Histories, teacher_SA: Floats | None = None) -> tuple[Floats, float]:
    """What a student of a teacher that knows the state comes to, and its value at the start.

    Its policy (H, A) is π(a | h) = Σ_s Pr(s | h) π*(a | s), the minimum of the cross-entropy after histories whose
    actions say nothing of the state, as in DAgger (and before the first action whoever acted).

    Args:
        histories: over which it acts.
        teacher_SA: π*; that of the greatest value for who knows the state, the first of equal ones, where not given.
    """
    if teacher_SA is None:
        best_S = greedy(informed_values(histories.model))
        teacher_SA = np.eye(len(histories.model.actions))[best_S]
    policy_HA = histories.belief_HS @ teacher_SA
    q_HA = settled(policy_evaluation(histories, policy_HA))[0].q_HA
    first = slice(len(histories.first_R))
    return policy_HA, float(histories.first_R @ (policy_HA[first] * q_HA[first]).sum(axis=1))


def state_only_values(histories: Histories, policy_H: Ints) -> tuple[Floats, Floats]:
    """What a critic V(s) that is blind to the history learns of a policy (S,), by Monte Carlo and by TD(0).

    The first is the mean of U^π over the histories at which an episode is in s, the second the fixed point of
    V(s) = E[r + γ V(s')] over the same. NaN where an episode never is.
    """
    model, every = histories.model, np.arange(len(histories))
    weight_HS = histories.visits(policy_H)[:, None] * histories.belief_HS
    visits_S = weight_HS.sum(axis=0)
    seen = visits_S > 0
    value_HS = policy_values(histories, policy_H)[every, :, policy_H]
    reward_HS, on_HSE = model.reward_SA[:, policy_H].T, histories.on_ASE[policy_H]
    shares_HS = weight_HS[:, seen] / visits_S[seen]
    monte_carlo_S, td_S = np.full((2, len(visits_S)), np.nan)
    monte_carlo_S[seen] = (shares_HS * value_HS[:, seen]).sum(axis=0)
    step_SE = np.einsum("hs,hse->se", shares_HS, on_HSE[:, seen][:, :, seen])
    reward_S = (shares_HS * reward_HS[:, seen]).sum(axis=0)
    td_S[seen] = np.linalg.solve(np.eye(len(reward_S)) - model.discount * step_SE, reward_S)
    return monte_carlo_S, td_S


def asymmetric_q_learning(
    histories: Histories,
    episodes: int,
    reading: Reading = "consistent",
    *,
    rng: np.random.Generator,
    power: float = 0.75,
) -> Values:
    """AQL from Q = U = 0, of episodes of uniform actions; the n-th step of (h, s, a) moves U by n^-power.

    By the count of (h, a) in its place a state that is seldom at h would begin with the small rates of the others, and
    what it costs would hardly be learned. By `consistent` Q goes as far as EU does when U is moved, so that Q = EU for
    ever. By `algorithm3` it follows the target of U, at rates by the count of (h, a); `eq14_naive` weighs these by
    Pr(s | h) as well, and is biased: a control.

    Raises:
        UserError: the reading is none of these.
    """
    if reading not in READINGS:
        raise UserError(f"--reading: {reading!r}; choose from {', '.join(READINGS)}")
    num_histories, num_states = histories.belief_HS.shape
    num_actions, discount = len(histories.model.actions), histories.model.discount
    belief = histories.belief_HS.tolist()
    q = [[0.0] * num_actions for _ in range(num_histories)]
    u = [[[0.0] * num_actions for _ in range(num_states)] for _ in range(num_histories)]
    steps = [[0] * num_actions for _ in range(num_histories)]
    steps_in = [[[0] * num_actions for _ in range(num_states)] for _ in range(num_histories)]
    for h, s, a, reward, s_next, h_next in _transitions(histories, episodes, rng):
        target = reward
        if h_next >= 0:
            best = q[h_next]
            target += discount * u[h_next][s_next][best.index(max(best))]
        steps[h][a] += 1
        steps_in[h][s][a] += 1
        rate = steps_in[h][s][a] ** -power
        error = target - u[h][s][a]
        u[h][s][a] += rate * error
        if reading == "consistent":
            q[h][a] += rate * belief[h][s] * error
        else:
            share = 1.0 if reading == "algorithm3" else belief[h][s]
            q[h][a] += steps[h][a] ** -power * share * (target - q[h][a])
    return Values(np.array(q), np.array(u))


def _transitions(
    histories: Histories, episodes: int, rng: np.random.Generator, together: int = 10_000
) -> Iterator[tuple[int, int, int, float, int, int]]:
    """(h, s, a, r, s', h') of one episode after the other; h' is -1 where it ends or is cut off."""
    for first in range(0, episodes, together):
        rows = np.concatenate(list(_stepped(histories, min(together, episodes - first), rng)))
        in_order = np.argsort(rows[:, 0], kind="stable")  # episode by episode, each in its own order
        for row in rows[in_order].tolist():
            _, h, s, a, reward, s_next, h_next = row
            yield int(h), int(s), int(a), reward, int(s_next), int(h_next)


def _stepped(histories: Histories, num: int, rng: np.random.Generator) -> Iterator[Floats]:
    """(episode, h, s, a, r, s', h') of all episodes that go on (N, 7), a step at a time."""
    model = histories.model
    episode = np.arange(num)
    h = rng.choice(len(histories.first_R), num, p=histories.first_R)
    s = _drawn(histories.belief_HS[h], rng)
    while len(h):
        a = rng.integers(len(model.actions), size=len(h))
        on_NE = histories.on_ASE[a, s]
        goes_on = rng.random(len(h)) < on_NE.sum(axis=1)
        e = np.where(goes_on, _drawn(on_NE, rng), s)
        o = _drawn(histories.see_AEO[a, e], rng)
        child = np.where(goes_on, histories.child_HAO[h, a, o], -1)
        yield np.stack([episode, h, s, a, model.reward_SA[s, a], e, child], axis=1)
        episode, h, s = (x[child >= 0] for x in (episode, child, e))


def _drawn(weight_NK: Floats, rng: np.random.Generator) -> Ints:
    """One of K for each row (N,), by weights that need not sum to 1."""
    up_to_NK = weight_NK.cumsum(axis=1)
    least_N = rng.random(len(weight_NK)) * up_to_NK[:, -1]
    return np.minimum((up_to_NK <= least_N[:, None]).sum(axis=1), weight_NK.shape[1] - 1)


@dataclass(frozen=True, eq=False)
class Solved:
    """What a method found: its histories, the values over them, that of the start, how many iterates it took."""

    histories: Histories
    values: Values
    start_value: float
    iterations: int
    exact: float | None = None  # of the start, where the values are estimates


def solve(
    model: FinitePOMDP, method: str, horizon: int = 0, *, episodes: int = 100_000, reading: Reading = "consistent",
    seed: int = 0,
) -> Solved:  # fmt: skip
    """Solves by one of `METHODS`, over all histories of so many decisions, or for 0 over all beliefs without an end.

    Args:
        model: the POMDP.
        method: `vi`, `aavi`, `api`, or `aql`, which is drawn from it instead of using its probabilities.
        horizon: decisions; `aql` needs one.
        episodes: of `aql`.
        reading: of the Q-update of `aql`.
        seed: of `aql`.

    Raises:
        UserError: there is no such method, or there are too many histories.
    """
    if method not in METHODS:
        raise UserError(f"--method: {method!r}; choose from {', '.join(METHODS)}")
    if method == "aql" and not horizon:
        raise UserError("--horizon: aql needs one, as its episodes must end")
    histories = history_tree(model, horizon) if horizon else belief_graph(model)
    q_HA = np.zeros((len(histories), len(model.actions)))
    if method == "aql":
        learned = asymmetric_q_learning(histories, episodes, reading, rng=np.random.default_rng(seed))
        exact = settled(value_iteration(histories, q_HA))[0].q_HA
        return Solved(histories, learned, histories.start_value(learned.q_HA), episodes, histories.start_value(exact))
    u_HSA = np.zeros((*histories.belief_HS.shape, len(model.actions)))
    iterates = {
        "vi": lambda: value_iteration(histories, q_HA),
        "aavi": lambda: asymmetric_value_iteration(histories, u_HSA, q_HA),
        "api": lambda: asymmetric_policy_iteration(histories, greedy(q_HA)),
    }[method]()
    values, iterations = settled(iterates)
    return Solved(histories, values, histories.start_value(values.q_HA), iterations)
