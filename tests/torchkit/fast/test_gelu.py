"""GELU by kernels against torch's own, its gradient too, and who gets which."""

import pytest
import torch
import torch.nn.functional as F

from torchkit.fast import kernels
from torchkit.fast.gelu import gelu, tanh_gelu
from torchkit.sequence import GPT


@pytest.mark.parametrize("shape", [(7,), (3, 5), (2, 3, 33), (0, 4)])
def test_values_and_gradients_are_those_of_torch(shape):
    torch.manual_seed(0)
    x, given = (6 * torch.randn(shape)).requires_grad_(), torch.randn(shape)
    exact = x.detach().double().requires_grad_()
    out, expected = gelu(x), F.gelu(exact, approximate="tanh")
    (found,) = torch.autograd.grad(out, x, given)
    (gradient,) = torch.autograd.grad(expected, exact, given.double())
    torch.testing.assert_close(out.double(), expected, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(found.double(), gradient, atol=2e-6, rtol=2e-6)


def test_far_from_0_it_is_x_or_nothing_and_a_nan_stays():
    x = torch.tensor([-1e10, -50.0, -0.0, 50.0, 1e10, torch.nan], requires_grad=True)
    out = gelu(x)
    out.sum().backward()
    torch.testing.assert_close(out.detach(), torch.tensor([0, 0, 0, 50, 1e10, torch.nan]), equal_nan=True)
    torch.testing.assert_close(x.grad, torch.tensor([0, 0, 0.5, 1, 1, torch.nan]), equal_nan=True)


def test_training_gets_the_kernels_and_what_acts_or_is_batched_torchs_own(monkeypatch):
    calls, real = [], kernels.gelu_forward
    monkeypatch.setattr(kernels, "gelu_forward", lambda *arrays: (calls.append(1), real(*arrays)))
    memory, x = GPT(6, context=5), torch.randn(5, 2, 6)
    gelu(x)
    memory.encode(x)
    assert len(calls) == 2
    memory(x, torch.zeros(5, 2))
    memory.prepare_vmap()
    memory.encode(x)
    assert len(calls) == 2


def test_rows_that_do_not_lie_together_are_read_where_they_are():
    x = torch.randn(6, 5).t().requires_grad_()
    gelu(x).sum().backward()
    expected = x.detach().clone().requires_grad_()
    tanh_gelu(expected).sum().backward()
    torch.testing.assert_close(gelu(x), tanh_gelu(x))
    torch.testing.assert_close(x.grad, expected.grad)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_numbers_of_another_kind_are_left_to_torch(dtype, monkeypatch):
    monkeypatch.setattr(kernels, "gelu_forward", lambda *_: pytest.fail("a kernel of float32"))
    x = torch.randn(9, dtype=dtype)
    assert torch.equal(gelu(x), F.gelu(x, approximate="tanh"))
