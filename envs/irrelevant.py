"""Any domain of ours with variables before its views that mean nothing (Lambrechts, Bolland & Ernst, 2022)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import load_env_creator
from numpy.typing import NDArray

from envs.arrays import ArrayEnv, ArrayVectorEnv, Bools, Floats, Rules
from envs.base import Belief, Past
from envs.factors import Factor
from envs.finite import FinitePOMDP

VARIANCE = 0.1  # of the first values and of each step; that of what is seen of them is 1


class IrrelevantRules(Rules):
    """The rules of a domain with d variables that take random steps, whatever is done.

    Observation and state: those of the domain, behind d numbers. These are s in the state, which begins as N(0, 0.1 I)
    and moves by N(0, 0.1 I) a step, and s + N(0, I) in the observation. All else is as in the domain.

    Args:
        domain: its id; one of those that are rules over arrays, and of no images.
        variables: d, at least 1.
        of: keyword arguments of the domain.
    """

    def __init__(self, domain: str = "TMaze-v0", variables: int = 1, of: Mapping[str, Any] | None = None) -> None:
        spec = gym.spec(domain)
        made: Any = load_env_creator(spec.entry_point) if isinstance(spec.entry_point, str) else spec.entry_point
        if not hasattr(made, "rules_type") or made.rules_type is type(self):
            raise ValueError(
                f"domain {domain} is not rules over arrays, as those of envs/__init__.py but the robots are"
            )
        if variables < 1:
            raise ValueError(f"variables is {variables}; at least 1")
        self.inner: Rules = made.rules_type(**spec.kwargs | dict(of or {}))
        if self.inner.image_shape is not None:
            raise ValueError(f"domain {domain} has images, which no numbers can stand before")
        self.variables, self._split = variables, 2 * variables
        self.obs_space, self.state_space = (self._space(x) for x in (self.inner.obs_space, self.inner.state_space))
        self.action_space, self.tells_success = self.inner.action_space, self.inner.tells_success
        entries = self.inner.state_features or tuple(map(str, range(self.inner.state_space.shape[0])))
        if len(entries) == self.inner.state_space.shape[0]:
            self.state_features = (*(f"irrelevant_{i}" for i in range(variables)), *entries)
        none = np.full(variables, -1)
        self.state_groups = {name: np.append(none, number_S) for name, number_S in self.inner.state_groups.items()}
        self.obs_categories, self.state_categories = (
            tuple((variables + first, number) for first, number in categories)
            for categories in (self.inner.obs_categories, self.inner.state_categories)
        )
        # s, what is seen of it, and the domain's own joint state
        self.blank_joint = np.zeros(self._split + self.inner.blank_joint.size)
        self.blank_guess = self.inner.blank_guess

    def _space(self, inner: spaces.Box) -> spaces.Box:
        unbounded = np.full(self.variables, np.inf, np.float32)
        low, high = np.concatenate([-unbounded, inner.low]), np.concatenate([unbounded, inner.high])
        return spaces.Box(low, high, dtype=np.float32)

    @property
    def model(self) -> FinitePOMDP | None:
        """None: the variables take any value."""
        return None

    def _own(self, joint: NDArray[Any]) -> NDArray[Any]:
        blank = self.inner.blank_joint
        return joint[:, self._split :].astype(blank.dtype).reshape(len(joint), *blank.shape)

    def _with(self, rng: np.random.Generator, s_ND: NDArray[Any], own: NDArray[Any]) -> NDArray[np.float64]:
        seen_ND = s_ND + rng.standard_normal(s_ND.shape)
        return np.concatenate([s_ND, seen_ND, own.reshape(len(own), -1)], axis=1, dtype=np.float64)

    def _moved(self, rng: np.random.Generator, s_ND: NDArray[Any]) -> NDArray[np.float64]:
        moved: NDArray[np.float64] = s_ND + np.sqrt(VARIANCE) * rng.standard_normal(s_ND.shape)
        return moved

    def initial(self, rng: np.random.Generator, num: int) -> NDArray[np.float64]:
        own = self.inner.initial(rng, num)
        return self._with(rng, self._moved(rng, np.zeros((num, self.variables))), own)

    def joint_of(self, rng: np.random.Generator, state_NS: NDArray[Any]) -> NDArray[np.float64]:
        state_NS = np.asarray(state_NS, np.float32)
        if state_NS.ndim != 2 or state_NS.shape[1:] != self.state_space.shape:
            raise ValueError(f"a state has shape {self.state_space.shape}, not {state_NS.shape[1:]}")
        return self._with(rng, state_NS[:, : self.variables], self.inner.joint_of(rng, state_NS[:, self.variables :]))

    def checked(self, action: NDArray[Any], num: int) -> NDArray[Any]:
        return self.inner.checked(action, num)

    def step(self, rng: np.random.Generator, joint: NDArray[Any], action: NDArray[Any]) -> NDArray[np.float64]:
        own = self.inner.step(rng, self._own(joint), action)
        return self._with(rng, self._moved(rng, joint[:, : self.variables]), own)

    def observe(self, joint: NDArray[Any]) -> Floats:
        own = self.inner.observe(self._own(joint))
        return np.concatenate([joint[:, self.variables : self._split], own], axis=1, dtype=np.float32)

    def state(self, joint: NDArray[Any]) -> Floats:
        own = self.inner.state(self._own(joint))
        return np.concatenate([joint[:, : self.variables], own], axis=1, dtype=np.float32)

    def reward(self, joint: NDArray[Any]) -> NDArray[np.float64]:
        return self.inner.reward(self._own(joint))

    def ends(self, joint: NDArray[Any]) -> Bools:
        return self.inner.ends(self._own(joint))

    def success(self, joint: NDArray[Any]) -> Bools:
        return self.inner.success(self._own(joint))

    def informative(self, joint: NDArray[Any]) -> Bools:
        return self.inner.informative(self._own(joint))

    def initial_guess(self, rng: np.random.Generator, num: int) -> NDArray[Any]:
        return self.inner.initial_guess(rng, num)

    def next_guess(self, rng: np.random.Generator, joint: NDArray[Any], guess: NDArray[Any]) -> NDArray[Any]:
        return self.inner.next_guess(rng, self._own(joint), guess)

    def expert(
        self, joint: NDArray[Any], informed: Bools, guess: NDArray[Any], guesses: Bools
    ) -> NDArray[np.int64] | Floats:
        return self.inner.expert(self._own(joint), informed, guess, guesses)

    def belief(self, obs_RO: NDArray[Any], action_T: NDArray[Any], terminated: bool) -> Belief | None:
        """That of the domain, of which the variables tell nothing; and the means of these."""
        past = Past(obs_RO, action_T, terminated)
        own = self.inner.belief(*self._inner_past(past))
        return None if own is None else replace(own, irrelevant_RD=filtered(obs_RO[:, : self.variables]))

    def last_beliefs(self, pasts: Sequence[Past]) -> list[Belief] | None:
        found = self.inner.last_beliefs([self._inner_past(past) for past in pasts])
        if found is None:
            return None
        means = (filtered(past.obs_RO[:, : self.variables])[-1:] for past in pasts)
        return [replace(own, irrelevant_RD=mean_RD) for own, mean_RD in zip(found, means, strict=True)]

    def _inner_past(self, past: Past) -> Past:
        return past._replace(obs_RO=np.ascontiguousarray(past.obs_RO[:, self.variables :]))

    def factors(self, obs_RO: NDArray[Any], state_RS: NDArray[Any]) -> dict[str, Factor]:
        return self.inner.factors(obs_RO[:, self.variables :], state_RS[:, self.variables :])

    def informed_actions(self, state_RS: NDArray[Any]) -> Bools | None:
        return self.inner.informed_actions(state_RS[:, self.variables :])

    def picture(self, joint: NDArray[Any], informed: bool) -> NDArray[np.uint8]:
        return self.inner.picture(self._own(joint[None])[0], informed)


def filtered(seen_RD: NDArray[Any]) -> NDArray[np.float64]:
    """The means of the variables (R, D) given what was seen of them up to each row, by Kalman's filter."""
    mean_RD, mean_D, variance = np.empty(seen_RD.shape), np.zeros(seen_RD.shape[1]), 0.0
    for row, seen_D in enumerate(seen_RD):
        variance += VARIANCE  # a step
        gain = variance / (variance + 1.0)
        mean_D = mean_D + gain * (seen_D - mean_D)
        mean_RD[row], variance = mean_D, (1.0 - gain) * variance
    return mean_RD


class IrrelevantEnv(ArrayEnv):
    """One of them, `Irrelevant-v0`; see `IrrelevantRules`."""

    rules_type = IrrelevantRules


class IrrelevantVectorEnv(ArrayVectorEnv):
    """Many of them; see `IrrelevantRules`."""

    rules_type = IrrelevantRules
