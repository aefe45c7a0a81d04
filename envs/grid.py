"""Grid domains as tables of `envs.arrays.Rules`.

Dimension key: N envs, O observation, S state, A actions; and here R rows, W columns, C = R·W cells (index
row·W + column, origin at the top left), K hidden facts, J = K·C joint states (index hidden·C + cell). A joint state is
all that a domain has to remember, so moving, paying, ending and seeing are one table look-up each.
"""

from functools import cached_property
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.arrays import Bools, Floats, Ints, Rules, numbered
from envs.base import MASK, Belief
from envs.factors import Factor
from envs.finite import FinitePOMDP, matrices
from envs.pictures import BAD, CANDIDATE, CELL, FLOOR, GOOD, INFORMATION, LINE, WALL, draw_agent, hatching

MOVES = ((0, 1), (-1, 0), (0, -1), (1, 0))  # (rows, columns) of the actions 0 right, 1 up, 2 left, 3 down
ACTIONS = ("right", "up", "left", "down")
NUM_ACTIONS = len(MOVES)


class GridRules(Rules):
    """The rules of a domain in which an agent walks on a grid and one fact about it is hidden.

    Subclasses compute the tables; all methods are pure functions of arrays.

    Args:
        open_RW: the cells that can be entered; any other cell, and the border, leaves the agent in place.
        goal_K: the goal cell under each hidden fact.
        information_C: the cells on which an observation shows the hidden fact.
        start_KC: the cells in which an episode may start, under each hidden fact; drawn uniformly.
        reward_KC: what reaching a cell pays (also when a move left the agent there).
        ends_KC: the cells that end an episode.
        any_goal_ends: every candidate goal ends an episode, the right one or not.
        obs_low_O: the least observation; states have the same bounds.
    """

    blank_joint = blank_guess = np.zeros((), np.intp)

    def __init__(
        self,
        *,
        open_RW: Bools,
        goal_K: Ints,
        information_C: Bools,
        start_KC: Bools,
        reward_KC: NDArray[np.float64],
        ends_KC: Bools,
        any_goal_ends: bool,
        obs_low_O: Floats,
    ) -> None:
        self.rows, self.cols = open_RW.shape
        self.num_cells, self.num_hidden = open_RW.size, len(goal_K)
        self.open_C = open_RW.ravel()
        self.goal_K = goal_K
        self.information_C = information_C
        self.any_goal_ends = self.keeps_guess = any_goal_ends
        self.obs_space = self.state_space = spaces.Box(obs_low_O, np.ones_like(obs_low_O), dtype=np.float32)
        self.action_space = spaces.Discrete(NUM_ACTIONS)

        self.next_cell_CA = self._next_cells(open_RW)
        cell_J = np.tile(np.arange(self.num_cells), self.num_hidden)
        hidden_J = np.repeat(np.arange(self.num_hidden), self.num_cells)
        self.cell_J, self.hidden_J = cell_J, hidden_J
        self.next_JA = hidden_J[:, None] * self.num_cells + self.next_cell_CA[cell_J]
        self.reward_J = reward_KC.ravel()
        self.ends_J = ends_KC.ravel()
        self.success_J = self.ends_J & (cell_J == goal_K[hidden_J])
        self.informative_J = information_C[cell_J]
        self.legal_J = self.open_C[cell_J] & ~self.ends_J
        self._start_KC, self._start_count_K = start_KC, start_KC.sum(axis=1)
        self._start_cells_KM = np.argsort(~start_KC, axis=1, kind="stable")[:, : self._start_count_K.max()]
        self._next_flat = self.next_JA.ravel()
        self.num_joint = len(cell_J)

    @staticmethod
    def _next_cells(open_RW: Bools) -> Ints:
        """The cell (C, A) that each action leads to from each cell."""
        rows, cols = open_RW.shape
        row_C, col_C = np.divmod(np.arange(open_RW.size), cols)
        next_CA = np.empty((open_RW.size, NUM_ACTIONS), np.intp)
        for action, (down, right) in enumerate(MOVES):
            row, col = np.clip(row_C + down, 0, rows - 1), np.clip(col_C + right, 0, cols - 1)
            next_CA[:, action] = np.where(open_RW[row, col], row * cols + col, np.arange(open_RW.size))
        return next_CA

    def initial(self, rng: np.random.Generator, num: int) -> Ints:
        """Draws `num` joint states: the hidden fact uniformly, then a start cell uniformly over those it allows."""
        hidden = rng.integers(self.num_hidden, size=num)
        pick = (rng.random(num) * self._start_count_K[hidden]).astype(np.intp)
        return hidden * self.num_cells + self._start_cells_KM[hidden, pick]

    def step(self, rng: np.random.Generator, joint: Ints, action: NDArray[Any]) -> Ints:
        return self._next_flat.take(joint * NUM_ACTIONS + action)

    def checked(self, action: NDArray[Any], num: int) -> Ints:
        return numbered(action, num, ACTIONS)

    def reward(self, joint: Ints) -> NDArray[np.float64]:
        return self.reward_J.take(joint)

    def ends(self, joint: Ints) -> Bools:
        return self.ends_J.take(joint)

    def success(self, joint: Ints) -> Bools:
        return self.success_J.take(joint)

    def informative(self, joint: Ints) -> Bools:
        return self.informative_J.take(joint)

    def joint_of(self, rng: np.random.Generator, state_NS: NDArray[Any]) -> Ints:
        state_NS = np.asarray(state_NS, np.float32)
        if state_NS.ndim != 2 or state_NS.shape[1:] != self.obs_space.shape:
            raise ValueError(f"a state has shape {self.obs_space.shape}, not {state_NS.shape[1:]}")
        joint = self._nearest_joint(state_NS)
        wrong = ~(np.isclose(self.state(joint), state_NS, atol=1e-4).all(axis=1) & self.legal_J[joint])
        if wrong.any():
            raise ValueError(f"not a state that an episode can start in: {state_NS[np.flatnonzero(wrong)[0]].tolist()}")
        return joint

    def _nearest_joint(self, state_NS: Floats) -> Ints:
        """The joint states nearest to the given states; the caller checks that they are the same."""
        raise NotImplementedError

    def initial_guess(self, rng: np.random.Generator, num: int) -> Ints:
        return rng.integers(self.num_hidden, size=num)

    def next_guess(self, rng: np.random.Generator, joint: Ints, guess: Ints) -> Ints:
        if self.any_goal_ends:
            return guess
        wrong = np.flatnonzero(self.goal_K.take(guess) == self.cell_J.take(joint))
        if not len(wrong):
            return guess
        guess = guess.copy()
        guess[wrong] = (guess[wrong] + 1 + rng.integers(self.num_hidden - 1, size=len(wrong))) % self.num_hidden
        return guess

    @cached_property
    def _information_route_C(self) -> Ints:
        """The action of a shortest way to the nearest information cell, around goals that end the episode for good."""
        return self._routes(self.information_C[None], self._dangerous_C[None])[0]

    @cached_property
    def _goal_route_KC(self) -> Ints:
        """The action of a shortest way to each goal, around the other candidates where they end the episode."""
        return self._routes(self._goal_KC, np.broadcast_to(self._dangerous_C, self._goal_KC.shape))

    @cached_property
    def _guess_route_KC(self) -> Ints:
        """As `_goal_route_KC`, around the information as well: a guess stays a guess."""
        return self._routes(self._goal_KC, np.broadcast_to(self._dangerous_C | self.information_C, self._goal_KC.shape))

    @cached_property
    def _goal_KC(self) -> Bools:
        return np.eye(self.num_cells, dtype=bool)[self.goal_K]

    @cached_property
    def _dangerous_C(self) -> Bools:
        """The cells that end an episode whatever the hidden fact is."""
        return self.any_goal_ends & np.any(self._goal_KC, axis=0)

    def _routes(self, target_KC: Bools, avoid_KC: Bools) -> Ints:
        """The first action (K, C) of a shortest way to a target that enters no cell to avoid but the target."""
        entry_cost = np.where(avoid_KC & ~target_KC, np.inf, 1.0)
        distance = np.where(target_KC, 0.0, np.inf)
        while True:
            by_action = (distance + entry_cost)[:, self.next_cell_CA]
            shorter = np.minimum(distance, by_action.min(axis=-1))
            if np.array_equal(shorter, distance):
                return by_action.argmin(axis=-1)
            distance = shorter

    def expert(self, joint: Ints, informed: Bools, guess: Ints, guesses: Bools) -> NDArray[np.int64]:
        cell, hidden = self.cell_J[joint], self.hidden_J[joint]
        honest = np.where(informed, self._goal_route_KC[hidden, cell], self._information_route_C[cell])
        return np.where(guesses, self._guess_route_KC[guess, cell], honest)

    @cached_property
    def _number_of_obs(self) -> dict[bytes, int]:
        """The numbers of what is seen on cells that can be entered, by its bytes."""
        seen: dict[bytes, int] = {}
        for obs in self.observe(self._open_M):
            seen.setdefault(obs.tobytes(), len(seen))
        return seen

    @cached_property
    def _open_M(self) -> Ints:
        """The joint states on cells that can be entered: the states of `model`."""
        return np.flatnonzero(self.open_C[self.cell_J])

    @property
    def start_J(self) -> NDArray[np.float64]:
        """How likely an episode starts in each joint state."""
        return (self._start_KC / self._start_count_K[:, None]).ravel() / self.num_hidden

    @cached_property
    def model(self) -> FinitePOMDP:
        """The domain over its joint states on cells that can be entered, undiscounted.

        An ended episode stays where it is, for nothing, so that who knows of no ends values the domain the same.
        """
        open_M = self._open_M
        num = len(open_M)
        number_J = np.full(len(self.cell_J), -1)
        number_J[open_M] = np.arange(num)
        over_M = self.ends_J[open_M]
        next_MA = np.where(over_M[:, None], open_M[:, None], self.next_JA[open_M])
        seen_M = np.array([self._number_of_obs[obs.tobytes()] for obs in self.observe(open_M)])
        moves, ends = [], []
        for next_M in next_MA.T:
            moves.append((np.arange(num), number_J[next_M], np.ones(num)))
            last_M = np.flatnonzero(self.ends_J[next_M])
            ends.append((last_M, number_J[next_M[last_M]], np.ones(len(last_M))))
        what = f"the model of {num} states"
        observation = matrices([(np.arange(num), seen_M, np.ones(num))], (num, len(self._number_of_obs)), what)
        cells = [f"r{cell // self.cols}c{cell % self.cols}" for cell in self.cell_J[open_M]]
        states = [f"{cell}-goal{hidden}" for cell, hidden in zip(cells, self.hidden_J[open_M])]
        shown = np.where(self.informative_J[open_M], states, cells)
        return FinitePOMDP(
            start_S=self.start_J[open_M],
            transition_ASE=matrices(moves, (num, num), what),
            ends_ASE=matrices(ends, (num, num), what),
            observation_AEO=observation * NUM_ACTIONS,
            reward_SA=np.where(over_M[:, None], 0.0, self.reward_J[next_MA]),
            discount=1.0,
            states=tuple(states),
            actions=ACTIONS,
            observations=tuple(str(shown[at]) for at in np.unique(seen_M, return_index=True)[1]),
            first_SO=observation[0],
        )

    @property
    def observation_views(self) -> NDArray[np.float32]:
        return np.stack([np.frombuffer(seen, np.float32) for seen in self._number_of_obs])

    def belief(self, obs_RO: NDArray[Any], action_T: NDArray[Any], terminated: bool) -> Belief:
        """By Bayes's rule, over the hidden facts.

        Raises:
            ValueError: the rows are no episode of this domain.
        """
        rows = np.ascontiguousarray(obs_RO, self.obs_space.dtype)
        seen_R = np.array([self._number_of_obs.get(obs.tobytes(), -1) for obs in rows])
        if seen_R.min() < 0:
            raise ValueError(f"row {int(seen_R.argmin())} is no observation of this domain")
        belief_RM = self.followed(seen_R, action_T, terminated)
        places = (f"goal in row {goal // self.cols}, column {goal % self.cols}" for goal in self.goal_K)
        hidden_M = self.hidden_J[self._open_M]
        told = np.stack([np.bincount(hidden_M, row, self.num_hidden) for row in belief_RM])
        probability_RK: NDArray[np.float64] = told.astype(np.float64)
        return Belief(tuple(places), probability_RK, features={"goal": np.arange(self.num_hidden)})

    def factors(self, obs_RO: NDArray[Any], state_RS: NDArray[Any]) -> dict[str, Factor]:
        """The agent's cell, and the goal, hidden away from the information.

        Raises:
            ValueError: a row is no state of this domain.
        """
        joint_R = self._any_joint_of(state_RS)
        return {
            "goal": Factor(self.hidden_J[joint_R].astype(np.int64), ~self.informative_J[joint_R]),
            "cell": Factor(self.cell_J[joint_R].astype(np.int64), np.zeros(len(joint_R), bool)),
        }

    def informed_actions(self, state_RS: NDArray[Any]) -> Bools:
        """The actions that begin a shortest way to the goal that ends no episode before.

        Raises:
            ValueError: a row is no state of this domain.
        """
        distance_J = np.where(self.success_J, 0.0, np.inf)
        for _ in range(self.num_cells):
            through_J = np.where(self.ends_J, np.inf, 1.0 + distance_J[self.next_JA].min(axis=1))
            distance_J = np.minimum(distance_J, through_J)
        best_JA = distance_J[self.next_JA] + 1.0 == distance_J[:, None]
        best_JA[~np.isfinite(distance_J) | self.ends_J] = False
        return best_JA[self._any_joint_of(state_RS)]

    def _any_joint_of(self, state_RS: NDArray[Any]) -> Ints:
        """The joint states of rows of the state, those of ended episodes included."""
        state_JS = self.state(np.arange(len(self.cell_J)))
        number = {row.tobytes(): j for j, row in enumerate(state_JS)}
        try:
            return np.array([number[row.tobytes()] for row in np.ascontiguousarray(state_RS, state_JS.dtype)], np.intp)
        except KeyError as error:
            raise ValueError("a row is no state of this domain") from error

    def picture(self, joint: NDArray[Any], informed: bool) -> NDArray[np.uint8]:
        """An RGB drawing, 32 pixels a cell.

        Walls are dark, information cells yellow, candidates grey, the true goal green and what only looks like it red.
        While the agent (blue) does not know, what it cannot see is hatched; then it wears a white dot.
        """
        frame = np.empty((self.rows * CELL, self.cols * CELL, 3), np.uint8)
        hatched = hatching(CELL, CELL)
        hidden, here = self.hidden_J[joint], self.cell_J[joint]
        for cell in range(self.num_cells):
            row, col = (CELL * index for index in divmod(cell, self.cols))
            tile = frame[row : row + CELL, col : col + CELL]
            tile[:] = FLOOR if self.open_C[cell] else WALL
            if self.information_C[cell]:
                tile[:] = INFORMATION
            end = hidden * self.num_cells + cell
            if self.ends_J[end]:
                tile[:] = CANDIDATE
                tile[hatched | informed] = GOOD if self.success_J[end] else BAD
            tile[[0, -1]] = tile[:, [0, -1]] = LINE if self.open_C[cell] else WALL
            if cell == here:
                draw_agent(tile, CELL / 2, CELL / 2, informed)
        return frame


class ImageGridRules(GridRules):
    """Rules whose views are two stacked maps, flat: the agent's cell, and the goal's cell where it is shown.

    Args:
        open_RW: as in `GridRules`.
        **tables: the rest of what `GridRules` takes but `obs_low_O`.
    """

    def __init__(self, *, open_RW: Bools, **tables: Any) -> None:
        self.image_shape = (2, *open_RW.shape)
        self.obs_storage = self.state_storage = (MASK, MASK)
        self.state_features = ("agent", "goal")
        super().__init__(open_RW=open_RW, obs_low_O=np.zeros(2 * open_RW.size, np.float32), **tables)
        self._goal_pixel_J = self.num_cells + self.goal_K[self.hidden_J]
        self._shown_J = self.informative_J.astype(np.float32)

    def observe(self, joint: Ints) -> Floats:
        """The two maps (N, 2·C), the second empty away from the information."""
        return self._draw(joint, self._shown_J.take(joint))

    def state(self, joint: Ints) -> Floats:
        """The two maps (N, 2·C)."""
        return self._draw(joint, np.float32(1.0))

    def _draw(self, joint: Ints, shown: Floats | np.float32) -> Floats:
        image = np.zeros((len(joint), 2 * self.num_cells), np.float32)
        first_pixel = np.arange(0, image.size, 2 * self.num_cells)
        pixels = image.reshape(-1)
        pixels[first_pixel + self.cell_J.take(joint)] = 1.0
        pixels[first_pixel + self._goal_pixel_J.take(joint)] = shown
        return image

    def _nearest_joint(self, state_NS: Floats) -> Ints:
        cell, goal = state_NS.reshape(len(state_NS), 2, self.num_cells).argmax(axis=-1).T
        hidden = np.argmax(self.goal_K == goal[:, None], axis=1)
        return hidden * self.num_cells + cell
