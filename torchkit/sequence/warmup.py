"""Warm-up: a recurrent memory is brought to reach many equilibria before it learns (Lambrechts et al., 2023).

An equilibrium is where a constant input leads. States that different pasts have led to are held under one constant
input, drawn at random: where they end in one state all that was before is forgotten, where each ends in its own it can
last for ever. VAA, the variability among attractors, is the mean over n sequences of 1 / (how many of the n end where
it ends): 1/n where all end in one state, 1 where all differ.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from torchkit.fast.adam import Adam
from torchkit.sequence.base import Carry, Cell, Memory

NEAR = 1e-4  # a distance within which two states are the same
GOAL = 0.95  # of VAA
LR = 1e-2
FIRST, MORE, MOST = 1, 10, 200  # steps under the constant input: at most FIRST + MORE i in step i, and never above MOST
CHUNK = 500


class Equilibria(NamedTuple):
    """What `equilibria` found.

    Attributes:
        variability: VAA.
        number: how many equilibria were reached, VAA times the number of sequences.
        residual: the largest change of a state in one step more; not small where states go on moving.
    """

    variability: float
    number: float
    residual: float


def prefixes(x_TBF: Tensor, length_B: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Sequences cut at random, from 1 to all of their steps, moved to end together, and their starts (T, B).

    Args:
        x_TBF: inputs.
        length_B: how many steps of each there are.
    """
    T = len(x_TBF)
    share_B = torch.rand(len(length_B), generator=generator).to(length_B.device)
    cut_B = 1 + (share_B * length_B).long().clamp(max=length_B - 1)
    from_TB = torch.arange(T, device=cut_B.device)[:, None] - (T - cut_B)
    moved = x_TBF.gather(0, from_TB.clamp(min=0)[..., None].expand_as(x_TBF))
    return moved, (from_TB == 0).float()


def settled(cell: Cell, input_F: Tensor, steps: int) -> Carry:
    """The state of a cell after so many steps of one constant input for all sequences."""
    state = cell.state
    input_BF = input_F.expand(len(state[0]), -1)
    for _ in range(steps):
        state = cell.step(input_BF, state)
    return state


def soft_variability(state: Carry) -> Tensor:
    """VAA that can be differentiated: states at a distance d above NEAR count as NEAR / d of one another."""
    squashed_BH = torch.cat(state, dim=-1).tanh()
    square_BB = (squashed_BH[:, None] - squashed_BH[None]).square().sum(-1)
    distance_BB = (square_BB + 1e-12).sqrt()  # of which the gradient at 0 is a number
    same_BB = 1 - (distance_BB - NEAR).relu() / (distance_BB + 1e-6)
    own_BB = torch.eye(len(same_BB), device=same_BB.device)
    return (1 / torch.where(own_BB > 0, 1.0, same_BB).sum(1)).mean()


def variability(state_BH: Tensor) -> float:
    """VAA of end states, all layers' side by side."""
    same_BB = torch.cdist(state_BH, state_BH, compute_mode="donot_use_mm_for_euclid_dist") < NEAR
    return float((1 / same_BB.sum(1)).mean())


@torch.no_grad()
def equilibria(
    memory: Memory, x_TBF: Tensor, length_B: Tensor, generator: torch.Generator, steps: int = 2000
) -> Equilibria:
    """How many equilibria of a whole memory sequences lead to."""
    _, carry = memory(*prefixes(x_TBF, length_B, generator))
    input_F = torch.randn(x_TBF.shape[-1], generator=generator).to(x_TBF.device)

    def go_on(carry: Carry, steps: int) -> Carry:
        input_TBF = input_F.expand(steps, x_TBF.shape[1], -1)
        return memory(input_TBF, x_TBF.new_zeros(input_TBF.shape[:2]), carry)[1]

    for done in range(0, steps, CHUNK):
        carry = go_on(carry, min(CHUNK, steps - done))
    ends_BH, later_BH = (flat(memory.cells(c)) for c in (carry, go_on(carry, 1)))
    found = variability(ends_BH)
    return Equilibria(found, found * len(ends_BH), float((later_BH - ends_BH).norm(dim=-1).max()))


def flat(cells: list[Cell]) -> Tensor:
    """The states of all cells side by side (B, ·)."""
    return torch.cat([state for cell in cells for state in cell.state], dim=-1)


def warm_up(
    memory: Memory, draw: Callable[[], tuple[Tensor, Tensor]], steps: int, generator: torch.Generator
) -> list[float]:
    """Trains a memory to reach many equilibria; returns the VAA by which each step was taken, the cells' mean.

    Args:
        memory: one that has cells.
        draw: inputs (T, B, F) and their lengths (B,), anew for each step.
        steps: of Adam; 100 in the paper.
        generator: of cuts, constant inputs and their lengths, on the CPU.
    """
    optimiser, seen = Adam(memory.warmed(), LR), []
    for step in range(steps):
        x_TBF, length_B = draw()
        _, carry = memory(*prefixes(x_TBF, length_B, generator))
        most = min(FIRST + MORE * step, MOST)
        found = []
        for cell in memory.cells(carry):
            input_F = torch.randn(cell.in_dim, generator=generator).to(x_TBF.device)
            hold = int(torch.randint(1, most + 1, (), generator=generator))
            found.append(soft_variability(settled(cell, input_F, hold)))
        each = torch.stack(found)
        optimiser.zero_grad()
        torch.autograd.backward((each - GOAL).square().mean(), inputs=optimiser.parameters)
        optimiser.step()
        seen.append(float(each.detach().mean()))
    return seen
