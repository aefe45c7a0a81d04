"""The grid domains a second time, from drawn maps and (x, y) coordinates, one slow step at a time.

Nothing here comes from `envs`: maps are drawn and moves are spelt out. A hidden fact is the (x, y) of the true goal.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

HEAVEN_HELL_5x7 = """
G.....G
###.###
###.###
###S###
###...I
"""

HEAVEN_HELL_6x9 = """
G.......G
####.####
####.####
####.####
####S####
####....I
"""

SPHINX = """
I....G
......
......
......
......
G....G
"""

CAR_FLAG = """
...........
...........
...........
...........
....III....
....III....
....III....
...........
...........
...........
...........
"""

DELTA = {0: (1, 0), 1: (0, -1), 2: (-1, 0), 3: (0, 1)}  # right, up, left, down; y grows downwards


@dataclass(frozen=True)
class Outcome:
    at: tuple[int, int]
    reward: float
    terminated: bool
    success: bool


class World:
    """One domain: `kind` says what the letters of the map mean."""

    def __init__(self, kind: str, drawing: str):
        self.kind = kind
        lines = drawing.split()
        self.width, self.height = len(lines[0]), len(lines)
        self.letters = {(x, y): letter for y, line in enumerate(lines) for x, letter in enumerate(line)}
        self.open = [at for at, letter in self.letters.items() if letter != "#"]
        self.information = {at for at, letter in self.letters.items() if letter == "I"}
        wanted = "." if kind == "car_flag" else "G"
        self.hidden = [at for at, letter in self.letters.items() if letter == wanted]

    def starts(self, goal):
        if self.kind == "heaven_hell":
            return [at for at in self.open if self.letters[at] == "S"]
        near = [goal] if self.kind == "car_flag" else self.hidden
        return [
            (x, y)
            for x, y in self.open
            if (x, y) not in self.information and all(abs(x - gx) + abs(y - gy) > 1 for gx, gy in near)
        ]

    def over(self, at, goal):
        return at == goal or (self.kind != "car_flag" and at in self.hidden)

    def step(self, at, goal, action):
        dx, dy = DELTA[action]
        there = (at[0] + dx, at[1] + dy)
        if self.letters.get(there, "#") == "#":
            there = at
        if self.kind == "heaven_hell":
            reward = 1.0 if there == goal else -1.0 if there in self.hidden else 0.0
        else:
            reward = 1.0 if there == goal else 0.0
        if self.kind == "sphinx" and there in self.information:
            reward -= 0.2
        return Outcome(there, reward, self.over(there, goal), there == goal)

    def view(self, at, goal, privileged):
        """The state, or what of it is seen."""
        shown = privileged or at in self.information
        if self.kind == "heaven_hell":
            side = 0.0 if not shown else -1.0 if goal[0] == 0 else 1.0
            return np.array([at[0] / (self.width - 1), at[1] / (self.height - 1), side], np.float32)
        maps = np.zeros((2, self.height, self.width), np.float32)
        maps[0, at[1], at[0]] = 1
        if shown:
            maps[1, goal[1], goal[0]] = 1
        return maps.flatten()

    def distances(self, sources, blocked=()):
        """Steps from each cell to the nearest source, by flooding."""
        found = dict.fromkeys(sources, 0)
        queue = deque(sources)
        while queue:
            x, y = queue.popleft()
            if (x, y) in blocked:
                continue
            for dx, dy in DELTA.values():
                at = (x + dx, y + dy)
                if self.letters.get(at, "#") != "#" and at not in found:
                    found[at] = found[x, y] + 1
                    queue.append(at)
        return found


WORLDS = {
    "HeavenHell-v0": World("heaven_hell", HEAVEN_HELL_5x7),
    "HeavenHell-6x9-v0": World("heaven_hell", HEAVEN_HELL_6x9),
    "CarFlag-2D-v0": World("car_flag", CAR_FLAG),
    "Sphinx-v0": World("sphinx", SPHINX),
}
