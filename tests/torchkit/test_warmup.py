"""Warm-up: variability by hand, cells against whole memories, and memories that reach many equilibria."""

import math

import pytest
import torch

from torchkit.sequence import BRC, GRU, LSTM, MGU, NBRC
from torchkit.sequence.double import Double
from torchkit.sequence.warmup import equilibria, prefixes, soft_variability, variability, warm_up

KINDS = {"gru": GRU, "lstm": LSTM, "brc": BRC, "nbrc": NBRC, "mgu": MGU}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_variability_counts_who_ends_where():
    ends = torch.tensor([[0.0, 1.0], [0.0, 1.00005], [2.0, 1.0]])
    assert variability(ends) == pytest.approx((1 / 2 + 1 / 2 + 1) / 3)
    assert variability(torch.zeros(4, 2)) == 0.25


def test_soft_variability_by_hand():
    there = math.atanh(0.5)
    state = torch.tensor([[0.0], [there]], requires_grad=True)
    soft = soft_variability((state,))
    # they are 1/2 apart, and count as 1 - (1/2 - 1e-4) / (1/2 + 1e-6) = 2.02e-4 of one another
    assert soft.item() == pytest.approx(1 / (1 + 2.02e-4), abs=1e-6)
    both = soft_variability((torch.zeros(2, 1), torch.tensor([[0.0], [there]])))  # as LSTM has two parts of a state
    assert both.item() == pytest.approx(soft.item())
    same = torch.zeros(2, 3, requires_grad=True)
    soft = soft_variability((same,))
    soft.backward()
    assert soft.item() == 0.5 and same.grad.isfinite().all()  # not the NaN of a distance of 0


def test_sequences_are_cut_from_their_start_and_end_together():
    x = torch.arange(1.0, 6.0)[:, None, None].expand(5, 40, 1)
    lengths = torch.tensor([5] * 20 + [2] * 20)
    moved, start = prefixes(x, lengths, generator())
    cuts = 5 - start.argmax(0)
    assert (start.sum(0) == 1).all()
    assert set(cuts[:20].tolist()) == {1, 2, 3, 4, 5} and set(cuts[20:].tolist()) == {1, 2}
    for b, cut in enumerate(cuts.tolist()):
        assert moved[5 - cut :, b, 0].tolist() == list(range(1, cut + 1))


@pytest.mark.parametrize("kind", KINDS)
def test_cells_step_as_their_memory_does(kind):
    torch.manual_seed(0)
    memory, x = KINDS[kind](3, 5, layers=2), torch.randn(4, 2, 3)
    _, carry = memory(x, torch.zeros(4, 2))
    below, above = memory.cells(carry)
    assert (below.in_dim, above.in_dim) == (3, 5)
    now = torch.randn(2, 3)
    output, after = memory(now[None], torch.zeros(1, 2), carry)
    first = below.step(now, below.state)
    second = above.step(first[0], above.state)
    torch.testing.assert_close(second[0], output[0])
    for ours, whole in zip((first, second), memory.cells(after), strict=True):
        torch.testing.assert_close(ours, whole.state)


def copy_first_input():
    """Draws as of the benchmark of that name: numbers of which the first is to be known at the end."""
    randoms = generator(1)
    return lambda: (torch.randn(30, 16, 1, generator=randoms), torch.full((16,), 30))


def test_a_fresh_gru_has_one_equilibrium_and_a_warmed_one_many():
    torch.manual_seed(0)
    memory, draw = GRU(1, 32), copy_first_input()
    fresh = equilibria(memory, *draw(), generator(2), steps=500)
    assert fresh.variability == 1 / 16 and fresh.number == 1 and fresh.residual < 1e-5
    seen = warm_up(memory, draw, 40, generator(3))
    assert min(seen) < 0.5 and seen[-1] > 0.8  # it had become hard before it was learned
    assert equilibria(memory, *draw(), generator(2), steps=500).number > 4


def test_a_warm_up_is_the_same_each_time():
    found = []
    for _ in range(2):
        torch.manual_seed(0)
        memory = MGU(1, 8)
        warm_up(memory, copy_first_input(), 3, generator(3))
        found.append(memory.state_dict())
    torch.testing.assert_close(*found, rtol=0, atol=0)


def test_of_double_layers_the_second_half_stays_as_it_was():
    torch.manual_seed(0)
    memory = Double(GRU, 1, 8, layers=2)
    before = {name: value.clone() for name, value in memory.state_dict().items()}
    warm_up(memory, copy_first_input(), 2, generator(3))
    moved = {name.split(".")[1] for name, value in memory.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"0", "2"}  # the first half of each layer
