"""Linear layers by kernels against torch's own, their gradients too, and who gets which."""

import pytest
import torch
from torch import nn

from torchkit.fast import dense as fast
from torchkit.fast import kernels
from torchkit.networks import MLP, mlp


def layers_of(net: nn.Sequential) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(layer.weight, layer.bias) for layer in net if isinstance(layer, nn.Linear)]


@pytest.mark.parametrize(
    "rows, widths",
    [(1, (1, 1)), (9, (3, 2)), (70, (33, 31, 4)), (200, (40, 64, 70, 5)), (129, (192, 256, 256, 4)), (0, (3, 8, 2))],
)
def test_values_and_gradients_are_those_of_torch(rows, widths):
    torch.manual_seed(0)
    net = mlp(widths[0], widths[1:-1], widths[-1], out_bound=None)
    x, given = torch.randn(rows, widths[0], requires_grad=True), torch.randn(rows, widths[-1])
    found = fast.dense(x, layers_of(net))
    gradients = torch.autograd.grad(found, [x, *net.parameters()], given)
    exact, x_exact = mlp(widths[0], widths[1:-1], widths[-1]).double(), x.detach().double().requires_grad_()
    exact.load_state_dict(net.state_dict())
    expected = exact(x_exact)
    exactly = torch.autograd.grad(expected, [x_exact, *exact.parameters()], given.double())
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-5)
    for gradient, right in zip(gradients, exactly, strict=True):
        torch.testing.assert_close(gradient.double(), right, atol=1e-5, rtol=1e-4)


def test_the_rows_may_lie_anywhere_and_their_gradient_is_made_only_where_it_is_asked_for(monkeypatch):
    torch.manual_seed(0)
    net, x = mlp(6, (8,), 3), torch.randn(6, 5, 4).permute(1, 2, 0)
    given, sizes, real = torch.randn(5, 4, 3), [], kernels.dense_backward
    monkeypatch.setattr(kernels, "dense_backward", lambda *arrays: (sizes.append(len(arrays[5])), real(*arrays)))
    found = torch.autograd.grad(fast.dense(x, layers_of(net)), list(net.parameters()), given)
    net.fast = False
    for gradient, right in zip(found, torch.autograd.grad(net(x), list(net.parameters()), given), strict=True):
        torch.testing.assert_close(gradient, right)
    assert sizes == [20, 0]


@pytest.mark.parametrize("hidden", [(), (8,), (40, 70)])
@pytest.mark.parametrize("beside", [0, 5])
@pytest.mark.parametrize("chosen", [True, False])
def test_chosen_rows_and_inputs_of_which_few_differ_are_the_same_as_all_rows_made_full(hidden, beside, chosen):
    torch.manual_seed(0)
    net, x = mlp(33 + beside, hidden, 3, out_bound=None), torch.randn(15, 9, 33, requires_grad=True)
    few, place = torch.randn(7, beside, requires_grad=True), torch.randint(7, (15, 9))
    rows, given = (torch.randperm(135)[:77] if chosen else None), torch.randn(15, 9, 3)
    found = net.of_rows(x, rows, (few, place) if beside else None)
    counts = torch.ones(135) if rows is None else torch.zeros(135).index_fill(0, rows, 1.0)
    net.fast = False
    expected = net(torch.cat([x, few[place]], -1)) * counts.view(15, 9, 1)
    learns = [x, *([few] if beside else []), *net.parameters()]
    gradients, right = (torch.autograd.grad(out, learns, given) for out in (found, expected))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    for gradient, exact in zip(gradients, right, strict=True):
        torch.testing.assert_close(gradient, exact, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("chosen", [None, 100])
@pytest.mark.parametrize("tail", [0, 1, 64, 90, 129, 200])
@pytest.mark.parametrize("hidden", [(), (40, 70)])
def test_rows_at_the_end_that_get_no_gradient_are_left_out_of_it(monkeypatch, hidden, tail, chosen):
    torch.manual_seed(0)
    net, x, given = mlp(33, hidden, 3, out_bound=None), torch.randn(200, 33, requires_grad=True), torch.randn(200, 3)
    rows = None if chosen is None else torch.arange(chosen)
    given[200 - tail :] = 0.0
    given[5] = 0.0  # one in between counts as the others
    sizes, plain, some = [], kernels.dense_backward, kernels.rows_backward
    monkeypatch.setattr(kernels, "dense_backward", lambda *arrays: (sizes.append(len(arrays[0])), plain(*arrays)))
    monkeypatch.setattr(kernels, "rows_backward", lambda *arrays: (sizes.append(len(arrays[1])), some(*arrays)))
    found = torch.autograd.grad(net.of_rows(x, rows), [x, *net.parameters()], given)
    counted = min(200 if chosen is None else chosen, 200 - tail)
    assert all(counted <= size < counted + fast.BLOCK for size in sizes)
    assert len(sizes) == len(hidden) + 1
    if chosen is not None:
        given[chosen:] = 0.0
    net.fast = False
    for gradient, exact in zip(found, torch.autograd.grad(net(x), [x, *net.parameters()], given), strict=True):
        torch.testing.assert_close(gradient, exact, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("widths", [(11, 256), (5, 40, 3)])
def test_a_relu_at_the_end_is_that_of_torch(widths):
    torch.manual_seed(0)
    net, x = MLP(*mlp(widths[0], widths[1:-1], widths[-1], out_bound=None), nn.ReLU()), torch.randn(70, widths[0])
    given = torch.randn(70, widths[-1])
    x.requires_grad_()
    found = net.of_rows(x)
    gradients = torch.autograd.grad(found, [x, *net.parameters()], given)
    net.fast = False
    expected = net(x)
    assert (expected == 0).any()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    for gradient, exact in zip(gradients, torch.autograd.grad(expected, [x, *net.parameters()], given), strict=True):
        torch.testing.assert_close(gradient, exact, atol=2e-5, rtol=1e-4)


def test_a_row_or_a_place_beyond_the_end_is_refused():
    net, x, few = mlp(6, (8,), 2), torch.randn(3, 4), torch.randn(2, 2)
    for rows, place in (([0, 3], [0, 0, 0]), ([0, 1], [0, 2, 0]), ([-1], [0, 0, 0])):
        with pytest.raises(IndexError):
            net.of_rows(x, torch.tensor(rows), (few, torch.tensor(place)))


def test_a_nan_stays_one():
    net, x = mlp(4, (8,), 2), torch.zeros(3, 4)
    x[1, 2] = torch.nan
    assert fast.dense(x, layers_of(net)).isnan().all(-1).tolist() == [False, True, False]


def test_many_rows_on_one_thread_get_the_kernels_and_all_else_torchs_own(monkeypatch):
    calls, real = [], kernels.dense_forward
    monkeypatch.setattr(kernels, "dense_forward", lambda *arrays: (calls.append(1), real(*arrays)))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    net = mlp(4, (8,), 2)
    x = torch.randn(fast.WORK // 48, 4)  # 4 × 8 and 8 × 2 multiplications a row
    net(x)
    assert len(calls) == 2
    net(x[1:])
    net.double()(x.double())
    net.float()
    with torch.autocast("cpu", torch.bfloat16):
        net(x)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    net(x)
    net.fast = False
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    net(x)
    assert len(calls) == 2


def test_a_wide_network_gets_them_for_fewer_rows_but_never_for_one():
    assert mlp(100, (100,), 100).fewest == fast.WORK // 20_000
    assert mlp(2000, (), 1000).fewest == fast.FEW


def test_layers_that_do_not_fit_are_refused():
    x = torch.zeros(3, 4)
    with pytest.raises(ValueError, match=r"\(5, 6\) and \(5,\) for 4 inputs"):
        fast.dense(x, [(torch.zeros(5, 6), torch.zeros(5))])
    with pytest.raises(TypeError, match="float64"):
        fast.dense(x, [(torch.zeros(5, 4), torch.zeros(5, dtype=torch.float64))])
    with pytest.raises(ValueError, match=r"places \(2,\) for rows \(3,\)"):
        fast.dense(
            x, [(torch.zeros(5, 5), torch.zeros(5))], shared=(torch.zeros(1, 1), torch.zeros(2, dtype=torch.int64))
        )
