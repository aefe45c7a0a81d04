"""T-Maze(L, λ): a cue at the start says how to turn at the end of a corridor (Bakker, 2001; Lambrechts, 2022)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.arrays import ArrayEnv, ArrayVectorEnv
from envs.finite import FinitePOMDP, Floats
from envs.finite_rules import STATE
from envs.hidden_fact import HiddenFactRules
from envs.pictures import BAD, CANDIDATE, CELL, FLOOR, GOOD, INFORMATION, LINE, WALL, draw_agent, hatching

RIGHT, UP, LEFT, DOWN = range(4)
TREASURE, BUMP = 4.0, -0.1


class TMazeRules(HiddenFactRules):
    """A corridor of `length` steps with an arm up and an arm down at its end, one of which holds the treasure.

    ::

                  U
        C . . . . J       C the cue, J the junction
                  D

    Observation: one-hot, treasure up, treasure down (both at the cue only), corridor, junction or arm. State: one-hot,
    the positions 0 … length, upper and lower arm with the treasure up, then the same with it down. Actions: 0 right, 1
    up, 2 left, 3 down; with probability `noise` a uniformly drawn one instead. Reward: 4 in the right arm, -0.1 in the
    other, which both end the episode, and -0.1 for staying in place. Start: at the cue, the treasure by a fair coin.
    Discount 0.98, horizon 3 length / (1 - noise).

    Optimum: return 4, discounted 4 · 0.98^length without noise; who forgets the cue has 1.95 instead of 4.

    Args:
        length: steps from the cue to the junction, at least 1.
        noise: λ in [0, 1).
        one_hot: whether views are one-hot; else numbers.
    """

    def __init__(self, length: int = 20, noise: float = 0.0, one_hot: bool = True) -> None:
        model, self.length = t_maze_model(length, noise), length
        goal_S, place_S = np.divmod(np.arange(2 * (length + 3)), length + 3)
        on = np.where(place_S < length, RIGHT, UP)
        super().__init__(
            model,
            features={"treasure": goal_S, "place": place_S},
            fact="treasure",
            ask_S=on,
            act_KS=np.stack([on, np.where(place_S < length, RIGHT, DOWN)]),
            one_hot=one_hot,
        )

    def joint_of(self, rng: np.random.Generator, state_NS: NDArray[Any]) -> NDArray[np.float64]:
        joint = super().joint_of(rng, state_NS)
        over = joint[:, STATE] % (self.length + 3) > self.length
        if over.any():
            raise ValueError(f"row {int(over.argmax())} is in an arm, where an episode has ended")
        return joint

    def picture(self, joint: NDArray[np.float64], informed: bool) -> NDArray[np.uint8]:
        """An RGB drawing, 32 pixels a cell: the cue is yellow, the treasure green, the other arm red, the agent blue.

        While the agent does not know, both arms are hatched; then it wears a white dot.
        """
        goal, here = divmod(int(joint[STATE]), self.length + 3)
        frame = np.full((3 * CELL, (self.length + 1) * CELL, 3), WALL, np.uint8)
        rows = [1] * (self.length + 1) + [0, 2]
        for place, (row, column) in enumerate(zip(rows, [*range(self.length + 1), self.length, self.length])):
            tile = frame[CELL * row : CELL * (row + 1), CELL * column : CELL * (column + 1)]
            tile[:] = INFORMATION if place == 0 else FLOOR
            if place > self.length:
                tile[:] = CANDIDATE
                tile[hatching(CELL, CELL) | informed] = GOOD if place == self.length + 1 + goal else BAD
            tile[[0, -1]] = tile[:, [0, -1]] = LINE
            if place == here:
                draw_agent(tile, CELL / 2, CELL / 2, informed)
        return frame


def t_maze_model(length: int, noise: float = 0.0, discount: float = 0.98) -> FinitePOMDP:
    """The POMDP of `TMazeRules`.

    Raises:
        ValueError: a size that there is not.
    """
    if not isinstance(length, int | np.integer) or length < 1 or not 0 <= noise < 1:
        raise ValueError(f"length is {length} and noise {noise}; a whole number, at least 1, and in [0, 1)")
    num = length + 3
    goal_S, place_S = np.divmod(np.arange(2 * num), num)
    next_PA = np.repeat(np.arange(num)[:, None], 4, axis=1)
    next_PA[:length, RIGHT] += 1
    next_PA[1 : length + 1, LEFT] -= 1
    next_PA[length, [UP, DOWN]] = length + 1, length + 2
    moved_ASE = np.zeros((4, 2 * num, 2 * num))
    for action in range(4):
        moved_ASE[action, np.arange(2 * num), next_PA[place_S, action] + goal_S * num] = 1.0
    transition_ASE = (1 - noise) * moved_ASE + noise * moved_ASE.mean(axis=0)
    look_S = np.select([place_S == 0, place_S < length], [goal_S, 2], 3)
    paid_SE = np.where(place_S > length, np.where(place_S - length - 1 == goal_S, TREASURE, BUMP), 0.0)[None]
    paid_SE = np.where(place_S[:, None] == place_S, BUMP, paid_SE)
    paid_SE[place_S > length] = 0.0  # it is over

    def reward(action: NDArray[np.intp], state: NDArray[np.intp], after: NDArray[np.intp], obs: object) -> Floats:
        return paid_SE[state, after]

    return FinitePOMDP(
        start_S=np.where(place_S == 0, 0.5, 0.0),
        transition_ASE=tuple(transition_ASE),
        ends_ASE=tuple(1.0 * ((transition_ASE > 0) & (place_S > length))),
        observation_AEO=(np.eye(4)[look_S],) * 4,
        reward_SA=np.einsum("ase,se->sa", transition_ASE, paid_SE),
        discount=discount,
        states=tuple(f"{goal}{place}" for goal in ("up", "down") for place in range(num)),
        actions=("right", "up", "left", "down"),
        observations=("up", "down", "corridor", "junction"),
        first_SO=np.eye(4)[look_S],
        reward=reward if noise else None,
    )


class TMazeEnv(ArrayEnv):
    """One of them, `TMaze-v0`; see `TMazeRules`."""

    rules_type = TMazeRules


class TMazeVectorEnv(ArrayVectorEnv):
    """Many of them; see `TMazeRules`."""

    rules_type = TMazeRules
