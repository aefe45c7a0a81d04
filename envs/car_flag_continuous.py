"""Car-Flag with a continuous action: on a line, by forces (Nguyen, 2021; Baisero & Amato, 2022), and on a plane.

Dimension key: N envs, O observation, S state, A actions. Joint states are rows of the state (N, S), in float32: the
state is all that there is, so that an episode that starts in the state of another goes on like it, bit for bit.
"""

from functools import cached_property
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.arrays import ArrayEnv, ArrayVectorEnv, Bools, Floats, Rules, numbered
from envs.base import Belief
from envs.factors import Factor
from envs.pictures import BAD, CANDIDATE, CELL, FLOOR, GOOD, INFORMATION, LINE, draw_agent, hatching

PLACES = 8  # bins of the position that probes look for


def farthest(way: NDArray[Any]) -> NDArray[Any]:
    """The greater of |x| and |y| of (…, 2), as both axes are moved along at once."""
    far: NDArray[Any] = np.maximum(np.abs(way[..., 0]), np.abs(way[..., 1]))  # a maximum over an axis of two is slow
    return far


class ContinuousRules(Rules):
    """Rules whose joint states are their states, with a continuous action.

    Args:
        state_high_S: the greatest state; the least is its negative, and observations have the same bounds.
        action_dim: the width of an action in [-1, 1].
        hidden: the entries of the state that an observation shows where the information is; elsewhere they are 0.
        blank_guess: as in `Rules`.
    """

    def __init__(
        self, state_high_S: tuple[float | np.float32, ...], action_dim: int, hidden: slice, blank_guess: Floats
    ) -> None:
        high = np.array(state_high_S, np.float32)
        self.obs_space = self.state_space = spaces.Box(-high, high, dtype=np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (action_dim,), np.float32)
        self.hidden = hidden
        self.blank_joint, self.blank_guess = np.zeros_like(high), blank_guess

    def checked(self, action: NDArray[Any], num: int) -> Floats:
        """The actions (num, A) float32; what is beyond [-1, 1] counts as the bound."""
        shape = (num, *(self.action_space.shape or ()))
        if action.shape != shape or action.dtype.kind not in "fiu" or not np.isfinite(action).all():
            raise ValueError(f"actions are finite numbers in [-1, 1] of shape {shape}")
        return np.clip(action.astype(np.float32), -1.0, 1.0)

    def joint_of(self, rng: np.random.Generator, state_NS: NDArray[Any]) -> Floats:
        state_NS = np.asarray(state_NS, np.float32)
        if state_NS.ndim != 2 or state_NS.shape[1:] != self.state_space.shape:
            raise ValueError(f"a state has shape {self.state_space.shape}, not {state_NS.shape[1:]}")
        inside = (np.abs(state_NS) <= self.state_space.high).all(axis=1)
        wrong = ~(inside & self._possible(state_NS)) | self.ends(state_NS)
        if wrong.any():
            raise ValueError(f"not a state that an episode can start in: {state_NS[np.flatnonzero(wrong)[0]].tolist()}")
        return state_NS.copy()

    def _possible(self, state_NS: Floats) -> Bools:
        """Whether the hidden fact (N,) is one that there is."""
        raise NotImplementedError

    def observe(self, joint: Floats) -> Floats:
        obs = joint.copy()
        obs[~self.informative(joint), self.hidden] = 0.0
        return obs

    def state(self, joint: Floats) -> Floats:
        return joint.copy()


class CarFlag1DRules(ContinuousRules):
    """A car between two flags; which one is the right one is written half-way to the right one.

    ::

        F . . . . | S S S | . i i I i i . . F      x = -1 … 1, start in the middle, information at 0.3 … 0.7

    State: Box(3), position x, velocity v, side of the right flag (-1 or 1). Observation: the same, with the side 0 but
    for 0.3 <= x <= 0.7. Action: Box(1), the force f in [-1, 1]; v becomes clip(v + 0.0015 f, ±0.07), then x becomes
    clip(x + v, ±1.1). Reward: at x >= 1 and at x <= -1, where the episode ends, 1 at the right flag and -1 at the wrong
    one. Start: x uniform in [-0.2, 0.2), at rest, the side by a fair coin. Horizon: 160 steps.

    Optimum: return 1, since full force to the right reads the side and turns in time (33 to 40 steps if the right flag
    is on the right, 67 to 101 if not). The expert takes fewest steps on average over both sides, to half a step: it
    brakes before the information, so that it can turn there (34 to 49 steps, or 62 to 86). Without the information the
    return is 0 on average. The guessing expert drives at full force to the side it guessed; to the right it passes the
    information without heeding it.
    """

    state_features = ("position", "velocity", "flag")
    FORCE, SPEED = np.float32(0.0015), np.float32(0.07)  # change of velocity in a step, greatest velocity
    WALL, FLAG = np.float32(1.1), np.float32(1.0)
    INFORMATION = (np.float32(0.3), np.float32(0.7))
    START = 0.2

    def __init__(self) -> None:
        super().__init__((self.WALL, self.SPEED, 1.0), 1, slice(2, 3), np.zeros((), np.float32))

    def initial(self, rng: np.random.Generator, num: int) -> Floats:
        joint = np.zeros((num, 3), np.float32)
        joint[:, 0] = rng.uniform(-self.START, self.START, num)
        joint[:, 2] = self.initial_guess(rng, num)
        return joint

    def initial_guess(self, rng: np.random.Generator, num: int) -> Floats:
        return (2 * rng.integers(2, size=num) - 1).astype(np.float32)

    def step(self, rng: np.random.Generator, joint: Floats, action: Floats) -> Floats:
        joint = joint.copy()
        joint[:, 1] = np.clip(joint[:, 1] + self.FORCE * action[:, 0], -self.SPEED, self.SPEED)
        joint[:, 0] = np.clip(joint[:, 0] + joint[:, 1], -self.WALL, self.WALL)
        return joint

    def reward(self, joint: Floats) -> NDArray[np.float64]:
        at_flag = np.where(self.ends(joint), np.sign(joint[:, 0]), 0.0)
        return (at_flag * joint[:, 2]).astype(np.float64)

    def ends(self, joint: Floats) -> Bools:
        return np.abs(joint[:, 0]) >= self.FLAG

    def success(self, joint: Floats) -> Bools:
        return self.reward(joint) > 0

    def informative(self, joint: Floats) -> Bools:
        return (joint[:, 0] >= self.INFORMATION[0]) & (joint[:, 0] <= self.INFORMATION[1])

    def _possible(self, state_NS: Floats) -> Bools:
        return np.abs(state_NS[:, 2]) == 1.0

    def expert(self, joint: Floats, informed: Bools, guess: Floats, guesses: Bools) -> NDArray[np.int64] | Floats:
        """Full force to the flag it knows or guesses; until then to the information, braking on the switching curve."""
        remaining, speed = self.INFORMATION[0] - joint[:, 0], joint[:, 1]
        beyond = joint[:, 0] > self.INFORMATION[1]
        to_information = np.where(beyond | (speed > np.interp(remaining, *self._switching_curve)), -1.0, 1.0)
        force = np.where(informed, joint[:, 2], to_information)
        return np.where(guesses, guess, force)[:, None].astype(np.float32)

    def belief(self, obs_RO: NDArray[Any], action_T: NDArray[Any], terminated: bool) -> Belief:
        """Both sides are equally likely until one is read; no place and no ending tells of it."""
        side_R = np.sign(np.cumsum(np.asarray(obs_RO)[:, 2]))
        probability_RK = np.stack([1.0 - side_R, 1.0 + side_R], axis=1).astype(np.float64) / 2
        return Belief(("left flag", "right flag"), probability_RK, features={"side": np.arange(2)})

    @cached_property
    def _switching_curve(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Distances to the information and the velocity there from which on to brake, by Pontryagin's principle.

        In continuous time with acceleration a, a car that arrives with velocity w has (√(w² + 2 a D₊) - w) / a to go to
        the flag ahead at distance D₊, and (√(w² + 2 a D₋) + w) / a to the one behind. The mean of both, plus the time
        until then, is least where the velocity u at which braking begins fulfils w / u + F(w) = 1, with
        F(w) = (w / √(w² + 2 a D₊) + w / √(w² + 2 a D₋)) / 2; the way from u to w is (u² - w²) / 2a.
        """
        w = np.linspace(1e-5, 0.05, 2000)
        twice = 2 * float(self.FORCE)
        ahead, behind = self.FLAG - self.INFORMATION[0], self.FLAG + self.INFORMATION[0]
        u = w / (1 - (w / np.sqrt(w**2 + twice * ahead) + w / np.sqrt(w**2 + twice * behind)) / 2)
        return (u**2 - w**2) / twice, u

    def factors(self, obs_RO: Floats, state_RS: Floats) -> dict[str, Factor]:
        """The side of the right flag, hidden away from the information, and the position in bins."""
        place_R = np.clip((state_RS[:, 0] + 1) / 2 * PLACES, 0, PLACES - 1).astype(np.int64)
        return {
            "side": Factor((state_RS[:, 2] > 0).astype(np.int64), ~self.informative(state_RS)),
            "place": Factor(place_R, np.zeros(len(state_RS), bool)),
        }

    def picture(self, joint: Floats, informed: bool) -> NDArray[np.uint8]:
        """An RGB drawing, 160 pixels a unit: the information is yellow, the right flag green and the other red.

        While the agent (blue) does not know, the flags' colours are hatched on grey; then it wears a white dot.
        """
        scale, height = 160, 2 * CELL
        width = round(2 * self.WALL * scale)
        place_P = (np.arange(width) + 0.5) / scale - self.WALL
        frame = np.full((height, width, 3), FLOOR, np.uint8)
        frame[:, (place_P >= self.INFORMATION[0]) & (place_P <= self.INFORMATION[1])] = INFORMATION
        for side in (-1, 1):
            flag_P = side * place_P >= self.FLAG
            frame[:, flag_P] = CANDIDATE
            shown = flag_P & (informed | hatching(height, width))
            frame[shown] = GOOD if side == joint[2] else BAD
        frame[[0, -1]] = LINE
        draw_agent(frame, height / 2, float(joint[0] + self.WALL) * scale, informed)
        return frame


class CarFlag7Rules(CarFlag1DRules):
    """`CarFlag1DRules` with seven forces to choose from (Baisero, Daley & Amato, 2022).

    Actions: the forces -1, -2/3, -1/3, 0, 1/3, 2/3, 1, by number. Discount 0.99.

    Optimum: return 1; discounted 0.573 on average over the starts, and 0.700 for one who knows the side.
    """

    FORCES = np.linspace(-1, 1, 7, dtype=np.float32)

    def __init__(self) -> None:
        super().__init__()
        self.action_space = spaces.Discrete(len(self.FORCES))

    def checked(self, action: NDArray[Any], num: int) -> Floats:
        """The forces (num, 1)."""
        return self.FORCES[numbered(action, num, [f"force {round(3 * f)}/3" for f in self.FORCES.tolist()])][:, None]

    def expert(self, joint: Floats, informed: Bools, guess: Floats, guesses: Bools) -> NDArray[np.int64]:
        """The same, whose forces are all full."""
        force = super().expert(joint, informed, guess, guesses)[:, 0]
        return np.abs(self.FORCES - force[:, None]).argmin(axis=1)


class CarFlag2DContinuousRules(ContinuousRules):
    """The plane of `CarFlag-2D-v0` without its cells: the flag is outside the middle and is seen only from the middle.

    The unit is that of the 11x11 grid's field, [-1, 1]², in which cells are 0.2 apart.

    State: Box(4), the agent's (x, y) and the flag's. Observation: the same, with the flag's (0, 0) but for |x| and |y|
    <= 0.3, the middle (3x3 cells). Action: Box(2); (x, y) becomes clip((x, y) + 0.2 action, ±1), so that a step goes at
    most one cell along each axis. Reward: 1 at the flag, that is within 0.1 of it along both axes (its cell), which
    ends the episode. Start: the flag uniformly outside the middle; the agent uniformly outside the middle where the
    flag is at least two steps away (more than 0.3 along an axis). Only where a step ends counts. Horizon: 50 steps.

    Optimum: return 1, by way of the middle. With d the greater of |dx| and |dy|, the way to the middle takes
    ceil((d - 0.3) / 0.2) steps from d away from the centre, and to a flag that is known ceil((d - 0.1) / 0.2). The
    guessing expert walks around the middle to a place drawn uniformly outside it, then to another one, and so on.
    """

    state_features = ("agent", "flag")
    STEP, MIDDLE, REACH = np.float32(0.2), np.float32(0.3), np.float32(0.1)
    CORNER = 0.5  # of the square on which the guessing expert walks around the middle

    def __init__(self) -> None:
        super().__init__((1.0, 1.0, 1.0, 1.0), 2, slice(2, 4), np.zeros(2, np.float32))

    def initial(self, rng: np.random.Generator, num: int) -> Floats:
        flag = self.initial_guess(rng, num)
        agent = self.initial_guess(rng, num)
        while (near := farthest(agent - flag) <= self.STEP + self.REACH).any():
            agent[near] = self.initial_guess(rng, int(near.sum()))
        return np.concatenate([agent, flag], axis=1)

    def initial_guess(self, rng: np.random.Generator, num: int) -> Floats:
        """Places (num, 2), uniformly outside the middle."""
        place = rng.uniform(-1, 1, (num, 2)).astype(np.float32)
        while (inside := self._in_middle(place)).any():
            place[inside] = rng.uniform(-1, 1, (int(inside.sum()), 2))
        return place

    def next_guess(self, rng: np.random.Generator, joint: Floats, guess: Floats) -> Floats:
        wrong = farthest(guess - joint[:, :2]) <= self.REACH
        if not wrong.any():
            return guess
        guess = guess.copy()
        guess[wrong] = self.initial_guess(rng, int(wrong.sum()))
        return guess

    def step(self, rng: np.random.Generator, joint: Floats, action: Floats) -> Floats:
        joint = joint.copy()
        joint[:, :2] = np.clip(joint[:, :2] + self.STEP * action, -1.0, 1.0)
        return joint

    def reward(self, joint: Floats) -> NDArray[np.float64]:
        return self.ends(joint).astype(np.float64)

    def ends(self, joint: Floats) -> Bools:
        return farthest(joint[:, 2:] - joint[:, :2]) <= self.REACH

    def success(self, joint: Floats) -> Bools:
        return self.ends(joint)

    def informative(self, joint: Floats) -> Bools:
        return self._in_middle(joint[:, :2])

    def _in_middle(self, place_N2: Floats) -> Bools:
        return farthest(place_N2) <= self.MIDDLE

    def _possible(self, state_NS: Floats) -> Bools:
        return ~self._in_middle(state_NS[:, 2:])

    def expert(self, joint: Floats, informed: Bools, guess: Floats, guesses: Bools) -> Floats:
        """To the centre until informed, then to the flag; where it guesses, around the middle to the guess."""
        agent, flag = joint[:, :2], joint[:, 2:]
        honest = np.clip((np.where(informed[:, None], flag, 0.0) - agent) / self.STEP, -1.0, 1.0)
        way = self._around(agent.astype(np.float64), guess.astype(np.float64)) - agent
        straight = way / np.maximum(farthest(way)[:, None], self.STEP)
        return np.where(guesses[:, None], straight, honest).astype(np.float32)

    def _around(self, agent_N2: NDArray[np.float64], target_N2: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where to go straight to (N, 2) on a shortest way around the middle: the target, or a corner on the way."""
        corner_42 = self.CORNER * np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
        along_44 = 2 * self.CORNER * np.array([[0, 1, 2, 1], [1, 0, 1, 2], [2, 1, 0, 1], [1, 2, 1, 0]])
        from_corner_N4 = (along_44 + self._distance(target_N2[:, None], corner_42)[:, None]).min(axis=2)
        to_corner_N4 = self._distance(agent_N2[:, None], corner_42)
        to_corner_N4[to_corner_N4 < 1e-3] = np.inf  # there already: on to the next
        corner_N = (to_corner_N4 + from_corner_N4).argmin(axis=1)
        blocked = np.isinf(self._distance(agent_N2, target_N2))
        return np.where(blocked[:, None], corner_42[corner_N], target_N2)

    def _distance(self, a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        """The steps from a to b (…, 2), in units of length; infinite where the straight way crosses the middle."""
        way = b - a
        with np.errstate(divide="ignore", invalid="ignore"):  # a way along an axis never leaves or never enters
            crossings = np.stack([(-self.MIDDLE - a) / way, (self.MIDDLE - a) / way])
        crossings = np.where(np.isnan(crossings), 0.0, crossings)
        enters, leaves = crossings.min(axis=0).max(axis=-1), crossings.max(axis=0).min(axis=-1)
        crosses = (enters <= leaves) & (leaves >= 0.0) & (enters <= 1.0)
        return np.where(crosses, np.inf, farthest(way))

    def factors(self, obs_RO: Floats, state_RS: Floats) -> dict[str, Factor]:
        """The quarter of the plane in which the flag stands, hidden outside the middle, and that of the agent."""
        quarter_RF = 2 * (state_RS[:, 0::2] > 0).astype(np.int64) + (state_RS[:, 1::2] > 0)
        return {
            "flag": Factor(quarter_RF[:, 1], ~self.informative(state_RS)),
            "place": Factor(quarter_RF[:, 0], np.zeros(len(state_RS), bool)),
        }

    def picture(self, joint: Floats, informed: bool) -> NDArray[np.uint8]:
        """An RGB drawing, 160 pixels a unit: the middle is yellow, the flag green; the agent is blue.

        While the agent does not know, the flag is hatched; then the agent wears a white dot.
        """
        scale = 160
        size = 2 * scale + CELL  # half a cell of margin
        place_P = (np.arange(size) + 0.5 - size / 2) / scale
        x_PP, y_PP = np.meshgrid(place_P, -place_P)  # y points up
        frame = np.full((size, size, 3), FLOOR, np.uint8)
        frame[np.maximum(np.abs(x_PP), np.abs(y_PP)) <= self.MIDDLE] = INFORMATION
        flag_PP = np.maximum(np.abs(x_PP - joint[2]), np.abs(y_PP - joint[3])) <= self.REACH
        frame[flag_PP] = CANDIDATE
        frame[flag_PP & (informed | hatching(size, size))] = GOOD
        frame[[0, -1]] = frame[:, [0, -1]] = LINE
        draw_agent(frame, size / 2 - float(joint[1]) * scale, size / 2 + float(joint[0]) * scale, informed)
        return frame


class CarFlag1DEnv(ArrayEnv):
    """One Car-Flag on a line, `CarFlag-1D-v0`; see `CarFlag1DRules`."""

    rules_type = CarFlag1DRules


class CarFlag1DVectorEnv(ArrayVectorEnv):
    """Many of them; see `CarFlag1DRules`."""

    rules_type = CarFlag1DRules


class CarFlag7Env(ArrayEnv):
    """One Car-Flag on a line by seven forces, `CarFlag-7-v0`; see `CarFlag7Rules`."""

    rules_type = CarFlag7Rules


class CarFlag7VectorEnv(ArrayVectorEnv):
    """Many of them; see `CarFlag7Rules`."""

    rules_type = CarFlag7Rules


class CarFlag2DContinuousEnv(ArrayEnv):
    """One Car-Flag on a plane, `CarFlag-2D-Continuous-v0`; see `CarFlag2DContinuousRules`."""

    rules_type = CarFlag2DContinuousRules


class CarFlag2DContinuousVectorEnv(ArrayVectorEnv):
    """Many of them; see `CarFlag2DContinuousRules`."""

    rules_type = CarFlag2DContinuousRules
