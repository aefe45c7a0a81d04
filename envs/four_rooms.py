"""Memory in four rooms: a beacon shows the colour of the exit to take (GV-MemoryFourRooms, Baisero & Katt, 2021).

Dimension key: N envs, C cells and one more that stands for all outside the map, W cells of the window that is seen.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.arrays import ArrayEnv, ArrayVectorEnv, Bools, Floats, Ints, Rules, numbered
from envs.base import MASK
from envs.factors import Factor
from envs.pictures import CELL, FLOOR, LINE, WALL, draw_agent

NORTH, SOUTH, WEST, EAST = range(4)
AHEAD = np.array([(-1, 0), (1, 0), (0, -1), (0, 1)])  # (rows, columns) of a step, by heading
LEFT_OF, RIGHT_OF, BEHIND = (np.array(to) for to in ((2, 3, 1, 0), (3, 2, 0, 1), (1, 0, 3, 2)))
ACTIONS = ("forward", "backward", "left", "right", "turn left", "turn right")
IS_FLOOR, IS_WALL, IS_BEACON, IS_GOOD, IS_BAD, IS_OUTSIDE = range(6)
COLOURS = {"red": (200, 60, 60), "green": (70, 160, 90), "blue": (90, 130, 220), "yellow": (235, 200, 70)}
SIDE = 7  # of the window; the agent is in the middle of its last row and looks along its columns
PAID, LIVING = 5.0, -0.05


class FourRoomsRules(Rules):
    """Four square rooms with an opening in each wall between two, a beacon, and two exits of different colours.

    Observation: 8 maps of 7×7, flat, of what the agent sees, the agent in the middle of the lowest row and looking up:
    floor, wall, exit, beacon, and the four colours of exits and beacon; zeros where nothing is seen. A cell is seen
    that is reached from the agent by steps up, left and both or up, right and both, from cells that are no wall. State:
    12 maps of the whole, flat: the same and the agent, by its heading (north, south, west, east). Actions: 0 forward, 1
    backward, 2 left, 3 right (by the agent's heading), 4 turn left, 5 turn right; walls stop. Reward: -0.05 a step, and
    5 on the exit of the beacon's colour, -5 on the other, which both end the episode. Start: openings, heading, the
    cells of agent, beacon and exits (all different) and two different colours, all drawn uniformly. Horizon 100.

    Who knows all has about 4.65 on average on 7×7; in 1.3 % of the maps the wrong exit bars the way. Uniform actions:
    -2.27. The expert explores what it has not seen until it has seen the beacon and the exit of its colour; where it
    guesses, one of the exits.

    Args:
        size: of the map, odd, at least 7.
        palette: the colours to draw from, at least two.
    """

    def __init__(self, size: int = 7, palette: Sequence[str] = tuple(COLOURS)) -> None:
        if size < 7 or size % 2 == 0:
            raise ValueError(f"size is {size}; odd, and at least 7")
        if len(set(palette)) < 2 or not set(palette) <= set(COLOURS):
            raise ValueError(f"palette is {tuple(palette)}; at least two of {', '.join(COLOURS)}")
        self.size, self.num_cells = size, size * size
        self.palette = np.array([list(COLOURS).index(name) for name in palette])
        row, column = np.divmod(np.arange(self.num_cells), size)
        self.image_shape = (8, SIDE, SIDE)
        self.state_image_shape = (12, size, size)
        self.obs_storage, self.state_storage = (MASK,) * 8, (MASK,) * 12
        self.state_features = ("floor", "wall", "exit", "beacon", *COLOURS, "north", "south", "west", "east")
        self.state_groups = self._groups()
        self.state_categories = ((8 * self.num_cells, 4 * self.num_cells),)  # the agent, by cell and heading
        self.obs_space = spaces.Box(0.0, 1.0, (8 * SIDE * SIDE,), np.float32)
        self.state_space = spaces.Box(0.0, 1.0, (12 * self.num_cells,), np.float32)
        self.action_space = spaces.Discrete(len(ACTIONS))
        # what each cell is; whether it has been seen; what of the window is seen; agent, heading, good and bad colour
        self._seen = slice(self.num_cells + 1, 2 * self.num_cells + 2)
        self._window = slice(self._seen.stop, self._seen.stop + SIDE * SIDE)
        self.blank_joint = np.zeros(self._window.stop + 4, np.int16)
        self.blank_guess = np.zeros((), np.intp)
        self._rooms_C, self._gaps = self._plan()
        self._border_C = np.append((row == 0) | (row == size - 1) | (column == 0) | (column == size - 1), True)
        self._next_4C, self._window_4CW = self._moves(), self._windows()

    def _groups(self) -> dict[str, Ints]:
        """Cells of each colour, two of the beacon's and one of the other; and heading and cell of the agent."""
        map_S, cell_S = np.divmod(np.arange(12 * self.num_cells), self.num_cells)
        return {
            "colour": np.where((map_S >= 4) & (map_S < 8), map_S - 4, -1),
            "heading": np.where(map_S >= 8, map_S - 8, -1),
            "cell": np.where(map_S >= 8, cell_S, -1),
        }

    def _plan(self) -> tuple[NDArray[np.int16], list[Ints]]:
        """The cells of the map without openings (C,), the one outside included, and where openings may be, by wall."""
        middle, last = self.size // 2, self.size - 1
        row, column = np.indices((self.size, self.size))
        cells = np.where(np.isin(row, (0, middle, last)) | np.isin(column, (0, middle, last)), IS_WALL, IS_FLOOR)
        near, far = np.arange(1, middle), np.arange(middle + 1, last)
        gaps = [half * self.size + middle for half in (near, far)] + [middle * self.size + half for half in (near, far)]
        return np.append(cells.ravel(), IS_OUTSIDE).astype(np.int16), gaps

    def _moves(self) -> Ints:
        """The cell (4, C) ahead of each, by heading; that outside, from where there is none."""
        row, column = np.divmod(np.arange(self.num_cells), self.size)
        ahead = [self._cell(row + down, column + right) for down, right in AHEAD]
        return np.concatenate([np.stack(ahead), np.full((4, 1), self.num_cells)], axis=1)

    def _windows(self) -> Ints:
        """The cells (4, C, W) of the window, by heading and cell."""
        forward, right = SIDE - 1 - np.arange(SIDE)[:, None], np.arange(SIDE)[None] - SIDE // 2
        row, column = (x[:, None, None] for x in np.divmod(np.arange(self.num_cells), self.size))
        windows = []
        for heading in range(4):
            (down, along), (down_right, along_right) = AHEAD[heading], AHEAD[RIGHT_OF[heading]]
            there = row + forward * down + right * down_right, column + forward * along + right * along_right
            windows.append(self._cell(*there).reshape(self.num_cells, SIDE * SIDE))
        return np.stack(windows)

    def _cell(self, row: Ints, column: Ints) -> Ints:
        inside = (row >= 0) & (row < self.size) & (column >= 0) & (column < self.size)
        return np.where(inside, row * self.size + column, self.num_cells)

    def initial(self, rng: np.random.Generator, num: int) -> NDArray[np.int16]:
        joint, every = np.zeros((num, len(self.blank_joint)), np.int16), np.arange(num)
        joint[:, : self.num_cells + 1] = self._rooms_C
        for gap in self._gaps:
            joint[every, rng.choice(gap, num)] = IS_FLOOR
        order_NC = np.where(joint[:, : self.num_cells] == IS_FLOOR, rng.random((num, self.num_cells)), 2.0)
        agent, *things = np.argpartition(order_NC, range(4), axis=1)[:, :4].T
        for cell, kind in zip(things, (IS_BEACON, IS_GOOD, IS_BAD)):
            joint[every, cell] = kind
        good = rng.integers(len(self.palette), size=num)
        bad = (good + rng.integers(1, len(self.palette), size=num)) % len(self.palette)
        joint[:, -4:] = np.stack([agent, rng.integers(4, size=num), self.palette[good], self.palette[bad]], axis=1)
        return self._looked(joint)

    def joint_of(self, rng: np.random.Generator, state_NS: NDArray[Any]) -> NDArray[np.int16]:
        state_NS = np.asarray(state_NS, np.float32)
        if state_NS.ndim != 2 or state_NS.shape[1:] != self.state_space.shape:
            raise ValueError(f"a state has shape {self.state_space.shape}, not {state_NS.shape[1:]}")
        num = len(state_NS)
        map_NKC, every = state_NS.reshape(num, 12, self.num_cells), np.arange(num)
        joint = np.zeros((num, len(self.blank_joint)), np.int16)
        joint[:, : self.num_cells + 1] = IS_OUTSIDE
        colour_NC = map_NKC[:, 4:8].argmax(axis=1)
        beacon = map_NKC[:, 3].argmax(axis=1)
        good_colour = colour_NC[every, beacon]
        good_NC = map_NKC[:, 2] * (colour_NC == good_colour[:, None])
        bad = (map_NKC[:, 2] - good_NC).argmax(axis=1)
        cells = joint[:, : self.num_cells]
        cells[map_NKC[:, 0] == 1], cells[map_NKC[:, 1] == 1] = IS_FLOOR, IS_WALL
        cells[every, beacon], cells[good_NC == 1], cells[every, bad] = IS_BEACON, IS_GOOD, IS_BAD
        heading, agent = np.divmod(map_NKC[:, 8:].reshape(num, -1).argmax(axis=1), self.num_cells)
        joint[:, -4:] = np.stack([agent, heading, good_colour, colour_NC[every, bad]], axis=1)
        wrong = (self.state(joint) != state_NS).any(axis=1) | ~np.isin(self._at(joint, agent), (IS_FLOOR, IS_BEACON))
        wrong |= (cells == IS_OUTSIDE).any(axis=1) | (cells[:, self._border_C[:-1]] != IS_WALL).any(axis=1)
        wrong |= np.any([(cells == kind).sum(axis=1) != 1 for kind in (IS_BEACON, IS_GOOD, IS_BAD)], axis=0)
        if wrong.any():
            raise ValueError(f"row {int(wrong.argmax())} is not a state that an episode can start in")
        return self._looked(joint)

    def checked(self, action: NDArray[Any], num: int) -> Ints:
        return numbered(action, num, ACTIONS)

    def step(self, rng: np.random.Generator, joint: NDArray[np.int16], action: Ints) -> NDArray[np.int16]:
        joint = joint.copy()
        agent, heading = joint[:, -4].astype(np.intp), joint[:, -3].astype(np.intp)
        towards = np.stack([heading, BEHIND[heading], LEFT_OF[heading], RIGHT_OF[heading]])
        ahead = self._next_4C[towards[np.minimum(action, 3), np.arange(len(joint))], agent]
        goes = (action < 4) & (self._at(joint, ahead) != IS_WALL)
        joint[:, -4] = np.where(goes, ahead, agent)
        joint[:, -3] = np.select([action == 4, action == 5], [LEFT_OF[heading], RIGHT_OF[heading]], heading)
        return self._looked(joint)

    def _at(self, joint: NDArray[np.int16], cell: NDArray[Any]) -> NDArray[np.int16]:
        """What a cell of each env is (N,)."""
        return joint[np.arange(len(joint)), cell]

    def _windows_of(self, joint: NDArray[np.int16]) -> Ints:
        return self._window_4CW[joint[:, -3], joint[:, -4]]

    def _looked(self, joint: NDArray[np.int16]) -> NDArray[np.int16]:
        """The joint states with what is seen from where their agents stand; changes them."""
        window_NW = self._windows_of(joint)
        kind_NW = np.take_along_axis(joint[:, : self.num_cells + 1], window_NW, axis=1)
        clear = ((kind_NW != IS_WALL) & (kind_NW != IS_OUTSIDE)).T.reshape(SIDE, SIDE, len(joint))
        shown_NW = visible(clear).reshape(SIDE * SIDE, len(joint)).T & (kind_NW != IS_OUTSIDE)
        joint[:, self._window] = shown_NW
        env, at = np.nonzero(shown_NW)
        joint[env, self._seen.start + window_NW[env, at]] = 1
        return joint

    def observe(self, joint: NDArray[np.int16]) -> Floats:
        window_NW = self._windows_of(joint)
        kind_NW = np.take_along_axis(joint[:, : self.num_cells + 1], window_NW, axis=1)
        maps = self._maps(kind_NW, joint) * joint[:, None, self._window]
        return maps.reshape(len(joint), -1).astype(np.float32)

    def state(self, joint: NDArray[np.int16]) -> Floats:
        map_NKC = np.zeros((len(joint), 12, self.num_cells), np.float32)
        map_NKC[:, :8] = self._maps(joint[:, : self.num_cells], joint)
        map_NKC[np.arange(len(joint)), 8 + joint[:, -3], joint[:, -4]] = 1.0
        return map_NKC.reshape(len(joint), -1)

    def _maps(self, kind_NW: NDArray[np.int16], joint: NDArray[np.int16]) -> Bools:
        """Floor, wall, exit, beacon and the colours (N, 8, W) of cells of the given kinds."""
        is_good, is_bad, is_beacon = (kind_NW == kind for kind in (IS_GOOD, IS_BAD, IS_BEACON))
        map_N8W = np.zeros((len(joint), 8, kind_NW.shape[1]), bool)
        map_N8W[:, 0], map_N8W[:, 1] = kind_NW == IS_FLOOR, kind_NW == IS_WALL
        map_N8W[:, 2], map_N8W[:, 3] = is_good | is_bad, is_beacon
        every = np.arange(len(joint))
        map_N8W[every, 4 + joint[:, -2]] = is_good | is_beacon
        map_N8W[every, 4 + joint[:, -1]] = is_bad
        return map_N8W

    def reward(self, joint: NDArray[np.int16]) -> NDArray[np.float64]:
        here = self._at(joint, joint[:, -4])
        return LIVING + PAID * (here == IS_GOOD) - PAID * (here == IS_BAD)

    def ends(self, joint: NDArray[np.int16]) -> Bools:
        return np.isin(self._at(joint, joint[:, -4]), (IS_GOOD, IS_BAD))

    def success(self, joint: NDArray[np.int16]) -> Bools:
        return self._at(joint, joint[:, -4]) == IS_GOOD

    def informative(self, joint: NDArray[np.int16]) -> Bools:
        """Whether the beacon is seen now."""
        kind_NW = np.take_along_axis(joint[:, : self.num_cells + 1], self._windows_of(joint), axis=1)
        return ((kind_NW == IS_BEACON) & (joint[:, self._window] == 1)).any(axis=1)

    def initial_guess(self, rng: np.random.Generator, num: int) -> Ints:
        """The good exit or the bad one."""
        return rng.choice(np.array([IS_GOOD, IS_BAD], np.intp), num)

    def expert(self, joint: NDArray[np.int16], informed: Bools, guess: Ints, guesses: Bools) -> NDArray[np.int64]:
        """To the exit it knows or guesses once that has been seen; before, to the nearest cell that has not been."""
        kind_NC, seen_NC = joint[:, : self.num_cells + 1], joint[:, self._seen] == 1
        wanted_N1 = np.where(guesses, guess, IS_GOOD)[:, None]
        exit_NC = seen_NC & np.isin(kind_NC, (IS_GOOD, IS_BAD))
        goal_NC = exit_NC & (kind_NC == wanted_N1) & (informed | guesses)[:, None]
        knows = goal_NC.any(axis=1)
        goal_NC[~knows] = ~seen_NC[~knows] & ~self._border_C
        open_NC = ~(seen_NC & (kind_NC == IS_WALL)) & ~exit_NC & ~self._border_C
        heading, steps_N4 = joint[:, -3].astype(np.intp), self._steps(joint, goal_NC, open_NC)
        lost = ~np.isfinite(steps_N4).any(axis=1)  # barred: by any exit that there is
        if lost.any():
            steps_N4[lost] = self._steps(joint[lost], exit_NC[lost], open_NC[lost])
        every = np.arange(len(joint))
        sides_4N = np.stack([heading, BEHIND[heading], LEFT_OF[heading], RIGHT_OF[heading]])
        move = (steps_N4[every, sides_4N].T + np.array([0.0, 0.3, 0.1, 0.2])).argmin(axis=1)
        into = self._next_4C[sides_4N[move, every], joint[:, -4]]
        looks_first = ~(knows | lost) | ~seen_NC[every, into]  # into what it has not seen it goes face on
        return np.where(looks_first, np.array([0, 5, 4, 5])[move], move).astype(np.int64)

    def _steps(self, joint: NDArray[np.int16], goal_NC: Bools, open_NC: Bools) -> NDArray[np.float64]:
        """The steps to a goal through open cells if the first is to the north, south, west or east (N, 4)."""
        entry_NC = np.where(goal_NC, 0.0, np.inf)
        closed_NC = ~open_NC & ~goal_NC
        while True:
            nearer_NC = np.minimum(entry_NC, 1.0 + entry_NC[:, self._next_4C].min(axis=1))
            nearer_NC[closed_NC] = np.inf
            if np.array_equal(nearer_NC, entry_NC):
                break
            entry_NC = nearer_NC
        return np.take_along_axis(entry_NC, self._next_4C.T[joint[:, -4]], axis=1)

    def factors(self, obs_RO: NDArray[Any], state_RS: NDArray[Any]) -> dict[str, Factor]:
        """The beacon's colour, hidden where it is not seen, and the agent's cell and heading, which no view shows."""
        map_RKC = np.asarray(state_RS).reshape(len(state_RS), 12, self.num_cells)
        colour_R = (map_RKC[:, 4:8] * map_RKC[:, 3:4]).sum(axis=2).argmax(axis=1)
        heading_R, cell_R = np.divmod(map_RKC[:, 8:].reshape(len(state_RS), -1).argmax(axis=1), self.num_cells)
        blind_R: Bools = (np.asarray(obs_RO).reshape(len(obs_RO), 8, SIDE * SIDE)[:, 3] == 0).all(axis=1)
        hidden_R = np.ones(len(state_RS), bool)
        return {
            "colour": Factor(colour_R.astype(np.int64), blind_R),
            "cell": Factor(cell_R.astype(np.int64), hidden_R),
            "heading": Factor(heading_R.astype(np.int64), hidden_R),
        }

    def picture(self, joint: NDArray[np.int16], informed: bool) -> NDArray[np.uint8]:
        """An RGB drawing, 32 pixels a cell: exits are squares and the beacon a smaller one, in their colours.

        What the agent (blue, a light mark at its front) does not see is darker; it wears a white dot once it has seen
        the beacon.
        """
        shades = list(COLOURS.values())
        colours = {IS_BEACON: shades[joint[-2]], IS_GOOD: shades[joint[-2]], IS_BAD: shades[joint[-1]]}
        window_W = self._window_4CW[joint[-3], joint[-4]]
        seen = set(window_W[joint[self._window] == 1].tolist())
        frame = np.empty((self.size * CELL, self.size * CELL, 3), np.uint8)
        for cell in range(self.num_cells):
            row, column = (CELL * index for index in divmod(cell, self.size))
            tile, kind = frame[row : row + CELL, column : column + CELL], int(joint[cell])
            tile[:] = WALL if kind == IS_WALL else FLOOR
            if kind in colours:
                margin = CELL // 4 if kind == IS_BEACON else 2
                tile[margin:-margin, margin:-margin] = colours[kind]
            tile[[0, -1]] = tile[:, [0, -1]] = LINE
            if cell not in seen:
                tile[:] = (tile * 0.6).astype(np.uint8)
            if cell == joint[-4]:
                draw_agent(tile, CELL / 2, CELL / 2, informed)
                front_row, front_column = CELL // 2 + AHEAD[joint[-3]] * (CELL // 4)
                tile[front_row - 2 : front_row + 2, front_column - 2 : front_column + 2] = FLOOR
        return frame


def visible(clear: Bools) -> Bools:
    """What is seen from the middle of the last row, of cells of which the clear ones do not stop sight (H, W, N)."""
    return _flooded(clear, -1) | _flooded(clear, 1)


def _flooded(clear: Bools, side: int) -> Bools:
    """What is reached from there by steps up and to one side, out of clear cells."""
    rows, columns = clear.shape[:2]
    reached, passes = np.zeros_like(clear), np.zeros_like(clear)
    reached[rows - 1, columns // 2] = passes[rows - 1, columns // 2] = True  # the agent stands in no wall
    for row in reversed(range(rows)):
        for away in range(columns // 2 + 1):
            column = columns // 2 + side * away
            if row < rows - 1:
                reached[row, column] |= passes[row + 1, column]
            if away:
                reached[row, column] |= passes[row, column - side]
            if away and row < rows - 1:
                reached[row, column] |= passes[row + 1, column - side]
            passes[row, column] |= reached[row, column] & clear[row, column]
    return reached


class FourRoomsEnv(ArrayEnv):
    """One of them, `MemoryFourRooms-7x7-v0` or `MemoryFourRooms-9x9-v0`; see `FourRoomsRules`."""

    rules_type = FourRoomsRules


class FourRoomsVectorEnv(ArrayVectorEnv):
    """Many of them; see `FourRoomsRules`."""

    rules_type = FourRoomsRules
