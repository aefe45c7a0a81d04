"""Gates by kernels against torch's own operations, gradients too, and who gets which."""

import pytest
import torch

from torchkit.fast import kernels
from torchkit.sequence import bmru, mingru, stack

CASES = {"glu": (stack.GLU, 2, 0), "mingru": (mingru.GATES, 2, 0), "bmru": (bmru.GATES, 1, 2)}


def made(kind, shape=(70, 20, 33)):
    torch.manual_seed(0)
    gates, parts, vectors = CASES[kind]
    x = 3 * torch.randn(*shape[:-1], parts * shape[-1])
    return gates, [x.requires_grad_(), *(torch.randn(shape[-1]).requires_grad_() for _ in range(vectors))]


def outputs_and_gradients(function, inputs):
    outputs = function(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    torch.manual_seed(1)
    loss = sum((torch.randn(each.shape) * each).sum() for each in outputs)
    return [*outputs, *torch.autograd.grad(loss, inputs)]


@pytest.mark.parametrize("kind", CASES)
def test_values_and_gradients_are_those_of_torch(kind):
    gates, inputs = made(kind)
    exact = [x.detach().double().requires_grad_() for x in inputs]
    for ours, right in zip(
        outputs_and_gradients(gates, inputs), outputs_and_gradients(gates.plain, exact), strict=True
    ):
        assert ours.dtype == torch.float32
        assert (ours - right).abs().max() < 2e-6 * right.abs().max()


@pytest.mark.parametrize("kind", CASES)
def test_what_is_no_number_stays_so_in_its_own_place(kind):
    gates, inputs = made(kind, (4, 500, 33))
    with torch.no_grad():
        inputs[0][1, 2], inputs[0][3, 0] = torch.nan, torch.inf
        for way in (gates, gates.plain):
            outputs = way(*inputs)
            for each in outputs if isinstance(outputs, tuple) else (outputs,):
                broken = each.isnan().any(-1)
                assert broken[1, 2] and not broken[0].any() and not broken[2].any()
    for ours, right in zip(gates(*inputs), gates.plain(*inputs), strict=True):
        torch.testing.assert_close(ours, right, equal_nan=True)


@pytest.mark.parametrize("kind", CASES)
def test_kernels_serve_many_rows_of_float32_and_torch_the_rest(kind, monkeypatch):
    gates, inputs = made(kind)
    calls, real = [], getattr(kernels, f"{kind}_forward")
    monkeypatch.setattr(kernels, f"{kind}_forward", lambda *arrays: (calls.append(1), real(*arrays)))
    gates(*inputs)
    assert len(calls) == 1
    gates(inputs[0][0, :2], *inputs[1:])
    gates(*(x.double() for x in inputs))
    assert len(calls) == 1


@pytest.mark.parametrize("kind", CASES)
def test_seeds_side_by_side_are_those_of_torch(kind):
    gates, inputs = made(kind)
    stacked = [torch.stack([x.detach(), 2 * x.detach()]).requires_grad_() for x in inputs]
    found, right = (
        outputs_and_gradients(lambda *each, way=way: torch.func.vmap(way)(*each), stacked)
        for way in (gates, gates.plain)
    )
    for ours, theirs in zip(found, right, strict=True):
        torch.testing.assert_close(ours, theirs)
