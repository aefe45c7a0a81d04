"""Finite POMDPs as arrays: ⟨S, A, O, T, O, R, b₀, γ⟩ with an end; what is exact about a domain is worked out from them.

Matrices are numpy arrays, or `scipy.sparse.csr_array` where that is less memory.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from utils.errors import UserError
from utils.memory import gib, total_memory
from utils.optional import is_installed, remedy

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Matrix = Any  # Floats or scipy.sparse.csr_array, float64, of two dimensions
Entries = tuple[Ints, Ints, Floats]  # row, column and value of what is not zero in a matrix

SWEEPS = 20_000  # of value iteration, at most
SMALL = 2**20  # bytes that a domain's matrices may take before a sparse form is looked at


@dataclass(frozen=True, eq=False)
class FinitePOMDP:
    """A finite POMDP whose episodes may end.

    Dimension key: A actions, S states before, E states after an action (as many as S), O observations.

    Attributes:
        start_S: b₀, the distribution of the first state (S,), sums to 1.
        transition_ASE: for each action Pr(s' | s, a), rows sum to 1 (S, E), also where the episode ends.
        ends_ASE: for each action the probability that the episode ends with the transition s → s' (S, E), which where
            there is no such transition means nothing; None: never.
        observation_AEO: for each action Pr(o | a, s') by the state after it (E, O), rows sum to 1.
        reward_SA: E[r | s, a], over s' and o (S, A).
        discount: γ in (0, 1].
        states, actions, observations: their names.
        first_SO: Pr(o | s) of an observation that is made before the first action (S, O); None: there is none.
        reward: r(a, s, s', o) of arrays of indices, one row each, where rewards depend on more than (s, a); None else.
    """

    start_S: Floats
    transition_ASE: tuple[Matrix, ...]
    ends_ASE: tuple[Matrix, ...] | None
    observation_AEO: tuple[Matrix, ...]
    reward_SA: Floats
    discount: float
    states: tuple[str, ...]
    actions: tuple[str, ...]
    observations: tuple[str, ...]
    first_SO: Matrix | None = None
    reward: Callable[..., Floats] | None = None

    def going_on(self, action: int) -> Matrix:
        """Pr(s', the episode goes on | s, a) (S, E); a row's sum falls short of 1 by the probability of the end."""
        transition_SE = self.transition_ASE[action]
        if self.ends_ASE is None:
            return transition_SE
        return transition_SE - transition_SE * self.ends_ASE[action]

    def ending(self, action: int) -> Matrix:
        """Pr(s', the episode ends | s, a) (S, E)."""
        transition_SE = self.transition_ASE[action]
        return transition_SE * (0.0 if self.ends_ASE is None else self.ends_ASE[action])


class Draws:
    """Draws columns of a matrix whose rows are distributions, by inverse distribution functions that lie end to end.

    Args:
        entries: of the matrix, row by row.
        rows: how many there are; each has an entry.
    """

    def __init__(self, entries: Entries, rows: int) -> None:
        row, self.column, value = entries
        self._last = np.searchsorted(row, np.arange(rows), side="right") - 1
        total = np.cumsum(value)
        before = np.append(0.0, total[self._last])[row]
        self._bound = row + (total - before) / (total[self._last] - np.append(0.0, total[self._last])[:-1])[row]
        self._bound[self._last] = np.arange(1, rows + 1)
        self._certain = len(row) == rows

    def __call__(self, rng: np.random.Generator, row_N: Ints) -> Ints:
        """For each of the rows the number of an entry, whose `column` is what was drawn."""
        if self._certain:
            return row_N
        found = np.searchsorted(self._bound, row_N + rng.random(len(row_N)), side="right")
        return np.minimum(found, self._last.take(row_N))  # a sum with a row's number may round up to the next one's


class Filter:
    """Exact beliefs of N episodes at once, each from what it has shown, done, and that it went on.

    Dimension key: N episodes, and as in `FinitePOMDP`.
    """

    def __init__(self, pomdp: FinitePOMDP) -> None:
        self.pomdp = pomdp
        actions = range(len(pomdp.actions))
        self._going_on_ASE = [pomdp.going_on(action) for action in actions]
        self._seen_AOE = [_by_observation(matrix) for matrix in pomdp.observation_AEO]
        self._first_OS = None if pomdp.first_SO is None else _by_observation(pomdp.first_SO)

    def first(self, obs_N: Ints) -> Floats:
        """The beliefs (N, S) after the first observations; -1 for none.

        Raises:
            ValueError: no start looks like that.
        """
        weight_NS = np.repeat(self.pomdp.start_S[None], len(obs_N), axis=0)
        if self._first_OS is not None:
            weight_NS = weight_NS * np.where(obs_N[:, None] < 0, 1.0, dense(self._first_OS[obs_N]))
        return _normalised(weight_NS)

    def after(self, belief_NS: Floats, action_N: Ints, obs_N: Ints, *, ended: bool = False) -> Floats:
        """The beliefs (N, E) after one more action and observation each.

        Args:
            belief_NS: before it.
            action_N: the actions.
            obs_N: what was seen then.
            ended: the episodes ended with it, where else they went on.

        Raises:
            ValueError: that is not possible.
        """
        return _normalised(self.weights(belief_NS, action_N, obs_N, ended=ended))

    def weights(self, belief_NS: Floats, action_N: Ints, obs_N: Ints, *, ended: bool = False) -> Floats:
        """Pr(s', o, the episode goes on | b, a) (N, E), of which `after` is the normalised form.

        Raises:
            ValueError: an observation is below 0.
        """
        if (obs_N < 0).any():
            raise ValueError(f"row {int((obs_N < 0).argmax())} has no observation after an action")
        weight_NE = np.empty_like(belief_NS)
        for action in np.unique(action_N):
            some = np.flatnonzero(action_N == action)
            moved_SE = self.pomdp.ending(action) if ended else self._going_on_ASE[action]
            weight_NE[some] = (belief_NS[some] @ moved_SE) * dense(self._seen_AOE[action][obs_N[some]])
        return weight_NE

    def episode(self, obs_R: Ints, action_T: Ints, terminated: bool) -> Floats:
        """The belief (R, S) at each row of an episode, R = T + 1; for the last one, if `terminated`, that it ended.

        An episode that starts as none does was put there: then all states that look like that are equally likely.

        Raises:
            ValueError: the rows are no episode of this domain.
        """
        belief_RS = np.empty((len(obs_R), len(self.pomdp.start_S)))
        for row in range(len(obs_R)):
            now = slice(row, row + 1)
            try:
                if row:
                    ended = terminated and row == len(obs_R) - 1
                    belief_RS[now] = self.after(
                        belief_RS[row - 1 : row], action_T[row - 1 : row], obs_R[now], ended=ended
                    )
                else:
                    belief_RS[now] = self._anywhere(obs_R[now])
            except ValueError as error:
                raise ValueError(f"no state explains row {row} and those before it") from error
        return belief_RS

    def _anywhere(self, obs_N: Ints) -> Floats:
        try:
            return self.first(obs_N)
        except ValueError:
            if self._first_OS is None:
                raise
            return _normalised(dense(self._first_OS[obs_N]))


def _by_observation(matrix_EO: Matrix) -> Matrix:
    """The transpose (O, E), of which rows are taken."""
    return matrix_EO.T if isinstance(matrix_EO, np.ndarray) else matrix_EO.T.tocsr()


def dense(matrix: Matrix) -> Floats:
    """A matrix of either kind as numbers side by side."""
    return matrix if isinstance(matrix, np.ndarray) else matrix.toarray()


def _normalised(weight_NS: Floats) -> Floats:
    total_N = weight_NS.sum(axis=1)
    if not (total_N > 0).all():
        raise ValueError(f"no state explains row {int((total_N > 0).argmin())}")
    return weight_NS / total_N[:, None]


def never() -> bool:
    """There is time."""
    return False


def informed_values(
    pomdp: FinitePOMDP, error: float = 1e-9, most: int = SWEEPS, is_late: Callable[[], bool] = never
) -> Floats:
    """Q(s, a) (S, A) of one who always knows the state, by value iteration.

    With a discount below 1 it is approached from above, so that no belief is worth more wherever it stops; else from 0,
    and what it comes to is a bound only once it has converged. It warns where it has not, but for want of time.
    """
    going_on_ASE = [pomdp.going_on(action) for action in range(len(pomdp.actions))]

    def step(value_SA: Floats) -> Floats:
        best_S = value_SA.max(axis=1)
        return pomdp.reward_SA + pomdp.discount * np.stack([moved_SE @ best_S for moved_SE in going_on_ASE], axis=1)

    above = pomdp.discount < 1
    highest = max(0.0, float(pomdp.reward_SA.max())) / (1.0 - pomdp.discount) if above else 0.0
    enough = error * (1.0 - pomdp.discount or 1.0)
    value_SA, moved = iterated(np.full(pomdp.reward_SA.shape, highest), step, enough, above, most, is_late)
    if moved > enough and not is_late():
        what = "a bound from above" if above else "no bound"
        warnings.warn(f"values of who knows the state: not converged after {most:,} sweeps; {what}", stacklevel=2)
    return value_SA


def iterated(
    value_SA: Floats,
    step: Callable[[Floats], Floats],
    enough: float,
    above: bool,
    most: int = SWEEPS,
    is_late: Callable[[], bool] = never,
) -> tuple[Floats, float]:
    """Values (S, A) after steps of value iteration until none moves by more than `enough`, and how far one last did.

    Args:
        value_SA: to begin with.
        step: from values to the next.
        enough: when to stop.
        above: the values are upper bounds; each step keeps the lower of the old and the new.
        most: steps, at most.
        is_late: whether to stop before the next.
    """
    moved = np.inf
    for _ in range(most):
        if is_late():
            break
        after_SA = np.minimum(value_SA, step(value_SA)) if above else step(value_SA)
        moved, value_SA = float(abs(after_SA - value_SA).max()), after_SA
        if moved <= enough:
            break
    return value_SA, moved


def entries_of(matrix: Matrix) -> Entries:
    """What is not zero in a matrix of either kind, row by row."""
    if isinstance(matrix, np.ndarray):
        row, column = np.nonzero(matrix)
        return row, column, matrix[row, column]
    number = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    there = matrix.data != 0
    return number[there], matrix.indices[there].astype(np.intp), matrix.data[there]


def row_of(matrix: Matrix, number: int) -> Floats:
    """A row of a matrix of either kind."""
    return dense(matrix[[number]])[0]


def matrices(entries: Sequence[Entries], shape: tuple[int, int], what: str) -> tuple[Matrix, ...]:
    """Matrices of one shape from what is not zero in them: dense, or sparse where that is less memory.

    Raises:
        UserError: neither is possible; begins with `what`.
    """
    dense = 8 * len(entries) * shape[0] * shape[1]
    sparse = sum(12 * len(value) + 4 * shape[0] for _, _, value in entries)
    if dense > SMALL and sparse < dense and is_installed("scipy"):
        from scipy.sparse import csr_array

        if dense > total_memory() / 2:
            warnings.warn(f"{what}: {gib(dense)} where dense; taken as sparse, {gib(sparse)}", stacklevel=2)
        return tuple(csr_array((value, (row, column)), shape=shape) for row, column, value in entries)
    if dense > total_memory() / 2:
        needed = f"{gib(dense)} are needed for {len(entries)} matrices of {shape[0]} by {shape[1]} numbers"
        raise UserError(f"{what}: {needed}, {gib(sparse)} where sparse; {remedy('scipy')}")
    filled = tuple(np.zeros(shape) for _ in entries)
    for matrix, (row, column, value) in zip(filled, entries, strict=True):
        matrix[row, column] = value
    return filled


class RewardEntries:
    """r(a, s, s', o) as a list of entries of which later ones win, where any index may stand for all; 0 where none is.

    Args:
        index_N4: action, state, state after, observation of each entry, -1 for all of them.
        value_N: what it pays.
        sizes: A, S, S, O.
    """

    def __init__(self, index_N4: Ints, value_N: Floats, sizes: tuple[int, int, int, int]) -> None:
        self.index_N4, self.value_N, self.sizes = index_N4, value_N, sizes
        self._kinds = []  # (which of the four are given, sorted keys, their entries)
        given_N4 = index_N4 >= 0
        for given in np.unique(given_N4, axis=0):
            entry = np.flatnonzero((given_N4 == given).all(axis=1))[::-1]
            key, first = np.unique(self._key(index_N4[entry].T, given), return_index=True)  # the first is the latest
            self._kinds.append((given, key, entry[first]))

    def _key(self, index: Any, given: Any) -> Any:
        key: Any = 0
        for one, size, is_given in zip(index, self.sizes, given, strict=True):
            key = key * size + (one if is_given else 0)
        return key

    def depends_on(self, position: int) -> bool:
        """Whether any entry names the index at a position: 0 action, 1 state, 2 state after, 3 observation."""
        return any(given[position] for given, _, _ in self._kinds)

    def __call__(self, action: Any, state: Any, after: Any, obs: Any) -> Floats:
        """The rewards of transitions, of indices that broadcast."""
        index = np.broadcast_arrays(action, state, after, obs)
        latest = np.full(index[0].shape, -1, np.intp)
        for given, key, entry in self._kinds:
            wanted = np.broadcast_to(self._key(index, given), latest.shape)
            at = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
            latest = np.maximum(latest, np.where(key[at] == wanted, entry[at], -1))
        return np.append(self.value_N, 0.0)[latest]

    def expected(self, transition_ASE: Sequence[Matrix], observation_AEO: Sequence[Matrix]) -> Floats:
        """E[r | s, a] (S, A)."""
        expected_SA = np.empty((self.sizes[1], self.sizes[0]))
        for action, (transition_SE, observation_EO) in enumerate(zip(transition_ASE, observation_AEO, strict=True)):
            expected_SA[:, action] = self._expected(action, transition_SE, observation_EO)
        return expected_SA

    def _expected(self, action: int, transition_SE: Matrix, observation_EO: Matrix) -> Floats:
        num_states = self.sizes[1]
        if not (self.depends_on(2) or self.depends_on(3)):
            return self(action, np.arange(num_states), 0, 0)
        state, after, probability = entries_of(transition_SE)
        if not self.depends_on(3):
            return np.bincount(state, probability * self(action, state, after, 0), num_states).astype(np.float64)
        seen_in, obs, seen = entries_of(observation_EO)
        first_E = np.searchsorted(seen_in, np.arange(num_states + 1))
        expected_S = np.zeros(num_states)
        for part in np.array_split(np.arange(len(state)), 1 + len(state) * (1 + len(obs) // num_states) // 2**20):
            many = np.diff(first_E)[after[part]]
            pair = np.repeat(part, many)
            at = np.arange(len(pair)) - np.repeat(np.cumsum(many) - many - first_E[after[part]], many)
            paid = self(action, state[pair], after[pair], obs[at])
            expected_S += np.bincount(state[pair], probability[pair] * seen[at] * paid, num_states)
        return expected_S
