"""Shopping-n: ask where the item lies, at a price, and remember it (Baisero & Amato, 2022)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.arrays import ArrayEnv, ArrayVectorEnv, Ints
from envs.finite import FinitePOMDP
from envs.finite_rules import REWARD, STATE
from envs.hidden_fact import HiddenFactRules, deterministic
from envs.pictures import CANDIDATE, CELL, FLOOR, GOOD, LINE, draw_agent, hatching

QUERY, LEFT, RIGHT, UP, DOWN, BUY = range(6)
ACTIONS = ("query", "left", "right", "up", "down", "buy")
QUERIED, MOVED, BOUGHT, WRONG = -2.0, -1.0, 10.0, -5.0


class ShoppingRules(HiddenFactRules):
    """A field of n×n cells, in one of which lies the item; cell (x, y) has the number x·n + y, and y points up.

    Observation: one-hot, the agent's cell or, after a query, the item's (2n²); zeros before the first action. State:
    one-hot, agent's cell · n² + item's (n⁴). Actions: 0 query, 1 left, 2 right, 3 up, 4 down, 5 buy. Reward: -2 for a
    query, -1 for a move (into the border as well), 10 for buying on the item, which ends the episode, -5 elsewhere.
    Start: cell (0, 0), the item uniformly. Discount 0.99, horizon 100.

    Who asks first has return 10 - 2 - (n - 1) on average, undiscounted. The guessing expert buys where it guesses,
    and goes on guessing.

    Args:
        n: the side of the field, at least 2.
        one_hot: whether views are one-hot; else numbers.
    """

    def __init__(self, n: int = 5, one_hot: bool = True) -> None:
        self.n, self.num_cells = n, n * n
        agent_S, item_S = np.divmod(np.arange(self.num_cells**2), self.num_cells)
        super().__init__(
            shopping_model(n),
            features={"item": item_S, "agent": agent_S},
            fact="item",
            ask_S=np.full(len(agent_S), QUERY),
            act_KS=self._to_buy(agent_S),
            one_hot=one_hot,
        )

    def _to_buy(self, agent_S: Ints) -> Ints:
        """For an item in each cell (K, S): along x, then along y, then buy."""
        x_S, y_S = np.divmod(agent_S, self.n)
        x_K1, y_K1 = (one[:, None] for one in np.divmod(np.arange(self.num_cells), self.n))
        return np.select([x_K1 < x_S, x_K1 > x_S, y_K1 > y_S, y_K1 < y_S], [LEFT, RIGHT, UP, DOWN], BUY).astype(np.intp)

    def next_guess(self, rng: np.random.Generator, joint: NDArray[Any], guess: NDArray[Any]) -> NDArray[Any]:
        wrong = joint[:, REWARD] == WRONG
        if not wrong.any():
            return guess
        guess = guess.copy()
        guess[wrong] = (guess[wrong] + 1 + rng.integers(self.num_cells - 1, size=wrong.sum())) % self.num_cells
        return guess

    def picture(self, joint: NDArray[np.float64], informed: bool) -> NDArray[np.uint8]:
        """An RGB drawing, 32 pixels a cell: the item is green and the agent blue.

        While the agent does not know, the item is hatched; then the agent wears a white dot.
        """
        agent, item = divmod(int(joint[STATE]), self.num_cells)
        frame = np.full((self.n * CELL, self.n * CELL, 3), FLOOR, np.uint8)
        for cell in range(self.num_cells):
            x, y = divmod(cell, self.n)
            top, left = CELL * (self.n - 1 - y), CELL * x
            tile = frame[top : top + CELL, left : left + CELL]
            if cell == item:
                tile[:] = CANDIDATE
                tile[hatching(CELL, CELL) | informed] = GOOD
            tile[[0, -1]] = tile[:, [0, -1]] = LINE
            if cell == agent:
                draw_agent(tile, CELL / 2, CELL / 2, informed)
        return frame


def shopping_model(n: int, discount: float = 0.99) -> FinitePOMDP:
    """The POMDP of `ShoppingRules`.

    Raises:
        ValueError: n is less than 2.
    """
    if n < 2:
        raise ValueError(f"n is {n}; at least 2")
    cells = [f"{x}_{y}" for x in range(n) for y in range(n)]
    agent_S, item_S = np.divmod(np.arange(n**4), n * n)
    x_S, y_S = np.divmod(agent_S, n)
    moves = {LEFT: (-1, 0), RIGHT: (1, 0), UP: (0, 1), DOWN: (0, -1)}
    next_SA = np.repeat(np.arange(n**4)[:, None], len(ACTIONS), axis=1)
    for action, (right, up) in moves.items():
        x, y = np.clip(x_S + right, 0, n - 1), np.clip(y_S + up, 0, n - 1)
        next_SA[:, action] = (x * n + y) * n * n + item_S
    found_S = agent_S == item_S
    seen_EA = np.repeat(agent_S[:, None], len(ACTIONS), axis=1)
    seen_EA[:, QUERY] = n * n + item_S
    reward_SA = np.full((n**4, len(ACTIONS)), MOVED)
    reward_SA[:, QUERY], reward_SA[:, BUY] = QUERIED, np.where(found_S, BOUGHT, WRONG)
    return deterministic(
        start_S=np.where(agent_S == 0, 1.0 / (n * n), 0.0),
        next_SA=next_SA,
        seen_EA=seen_EA,
        reward_SA=reward_SA,
        ends_SA=found_S[:, None] & (np.arange(len(ACTIONS)) == BUY),
        discount=discount,
        states=[f"agent_{agent}_item_{item}" for agent in cells for item in cells],
        actions=ACTIONS,
        observations=[f"{what}_{cell}" for what in ("agent", "item") for cell in cells],
    )


class ShoppingEnv(ArrayEnv):
    """One of them, `Shopping-5-v0` or `Shopping-6-v0`; see `ShoppingRules`."""

    rules_type = ShoppingRules


class ShoppingVectorEnv(ArrayVectorEnv):
    """Many of them; see `ShoppingRules`."""

    rules_type = ShoppingRules
