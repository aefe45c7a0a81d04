"""Mountain Hike: find the top by the altitude alone (Igl et al., 2018; Lambrechts et al., 2022)."""

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.arrays import ArrayEnv, ArrayVectorEnv, Bools, Floats, Ints, Rules, numbered
from envs.factors import Factor
from envs.pictures import CELL, GOOD, LINE, draw_agent

MOVES = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)], np.float64)  # north, east, south, west
STEP, SLIP, HAZE, REACH = 0.1, 0.05, 0.1, 0.2
START, GOAL = np.array([-0.8, -0.8]), np.array([0.8, 0.8])
RIDGES = (((0.0, 0.0), (0.005, 1.0)), ((0.0, -0.8), (1.0, 0.01)), ((0.0, 0.8), (1.0, 0.01)))  # means and variances
CORNERS = np.array([(0.0, -0.8), (0.0, 0.8), (0.8, 0.8)])  # of the way along the ridges
PLACES = 8  # bins of either axis that probes look for


def altitude(place_N2: NDArray[Any]) -> NDArray[np.float64]:
    """How high places (…, 2) are: three ridges on a slope; the reward of arriving there."""
    x_N, y_N = np.moveaxis(np.asarray(place_N2, np.float64), -1, 0)
    log_highest_N = np.full(x_N.shape, -np.inf)  # of the ridges' densities, of which one exp is enough
    for (mean_x, mean_y), (variance_x, variance_y) in RIDGES:
        exponent_N = -0.5 / variance_x * (x_N - mean_x) ** 2 - 0.5 / variance_y * (y_N - mean_y) ** 2
        log_density_N = exponent_N - np.log(2 * np.pi * np.sqrt(variance_x * variance_y))
        log_highest_N = np.maximum(log_highest_N, log_density_N)
    height: NDArray[np.float64] = -np.exp(-np.exp(log_highest_N)) + 0.2 * (x_N + y_N) - 0.02
    return height


class MountainHikeRules(Rules):
    """A walk over a square from one corner's side to the other's, along ridges, by the altitude alone.

    Observation: Box(1), the altitude and noise of standard deviation 0.1. State: Box(2), x and y in [-1, 1]; if
    `varying`, Box(6), the turn one-hot besides. Actions: 0 north, 1 east, 2 south, 3 west, 0.1 each and noise of 0.05
    along either axis, clipped to the square; if `varying`, turned clockwise by 0 to 3 quarters, drawn for the episode.
    Reward: the altitude (mostly below 0); 0 within 0.2 of (0.8, 0.8), which ends the episode. Start: (-0.8, -0.8).
    Discount 0.99, horizon 80, and 160 if `varying`.

    The expert knows the state, which is never shown, and walks along the ridges; where it guesses, it takes the actions
    to be turned as it has drawn, and thinks that it is where it is.

    Beliefs are told by particles, a quarter of them for each turn if `varying`.

    Args:
        varying: whether actions are turned.
        particles: of a belief, at least 4.
    """

    def __init__(self, varying: bool = False, particles: int = 1000) -> None:
        if particles < 4:
            raise ValueError(f"particles is {particles}; at least 4")
        self.turns, self.particles = 4 if varying else 1, particles
        self.fact_sizes = {"x": PLACES, "y": PLACES} | ({"turn": self.turns} if varying else {})
        self.obs_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)
        low = np.array([-1, -1] + [0] * (4 if varying else 0), np.float32)
        self.state_space = spaces.Box(low, np.ones_like(low), dtype=np.float32)
        self.state_features = ("x", "y", *(f"turn_{turn}" for turn in range(4 if varying else 0)))
        self.state_categories = ((2, 4),) if varying else ()
        self.action_space = spaces.Discrete(4)
        self.blank_joint, self.blank_guess = np.zeros(4), np.zeros((), np.intp)  # x, y, turn, observation

    def initial(self, rng: np.random.Generator, num: int) -> NDArray[np.float64]:
        place_N2 = np.broadcast_to(START, (num, 2))
        return self._seen(rng, place_N2, rng.integers(self.turns, size=num))

    def joint_of(self, rng: np.random.Generator, state_NS: NDArray[Any]) -> NDArray[np.float64]:
        state_NS = np.asarray(state_NS, np.float32)
        if state_NS.ndim != 2 or state_NS.shape[1:] != self.state_space.shape:
            raise ValueError(f"a state has shape {self.state_space.shape}, not {state_NS.shape[1:]}")
        turn = state_NS[:, 2:].argmax(axis=1) if self.turns > 1 else np.zeros(len(state_NS), np.intp)
        joint = self._seen(rng, state_NS[:, :2].astype(np.float64), turn)
        wrong = (self.state(joint) != state_NS).any(axis=1) | self.ends(joint) | (np.abs(state_NS) > 1).any(axis=1)
        if wrong.any():
            raise ValueError(f"row {int(wrong.argmax())} is not a state that an episode can start in")
        return joint

    def _seen(self, rng: np.random.Generator, place_N2: NDArray[np.float64], turn: Ints) -> NDArray[np.float64]:
        """Joint states with what is observed there."""
        seen = altitude(place_N2) + HAZE * rng.standard_normal(len(place_N2))
        return np.column_stack([place_N2, turn, seen])

    def checked(self, action: NDArray[Any], num: int) -> Ints:
        return numbered(action, num, ("north", "east", "south", "west"))

    def step(self, rng: np.random.Generator, joint: NDArray[np.float64], action: Ints) -> NDArray[np.float64]:
        moved = self.move(rng, joint, action)
        moved[:, 3] = altitude(moved[:, :2]) + HAZE * rng.standard_normal(len(moved))
        return moved

    def move(self, rng: np.random.Generator, joint: NDArray[np.float64], action: Ints) -> NDArray[np.float64]:
        moved = joint.copy()
        moved[:, :2] += (STEP * MOVES).take((action + joint[:, 2].astype(np.intp)) % 4, axis=0)
        moved[:, :2] += SLIP * rng.standard_normal((len(joint), 2))
        np.clip(moved[:, :2], -1.0, 1.0, out=moved[:, :2])
        return moved

    def log_likelihood(self, joint: NDArray[np.float64], obs: NDArray[Any]) -> NDArray[np.float64]:
        off = (obs[:, 0] - altitude(joint[:, :2])) / HAZE
        return -0.5 * off**2

    def hypotheses(self, joint: NDArray[np.float64]) -> NDArray[np.float64]:
        turned = np.repeat(joint[None], self.turns, axis=0)
        turned[:, :, 2] = np.arange(self.turns)[:, None]
        return turned

    def observe(self, joint: NDArray[np.float64]) -> Floats:
        return joint[:, 3:].astype(np.float32)

    def state(self, joint: NDArray[np.float64]) -> Floats:
        if self.turns == 1:
            return joint[:, :2].astype(np.float32)
        return np.column_stack([joint[:, :2], np.eye(4)[joint[:, 2].astype(np.intp)]]).astype(np.float32)

    def reward(self, joint: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(self.ends(joint), 0.0, altitude(joint[:, :2]))

    def ends(self, joint: NDArray[np.float64]) -> Bools:
        off_N2 = joint[:, :2] - GOAL
        return np.einsum("nd,nd->n", off_N2, off_N2) <= REACH**2

    def success(self, joint: NDArray[np.float64]) -> Bools:
        return self.ends(joint)

    def informative(self, joint: NDArray[np.float64]) -> Bools:
        """Nowhere: what is seen tells something and never all."""
        return np.zeros(len(joint), bool)

    def initial_guess(self, rng: np.random.Generator, num: int) -> Ints:
        return rng.integers(self.turns, size=num)

    def expert(self, joint: NDArray[Any], informed: Bools, guess: Ints, guesses: Bools) -> NDArray[np.int64]:
        """To the next corner of the way along the ridges, along the axis on which it is farther."""
        place_N2 = joint[:, :2]
        passed = np.where(place_N2[:, 1] > 0.7, 2, np.where(place_N2[:, 0] > -0.1, 1, 0))
        way_N2 = CORNERS[passed] - place_N2
        sideways = np.abs(way_N2[:, 0]) > np.abs(way_N2[:, 1])
        wanted = np.where(sideways, np.where(way_N2[:, 0] > 0, 1, 3), np.where(way_N2[:, 1] > 0, 0, 2))
        turn = np.where(guesses, guess, joint[:, 2].astype(np.intp))
        return ((wanted - turn) % 4).astype(np.int64)

    def factors(self, obs_RO: NDArray[Any], state_RS: NDArray[Any]) -> dict[str, Factor]:
        """The place, in bins of either axis, and the turn; no observation shows any."""
        state_RS, hidden_R = np.asarray(state_RS), np.ones(len(state_RS), bool)
        bin_R2 = np.clip((state_RS[:, :2] + 1) / 2 * PLACES, 0, PLACES - 1).astype(np.int64)
        found = {"x": Factor(bin_R2[:, 0], hidden_R), "y": Factor(bin_R2[:, 1], hidden_R)}
        if self.turns > 1:
            found["turn"] = Factor(state_RS[:, 2:].argmax(axis=1).astype(np.int64), hidden_R)
        return found

    def picture(self, joint: NDArray[np.float64], informed: bool) -> NDArray[np.uint8]:
        """An RGB drawing, 160 pixels a unit: the higher the lighter, the goal green, the agent blue."""
        scale, size = 160, 320 + CELL  # half a cell of margin
        place_P = (np.arange(size) + 0.5 - size / 2) / scale
        place_PP2 = np.stack(np.meshgrid(place_P, -place_P), axis=-1)  # y points up
        light_PP = np.clip(1.25 + altitude(place_PP2), 0.0, 1.0)
        frame = (light_PP[..., None] * np.array([225.0, 215.0, 195.0])).astype(np.uint8)
        frame[np.hypot(*np.moveaxis(place_PP2 - GOAL, -1, 0)) <= REACH] = GOOD
        frame[[0, -1]] = frame[:, [0, -1]] = LINE
        draw_agent(frame, size / 2 - float(joint[1]) * scale, size / 2 + float(joint[0]) * scale, informed)
        return frame


class MountainHikeEnv(ArrayEnv):
    """One of them, `MountainHike-v0` or `VaryingMountainHike-v0`; see `MountainHikeRules`."""

    rules_type = MountainHikeRules


class MountainHikeVectorEnv(ArrayVectorEnv):
    """Many of them; see `MountainHikeRules`."""

    rules_type = MountainHikeRules
