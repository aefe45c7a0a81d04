"""Lower bounds on I(S; A), on Gaussians and small tables of which all is known, and the chains that draw from π e^T.

s ~ N(0, 1), a | s ~ N(ρs, 1 - ρ²); π = N(ks, t²), T = -c (a - bs)² / 2. I = -ln(1 - ρ²) / 2.
"""

import math

import numpy as np
import pytest
import torch
from scipy.special import ndtri

from torchkit.hamiltonian import hamiltonian
from torchkit.mutual_information import BOUNDS, information_bound, log_partition

ENTROPY = 0.5 * math.log(2 * math.pi * math.e)  # of the actions
INFORMATION = -0.5 * math.log(1 - 0.8**2)
STATES = torch.from_numpy(ndtri((np.arange(4000) + 0.5) / 4000))
NODES, WEIGHTS = (torch.from_numpy(x) for x in np.polynomial.hermite_e.hermegauss(60))
# ρ = 0.8; k, t, c, b: the bound by E log π alone, and the three others, by their closed forms
FIGURES = {
    (0.0, 1.0, 16 / 9, 1.25): (0.0000, 0.51083, 0.35740, -0.65608),
    (0.5, 0.9, 1.0, 1.2): (0.3276, 0.4996, 0.4840, -0.1750),
    (0.9, 0.5, 0.5, 0.3): (0.4531, 0.4395, 0.4337, -0.0214),
    (0.0, 2.0, 3.0, 0.7): (-0.3181, 0.4659, 0.4629, -0.9699),
}


def score(action, state, c, b):
    return -0.5 * c * (action - b * state) ** 2


def log_normal(x, mean, std):
    return -0.5 * ((x - mean) / std) ** 2 - math.log(std) - 0.5 * math.log(2 * math.pi)


def on_stored(k, t, c, b):
    """log π and T of stored actions, by quadrature: all (R·K,), of one weight each."""
    action = 0.8 * STATES[:, None] + math.sqrt(1 - 0.8**2) * NODES
    weight = WEIGHTS / WEIGHTS.sum() * len(NODES)
    return [
        (one * weight).flatten()
        for one in (log_normal(action, k * STATES[:, None], t), score(action, STATES[:, None], c, b))
    ]


@pytest.mark.parametrize("settings", FIGURES)
def test_bounds_are_those_of_the_closed_forms_and_in_their_order(settings):
    k, t, c, b = settings
    fit, *figures = FIGURES[settings]
    log_prob, stored = on_stored(*settings)
    assert (log_prob.mean() + ENTROPY).item() == pytest.approx(fit, abs=1e-3)
    sampled = score(k * STATES[:, None] + t * NODES, STATES[:, None], c, b)
    log_weight = (WEIGHTS / WEIGHTS.sum()).log().expand_as(sampled)
    found = [
        ENTROPY + information_bound(log_prob, stored, log_partition(sampled, bound, log_weight)).item()
        for bound in BOUNDS
    ]
    assert found == pytest.approx(figures, abs=1e-3)
    assert found[2] <= found[1] <= found[0] <= INFORMATION + 1e-3


# K: what the estimate of the first row comes to, and with the stored action among the samples
ESTIMATES = {5: (0.69, 0.40), 20: (0.551, 0.476), 50: (0.523, 0.492), 200: (0.511, 0.503)}


@pytest.mark.parametrize("K", ESTIMATES)
def test_few_samples_make_the_bound_too_great_and_the_stored_one_among_them_too_small(K):
    k, t, c, b = next(iter(FIGURES))
    generator = torch.Generator().manual_seed(K)
    state = torch.randn(20_000, 1, generator=generator, dtype=torch.float64)
    stored = 0.8 * state + 0.6 * torch.randn(state.shape, generator=generator, dtype=torch.float64)
    drawn = k * state + t * torch.randn(len(state), K, generator=generator, dtype=torch.float64)
    scores = [score(one, state, c, b) for one in (stored, drawn)]
    with_stored = torch.cat(scores, dim=1)
    log_prob = log_normal(stored, k * state, t)
    found = [
        ENTROPY + information_bound(log_prob, scores[0], log_partition(one, "misa")).item()
        for one in (scores[1], with_stored)
    ]
    assert found == pytest.approx(ESTIMATES[K], abs=0.025 if K == 5 else 0.012)
    assert found[1] < found[0]


def gradients(of_actor):
    """dI/dk and dI/d(ln t) of the second row, of what the actor lowers."""
    return [-one.item() for one in of_actor]


def test_the_actors_gradient_needs_what_the_normaliser_changes():
    k, t, c, b = (0.5, 0.9, 1.0, 1.2)
    exact, biased = (-0.016370, -0.118081), (0.370370, -0.444444)
    generator = torch.Generator().manual_seed(0)
    state = torch.randn(100_000, 1, generator=generator)
    slope, log_std = torch.tensor(k, requires_grad=True), torch.tensor(math.log(t), requires_grad=True)

    def log_prob(action):
        return -0.5 * ((action - slope * state) / log_std.exp()).square() - log_std

    def ascent(value):
        return [one.item() for one in torch.autograd.grad(value, (slope, log_std))]

    stored = 0.8 * state + 0.6 * torch.randn(state.shape, generator=generator)
    fit = log_prob(stored).mean()
    assert ascent(fit) == pytest.approx(biased, abs=0.01)
    drawn = k * state + t * torch.randn(len(state), 50, generator=generator)
    scores = score(drawn, state, c, b).requires_grad_()
    (weight,) = torch.autograd.grad(log_partition(scores, "misa"), scores)
    assert ascent(log_prob(stored).mean() - (weight * log_prob(drawn)).sum()) == pytest.approx(exact, abs=0.01)
    torch.manual_seed(0)
    few, start = state[:20_000], torch.randn(20_000, 1)
    found = hamiltonian(
        lambda e: (score(k * few + t * e, few, c, b) - 0.5 * e.square()).sum(-1),
        start,
        transitions=8,
        step=0.7,
        leaps=2,
    )
    state = few  # which log_prob reads
    chains, stored = k * few + t * found.position_CD, 0.8 * few + 0.6 * torch.randn(few.shape)
    assert ascent(log_prob(stored).mean() - log_prob(chains).mean()) == pytest.approx(exact, abs=0.03)
    assert found.acceptance > 0.85
    assert found.moved == 1.0


@pytest.mark.parametrize("bound", BOUNDS)
def test_the_critics_gradient_is_that_of_weighted_samples(bound):
    scores = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(log_partition(scores, bound), scores)
    weight = scores.detach().exp()
    expected = {
        "misa": weight / weight.sum(1, keepdim=True) / 4,
        "dv": weight / weight.sum(),
        "f": weight / math.e / weight.numel(),
    }[bound]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


def test_ascent_on_policy_and_critic_comes_to_the_information_of_a_table():
    generator = torch.Generator().manual_seed(1)
    joint = torch.rand(3, 4, generator=generator, dtype=torch.float64).square()
    given = joint / joint.sum(1, keepdim=True)  # p(a | s), of states alike
    marginal = given.mean(0)
    information = (given * (given / marginal).log()).sum() / 3
    logits, critic = (torch.zeros(3, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    optimiser = torch.optim.LBFGS([logits, critic], max_iter=200, line_search_fn="strong_wolfe")

    def loss():
        optimiser.zero_grad()
        log_prob = logits.log_softmax(1)
        bound = (given * (log_prob + critic)).sum() / 3 - log_partition(critic, "misa", log_prob)
        (-bound).backward()
        return -bound

    optimiser.step(loss)
    entropy = -(marginal * marginal.log()).sum()
    assert (entropy - loss()).item() == pytest.approx(information.item(), abs=1e-4)


@pytest.mark.parametrize(("mean", "std", "curvature"), [(0.2, 0.3, 10.0), (-0.8, 1.0, 4.0)])
def test_chains_draw_what_a_grid_says_of_a_policy_times_its_critic(mean, std, curvature):
    """tanh-Gaussian π, Q = -c (a - ½)² / 2: moments of the action under π e^Q, and every chain moves."""

    def q(action):
        return -0.5 * curvature * (action - 0.5) ** 2

    e = torch.linspace(-8, 8, 20_001, dtype=torch.float64)
    action = torch.tanh(mean + std * e)
    share = (q(action) - 0.5 * e.square()).softmax(0)
    expected = [(share * action**n).sum().item() for n in (1, 2)]
    torch.manual_seed(3)
    found = hamiltonian(
        lambda x: (q(torch.tanh(mean + std * x)) - 0.5 * x.square()).sum(-1), torch.randn(20_000, 1), 10, 0.5, 2
    )
    drawn = torch.tanh(mean + std * found.position_CD)
    assert [(drawn**n).mean().item() for n in (1, 2)] == pytest.approx(expected, abs=0.01)
    assert found.acceptance > 0.5
    assert found.moved > 0.999
