"""Cleaner: two agents who are steered together clean a maze, each seeing the cells around it (Jiang & Amato, 2021)."""

from functools import cached_property
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.arrays import ArrayEnv, ArrayVectorEnv, Bools, Floats, Ints, Rules, numbered
from envs.factors import Factor
from envs.pictures import CELL, FLOOR, INFORMATION, LINE, WALL, draw_agent

MAZE = """
#############
#.#.....#...#
#.###.###.###
#...#.......#
###.#####.#.#
#.........#.#
#.#######.#.#
#.......#.#.#
#####.#.#####
#.....#.....#
#.#####.###.#
#.#.......#.#
#############
"""
UP, DOWN, LEFT, RIGHT = range(4)
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))  # (rows, columns)
IS_WALL, IS_CLEAN, IS_DIRTY, IS_OTHER, IS_SELF = range(5)
COLOURS = np.array([[0, 0, 0], [1, 1, 1], [0, 1, 0], [0, 0, 1], [1, 0, 0]], np.float32)
DIRT_BINS = 8


class CleanerRules(Rules):
    """A maze of 13×13 cells, 71 of them floor that is dirty at the start, and two agents who start in one corner.

    Observation: Box(54), for either agent the 3×3 cells around it, row by row, each in three numbers: wall 000, clean
    111, dirty 010, the other agent 001, and 100 in the middle. State: Box(845), five 13×13 maps, flat: clean, wall,
    dirty, first agent, second agent. Actions: 4 · the first agent's + the second's, of 0 up, 1 down, 2 left, 3 right;
    a wall leaves an agent in place. The first moves and cleans where it then is, then the second. Reward: 1 for each
    cell that is cleaned. Start: all dirty. Nothing ends the episode; horizon 200. Success: all is clean.

    Nothing is hidden from who remembers all moves. Greatest return: 71; uniform actions: 22.1 on average,
    13.5 over 100 steps.
    """

    state_features = ("clean", "wall", "dirty", "agent_1", "agent_2")

    def __init__(self) -> None:
        wall_RW = np.array([[letter == "#" for letter in line] for line in MAZE.split()])
        self.rows, self.cols = wall_RW.shape
        self.wall_C = wall_RW.ravel()
        self.num_cells = self.wall_C.size
        self.start = self.cols + 1
        self.obs_space = spaces.Box(0.0, 1.0, (54,), np.float32)
        self.state_space = spaces.Box(0.0, 1.0, (5 * self.num_cells,), np.float32)
        self.action_space = spaces.Discrete(16)
        self.blank_joint = np.zeros(self.num_cells + 3, np.int16)  # dirt of each cell, the agents' cells, the reward
        self.blank_guess = np.zeros((), np.intp)
        cell_C1 = np.arange(self.num_cells)[:, None]
        there_CA = (cell_C1 + [down * self.cols + right for down, right in MOVES]) % self.num_cells
        self.next_CA = np.where(self.wall_C[there_CA], cell_C1, there_CA)
        self.state_groups = self._groups()
        self.state_categories = tuple((agent * self.num_cells, self.num_cells) for agent in (3, 4))
        self._window_9 = np.array([down * self.cols + right for down in (-1, 0, 1) for right in (-1, 0, 1)])

    def _groups(self) -> dict[str, Ints]:
        """Where the agents are, two maps; and how much is dirty in each row of the maze."""
        part_S, cell_S = np.divmod(np.arange(5 * self.num_cells), self.num_cells)
        return {
            "agents": np.where(part_S >= 3, (part_S - 3) * self.num_cells + cell_S, -1),
            "dirt": np.where(part_S == 2, cell_S // self.cols, -1),
        }

    def initial(self, rng: np.random.Generator, num: int) -> NDArray[np.int16]:
        joint = np.zeros((num, self.num_cells + 3), np.int16)
        joint[:, : self.num_cells] = ~self.wall_C
        joint[:, self.num_cells : -1] = self.start
        return joint

    def joint_of(self, rng: np.random.Generator, state_NS: NDArray[Any]) -> NDArray[np.int16]:
        state_NS = np.asarray(state_NS, np.float32)
        if state_NS.ndim != 2 or state_NS.shape[1:] != self.state_space.shape:
            raise ValueError(f"a state has shape {self.state_space.shape}, not {state_NS.shape[1:]}")
        map_N5C = state_NS.reshape(len(state_NS), 5, self.num_cells)
        joint = np.zeros((len(state_NS), self.num_cells + 3), np.int16)
        joint[:, : self.num_cells] = map_N5C[:, 2] == 1
        joint[:, self.num_cells : -1] = map_N5C[:, 3:].argmax(axis=2)
        wrong = (self.state(joint) != state_NS).any(axis=1) | self.wall_C[joint[:, self.num_cells : -1]].any(axis=1)
        if wrong.any():
            raise ValueError(f"row {int(wrong.argmax())} is not a state that an episode can start in")
        return joint

    def checked(self, action: NDArray[Any], num: int) -> Ints:
        words = ("up", "down", "left", "right")
        return numbered(action, num, [f"{first} and {second}" for first in words for second in words])

    def step(self, rng: np.random.Generator, joint: NDArray[np.int16], action: Ints) -> NDArray[np.int16]:
        joint = joint.copy()
        every = np.arange(len(joint))
        joint[:, -1] = 0
        for agent, move in enumerate(np.divmod(action, 4)):
            cell = self.next_CA[joint[:, self.num_cells + agent], move]
            joint[:, self.num_cells + agent] = cell
            joint[:, -1] += joint[every, cell]
            joint[every, cell] = 0
        return joint

    def observe(self, joint: NDArray[np.int16]) -> Floats:
        kind_NC = np.where(self.wall_C, IS_WALL, IS_CLEAN + joint[:, : self.num_cells])
        cells_N2 = joint[:, self.num_cells : -1].astype(np.intp)
        window_N29 = cells_N2[:, :, None] + self._window_9
        seen_N29 = np.take_along_axis(kind_NC[:, None], window_N29, axis=2)
        seen_N29[window_N29 == cells_N2[:, ::-1, None]] = IS_OTHER
        seen_N29[:, :, 4] = IS_SELF
        return COLOURS[seen_N29].reshape(len(joint), 54)

    def state(self, joint: NDArray[np.int16]) -> Floats:
        map_N5C = np.zeros((len(joint), 5, self.num_cells), np.float32)
        dirty_NC = joint[:, : self.num_cells]
        map_N5C[:, 0], map_N5C[:, 1], map_N5C[:, 2] = ~self.wall_C & (dirty_NC == 0), self.wall_C, dirty_NC
        every = np.arange(len(joint))
        for agent in (0, 1):
            map_N5C[every, 3 + agent, joint[:, self.num_cells + agent]] = 1.0
        return map_N5C.reshape(len(joint), 5 * self.num_cells)

    def reward(self, joint: NDArray[np.int16]) -> NDArray[np.float64]:
        return joint[:, -1].astype(np.float64)

    def ends(self, joint: NDArray[np.int16]) -> Bools:
        return np.zeros(len(joint), bool)

    def success(self, joint: NDArray[np.int16]) -> Bools:
        clean_N: Bools = (joint[:, : self.num_cells] == 0).all(axis=1)
        return clean_N

    def informative(self, joint: NDArray[np.int16]) -> Bools:
        """Nowhere: the moves tell all."""
        return np.zeros(len(joint), bool)

    def initial_guess(self, rng: np.random.Generator, num: int) -> Ints:
        """None is needed."""
        return np.zeros(num, np.intp)

    def expert(self, joint: NDArray[np.int16], informed: Bools, guess: Ints, guesses: Bools) -> NDArray[np.int64]:
        """Each to the dirty cell nearest to it; the second to one of its own, as long as there are two."""
        dirty_NC, every = joint[:, : self.num_cells] > 0, np.arange(len(joint))
        cells_2N = joint[:, self.num_cells : -1].T
        action, taken_NC = np.zeros(len(joint), np.int64), np.zeros_like(dirty_NC)
        for cell_N in cells_2N:
            free_NC = dirty_NC & ~taken_NC
            free_NC[~free_NC.any(axis=1)] = True
            target_N = np.where(free_NC, self._steps_CC[cell_N], np.inf).argmin(axis=1)
            taken_NC[every, target_N] = True
            action = 4 * action + self._way_CC[cell_N, target_N]
        return action

    @cached_property
    def _steps_CC(self) -> NDArray[np.float64]:
        """The steps from each cell to each; an infinity where there is no way."""
        steps_CC = np.where(np.eye(self.num_cells, dtype=bool) & ~self.wall_C, 0.0, np.inf)
        for _ in range(self.num_cells):
            steps_CC = np.minimum(steps_CC, 1.0 + steps_CC[self.next_CA].min(axis=1))
        return steps_CC

    @cached_property
    def _way_CC(self) -> Ints:
        """The first move from each cell to each; into a wall where the agent is there already, if there is one."""
        return self._steps_CC[self.next_CA].argmin(axis=1)

    def factors(self, obs_RO: NDArray[Any], state_RS: NDArray[Any]) -> dict[str, Factor]:
        """Where either agent is and how much is dirty, in bins, all of which a window leaves open."""
        map_R5C = np.asarray(state_RS).reshape(len(state_RS), 5, self.num_cells)
        number_C = np.cumsum(~self.wall_C) - 1
        dirt_R = map_R5C[:, 2].sum(axis=1) / (~self.wall_C).sum()
        labels = {f"agent_{k + 1}": number_C[map_R5C[:, 3 + k].argmax(axis=1)] for k in (0, 1)}
        labels["dirt"] = np.clip(dirt_R * DIRT_BINS, 0, DIRT_BINS - 1)
        hidden_R = np.ones(len(state_RS), bool)
        return {name: Factor(label_R.astype(np.int64), hidden_R) for name, label_R in labels.items()}

    def picture(self, joint: NDArray[np.int16], informed: bool) -> NDArray[np.uint8]:
        """An RGB drawing, 32 pixels a cell: dirt is yellow, both agents are blue, the second with a white dot."""
        frame = np.empty((self.rows * CELL, self.cols * CELL, 3), np.uint8)
        for cell in range(self.num_cells):
            row, column = (CELL * index for index in divmod(cell, self.cols))
            tile = frame[row : row + CELL, column : column + CELL]
            tile[:] = WALL if self.wall_C[cell] else INFORMATION if joint[cell] else FLOOR
            if not self.wall_C[cell]:
                tile[[0, -1]] = tile[:, [0, -1]] = LINE
            for agent in (0, 1):
                if cell == joint[self.num_cells + agent]:
                    draw_agent(tile, CELL / 2, CELL / 2, informed=agent == 1)
        return frame


class CleanerEnv(ArrayEnv):
    """One of them, `Cleaner-v0`; see `CleanerRules`."""

    rules_type = CleanerRules


class CleanerVectorEnv(ArrayVectorEnv):
    """Many of them; see `CleanerRules`."""

    rules_type = CleanerRules
