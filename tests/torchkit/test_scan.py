"""The scan: a loop by hand, the three ways against each other, gradients, starts, and what is no number."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from torchkit.fast import scans
from torchkit.sequence import scan as module
from torchkit.sequence.scan import loop, scan


def plain(decay, inputs, start=None, carry=None):
    """`scan` where there is no compiler."""
    before = module.has_compiler
    module.has_compiler = lambda: False
    try:
        return scan(decay, inputs, start, carry)
    finally:
        module.has_compiler = before


WAYS = {"compiled": scan, "plain": plain, "loop": loop}


def made(steps, batch, width, dtype=torch.float32, steady=False, seed=0, share=0.3):
    """Decay of size 0.5 to 1, inputs, starts, a carry, and the gradient that is given."""
    torch.manual_seed(seed)
    shape = (steps, batch, width)
    decay = torch.randn(*(shape[2:] if steady else shape), dtype=dtype)
    decay = decay / decay.abs() * (0.5 + 0.5 * torch.rand(decay.shape))
    inputs, given = torch.randn(shape, dtype=dtype), torch.randn(shape, dtype=dtype)
    start = None if share == 0 else (torch.rand(steps, batch) < share).float()
    return decay.to(dtype), inputs, start, torch.randn(batch, width, dtype=dtype), given


@pytest.mark.parametrize("way", WAYS)
def test_three_steps_by_hand(way):
    decay, inputs = (
        torch.tensor([0.5, 0.25, 2.0, 3.0])[:, None, None],
        torch.tensor([1.0, 2.0, 3.0, 4.0])[:, None, None],
    )
    carry, start = torch.tensor([[8.0]]), torch.tensor([0.0, 0, 1, 0])[:, None]
    learns = [x.requires_grad_() for x in (decay, inputs, carry)]
    states = WAYS[way](decay, inputs, start, carry)
    # 0.5 * 8 + 1, 0.25 * 5 + 2, 3 alone, 3 * 3 + 4
    assert states.flatten().tolist() == [5.0, 3.25, 3.0, 13.0]
    found = torch.autograd.grad(states.sum(), learns)
    # from the last: by inputs 1, then 1 + 3, then 1 alone, then 1 + 0.25; by decay times the state before
    expected = [0.5 * 0 + 1.25 * 8, 1 * 5, 0, 1 * 3], [1.25, 1, 4, 1], [1.25 * 0.5]
    assert [x.flatten().tolist() for x in found] == [list(map(float, each)) for each in expected]


@pytest.mark.parametrize("way", WAYS)
def test_a_complex_decay_turns_by_hand(way):
    decay, inputs = torch.tensor([0.5j]), torch.tensor([1.0 + 0j, 0, 0, 0])[:, None, None]
    states = WAYS[way](decay, inputs)
    torch.testing.assert_close(states.flatten(), torch.tensor([1.0, 0.5j, -0.25, -0.125j]))


@given(
    steps=st.integers(1, 40),
    batch=st.integers(1, 3),
    width=st.integers(1, 20),
    kind=st.sampled_from([torch.float32, torch.complex64]),
    steady=st.booleans(),
    seed=st.integers(0, 10_000),
    share=st.sampled_from([0.0, 0.2, 1.0]),
)
@example(steps=12, batch=1, width=1, kind=torch.float32, steady=True, seed=8527, share=0.0)  # terms that cancel
@settings(max_examples=40, deadline=None)
def test_all_ways_have_the_values_and_gradients_of_the_loop(steps, batch, width, kind, steady, seed, share):
    *tensors, upstream = made(steps, batch, width, kind, steady, seed, share)
    """Within the rounding of what is added up, which may be much larger than what it comes to."""
    exact = [None if x is None else x.to(torch.complex128 if x.is_complex() else torch.float64) for x in tensors]
    found, sizes = {}, [None if x is None else x.abs() for x in exact]
    cases = {name: (way, tensors) for name, way in WAYS.items()} | {"exact": (loop, exact), "size": (loop, sizes)}
    for name, (way, given_to) in cases.items():
        decay, inputs, carry = (given_to[i].clone().requires_grad_() for i in (0, 1, 3))
        states = way(decay, inputs, tensors[2], carry)
        above = (upstream.abs() if name == "size" else upstream).to(states.dtype)
        found[name] = [states.detach(), *torch.autograd.grad(states, (decay, inputs, carry), above)]
    for name in WAYS:
        for ours, right, size in zip(found[name], found["exact"], found["size"], strict=True):
            assert (ours - right).abs().max() <= 1e-6 * max(1.0, float(size.max())), name


@pytest.mark.parametrize("way", [plain, loop])
@pytest.mark.parametrize("kind", [torch.float64, torch.complex128])
@pytest.mark.parametrize("steady", [False, True])
def test_gradients_and_their_gradients_are_those_of_differences(way, kind, steady):
    decay, inputs, _, carry, _ = made(5, 1, 2, kind, steady)
    start = torch.tensor([0.0, 0, 0, 1, 0])[:, None]
    learns = [x.requires_grad_() for x in (decay, inputs, carry)]
    assert torch.autograd.gradcheck(lambda a, u, h: way(a, u, start, h), learns)
    if way is plain:
        assert torch.autograd.gradgradcheck(lambda a, u, h: way(a, u, start, h), learns)


def test_the_compiled_scan_has_second_derivatives_too():
    found = []
    for way in (scan, loop):
        decay, inputs, start, carry, _ = made(7, 2, 3)
        learns = [x.requires_grad_() for x in (decay, inputs, carry)]
        states = way(decay, inputs, start, carry)
        first = torch.autograd.grad(states.square().sum(), learns, create_graph=True)
        found.append(torch.autograd.grad(sum(x.square().sum() for x in first), learns))
    for ours, right in zip(*found, strict=True):
        torch.testing.assert_close(ours, right, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [torch.float32, torch.complex64])
@pytest.mark.parametrize("steady", [False, True])
def test_long_scans_stay_exact(kind, steady):
    """At the length and width of real runs, and decays near 1, where the rounding of float32 adds up in any order."""
    decay, inputs, start, carry, upstream = made(1000, 4, 32, kind, steady, share=0.002)
    decay = decay / decay.abs() * (1 - 0.01 * torch.rand(decay.shape))
    found = []
    for way, double in ((scan, False), (plain, False), (loop, True)):
        tensors = [
            (x.to(torch.complex128 if x.is_complex() else torch.float64) if double else x)
            for x in (decay, inputs, carry, upstream)
        ]
        learns = [x.clone().requires_grad_() for x in tensors[:3]]
        states = way(learns[0], learns[1], start, learns[2])
        found.append([states.detach(), *torch.autograd.grad(states, learns, tensors[3])])
    for name, ours in zip(("compiled", "plain"), found[:2], strict=True):
        for mine, right in zip(ours, found[2], strict=True):
            assert (mine - right).abs().max() <= 3e-6 * right.abs().max(), name


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_nothing_that_is_no_number_outlives_its_episode(way, broken):
    decay, inputs, _, carry, _ = made(9, 2, 3)
    start = torch.zeros(9, 2)
    start[0, 1] = start[4] = 1
    expected = WAYS[way](decay[4:], inputs[4:], start[4:])
    decay, inputs, carry = decay.clone(), inputs.clone(), carry.clone()
    inputs[2, 0] = carry[1] = broken
    learns = [x.requires_grad_() for x in (decay, inputs, carry)]
    states = WAYS[way](decay, inputs, start, carry)
    assert not states[2:4, 0].isfinite().any() and states[:4, 1].isfinite().all()
    assert torch.equal(states[4:], expected)
    d_decay, d_inputs, d_carry = torch.autograd.grad(states[4:].square().sum(), learns)
    for gradient in (d_decay[4:], d_inputs, d_carry):  # by a decay of before it is 0 times what is no number
        assert gradient.isfinite().all()


@pytest.mark.parametrize("way", WAYS)
def test_half_precision_is_computed_in_float32(way):
    decay, inputs, start, carry, _ = made(30, 2, 5)
    halves = [x.bfloat16() for x in (decay, inputs, carry)]
    halves[1].requires_grad_()
    states = WAYS[way](halves[0], halves[1], start, halves[2])
    expected = loop(halves[0].float(), halves[1].float(), start, halves[2].float())
    assert states.dtype == torch.float32
    torch.testing.assert_close(states, expected, rtol=1e-6, atol=1e-6)
    states.sum().backward()
    assert halves[1].grad.dtype == torch.bfloat16


@pytest.mark.parametrize("way", [scan, plain])
@pytest.mark.parametrize("steady", [False, True])
def test_seeds_side_by_side_are_scans_of_their_own(way, steady):
    each = [made(6, 2, 3, steady=steady, seed=seed) for seed in range(3)]
    start = each[0][2]
    decay, inputs, carry = (torch.stack([one[i] for one in each]).requires_grad_() for i in (0, 1, 3))
    together = torch.func.vmap(way, in_dims=(0, 0, None, 0))(decay, inputs, start, carry)
    found = torch.autograd.grad(together.square().sum(), (decay, inputs, carry))
    for k, (a, u, _, h, _) in enumerate(each):
        mine = [x.clone().requires_grad_() for x in (a, u, h)]
        alone = loop(mine[0], mine[1], start, mine[2])
        torch.testing.assert_close(together[k], alone)
        torch.testing.assert_close([x[k] for x in found], list(torch.autograd.grad(alone.square().sum(), mine)))


def test_the_kernels_are_called_where_they_can_be(monkeypatch):
    calls, real = [], scans.scan_forward
    monkeypatch.setattr(scans, "scan_forward", lambda *arrays: (calls.append(1), real(*arrays)))
    decay, inputs, start, carry, _ = made(5, 2, 3)
    scan(decay, inputs)
    scan(decay.bfloat16(), inputs.bfloat16(), start, carry)
    assert len(calls) == 2
    scan(decay.double(), inputs.double())
    plain(decay, inputs)
    scan(decay[:1], inputs[:1])
    assert len(calls) == 2
