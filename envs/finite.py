"""Finite POMDPs as arrays: ⟨S, A, O, T, O, R, b₀, γ⟩ with an end; what is exact about a domain is worked out from them.

Matrices are numpy arrays, or `scipy.sparse.csr_array` where that is less memory.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Matrix = Any  # Floats or scipy.sparse.csr_array, float64, of two dimensions


@dataclass(frozen=True, eq=False)
class FinitePOMDP:
    """A finite POMDP whose episodes may end.

    Dimension key: A actions, S states before, E states after an action (as many as S), O observations.

    Attributes:
        start_S: b₀, the distribution of the first state (S,), sums to 1.
        transition_ASE: for each action Pr(s' | s, a), rows sum to 1 (S, E), also where the episode ends.
        ends_ASE: for each action the probability that the episode ends with the transition s → s' (S, E); None: never.
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
        return transition_SE if self.ends_ASE is None else transition_SE * (1.0 - self.ends_ASE[action])
