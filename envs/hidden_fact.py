"""Finite POMDPs in which one fact is hidden until some observation tells it, with an expert who goes by it.

Dimension key: S states before, E states after, A actions, O observations, K hidden facts, N envs, R rows.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.arrays import Bools, Ints
from envs.factors import Factor
from envs.finite import FinitePOMDP, Floats, matrices
from envs.finite_rules import OBS, STATE, FiniteRules


class HiddenFactRules(FiniteRules):
    """The rules of a finite POMDP with a hidden fact; see `FiniteRules`.

    Args:
        model: the POMDP.
        features: what can be said of a state, for factors and signals: by name the value in each state (S,).
        fact: the name of the feature that is hidden.
        ask_S: what the expert does as long as no observation has told the fact.
        act_KS: what it does for each fact that it knows or guesses.
        one_hot: whether views are one-hot.
    """

    def __init__(
        self,
        model: FinitePOMDP,
        *,
        features: Mapping[str, Ints],
        fact: str,
        ask_S: Ints,
        act_KS: Ints,
        one_hot: bool = True,
    ) -> None:
        super().__init__(model, one_hot=one_hot)
        self.features, self.fact_S, self.ask_S, self.act_KS = dict(features), features[fact], ask_S, act_KS
        self.state_groups = self.features if one_hot else {}
        # the last entry is that of no observation
        self._tells = {name: np.append(self._telling(of_S), False) for name, of_S in self.features.items()}
        self._tells_fact_O = self._tells[fact]

    def informative(self, joint: NDArray[np.float64]) -> Bools:
        return self._tells_fact_O.take(joint[:, OBS].astype(np.intp))

    def initial_guess(self, rng: np.random.Generator, num: int) -> Ints:
        return rng.integers(len(self.act_KS), size=num)

    def expert(self, joint: NDArray[Any], informed: Bools, guess: NDArray[Any], guesses: Bools) -> NDArray[np.int64]:
        """Asks, and then goes by the fact; where it guesses, by the guess."""
        state = joint[:, STATE].astype(np.intp)
        by_fact = self.act_KS[np.where(guesses, guess, self.fact_S[state]), state]
        return np.where(informed | guesses, by_fact, self.ask_S[state]).astype(np.int64)

    def factors(self, obs_RO: NDArray[Any], state_RS: NDArray[Any]) -> dict[str, Factor]:
        """The features, each hidden where what is seen is seen for other values as well.

        Raises:
            ValueError: a row is no view of this domain.
        """
        state_R, obs_R = self._numbers(state_RS, self.num_states, "state"), self._observed(obs_RO)
        return {
            name: Factor(of_S[state_R].astype(np.int64), ~self._tells[name][obs_R])
            for name, of_S in self.features.items()
        }


def deterministic(
    *,
    start_S: Floats,
    next_SA: Ints,
    seen_EA: Ints,
    reward_SA: Floats,
    ends_SA: Bools,
    discount: float,
    states: Sequence[str],
    actions: Sequence[str],
    observations: Sequence[str],
) -> FinitePOMDP:
    """A POMDP in which chance has a say at the start only.

    Args:
        start_S: as in `FinitePOMDP`.
        next_SA: the state after each action.
        seen_EA: what is seen in a state after each action.
        reward_SA: as in `FinitePOMDP`.
        ends_SA: whether the action ends the episode.
        discount, states, actions, observations: as in `FinitePOMDP`.
    """
    every, ones = np.arange(len(states)), np.ones(len(states))
    square, of_observations = (len(states), len(states)), (len(states), len(observations))
    what = "a table of states"
    return FinitePOMDP(
        start_S=start_S,
        transition_ASE=matrices([(every, next_S, ones) for next_S in next_SA.T], square, what),
        ends_ASE=matrices(
            [(every[ends_S], next_S[ends_S], ones[ends_S]) for next_S, ends_S in zip(next_SA.T, ends_SA.T)],
            square,
            what,
        ),
        observation_AEO=matrices([(every, seen_E, ones) for seen_E in seen_EA.T], of_observations, what),
        reward_SA=np.asarray(reward_SA, np.float64),
        discount=discount,
        states=tuple(states),
        actions=tuple(actions),
        observations=tuple(observations),
    )


def ways(next_SA: Ints, targets_KS: Bools, avoid_S: Bools) -> Ints:
    """The first action (K, S) of a shortest way to a target that comes by no state to avoid but at its end.

    0 where there is none, and at a target.
    """
    distance_KS = np.where(targets_KS, 0.0, np.inf)
    entry_KS = np.where(avoid_S & ~targets_KS, np.inf, distance_KS)
    while True:
        shorter_KS = np.minimum(distance_KS, 1.0 + entry_KS[:, next_SA].min(axis=2))
        if np.array_equal(shorter_KS, distance_KS):
            return entry_KS[:, next_SA].argmin(axis=2)
        distance_KS = shorter_KS
        entry_KS = np.where(avoid_S & ~targets_KS, np.inf, distance_KS)
