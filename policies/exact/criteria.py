"""What an exploration term does to an objective and its gradient estimates, on problems small enough to tell.

Four criteria of "Behind the myth of exploration in policy gradients" (Bolland, Lambrechts & Ernst, 2024). Of the return
J and the learning objective L = J + λ J_int: *coherence*, the return that the best policy by L lacks;
*pseudoconcavity*, that L is stationary at its maximum alone; *efficiency*, the least probability over policies that a
step along a stochastic gradient raises L; *attraction*, the same of J near its optimum.

Dimension key: G policies of a grid, S states, A actions, T steps, N trajectories, B batches of them, K bins.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from envs.finite import Floats, Ints
from policies.exact.visitation import Process, entropy

TERMS = ("none", "policy", "marginal", "future", "count", "dense")  # exploration terms


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
    """An exploration term on a line of policies.

    Attributes:
        return_G, objective_G: J and L.
        efficiency_G: the probability that a gradient estimate of L raises L, for each policy.
        attraction_G: that it raises J.
    """

    return_G: Floats
    objective_G: Floats
    efficiency_G: Floats
    attraction_G: Floats

    @property
    def coherence(self) -> float:
        """ε."""
        return coherence(self.return_G, self.objective_G)

    @property
    def maxima(self) -> int:
        """The local maxima of L; pseudoconcave is one that has no other."""
        return local_maxima(self.objective_G, 1e-9)

    def attraction(self, near: int = 3) -> float:
        """δ on the policies that are the best by J and its `near` neighbours on either side."""
        best = int(self.return_G.argmax())
        return float(self.attraction_G[max(0, best - near) : best + near + 1].min())


class Maze:
    """A corridor whose last cell pays 1 a step; a move succeeds by chance, and a policy is Pr(right) = θ everywhere.

    All returns are exact, for a horizon of T steps; the measure of what will be visited is that without one.
    """

    def __init__(self, cells: int = 15, success: float = 0.3, horizon: int = 100, discount: float = 0.99):
        self.cells, self.success, self.horizon, self.discount = cells, success, horizon, discount
        every = np.arange(cells)
        move_ASS = np.zeros((2, cells, cells))
        for action, step in enumerate((-1, 1)):
            move_ASS[action, every, np.clip(every + step, 0, cells - 1)] += success
            move_ASS[action, every, every] += 1 - success
        self.process = Process(np.eye(cells)[0], move_ASS, np.eye(cells)[:, None], discount)
        self.reward_S = np.eye(cells)[-1]
        self.weight_T = discount ** np.arange(horizon)

    def policy(self, theta: float) -> Floats:
        """Pr(left), Pr(right) in every cell (S, 2)."""
        return np.tile([1 - theta, theta], (self.cells, 1))

    def visits(self, theta: float) -> Floats:
        """Σ_{t<T} γ^t Pr(s_t = s) (S,)."""
        moved_SS, now_S, total_S = self.process.moved(self.policy(theta)), self.process.start_S, np.zeros(self.cells)
        for weight in self.weight_T:
            total_S, now_S = total_S + weight * now_S, now_S @ moved_SS
        return total_S

    def paid(self, term: str, theta: float) -> Floats:
        """The intrinsic reward of a term (S, 2) under a policy of 0 < θ < 1."""
        policy_SA, visits_S = self.policy(theta), self.visits(theta)
        share_S1 = (visits_S / visits_S.sum())[:, None]
        return {
            "none": lambda: np.zeros_like(policy_SA),
            "policy": lambda: -np.log(policy_SA),
            "marginal": lambda: np.repeat(-np.log(share_S1), 2, axis=1),
            "future": lambda: entropy(self.process.future(policy_SA)),
            "count": lambda: np.repeat(share_S1**-0.5, 2, axis=1),  # 1/√n, in the unit of an episode's visits
            "dense": lambda: np.broadcast_to([-1.0, 1.0], policy_SA.shape),
        }[term]()

    def returns(self, theta: float, reward_SA: Floats) -> float:
        """The expected discounted return of a reward."""
        return float((self.visits(theta)[:, None] * self.policy(theta) * reward_SA).sum())

    def judged(self, weights: Mapping[str, float], theta_G: Floats, batches: int, seed: int = 0) -> dict[str, Judged]:
        """Each term of a weight λ on policies of a grid within (0, 1).

        A gradient estimate is REINFORCE's from 8 trajectories with their mean as a baseline, whose rewards are held
        fixed; it raises what has a derivative of its sign. One of 0 raises nothing.
        """
        rng, found = np.random.default_rng(seed), {}
        objectives = {term: np.empty((len(theta_G), 3)) for term in weights}  # below, at and above each policy
        estimates = {term: np.empty((len(theta_G), batches)) for term in weights}
        for g, theta in enumerate(theta_G):
            for at, near in enumerate((theta - 1e-5, theta, theta + 1e-5)):
                for term, weight in weights.items():
                    reward_SA = self.reward_S[:, None] + weight * self.paid(term, near)
                    objectives[term][g, at] = self.returns(near, reward_SA)
            score_N, count_NSA = self._played(theta, 8 * batches, rng)
            for term, weight in weights.items():
                reward_SA = self.reward_S[:, None] + weight * self.paid(term, theta)
                return_B8 = (count_NSA.reshape(len(count_NSA), -1) @ reward_SA.ravel()).reshape(batches, 8)
                centred_B8 = return_B8 - return_B8.mean(1, keepdims=True)
                centred_B8[np.abs(centred_B8) < 1e-12] = 0.0  # rounding of equal returns is no estimate
                estimates[term][g] = (centred_B8 * score_N.reshape(batches, 8)).mean(1)
        plain = self._objective_of("none", theta_G)
        for term, objective_G3 in objectives.items():
            raises_G = {"L": objective_G3[:, 2] - objective_G3[:, 0], "J": plain[:, 2] - plain[:, 0]}
            shares = {name: (estimates[term] * slope[:, None] > 0).mean(1) for name, slope in raises_G.items()}
            found[term] = Judged(plain[:, 1], objective_G3[:, 1], shares["L"], shares["J"])
        return found

    def _objective_of(self, term: str, theta_G: Floats) -> Floats:
        near_G3 = theta_G[:, None] + np.array([-1e-5, 0.0, 1e-5])
        reward_SA = np.repeat(self.reward_S[:, None], 2, axis=1)
        return np.array([[self.returns(theta, reward_SA) for theta in row] for row in near_G3])

    def _played(self, theta: float, num: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Of N trajectories the sums of ∇ log π, and Σ_t γ^t [s_t = s, a_t = a] (N, S, 2)."""
        state_N, every = np.zeros(num, np.intp), np.arange(num)
        count_NSA, right_N = np.zeros((num, self.cells, 2)), np.zeros(num)
        for weight in self.weight_T:
            action_N = (rng.random(num) < theta).astype(np.intp)
            count_NSA[every, state_N, action_N] += weight
            right_N += action_N
            moves_N = rng.random(num) < self.success
            state_N = np.clip(state_N + moves_N * (2 * action_N - 1), 0, self.cells - 1)
        return right_N / theta - (self.horizon - right_N) / (1 - theta), count_NSA


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
