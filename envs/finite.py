"""Finite POMDPs as arrays: ⟨S, A, O, T, O, R, b₀, γ⟩ with an end; what is exact about a domain is worked out from them.

Matrices are numpy arrays, or `scipy.sparse.csr_array` where that is less memory.
"""

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

SMALL = 2**20  # bytes that a domain's matrices may take before a sparse form is looked at


@dataclass(frozen=True, eq=False)
class FinitePOMDP:
    """A finite POMDP whose episodes may end.

    Dimension key: A actions, S states before, E states after an action (as many as S), O observations.

    Attributes:
        start_S: b₀, the distribution of the first state (S,), sums to 1.
        transition_ASE: for each action Pr(s' | s, a), rows sum to 1 (S, E), also where the episode ends.
        ends_ASE: for each action the probability that the episode ends with the transition s → s' (S, E), 0 where there
            is no such transition; None: never.
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
    row = matrix[[number]]
    return np.asarray(row if isinstance(row, np.ndarray) else row.toarray())[0]


def matrices(entries: Sequence[Entries], shape: tuple[int, int], what: str) -> tuple[Matrix, ...]:
    """Matrices of one shape from what is not zero in them: dense, or sparse where that is less memory.

    Raises:
        UserError: neither is possible; begins with `what`.
    """
    dense = 8 * len(entries) * shape[0] * shape[1]
    sparse = sum(12 * len(value) + 4 * shape[0] for _, _, value in entries)
    if dense > SMALL and sparse < dense and is_installed("scipy"):
        from scipy.sparse import csr_array

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
