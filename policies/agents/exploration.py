"""ε-greedy exploration whose random actions last (εz-greedy; Dabney, Ostrovski & Barreto, ICLR 2021).

Single random steps undo each other: from where nothing is known they hardly ever lead ten steps away. A random action
that is kept for n steps, with probability ∝ n^-ζ, does, and is one step long in most cases.

Dimension key: N envs, A actions.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from utils.errors import UserError


class EpsilonGreedy:
    """Random actions in the place of greedy ones.

    Args:
        num_actions: A.
        zeta: ζ; the smaller, the longer are actions kept; 0 for single steps.
        rng: what all is drawn from.
        weights: of the random actions, A numbers from 0 on; none where all are as likely.

    Raises:
        UserError: names `exploration.weights`.
    """

    LONGEST = 100  # steps

    def __init__(self, num_actions: int, zeta: float, rng: torch.Generator, weights: Sequence[float] = ()):
        self.num_actions, self.zeta, self.rng = num_actions, zeta, rng
        fit = all(isinstance(weight, int | float) and 0 <= weight < math.inf for weight in weights)
        if not fit or len(weights) not in (0, num_actions) or (weights and not any(weights)):
            raise UserError(
                f"--config_rl.exploration.weights: expected none, or a number from 0 on for each of the {num_actions} "
                "actions, not all of them 0"
            )
        self.share_A = torch.tensor(weights or [1.0] * num_actions, dtype=torch.float64)
        self.share_A /= self.share_A.sum()
        self._weighted = len(weights) > 0
        self.share_of_length = torch.arange(1, self.LONGEST + 1, dtype=torch.float64) ** -zeta

    def __call__(
        self, greedy_N: Tensor, epsilon: float, start_N: Tensor, kept_2N: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """The actions (N,) to take, and which are kept and for how many steps more, (2, N) int64.

        Args:
            greedy_N: the actions (N,) that seem best.
            epsilon: how often a random action begins where none is kept.
            start_N: whether an episode begins, which keeps nothing.
            kept_2N: what the call before returned; None where there was none, or for single steps.
        """
        N = len(greedy_N)
        begins_N = torch.rand(N, generator=self.rng) < epsilon
        if self._weighted:
            random_N = torch.multinomial(self.share_A, N, replacement=True, generator=self.rng)
        else:
            random_N = torch.randint(self.num_actions, (N,), generator=self.rng)
        if not self.zeta:
            return torch.where(begins_N, random_N, greedy_N), None
        length_N = 1 + torch.multinomial(self.share_of_length, N, replacement=True, generator=self.rng)
        action_N, left_N = torch.zeros(2, N, dtype=torch.int64) if kept_2N is None else kept_2N
        left_N = left_N.where(start_N == 0, 0)
        begins_N &= left_N == 0
        action_N, left_N = random_N.where(begins_N, action_N), length_N.where(begins_N, left_N)
        return action_N.where(left_N > 0, greedy_N), torch.stack([action_N, (left_N - 1).clamp(min=0)])
