"""Any finite POMDP as rules over arrays; and that of a file in Cassandra's format.

Dimension key: N envs, O observations, S states, A actions, R rows.
"""

import math
from functools import cached_property
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.arrays import ArrayEnv, ArrayVectorEnv, Bools, Floats, Ints, Rules, numbered
from envs.base import Belief
from envs.factors import Factor
from envs.finite import Draws, FinitePOMDP, entries_of, informed_values
from envs.pictures import AGENT, CELL, FLOOR, INFORMATION, LINE
from envs.pomdp_format import read_pomdp
from utils.errors import NoExpertError, UserError

STATE, OBS, REWARD, ENDED = range(4)  # the columns of a joint state; an observation of -1 is none
ACROSS = 10  # squares in a row of a picture, at least


class FiniteRules(Rules):
    """The rules of a finite POMDP.

    Observation and state: one-hot, Box(O) and Box(S), zeros where nothing has been observed yet; or their numbers,
    Box(1), where O stands for nothing yet. Actions, rewards and ends: those of the model. An episode is a success if it
    ends by itself with a reward above 0; where no end can have one, nothing is told of success.

    Args:
        model: the POMDP.
        one_hot: whether views are one-hot.
    """

    blank_joint, blank_guess = np.zeros(4), np.zeros((), np.intp)

    def __init__(self, model: FinitePOMDP, one_hot: bool = True) -> None:
        self._model, self.one_hot = model, one_hot
        self.num_states, self.num_obs = len(model.states), len(model.observations)
        self.obs_space = _space(self.num_obs if one_hot else 1, 1 if one_hot else self.num_obs)
        self.state_space = _space(self.num_states if one_hot else 1, 1 if one_hot else self.num_states - 1)
        self.action_space = spaces.Discrete(len(model.actions))
        self.state_features = model.states if one_hot else ("state",)
        if one_hot:
            self.obs_categories, self.state_categories = ((0, self.num_obs),), ((0, self.num_states),)
        self._start = Draws(entries_of(model.start_S[None]), 1)
        self._first = None if model.first_SO is None else Draws(entries_of(model.first_SO), self.num_states)
        self._next, self._ends = _transitions(model)
        self._seen = Draws(
            _stacked([entries_of(matrix) for matrix in model.observation_AEO], self.num_states),
            len(model.actions) * self.num_states,
        )
        self.tells_success = _may_succeed(model)
        self._by_chance = self._ends is not None and bool((self._ends % 1).any())
        self._reward = np.ascontiguousarray(model.reward_SA.T).ravel()

    @property
    def model(self) -> FinitePOMDP:
        """The POMDP."""
        return self._model

    @property
    def observation_views(self) -> NDArray[np.float32]:
        return self._shown(np.append(np.arange(self.num_obs), -1), self.num_obs)

    def initial(self, rng: np.random.Generator, num: int) -> NDArray[np.float64]:
        state = self._start.column.take(self._start(rng, np.zeros(num, np.intp)))
        return self._started(rng, state)

    def _started(self, rng: np.random.Generator, state: Ints) -> NDArray[np.float64]:
        joint = np.zeros((len(state), 4))
        joint[:, STATE] = state
        joint[:, OBS] = -1 if self._first is None else self._first.column.take(self._first(rng, state))
        return joint

    def joint_of(self, rng: np.random.Generator, state_NS: NDArray[Any]) -> NDArray[np.float64]:
        return self._started(rng, self._numbers(state_NS, self.num_states, "state"))

    def _numbers(self, rows: NDArray[Any], most: int, what: str) -> Ints:
        """The numbers of states or observations that rows show."""
        rows = np.asarray(rows, np.float32)
        width = most if self.one_hot else 1
        if rows.ndim != 2 or rows.shape[1] != width:
            raise ValueError(f"a view of a {what} has shape {(width,)}, not {rows.shape[1:]}")
        number = rows.argmax(axis=1) if self.one_hot else np.clip(rows[:, 0], 0, most - 1).astype(np.intp)
        wrong = (self._shown(number, most) != rows).any(axis=1)
        if wrong.any():
            raise ValueError(f"row {int(wrong.argmax())} is no {what} of this domain")
        return number

    def _shown(self, number: Ints, most: int) -> Floats:
        """The view of numbers, of which -1 is none."""
        if not self.one_hot:
            return np.where(number < 0, most, number)[:, None].astype(np.float32)
        shown = np.zeros((len(number), most), np.float32)
        at = np.arange(0, shown.size, most) + number
        shown.reshape(-1)[at if not len(number) or number.min() >= 0 else at[number >= 0]] = 1.0
        return shown

    def checked(self, action: NDArray[Any], num: int) -> Ints:
        return numbered(action, num, self.model.actions)

    def step(self, rng: np.random.Generator, joint: NDArray[np.float64], action: Ints) -> NDArray[np.float64]:
        now = joint[:, STATE].astype(np.intp)
        base = action * self.num_states
        at = self._next(rng, base + now)
        state = self._next.column.take(at)
        obs = self._seen.column.take(self._seen(rng, base + state))
        after = np.zeros_like(joint)
        after[:, STATE], after[:, OBS] = state, obs
        if self.model.reward is None:
            after[:, REWARD] = self._reward.take(base + now)
        else:
            after[:, REWARD] = self.model.reward(action, now, state, obs)
        if self._ends is not None:
            ends = self._ends.take(at)
            after[:, ENDED] = ends > rng.random(len(ends)) if self._by_chance else ends
        return after

    def observe(self, joint: NDArray[np.float64]) -> Floats:
        return self._shown(joint[:, OBS].astype(np.intp), self.num_obs)

    def state(self, joint: NDArray[np.float64]) -> Floats:
        return self._shown(joint[:, STATE].astype(np.intp), self.num_states)

    def reward(self, joint: NDArray[np.float64]) -> NDArray[np.float64]:
        return joint[:, REWARD].copy()

    def ends(self, joint: NDArray[np.float64]) -> Bools:
        return joint[:, ENDED] > 0

    def success(self, joint: NDArray[np.float64]) -> Bools:
        return (joint[:, ENDED] > 0) & (joint[:, REWARD] > 0)

    def informative(self, joint: NDArray[np.float64]) -> Bools:
        """Nowhere: a model does not say what is hidden."""
        return np.zeros(len(joint), bool)

    def initial_guess(self, rng: np.random.Generator, num: int) -> Ints:
        """None is needed."""
        return np.zeros(num, np.intp)

    def expert(self, joint: NDArray[Any], informed: Bools, guess: NDArray[Any], guesses: Bools) -> NDArray[np.int64]:
        raise NoExpertError("this domain has no expert (expert_action): collect random episodes only")

    def belief(self, obs_RO: NDArray[Any], action_T: NDArray[Any], terminated: bool) -> Belief:
        """By Bayes's rule, over the states.

        Raises:
            ValueError: the rows are no episode of this domain.
        """
        return Belief(self.model.states, self.followed(self._observed(obs_RO), action_T, terminated))

    def _observed(self, obs_RO: NDArray[Any]) -> Ints:
        """The numbers of observations, -1 for none."""
        obs_RO = np.asarray(obs_RO, np.float32)
        none = ~obs_RO.any(axis=1) if self.one_hot else obs_RO[:, 0] == self.num_obs
        obs_R = np.full(len(obs_RO), -1)
        obs_R[~none] = self._numbers(obs_RO[~none], self.num_obs, "observation")
        return obs_R

    def factors(self, obs_RO: NDArray[Any], state_RS: NDArray[Any]) -> dict[str, Factor]:
        """The state, hidden where other states may look the same after some action.

        Raises:
            ValueError: a row is no view of this domain.
        """
        state_R = self._numbers(state_RS, self.num_states, "state")
        return {"state": Factor(state_R.astype(np.int64), ~self._tells_state[self._observed(obs_RO)])}

    @cached_property
    def _tells_state(self) -> Bools:
        """As `_telling`, of the state; the last entry is that of no observation."""
        return np.append(self._telling(np.arange(self.num_states)), False)

    def _telling(self, feature_S: Ints) -> Bools:
        """The observations (O,) that are made where the feature has one value only."""
        looks = (*self.model.observation_AEO, *(() if self.model.first_SO is None else (self.model.first_SO,)))
        pairs = [entries_of(matrix)[:2] for matrix in looks]
        state, obs = (np.concatenate([pair[i] for pair in pairs]) for i in (0, 1))
        pair = np.unique(obs * (feature_S.max() + 1) + feature_S[state])
        return np.bincount(pair // (feature_S.max() + 1), minlength=self.num_obs) == 1

    def informed_actions(self, state_RS: NDArray[Any]) -> Bools:
        """The actions of greatest value for one who knows the state, now and for ever.

        Raises:
            ValueError: a row is no state of this domain.
        """
        value_RA = self._informed_SA[self._numbers(state_RS, self.num_states, "state")]
        return value_RA >= value_RA.max(axis=1, keepdims=True) - 1e-6

    @cached_property
    def _informed_SA(self) -> NDArray[np.float64]:
        return informed_values(self.model)

    def picture(self, joint: NDArray[np.float64], informed: bool) -> NDArray[np.uint8]:
        """Two blocks of squares, the states above the observations; the present ones are blue and yellow."""
        width = max(ACROSS * CELL, math.isqrt(max(self.num_states, self.num_obs) - 1) + 1)
        states = _squares(self.num_states, int(joint[STATE]), AGENT, width)
        gap = np.full((CELL // 4, width, 3), LINE, np.uint8)
        return np.concatenate([states, gap, _squares(self.num_obs, int(joint[OBS]), INFORMATION, width)])


def _space(width: int, high: int) -> spaces.Box:
    return spaces.Box(np.zeros(width, np.float32), np.full(width, high, np.float32), dtype=np.float32)


def _stacked(entries: list[Any], rows: int) -> Any:
    """The entries of matrices one below the other."""
    fields = zip(*((row + number * rows, column, value) for number, (row, column, value) in enumerate(entries)))
    return tuple(np.concatenate(field) for field in fields)


def _transitions(model: FinitePOMDP) -> tuple[Draws, NDArray[np.float64] | None]:
    """Draws of states after action and state (row a·S + s), and for each entry the probability that it is an end."""
    num_states = len(model.states)
    each = [entries_of(matrix) for matrix in model.transition_ASE]
    draws = Draws(_stacked(each, num_states), len(each) * num_states)
    if model.ends_ASE is None:
        return draws, None
    ends = [_at(matrix, row, column) for matrix, (row, column, _) in zip(model.ends_ASE, each)]
    return draws, np.concatenate(ends)


def _may_succeed(model: FinitePOMDP) -> bool:
    """Whether some end may have a reward above 0; where rewards hang on more than (s, a), whether there are ends."""
    if model.ends_ASE is None or model.reward is not None:
        return model.ends_ASE is not None
    for action in range(len(model.actions)):
        before, _, probability = entries_of(model.ending(action))
        if (model.reward_SA[before, action][probability > 0] > 0).any():
            return True
    return False


def _at(matrix: Any, row: Ints, column: Ints) -> NDArray[np.float64]:
    """Single numbers of a matrix of either kind."""
    if isinstance(matrix, np.ndarray):
        return matrix[row, column]
    there_row, there_column, value = entries_of(matrix)
    key, wanted = there_row * matrix.shape[1] + there_column, row * matrix.shape[1] + column
    at = np.searchsorted(key, wanted)
    return np.where(np.append(key, -1)[at] == wanted, np.append(value, 0.0)[at], 0.0)


def _squares(num: int, lit: int, colour: tuple[int, int, int], width: int) -> NDArray[np.uint8]:
    """A picture of `num` squares in rows, one of them lit (-1: none), `width` pixels wide."""
    across = max(ACROSS, math.isqrt(num - 1) + 1)
    size = width // across
    square = np.full((-(-num // across) * across, 3), LINE, np.uint8)
    square[:num] = FLOOR
    if lit >= 0:
        square[lit] = colour
    frame = square.reshape(-1, across, 3).repeat(size, axis=0).repeat(size, axis=1)
    if size > 4:
        frame[::size] = frame[:, ::size] = LINE
    return np.pad(frame, ((0, 0), (0, width - frame.shape[1]), (0, 0)))


class PomdpFileRules(FiniteRules):
    """The finite POMDP of a file in Cassandra's format; see `FiniteRules`.

    Args:
        path: the file.
        continuing: rows `reset` of its T start anew instead of ending the episode.
        first_observation: an action, by name or number, whose O draws an observation of the first state; "": none.
        one_hot: whether observations and states are one-hot; else their numbers.
    """

    def __init__(
        self, path: str = "", continuing: bool = False, first_observation: str = "", one_hot: bool = True
    ) -> None:
        if not path:
            raise UserError(
                "config_env.kwargs.path: '' is no file; give one in Cassandra's format, such as "
                "configs/envs/tiger.pomdp"
            )
        try:
            model = read_pomdp(path, continuing=continuing, first_observation=str(first_observation))
        except UserError as error:
            field = "" if str(error).startswith("first_observation") else "path: "
            raise UserError(f"config_env.kwargs.{field}{error}") from error
        super().__init__(model, one_hot)


class PomdpFileEnv(ArrayEnv):
    """One env of a file, `PomdpFile-v0`; see `PomdpFileRules`."""

    rules_type = PomdpFileRules


class PomdpFileVectorEnv(ArrayVectorEnv):
    """Many envs of a file; see `PomdpFileRules`."""

    rules_type = PomdpFileRules
