"""Bounds of the optimal value of a belief: alpha vectors from below, points and corners from above.

Both hold at any belief and are only ever tightened. Where an array has a row for each belief of a batch its letter is
Q. Dimension key: A actions, S states before, E states after, O observations, K alpha vectors, M points.

Sources: fast informed bound and sawtooth: Hauskrecht, 2000; blind policies: Hauskrecht, 1997.
"""

import warnings
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from envs.finite import Floats, Matrix, informed_values, iterated, never
from policies.exact.dynamics import Dynamics
from policies.exact.growing import Growing

Ints = npt.NDArray[np.intp]
Singles = npt.NDArray[np.float32]

CLOSE = 1e-6  # relative to the greatest value: where value iteration from above may stop
TELLING, FINALISTS = 12, 16
NEARLY_NOTHING, HUGE = np.float32(1e-20), np.float32(1e18)


def blind_policies(dynamics: Dynamics, after_AS: Floats | None = None) -> Floats:
    """The values (A, S) of doing one and the same action for ever, by the state.

    Args:
        dynamics: of the POMDP.
        after_AS: the same for one step less; then the result is that of as many steps and one.
    """
    rows = zip(dynamics.on_ASE, dynamics.model.reward_SA.T, strict=True)
    discount = dynamics.model.discount
    if after_AS is not None:
        return np.stack([r + discount * (on @ v) for (on, r), v in zip(rows, after_AS, strict=True)])
    return np.stack([_solved(discount, on_SE, reward_S) for on_SE, reward_S in rows])


def _solved(discount: float, on_SE: Matrix, reward_S: Floats) -> Floats:
    """V = r + γ P v."""
    solution_S: Floats
    if hasattr(on_SE, "tocsc"):
        from scipy import sparse
        from scipy.sparse import linalg

        matrix_SS = sparse.eye_array(len(reward_S), format="csc") - discount * on_SE.tocsc()
        solution_S = linalg.spsolve(matrix_SS, reward_S)
    else:
        solution_S = np.linalg.solve(np.eye(len(reward_S)) - discount * on_SE, reward_S)
    return solution_S


def fast_informed_step(dynamics: Dynamics, q_SA: Floats) -> Floats:
    """One step of value iteration as if the state were seen a step late, (S, A)."""
    num_S, num_A = q_SA.shape
    after_AS = np.empty((num_A, num_S))
    for action, (on_SE, seen) in enumerate(zip(dynamics.on_ASE, dynamics.seen_A, strict=True)):
        # the best next action by state before and observation: what it is chosen by is all that may be known then
        best_SO = np.full((num_S, dynamics.num_observations), -np.inf)
        for other in range(num_A):
            worth_EO = np.zeros((num_S, dynamics.num_observations))
            worth_EO[seen.end, seen.observation] = seen.chance * q_SA[seen.end, other]
            np.maximum(best_SO, on_SE @ worth_EO, out=best_SO)
        after_AS[action] = best_SO.sum(axis=1)
    return dynamics.model.reward_SA + dynamics.model.discount * after_AS.T


def qmdp(dynamics: Dynamics, is_late: Callable[[], bool] = never) -> Floats:
    """An upper bound (S, A): the value where the state is seen. It is approached from above, so wherever it stops."""
    model = dynamics.model
    highest = max(0.0, float(model.reward_SA.max())) / (1.0 - model.discount)
    with warnings.catch_warnings(action="ignore"):  # that it has not converged
        return informed_values(model, CLOSE * max(1.0, highest), is_late=is_late)


def fast_informed_bound(dynamics: Dynamics, is_late: Callable[[], bool] = never) -> Floats:
    """An upper bound (S, A), at most `qmdp`: Q(s, a) = R(s, a) + γ Σ_o max_a' Σ_s' Pr(s', o | s, a) Q(s', a').

    It is approached from above as well, and is one wherever `is_late` stops it.
    """
    q_SA = qmdp(dynamics, is_late)
    enough = CLOSE * max(1.0, float(np.abs(q_SA).max())) * (1.0 - dynamics.model.discount)

    def step(value_SA: Floats) -> Floats:
        return fast_informed_step(dynamics, value_SA)

    return iterated(q_SA, step, enough, above=True, is_late=is_late)[0]


def hurried_steps(dynamics: Dynamics, blind_AS: Floats, informed_SA: Floats) -> tuple[Floats, Floats]:
    """What `blind_policies` gives for one step more, or less, and `fast_informed_step`, or more: no product is made.

    What follows is worth no less than the least of what was, and no more than the greatest, and 0 where nothing does.
    """
    model = dynamics.model
    blind_AS = model.reward_SA.T + model.discount * np.minimum(blind_AS.min(axis=1, keepdims=True), 0.0)
    return blind_AS, model.reward_SA + model.discount * max(float(informed_SA.max()), 0.0)


class AlphaVectors:
    """A lower bound: the greatest of vectors, each of them the value of a way to act on, by the state.

    Attributes:
        vectors: (K, S).
        actions: what is done first (K,).
        nexts: which vector is followed after each observation (K, O).
    """

    def __init__(self, num_states: int, num_observations: int):
        self.vectors = Growing((num_states,))
        self.actions = Growing((), np.intp)
        self.nexts = Growing((num_observations,), np.intp)

    def __len__(self) -> int:
        return len(self.vectors)

    def add(self, vector_S: Floats, action: int, next_O: Ints | int) -> None:
        """Adds a vector."""
        self.vectors.add(vector_S[None])
        self.actions.add([action])
        self.nexts.add(np.broadcast_to(next_O, (1, *self.nexts.rows.shape[1:])))

    def best(self, belief_QS: Floats, first: int = 0) -> tuple[Floats, Ints]:
        """The greatest value (Q,) at each belief, and which vector has it, of those from number `first` on."""
        value_QK = belief_QS @ self.vectors.rows[first:].T
        best_Q = value_QK.argmax(axis=1)
        return value_QK[np.arange(len(best_Q)), best_Q], best_Q + first

    def prune(self, first: int) -> tuple[Ints, npt.NDArray[np.bool_]]:
        """Drops vectors below another one everywhere, of which one is of number `first` or later.

        Returns:
            The number (K,) of the vector that stands for each now, and which live on (K,).
        """
        vector_KS, num = self.vectors.rows, len(self)
        instead_K, lives_K = np.arange(num), np.ones(num, bool)
        for number in range(num - 1, first - 1, -1):
            if lives_K[number]:
                below = np.flatnonzero(lives_K & (vector_KS <= vector_KS[number]).all(axis=1))
                instead_K[below] = number
                lives_K[below[below != number]] = False
        while (instead_K[instead_K] != instead_K).any():
            instead_K = instead_K[instead_K]
        number_K: Ints = (np.cumsum(lives_K) - 1)[instead_K]
        for column in (self.vectors, self.actions, self.nexts):
            column.replace(column.rows[lives_K].copy())
        return number_K, lives_K


class Sawtooth:
    """An upper bound: action values at the corners, and points with values below what the corners give there.

    A belief is split into a share of one point, as great as it may be, and the rest at the corners; of the points that
    one counts that gives the least. Without a point the best action is taken for the belief, not for each corner.

    Attributes:
        corner_SA: action values of the states.
        beliefs: of the points (M, S).
        values: at the points (M,).
    """

    def __init__(self, corner_SA: Floats):
        self.corner_SA = corner_SA
        self.beliefs = Growing((len(corner_SA),))
        self.values = Growing()
        self._inverse_SM = np.empty((len(corner_SA), 16), np.float32)

    def __len__(self) -> int:
        return len(self.values)

    def add(self, belief_S: Floats, value: float) -> None:
        """Adds a point."""
        num = len(self)
        if num == self._inverse_SM.shape[1]:
            self._inverse_SM = np.concatenate([self._inverse_SM, np.empty_like(self._inverse_SM)], axis=1)
        with np.errstate(divide="ignore"):
            self._inverse_SM[:, num] = np.where(belief_S > 0, np.minimum(1.0 / belief_S, HUGE), HUGE)
        self.beliefs.add(belief_S[None])
        self.values.add([value])

    @property
    def corner_S(self) -> Floats:
        """Values of the states."""
        value_S: Floats = self.corner_SA.max(axis=1)
        return value_S

    def at_corners(self, belief_QS: Floats) -> Floats:
        """What the corners alone give (Q,): the best action's mean of their values."""
        value_Q: Floats = (belief_QS @ self.corner_SA).max(axis=1)
        return value_Q

    def drops(self) -> Floats:
        """How far the points are below what the corners give there (M,)."""
        drop_M: Floats = self.values.rows - self.beliefs.rows @ self.corner_S
        return drop_M

    def best(self, belief_QS: Floats, first: int = 0) -> tuple[Floats, Ints, Floats]:
        """A low value (Q,) at each belief, the point that gives it (-1: the corners alone) and its share (Q,).

        Of the points those from number `first` on count. Which is the best is decided in single precision and, of many
        points, by some of the states; the value of the one that is chosen is exact.
        """
        value_Q = self.at_corners(belief_QS)
        if first >= len(self):
            return value_Q, np.full(len(value_Q), -1), np.zeros(len(value_Q))
        drop_M = np.minimum(self.drops(), 0.0)
        near_M, inverse_SM = drop_M[first:].astype(np.float32), self._inverse_SM[:, first : len(self)]
        like_QS = belief_QS.astype(np.float32) + NEARLY_NOTHING
        if inverse_SM.shape[1] < len(like_QS):
            shares = [(like_QS * inverse_S).min(axis=1) for inverse_S in inverse_SM.T]
            point_Q = (np.stack(shares) * near_M[:, None]).argmin(axis=0)
        else:
            typical_S = inverse_SM.mean(axis=1)
            point_Q = np.array([_nearest(like_S, inverse_SM, near_M, typical_S) for like_S in like_QS])
        point_Q += first
        chosen_QS = self.beliefs.rows[point_Q]
        share_Q = np.divide(belief_QS, chosen_QS, out=np.full(chosen_QS.shape, np.inf), where=chosen_QS > 0).min(axis=1)
        return np.minimum(value_Q, belief_QS @ self.corner_S + share_Q * drop_M[point_Q]), point_Q, share_Q


def _nearest(like_S: Singles, inverse_SM: Singles, near_M: Singles, typical_S: Singles) -> int:
    """The point whose share in a belief is worth most; of many, those are compared that are best by a few states."""
    num_S, num_M = inverse_SM.shape
    if num_S > 2 * TELLING and num_M > 2 * FINALISTS:
        telling = np.argpartition(like_S * typical_S, TELLING)[:TELLING]  # where the belief has least
        worth_M = (inverse_SM[telling] * like_S[telling, None]).min(axis=0) * near_M
        finalists = np.argpartition(worth_M, FINALISTS)[:FINALISTS]
        worth_F = (inverse_SM[:, finalists] * like_S[:, None]).min(axis=0) * near_M[finalists]
        return int(finalists[worth_F.argmin()])
    return int(((inverse_SM * like_S[:, None]).min(axis=0) * near_M).argmin())
