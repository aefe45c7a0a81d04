"""The conditional VAE against numbers by hand, against torch's own distributions, and on two states."""

import math

import torch
from torch.distributions import Independent, Normal, kl_divergence

from torchkit.cvae import ConditionalGaussian, Gaussian, elbo


def constant(in_dim, context_dim, mean, std):
    """A Gaussian that looks at nothing."""
    net = ConditionalGaussian(in_dim, context_dim, (4,), len(mean), min_std=0.0)
    raw = [math.log(math.expm1(value)) for value in std]
    with torch.no_grad():
        net.rest[-1].weight.zero_()
        net.rest[-1].bias.copy_(torch.tensor([*mean, *raw]))
    return net


def test_the_evidence_bound_by_hand():
    posterior, decoder = constant(1, 2, [0.5], [0.5]), constant(1, 2, [2.0], [1.0])
    bound = elbo(posterior, decoder, torch.tensor([3.0]), torch.zeros(2), torch.tensor([1.0]))
    # z = 0.5 + 0.5 · 1 = 1; with c = log √2π: log N(1; 0, 1) = -1/2 - c, log N(3; 2, 1) = -1/2 - c,
    # log N(1; 0.5, 0.5) = -1/2 + log 2 - c; together -1/2 - log 2 - c
    assert math.isclose(bound.item(), -0.5 - math.log(2) - 0.5 * math.log(2 * math.pi), rel_tol=1e-6)


def test_the_evidence_bound_equals_torch_distributions():
    torch.manual_seed(0)
    posterior, decoder = ConditionalGaussian(3, 5, (8, 7), 2, 0.1), ConditionalGaussian(2, 5, (8, 7), 3, 0.1)
    x, context, noise = torch.randn(6, 4, 3), torch.randn(6, 4, 5), torch.randn(6, 4, 2)

    def plain(net, x):
        raw = net.rest(torch.cat([x, context], -1) @ torch.cat([net.of_input.weight, net.of_context.weight], 1).T
                       + net.of_context.bias)  # fmt: skip
        mean, spread = raw.chunk(2, -1)
        return Independent(Normal(mean, torch.nn.functional.softplus(spread) + 0.1), 1)

    q = plain(posterior, x)
    z = q.mean + q.stddev * noise
    expected = Independent(Normal(torch.zeros_like(z), 1.0), 1).log_prob(z) + plain(decoder, z).log_prob(x)
    torch.testing.assert_close(elbo(posterior, decoder, x, context, noise), expected - q.log_prob(z))


def test_divergence_from_the_standard_normal():
    torch.manual_seed(0)
    q = Gaussian(torch.randn(5, 3), torch.rand(5, 3) + 0.1)
    plain = Independent(Normal(q.mean, q.std), 1)
    standard = Independent(Normal(torch.zeros(5, 3), 1.0), 1)
    torch.testing.assert_close(q.kl_to_standard(), kl_divergence(plain, standard))


def test_many_inputs_to_a_context_are_the_same_as_one_at_a_time():
    torch.manual_seed(0)
    net = ConditionalGaussian(3, 5, (8, 7), 2, 0.1)
    x, context = torch.randn(4, 6, 3), torch.randn(4, 5)
    together = net(x, context[:, None])
    for i in range(4):
        for k in range(6):
            alone = net(x[i, k], context[i])
            torch.testing.assert_close(together.mean[i, k], alone.mean)
            torch.testing.assert_close(together.std[i, k], alone.std)


def test_samples_have_the_proportions_of_what_the_context_leaves_open():
    """x is one of two points; context 0 leaves open which (30 % the right one), contexts -1 and 1 tell."""
    torch.manual_seed(0)
    decoder, posterior = ConditionalGaussian(2, 1, (32, 32), 2, 0.1), ConditionalGaussian(2, 1, (32, 32), 2, 0.1)
    parameters = [*decoder.parameters(), *posterior.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=3e-3, fused=True)
    for _ in range(800):
        context = torch.randint(-1, 2, (128, 1)).float()
        right = torch.where(context == 0, torch.rand(128, 1) < 0.3, context > 0)
        x = torch.where(right, 1.0, -1.0).expand(128, 2)
        loss = -elbo(posterior, decoder, x, context, torch.randn(128, 2)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        context = torch.tensor([[0.0], [-1.0], [1.0]])
        x = decoder(torch.randn(4000, 2), context[:, None]).at(torch.randn(3, 4000, 2))
    near = (x.abs() - 1).abs().amax(-1) < 0.5
    assert near.float().mean() > 0.9  # either point, hardly ever between them
    both = (x > 0).float().mean(-1) % 1 == 0
    assert both.float().mean() > 0.95  # the two coordinates agree
    share = (x[..., 0] > 0).float().mean(1)
    torch.testing.assert_close(share, torch.tensor([0.3, 0.0, 1.0]), atol=0.08, rtol=0)
