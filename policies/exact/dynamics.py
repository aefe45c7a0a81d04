"""What follows a belief, and what a vector of values is worth a step before: the two halves of a point-based backup.

Dimension key: A actions, S states before, E states after, O observations, C successors of a belief, R first beliefs.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from envs.finite import FinitePOMDP, Floats, Matrix, dense, entries_of

Ints = npt.NDArray[np.intp]


class Successors(NamedTuple):
    """The beliefs that may follow one, by action and observation, with their probabilities.

    The probabilities of an action's successors fall short of 1 by that of the end.
    """

    action_C: Ints
    observation_C: Ints
    chance_C: Floats
    belief_CS: Floats


class Seen(NamedTuple):
    """The entries of Pr(o | a, s') of an action that are not 0."""

    end: Ints
    observation: Ints
    chance: Floats


class Dynamics:
    """A POMDP's matrices, by action, as backups need them; sparse ones stay sparse."""

    def __init__(self, model: FinitePOMDP):
        self.model = model
        self.num_states, self.num_actions = model.reward_SA.shape
        self.num_observations = len(model.observations)
        self.on_ASE = [model.going_on(action) for action in range(self.num_actions)]
        self.seen_A = [Seen(*entries_of(matrix)) for matrix in model.observation_AEO]

    def first(self) -> tuple[Floats, Floats]:
        """The probabilities (R,) of the beliefs (R, S) with which an episode may begin."""
        return first_beliefs(self.model)

    def successors(self, belief_S: Floats) -> Successors:
        """All beliefs one step later that have a probability."""
        found = []
        for action in range(self.num_actions):
            after_E = belief_S @ self.on_ASE[action]
            observation, *rest = _conditioned(after_E, self.model.observation_AEO[action])
            found.append((np.full(len(observation), action), observation, *rest))
        return Successors(*(np.concatenate(parts) for parts in zip(*found, strict=True)))

    def before(self, action: int, vector_OE: Floats) -> Floats:
        """R(·, a) + γ Σ_{s', o} Pr(s', o | ·, a) v_o(s') of a vector of values for each observation: (S,)."""
        seen = self.seen_A[action]
        worth = seen.chance * vector_OE[seen.observation, seen.end]
        after_E = np.bincount(seen.end, worth, minlength=self.num_states)
        before_S: Floats = self.model.reward_SA[:, action] + self.model.discount * (self.on_ASE[action] @ after_E)
        return before_S


def first_beliefs(model: FinitePOMDP) -> tuple[Floats, Floats]:
    """The probabilities (R,) of the beliefs (R, S) with which an episode may begin."""
    if model.first_SO is None:
        return np.ones(1), model.start_S[None]
    return _conditioned(model.start_S, model.first_SO)[1:]


def _conditioned(weight_S: Floats, see_SO: Matrix) -> tuple[Ints, Floats, Floats]:
    """The observations that are possible, how much weight each has, and the distributions (·, S) given each."""
    states = np.flatnonzero(weight_S)
    rows = see_SO[states]
    joint_OK = weight_S[states] * dense(rows).T
    chance_O = joint_OK.sum(axis=1)
    observation = np.flatnonzero(chance_O > np.finfo(float).tiny)
    belief = np.zeros((len(observation), len(weight_S)))
    belief[:, states] = joint_OK[observation] / chance_O[observation, None]
    return observation, chance_O[observation], belief
