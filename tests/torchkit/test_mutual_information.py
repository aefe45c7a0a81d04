"""Estimators of mutual information: by hand, and on Gaussians whose information is known."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import softplus

from buffers.transitions import Batch, row_ids
from torchkit.fast.adam import Adam
from torchkit.mutual_information import Club, club_log_likelihood, club_upper_bound, club_upper_bound_of_pairs, jsd_loss

DIM = 4


def correlated(rho, num, generator):
    """x and y (num, DIM), standard normal; each component of y has correlation rho with its own of x."""
    x = torch.randn(num, DIM, generator=generator)
    return x, rho * x + math.sqrt(1 - rho**2) * torch.randn(num, DIM, generator=generator)


def information(rho):
    return -0.5 * DIM * math.log(1 - rho**2)


# rho: I(x; y) in nats, what CLUB says with the true p(y | x) (DIM rho² / (1 - rho²)), what a fitted CLUB said here
CLUB_FIGURES = {
    0.0: (0.000, 0.000, 0.00),
    0.3: (0.189, 0.396, 0.39),
    0.5: (0.575, 1.333, 1.31),
    0.7: (1.347, 3.843, 3.85),
}


@pytest.mark.parametrize("rho", CLUB_FIGURES)
def test_club_is_above_the_information_of_gaussians_and_where_theory_puts_it(rho):
    truth, bound, figure = CLUB_FIGURES[rho]
    assert truth == pytest.approx(information(rho), abs=1e-3)
    assert bound == pytest.approx(DIM * rho**2 / (1 - rho**2), abs=1e-3)
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    club = Club(DIM, DIM)
    optimiser = torch.optim.Adam(club.parameters(), lr=3e-3, fused=True)
    for _ in range(800):
        optimiser.zero_grad()
        (-club.log_likelihood(*correlated(rho, 512, generator)).mean()).backward()
        optimiser.step()
    with torch.no_grad():
        x, y = correlated(rho, 50_000, generator)
        estimate = club.upper_bound(x, y, torch.randperm(len(x), generator=generator)).item()
    assert estimate > truth - 0.03
    assert estimate == pytest.approx(bound, rel=0.1, abs=0.05)
    assert estimate == pytest.approx(figure, abs=0.1)


# rho: twice the Jensen-Shannon divergence of the joint from the product, by sampling with the true ratio; and learnt
JSD_FIGURES = {0.0: (0.0, 0.0), 0.4: (0.167, 0.170), 0.6: (0.401, 0.401), 0.8: (0.793, 0.783), 0.95: (1.244, 1.205)}


def log_ratio(x, y, rho):
    """log p(x, y) / (p(x) p(y)), (num,)."""
    quadratic = (rho**2 * (x**2 + y**2) - 2 * rho * x * y) / (2 * (1 - rho**2))
    return (-quadratic - 0.5 * math.log(1 - rho**2)).sum(-1)


def learnt_jsd(rho):
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    u, v = (nn.Sequential(nn.Linear(DIM, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32)) for _ in "uv")
    optimiser = torch.optim.Adam([*u.parameters(), *v.parameters()], lr=2e-3, fused=True)
    for _ in range(500):
        x, y = correlated(rho, 192, generator)
        optimiser.zero_grad()
        jsd_loss(u(x), v(y), torch.eye(len(x))).backward()
        optimiser.step()
    with torch.no_grad():
        x, y = correlated(rho, 2000, generator)
        return -jsd_loss(u(x), v(y), torch.eye(len(x))).item()


def true_jsd(rho):
    generator = torch.Generator().manual_seed(2)
    x, y = correlated(rho, 100_000, generator)
    joint, product = log_ratio(x, y, rho), log_ratio(x, y[torch.randperm(len(y), generator=generator)], rho)
    return (2 * math.log(2) - softplus(-joint).mean() - softplus(product).mean()).item()


def test_jsd_rises_with_the_correlation_and_stays_below_the_divergence_that_it_bounds():
    learnt = [learnt_jsd(rho) for rho in JSD_FIGURES]
    for (rho, (truth, figure)), value in zip(JSD_FIGURES.items(), learnt):
        assert true_jsd(rho) == pytest.approx(truth, abs=0.01)
        assert value < truth + 0.02
        assert value > 0.95 * truth - 0.02
        assert value == pytest.approx(figure, abs=0.03)
    assert learnt == sorted(learnt)


def test_jsd_by_hand():
    local, views = torch.tensor([[1.0], [0.0]]), torch.tensor([[2.0], [0.0]])
    # scores [[2, 0], [0, 0]]: E⁺(2) = ln 2 - softplus(-2) = 0.566219, E⁺(0) = E⁻(0) = 0
    assert jsd_loss(local, views, torch.eye(2)).item() == pytest.approx(-0.566219 / 2, abs=1e-6)
    # scores [[2, 2], [2, 2]] and a false diagonal: E⁻(2) = softplus(-2) + 2 - ln 2 = 1.433781
    local, views = torch.tensor([[1.0], [1.0]]), torch.tensor([[2.0], [2.0]])
    assert jsd_loss(local, views, torch.eye(2)).item() == pytest.approx(1.433781 - 0.566219, abs=1e-6)


def test_jsd_of_equal_rows_has_no_negatives():
    x = torch.randn(5, 3)
    loss = jsd_loss(x, x, torch.ones(5, 5))
    assert loss.item() == pytest.approx((softplus(-x @ x.T) - math.log(2)).mean().item(), abs=1e-5)


def test_jsd_with_counts_is_that_of_the_rows_written_out():
    torch.manual_seed(0)
    local, views, count = torch.randn(4, 3), torch.randn(4, 3), torch.tensor([1.0, 3.0, 2.0, 0.0])
    index = torch.repeat_interleave(torch.arange(4), count.long())
    full = jsd_loss(local[index], views[index], (index[:, None] == index).float())
    torch.testing.assert_close(jsd_loss(local, views, torch.eye(4), count), full)


def test_club_by_hand():
    mu, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [3.0]])
    # gaps: (0 - 3)² - 0 = 9 and (1 - 0)² - (1 - 3)² = -3; half their mean is 1.5, halved again by a variance of 2
    assert club_upper_bound(mu, torch.zeros(2, 1), y, y.flip(0)).item() == pytest.approx(1.5)
    assert club_upper_bound(mu, torch.full((2, 1), math.log(2)), y, y.flip(0)).item() == pytest.approx(0.75)
    expected = [0.0 - math.log(2), -4 / 2 - math.log(2)]
    assert club_log_likelihood(mu, torch.full((2, 1), math.log(2)), y).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("rows", [1, 9, 90])
@pytest.mark.parametrize("dtype", [torch.float, torch.double])
def test_the_gradient_of_club_by_its_kernel_is_that_of_autograd(dtype, rows):
    generator = torch.Generator().manual_seed(0)
    x, y = (2 * torch.randn(rows, width, generator=generator).double() for width in (5, 3))
    weight = torch.rand(rows, generator=generator).double()
    torch.manual_seed(0)
    exact = Club(5, 3, hidden_dim=7).double()
    likelihood = weight @ exact.log_likelihood(x, y)
    expected = torch.autograd.grad(-likelihood, list(exact.parameters()))
    club = copy.deepcopy(exact).to(dtype)
    given = [tensor.to(dtype) for tensor in (x, y, weight)]
    before = [tensor.clone() for tensor in given]
    for parameter in club.parameters():
        parameter.grad = torch.full_like(parameter, torch.nan)  # what was there before counts for nothing
    torch.testing.assert_close(club.ascent()(*given), likelihood.detach().to(dtype), rtol=1e-5, atol=1e-5)
    for parameter, gradient in zip(club.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient.to(dtype), rtol=1e-4, atol=1e-5)
    assert all(torch.equal(a, b) for a, b in zip(given, before, strict=True))


def test_steps_by_clubs_kernel_are_those_by_autograd():
    torch.manual_seed(0)
    pairs = [(torch.randn(30, 5), torch.randn(30, 3), torch.rand(30) / 30) for _ in range(6)]
    ours = Club(5, 3, hidden_dim=7)
    plain = copy.deepcopy(ours)
    optimisers = [Adam(club.parameters(), 1e-2) for club in (ours, plain)]
    ascend = ours.ascent()
    for batch in pairs:
        optimisers[0].zero_grad()  # the gradients that are forgotten are set again
        torch.testing.assert_close(ascend(*batch), plain._ascend_by_autograd(*batch))
        for optimiser in optimisers:
            optimiser.step()
    for a, b in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_club_sums_over_dimensions():
    one, both = (torch.tensor([[0.0] * k, [1.0] * k]) for k in (1, 2))
    logvar = torch.zeros(2, 2)
    bound = club_upper_bound(both, logvar, both, both.flip(0))
    assert bound.item() == pytest.approx(2 * club_upper_bound(one, logvar[:, :1], one, one.flip(0)).item())


def test_the_club_bound_of_repeated_rows_is_that_of_the_pairs_written_out():
    generator = torch.Generator().manual_seed(0)
    mu, logvar, y = torch.randn(3, 4, 5, generator=generator, dtype=torch.double).requires_grad_().unbind()
    place = torch.randint(3, (30,), generator=generator)  # the last of the four rows does not occur
    permutation = torch.randperm(30, generator=generator)
    batch = Batch(torch.arange(4), place.bincount(minlength=4).double(), place)
    met = batch.pairs(permutation)
    expected = sum(place[i] == 0 and place[permutation[i]] == 1 for i in range(30)) / 30
    assert met.sum().item() == pytest.approx(1) and met[0, 1].item() == pytest.approx(expected.item())
    pairs = club_upper_bound_of_pairs(mu, logvar, y, met.double() - batch.share_D.diag())
    plain = club_upper_bound(mu[place], logvar[place], y[place], y[place][permutation])
    torch.testing.assert_close(pairs, plain)
    for ours, theirs in zip(
        *(torch.autograd.grad(bound, (mu, logvar, y), retain_graph=True) for bound in (pairs, plain))
    ):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("offset", [0.0, 10.0, 100.0])
def test_the_club_bound_of_pairs_is_exact_however_far_embeddings_are_from_0(offset):
    generator = torch.Generator().manual_seed(0)
    mu, logvar, y = 0.1 * torch.randn(3, 20, 5, generator=generator)
    mu, y = mu + offset, y + offset
    place, permutation = torch.arange(20), torch.randperm(20, generator=generator)
    batch = Batch(place, torch.ones(20), place)
    found = club_upper_bound_of_pairs(mu, logvar, y, batch.pairs(permutation) - batch.share_D.diag())
    exact = club_upper_bound(mu.double(), logvar.double(), y.double(), y.double()[permutation])
    assert found.item() == pytest.approx(exact.item(), rel=1e-4)


def test_club_refuses_pairs_that_its_kernel_would_misread():
    club = Club(5, 3)
    for x, y, weight in (((4, 3), (4, 3), 4), ((4, 5), (3, 3), 4), ((4, 5), (4, 2), 4), ((4, 5), (4, 3), 3)):
        with pytest.raises(ValueError, match="pairs of shapes"):
            club.ascent()(torch.zeros(x), torch.zeros(y), torch.zeros(weight))


@given(st.integers(1, 40), st.integers(1, 3), st.integers(0, 2**31))
@settings(max_examples=50, deadline=None)
def test_rows_have_one_id_exactly_where_they_are_equal_element_by_element(num, width, seed):
    x = np.random.default_rng(seed).integers(-1, 2, (num, width)).astype(np.float32) * np.float32(0.1)
    x[0] = -0.0  # which equals 0.0
    ids, first = row_ids(x)
    equal = (x[:, None] == x[None]).all(-1)
    np.testing.assert_array_equal(ids[:, None] == ids, equal)
    np.testing.assert_array_equal(x[first][ids], x)
    assert ids.max() + 1 == len(first) == len(np.unique(ids))


def test_nearly_equal_rows_differ():
    x = np.zeros((2, 14_112), np.float32)
    x[1, -1] = np.nextafter(np.float32(0), np.float32(1))
    assert row_ids(x)[0].tolist() == [0, 1]
