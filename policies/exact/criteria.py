"""What an exploration term does to an objective and its gradient estimates, on problems small enough to tell.

Four criteria of "Behind the myth of exploration in policy gradients" (Bolland, Lambrechts & Ernst, 2024). Of the return
J and the learning objective L = J + λ J_int: *coherence*, the return that the best policy by L lacks;
*pseudoconcavity*, that L is stationary at its maximum alone; *efficiency*, the least probability over policies that a
step along a stochastic gradient raises L; *attraction*, the same of J near its optimum.

Dimension key: X, Y axes of a grid of policies, G all of them, P parameters, S states, A actions, Z features, T steps,
N trajectories, B batches of them, K bins.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from envs.finite import Floats, Ints
from policies.exact.visitation import Process, entropy


def coherence(return_G: Floats, objective_G: Floats) -> float:
    """ε: how much return is lost by maximising the objective instead; grids of any number of dimensions."""
    return float(return_G.max() - return_G.ravel()[objective_G.argmax()])


def local_maxima(objective_G: Floats, tolerance: float = 0.0) -> int:
    """How many cells of a grid, or plateaus of equal ones, lie above all their neighbours by more than a tolerance.

    Each is flooded downwards to `tolerance` below itself: one that meets a higher cell on the way is none.
    """
    found, claimed = 0, np.zeros(objective_G.shape, bool)
    for index in np.argsort(-objective_G, axis=None, kind="stable"):
        top = np.unravel_index(index, objective_G.shape)
        if claimed[top]:
            continue
        region, edge, is_top = {top}, [top], True
        while edge:
            for near in _neighbours(edge.pop(), objective_G.shape):
                if near in region or objective_G[near] < objective_G[top] - tolerance:
                    continue
                is_top &= not (claimed[near] or objective_G[near] > objective_G[top])
                region.add(near)
                edge.append(near)
        found += is_top
        claimed[tuple(np.array(list(region)).T)] = True
    return found


def _neighbours(cell: tuple[np.intp, ...], shape: tuple[int, ...]) -> Iterator[tuple[np.intp, ...]]:
    for step in np.ndindex(*[3] * len(shape)):
        near = tuple(np.add(cell, step) - 1)
        if near != tuple(cell) and all(0 <= at < size for at, size in zip(near, shape)):
            yield near


@dataclass(frozen=True, eq=False)
class Judged:
    """An exploration term on a grid of policies, whose axes (X, Y, …) are their parameters.

    Attributes:
        return_X, objective_X: J and L.
        efficiency_X: the probability that a gradient estimate of L raises L, for each policy.
        attraction_X: that it raises J.
    """

    return_X: Floats
    objective_X: Floats
    efficiency_X: Floats
    attraction_X: Floats

    @property
    def coherence(self) -> float:
        """ε."""
        return coherence(self.return_X, self.objective_X)

    @property
    def maxima(self) -> int:
        """The local maxima of L; pseudoconcave is one that has no other."""
        return local_maxima(self.objective_X, 1e-9)

    def attraction(self, near: int = 3) -> float:
        """δ on the policies that are the best by J and its `near` neighbours on either side of each axis."""
        best = np.unravel_index(self.return_X.argmax(), self.return_X.shape)
        return float(self.attraction_X[tuple(slice(max(0, at - near), at + near + 1) for at in best)].min())


class Landscape:
    """Policies of few parameters on a small process, whose returns are exact for a horizon of T steps.

    Args:
        process: what is visited, by features of states alone; the measure of what will be visited has no horizon.
        reward_S: of being in a state.
        over_S: where an episode has ended: nothing is paid there and no visit counts; the future measure stays there.
        horizon: T.
    """

    TERMS: tuple[str, ...] = ("none", "policy", "marginal", "future", "count", "rnd")

    def __init__(self, process: Process, reward_S: Floats, over_S: Floats, horizon: int):
        self.process, self.reward_S, self.over_S, self.horizon = process, reward_S, over_S, horizon
        self.weight_T = process.discount ** np.arange(horizon)
        self.upto_ASS = process.transition_ASS.cumsum(2)

    def policy(self, theta_P: Floats) -> Floats:
        """Pr(a | s) (S, A), for parameters within (0, 1)."""
        raise NotImplementedError

    def score(self, theta_P: Floats) -> Floats:
        """∇ log Pr(a | s) (S, A, P) of actions that can be taken."""
        raise NotImplementedError

    def visits(self, theta_P: Floats) -> Floats:
        """Σ_{t<T} γ^t Pr(s_t = s) (S,), 0 where the episode has ended."""
        moved_SS, now_S = self.process.moved(self.policy(theta_P)), self.process.start_S
        total_S = np.zeros_like(now_S)
        for weight in self.weight_T:
            total_S, now_S = total_S + weight * now_S, now_S @ moved_SS
        return np.where(self.over_S, 0.0, total_S)

    def paid(self, term: str, theta_P: Floats) -> Floats:
        """The intrinsic reward of a term (S, A) under a policy.

        `count` is 1/√n of a feature's n visits, in the unit of all that an episode makes. `rnd` is what is left of a
        table's error after n steps of SGD, (1 - α)^2n ≈ exp(-2αn), in the unit of the visits of 1/2α episodes.
        """
        policy_SA, feature_SZ = self.policy(theta_P), self.process.feature_SAZ[:, 0]
        visits_Z = self.visits(theta_P) @ feature_SZ
        share_Z = np.maximum(visits_Z / visits_Z.sum(), np.finfo(float).tiny)

        def of_features(paid_Z: Floats) -> Floats:
            return np.repeat((feature_SZ @ paid_Z)[:, None], policy_SA.shape[1], axis=1)

        found: Floats = {
            "none": lambda: np.zeros_like(policy_SA),
            "policy": lambda: -np.log(policy_SA, out=np.zeros_like(policy_SA), where=policy_SA > 0),
            "marginal": lambda: of_features(-np.log(share_Z)),
            "future": lambda: entropy(self.process.future(policy_SA)),
            "count": lambda: of_features(share_Z**-0.5),
            "rnd": lambda: of_features(np.exp(-visits_Z)),
            **self._own_terms(policy_SA),
        }[term]()
        return found

    def _own_terms(self, policy_SA: Floats) -> dict[str, Callable[[], Floats]]:
        """Terms that make sense here alone."""
        return {}

    def returns(self, theta_P: Floats, reward_SA: Floats) -> float:
        """The expected discounted return of a reward."""
        return float((self.visits(theta_P)[:, None] * self.policy(theta_P) * reward_SA).sum())

    def judged(self, weights: Mapping[str, float], theta_XP: Floats, batches: int, seed: int = 0) -> dict[str, Judged]:
        """Each term of a weight λ on policies of a grid.

        A gradient estimate is REINFORCE's from 8 trajectories with their mean as a baseline, whose rewards are held
        fixed; it raises what has a derivative along it above 0. One of 0 raises nothing.
        """
        rng, shape = np.random.default_rng(seed), theta_XP.shape[:-1]
        theta_GP, terms = theta_XP.reshape(-1, theta_XP.shape[-1]), {"none": 0.0, **weights}
        values = {term: np.empty(len(theta_GP)) for term in terms}
        shares = {term: np.empty((2, len(theta_GP))) for term in terms}
        for g, theta_P in enumerate(theta_GP):
            slopes = {term: self._slope(term, weight, theta_P) for term, weight in terms.items()}
            score_NP, count_NSA = self._played(theta_P, 8 * batches, rng)
            score_B8P = score_NP.reshape(batches, 8, -1)
            for term, weight in terms.items():
                reward_SA = self._objective(term, weight, theta_P)
                values[term][g] = self.returns(theta_P, reward_SA)
                return_B8 = (count_NSA.reshape(len(count_NSA), -1) @ reward_SA.ravel()).reshape(batches, 8)
                centred_B8 = return_B8 - return_B8.mean(1, keepdims=True)
                centred_B8[np.abs(centred_B8) < 1e-12] = 0.0  # rounding of equal returns is no estimate
                estimate_BP = (centred_B8[..., None] * score_B8P).mean(1)
                shares[term][:, g] = [(estimate_BP @ slopes[of] > 0).mean() for of in (term, "none")]
        plain_X = values["none"].reshape(shape)
        return {
            term: Judged(plain_X, values[term].reshape(shape), *shares[term].reshape(2, *shape)) for term in weights
        }

    def _objective(self, term: str, weight: float, theta_P: Floats) -> Floats:
        """Reward and what a term pays (S, A)."""
        return self.reward_S[:, None] + weight * self.paid(term, theta_P)

    def _slope(self, term: str, weight: float, theta_P: Floats) -> Floats:
        """The gradient of L (P,) by central differences, what is paid changing with the policy."""

        def value(near_P: Floats) -> float:
            return self.returns(near_P, self._objective(term, weight, near_P))

        return np.array(
            [(value(theta_P + step) - value(theta_P - step)) / 2e-5 for step in 1e-5 * np.eye(len(theta_P))]
        )

    def _played(self, theta_P: Floats, num: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Of N trajectories the sums of ∇ log π (N, P), and Σ_t γ^t [s_t = s, a_t = a] (N, S, A), nothing when over."""
        policy_SA, score_SAP, every = self.policy(theta_P), self.score(theta_P), np.arange(num)
        upto_SA, start_S = policy_SA.cumsum(1), self.process.start_S.cumsum()
        state_N = np.searchsorted(start_S, rng.random(num) * start_S[-1])
        count_NSA, score_NP = np.zeros((num, *policy_SA.shape)), np.zeros((num, len(theta_P)))
        for weight in self.weight_T:
            action_N = np.minimum((rng.random((num, 1)) > upto_SA[state_N]).sum(1), policy_SA.shape[1] - 1)
            count_NSA[every, state_N, action_N] += np.where(self.over_S[state_N], 0.0, weight)
            score_NP += score_SAP[state_N, action_N]
            draw_N1 = rng.random((num, 1))
            state_N = np.minimum((draw_N1 > self.upto_ASS[action_N, state_N]).sum(1), len(policy_SA) - 1)
        return score_NP, count_NSA


class Maze(Landscape):
    """A corridor whose last cell pays 1 a step; a move succeeds by chance, and a policy is Pr(right) = θ everywhere."""

    TERMS = (*Landscape.TERMS, "dense")

    def __init__(self, cells: int = 15, success: float = 0.3, horizon: int = 100, discount: float = 0.99):
        every = np.arange(cells)
        move_ASS = np.zeros((2, cells, cells))
        for action, step in enumerate((-1, 1)):
            move_ASS[action, every, np.clip(every + step, 0, cells - 1)] += success
            move_ASS[action, every, every] += 1 - success
        process = Process(np.eye(cells)[0], move_ASS, np.eye(cells)[:, None], discount)
        super().__init__(process, np.eye(cells)[-1], np.zeros(cells, bool), horizon)

    def policy(self, theta_P: Floats) -> Floats:
        """Pr(left), Pr(right) in every cell (S, 2)."""
        return np.tile([1 - theta_P[0], theta_P[0]], (len(self.reward_S), 1))

    def score(self, theta_P: Floats) -> Floats:
        """∇ log Pr (S, 2, 1), the same in every cell."""
        return np.tile([[-1 / (1 - theta_P[0])], [1 / theta_P[0]]], (len(self.reward_S), 1, 1))

    def _own_terms(self, policy_SA: Floats) -> dict[str, Callable[[], Floats]]:
        return {"dense": lambda: np.broadcast_to([-1.0, 1.0], policy_SA.shape)}


class Fork(Landscape):
    """A corridor with a priest at one end and a fork at the other, one side of it heaven (+1), the other hell (-1).

    Which is which hangs on even odds, and the priest says it; who was told walks to the fork, who was not guesses
    there. A policy is Pr(towards the priest | not told) = θ_0 on the way and Pr(do as told) = θ_1 at the fork.
    States are the cells, the priest's first, of one who was not told and of one who was, then heaven, hell, and both
    once it is over. Features are the places, as who is not told them sees them too.
    """

    TERMS = (*Landscape.TERMS, "information")

    def __init__(self, cells: int = 7, horizon: int = 50, discount: float = 0.95):
        self.fork, self.told = cells - 1, cells + np.arange(cells)
        heaven, hell = 2 * cells, 2 * cells + 1
        move_ASS = np.zeros((2, 2 * cells + 4, 2 * cells + 4))
        for cell in range(1, self.fork):
            move_ASS[0, cell, cell - 1 if cell > 1 else cells] = move_ASS[1, cell, cell + 1] = 1
        move_ASS[:, 0, cells] = 1  # nobody is there without being told
        move_ASS[:, self.fork, [heaven, hell]] = 0.5
        move_ASS[:, self.told[:-1], self.told[1:]] = 1
        move_ASS[[0, 1], self.told[-1], [heaven, hell]] = 1
        move_ASS[:, [heaven, hell, heaven + 2, hell + 2], [heaven + 2, hell + 2, heaven + 2, hell + 2]] = 1
        place_S = np.concatenate([np.arange(cells), np.arange(cells), [cells, cells + 1, cells, cells + 1]])
        every = np.eye(2 * cells + 4)
        process = Process(every[cells // 2], move_ASS, np.eye(cells + 2)[place_S][:, None], discount)
        super().__init__(process, every[heaven] - every[hell], every[-2] + every[-1] > 0, horizon)

    def policy(self, theta_P: Floats) -> Floats:
        """Pr(a | s) (S, 2); the first action wherever it makes no difference."""
        found = np.tile([1.0, 0.0], (len(self.reward_S), 1))
        found[1 : self.fork] = theta_P[0], 1 - theta_P[0]
        found[self.told[-1]] = theta_P[1], 1 - theta_P[1]
        return found

    def score(self, theta_P: Floats) -> Floats:
        """∇ log Pr (S, 2, 2): of the first parameter on the way, of the second at the fork."""
        found = np.zeros((len(self.reward_S), 2, 2))
        found[1 : self.fork, :, 0] = 1 / theta_P[0], -1 / (1 - theta_P[0])
        found[self.told[-1], :, 1] = 1 / theta_P[1], -1 / (1 - theta_P[1])
        return found

    def _own_terms(self, policy_SA: Floats) -> dict[str, Callable[[], Floats]]:
        """What the exact belief gains, in nats: log 2 for being told. What a guess shows is paid for as little as by
        `bonus_target=best`, which pays for no true ending.
        """
        told_SA = self.process.transition_ASS[:, :, self.told[0]].T * np.log(2)
        return {"information": lambda: told_SA}


class Hill:
    """A car in a valley of two hollows: it starts in one that pays 1, at -3; the deeper one, at 3, pays 2.

    It is pushed by a ~ N(K (x - 3), σ²), within ±10. The reward is -hill(x), of a mass of 0.5 with a damping of 0.65,
    g = 9.81; steps of 0.1 are ten of Euler's; what leaves [-4, 5] stays at that end. Returns are means over
    trajectories of the same noise for every policy.
    """

    SHAPE = np.polynomial.Polynomial([0, 0, 0, -0.0462963, -0.05555556, 0.00308642, 0.00411523])
    LOW, HIGH, BINS = -4.0, 5.0, 20
    MASS, DAMPING, GRAVITY = 0.5, 0.65, 9.81

    def __init__(self, trajectories: int = 256, horizon: int = 100, discount: float = 0.99, seed: int = 0):
        self.num, self.horizon, self.discount = trajectories, horizon, discount
        self.noise_TN = np.random.default_rng(seed).normal(size=(horizon, trajectories))

    def place(self, gain_G: Floats, spread_G: Floats) -> Floats:
        """Places x (T, G, N) under policies of these K and σ."""
        slope, curve = self.SHAPE.deriv(1), self.SHAPE.deriv(2)
        x_GN = np.full((len(gain_G), self.num), -3.0)
        v_GN, found = np.zeros_like(x_GN), np.empty((self.horizon, *x_GN.shape))
        for t, noise_N in enumerate(self.noise_TN):
            found[t] = x_GN
            push_GN = np.clip(gain_G[:, None] * (x_GN - 3.0) + spread_G[:, None] * noise_N, -10, 10)
            for _ in range(10):
                rise_GN = slope(x_GN)
                turn_GN = push_GN / self.MASS - self.GRAVITY * rise_GN - v_GN**2 * rise_GN * curve(x_GN)
                speed_up_GN = turn_GN / (1 + rise_GN**2) - self.DAMPING / self.MASS * v_GN
                x_GN, v_GN = x_GN + 0.01 * v_GN, v_GN + 0.01 * speed_up_GN
                out_GN = (x_GN <= self.LOW) | (x_GN >= self.HIGH)
                x_GN, v_GN = np.clip(x_GN, self.LOW, self.HIGH), np.where(out_GN, 0.0, v_GN)
        return found

    def bins(self, x: Floats) -> Ints:
        """The bin of each place, both ends of the valley within one."""
        share = (x - self.LOW) / (self.HIGH - self.LOW)
        return np.clip((share * self.BINS).astype(np.intp), 0, self.BINS - 1)

    def returns(self, gain_G: Floats, spread_G: Floats) -> dict[str, Floats]:
        """J and the intrinsic returns (G,) of policies, by term."""
        x_TGN, weight_T = self.place(gain_G, spread_G), self.discount ** np.arange(self.horizon)
        of_bins = [self._of_bins(self.bins(x_TGN[:, g]), weight_T) for g in range(len(gain_G))]
        return {
            "none": np.einsum("t,tgn->g", weight_T, -self.SHAPE(x_TGN)) / self.num,
            "policy": weight_T.sum() * 0.5 * np.log(2 * np.pi * np.e * spread_G**2),
            "marginal": np.array([marginal for marginal, _ in of_bins]),
            "future": np.array([future for _, future in of_bins]),
        }

    def _of_bins(self, bin_TN: Ints, weight_T: Any) -> tuple[float, float]:
        """The intrinsic returns of marginal and future visitation; the latter tells no velocities of a bin apart."""
        shown, gamma = np.eye(self.BINS), self.discount
        visits_K = np.bincount(bin_TN.ravel(), np.repeat(weight_T, self.num), self.BINS)
        ahead_NK, future_KK = shown[bin_TN[-1]], np.zeros((self.BINS, self.BINS))
        for now_N, after_N in zip(bin_TN[-2::-1], bin_TN[:0:-1]):
            ahead_NK = (1 - gamma) * shown[after_N] + gamma * ahead_NK
            future_KK += shown[now_N].T @ ahead_NK
        seen_K1 = np.maximum(future_KK.sum(1, keepdims=True), np.finfo(float).tiny)
        marginal = float(weight_T.sum() * entropy(visits_K / visits_K.sum()))
        return marginal, float(visits_K @ entropy(future_KK / seen_K1)) / self.num
