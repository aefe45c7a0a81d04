"""What a head's outputs mean, against torch's own distributions."""

import math

import pytest
import torch
from torch import distributions as td

from torchkit.actions import EDGE, LEAST_STD, ActionValues, Categorical, GaussianMixture, TanhGaussian

OUTPUT = torch.tensor([[0.3, -1.0, 0.7, 0.1], [2.0, 0.5, -0.2, -1.5]])


def test_action_values_and_logits_are_one_an_action_and_the_largest_is_best():
    for actions in (ActionValues(), Categorical()):
        assert actions.out_dim(4) == 4 and actions.discrete
        assert actions.best(OUTPUT).tolist() == [2, 0]


def test_logits_are_a_categorical_distribution():
    actions, theirs = Categorical(), td.Categorical(logits=OUTPUT)
    chosen = torch.tensor([3, 1])
    torch.testing.assert_close(actions.log_prob(OUTPUT, chosen), theirs.log_prob(chosen))
    torch.testing.assert_close(actions.entropy(OUTPUT), theirs.entropy())
    rows = OUTPUT.repeat_interleave(20_000, 0)
    drawn = actions.draw(rows, torch.Generator().manual_seed(0)).view(2, -1)
    share = torch.stack([(drawn == a).float().mean(1) for a in range(4)], 1)
    torch.testing.assert_close(share, theirs.probs, atol=0.01, rtol=0)
    time_major = torch.stack([OUTPUT, OUTPUT, OUTPUT])  # (T, B, A)
    torch.testing.assert_close(actions.distance(time_major, chosen.expand(3, 2)), -theirs.log_prob(chosen).expand(3, 2))


def test_mean_and_spread_are_a_gaussian_under_tanh():
    actions, normal = TanhGaussian(), td.Normal(OUTPUT[:, :2], OUTPUT[:, 2:].exp())
    assert actions.out_dim(2) == 4 and not actions.discrete
    torch.testing.assert_close(actions.best(OUTPUT), OUTPUT[:, :2].tanh())
    chosen = torch.tensor([[0.2, -0.6], [0.9, 0.0]])
    theirs = td.TransformedDistribution(normal, [td.TanhTransform()]).log_prob(chosen).sum(-1)
    torch.testing.assert_close(actions.log_prob(OUTPUT, chosen), theirs, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(actions.distance(OUTPUT, chosen), (OUTPUT[:, :2].tanh() - chosen).square().sum(-1))
    drawn = actions.draw(OUTPUT.repeat_interleave(20_000, 0), torch.Generator().manual_seed(0)).atanh().view(2, -1, 2)
    torch.testing.assert_close(drawn.mean(1), OUTPUT[:, :2], atol=0.05, rtol=0)
    torch.testing.assert_close(drawn.std(1), OUTPUT[:, 2:].exp(), atol=0.0, rtol=0.02)


@pytest.mark.parametrize(
    "std, close", [(0.01, 1e-5), (0.1, 1e-5), (0.5, 1e-5), (0.87, 1e-5), (1.0, 1e-5), (3.0, 0.003), (7.38, 0.1)]
)
@pytest.mark.parametrize("mean", [0.0, -0.7, 2.0])
def test_the_entropy_is_that_of_actions(mean, std, close):
    """By a sum over 200,001 points before the tanh, in double precision."""
    raw = torch.linspace(mean - 12 * std, mean + 12 * std, 200_001, dtype=torch.float64)
    normal = td.Normal(torch.tensor(mean, dtype=torch.float64), torch.tensor(std, dtype=torch.float64))
    slope = torch.log(4 / (raw.exp() + (-raw).exp()).square())
    expected = torch.trapezoid(normal.log_prob(raw).exp() * (slope - normal.log_prob(raw)), raw)
    output = torch.tensor([[mean, math.log(std)], [mean, math.log(std)]])
    found = TanhGaussian().entropy(output)
    assert found.tolist() == pytest.approx([expected.item()] * 2, abs=close)
    assert (found <= math.log(2)).all()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(TanhGaussian().entropy(output), found)


def test_entropy_is_most_where_actions_are_spread_evenly_and_pulls_a_spread_back_to_there():
    output = torch.tensor([[0.0, log_std] for log_std in (-2.0, -0.13, 2.0)], requires_grad=True)
    entropy = TanhGaussian().entropy(output)
    assert entropy.argmax() == 1 and math.log(2) - 0.02 < entropy[1] < math.log(2)
    entropy.sum().backward()
    narrow, even, wide = output.grad[:, 1].tolist()
    assert narrow > 0.5 and abs(even) < 0.05 and wide < -1
    two = torch.tensor([[0.0, 1.0, -0.5, 0.3]])
    each = [TanhGaussian().entropy(two[:, [i, i + 2]]) for i in (0, 1)]
    torch.testing.assert_close(TanhGaussian().entropy(two), each[0] + each[1])


def test_what_a_teacher_advises_is_as_likely_as_by_hand():
    torch.testing.assert_close(
        Categorical().surprise(OUTPUT, torch.tensor([3, 1])),
        td.Categorical(logits=OUTPUT).log_prob(torch.tensor([3, 1])).neg(),
    )
    actions = TanhGaussian()
    advice = torch.tensor([[0.2, -0.6]])
    normal = td.Normal(OUTPUT[:1, :2], OUTPUT[:1, 2:].exp())
    expected = -normal.log_prob(advice.atanh()).sum(-1) - math.log(2 * math.pi)  # a constant, of two numbers
    torch.testing.assert_close(actions.surprise(OUTPUT[:1], advice), expected)
    output = torch.tensor([[0.0, math.log(LEAST_STD) - 5.0]], requires_grad=True)  # too sure, of what lies on the edge
    loss = actions.surprise(output, torch.tensor([[1.0]]))
    assert loss.item() == pytest.approx(0.5 * (math.atanh(EDGE) / LEAST_STD) ** 2 + math.log(LEAST_STD), rel=1e-4)
    loss.backward()
    assert torch.isfinite(output.grad).all() and output.grad[0, 0] < 0 == output.grad[0, 1]


def test_a_spread_is_kept_within_its_bounds_wherever_it_is_read():
    actions, narrow = TanhGaussian(log_std_bounds=(-1.0, 0.5)), torch.tensor([[0.1, 0.2, -9.0, 3.0]])
    within = torch.tensor([[0.1, 0.2, -1.0, 0.5]])
    chosen = torch.tensor([[0.2, -0.6]])
    for read in (lambda x: actions.log_prob(x, chosen), actions.entropy, lambda x: actions.split(x)[1]):
        assert torch.equal(read(narrow), read(within))
    drawn = []
    for output in (narrow, within):
        torch.manual_seed(0)
        drawn.append(actions.fresh(output))
    for one, other in zip(*drawn, strict=True):
        assert torch.equal(one, other)
    torch.testing.assert_close(drawn[0][1], actions.log_prob(narrow, drawn[0][0]), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("actions", [ActionValues(), Categorical(), TanhGaussian()])
def test_what_is_told_has_an_entry_an_action(actions):
    _, numbers = actions.explained(torch.randn(5, actions.out_dim(3)))
    assert all(value.shape == (5, 3) for value in numbers.values())


def test_a_mixture_is_torchs_and_greedy_takes_the_likeliest_ones_mean():
    torch.manual_seed(0)
    actions, output = GaussianMixture(3), torch.randn(2, 3 * (1 + 2 * 2))
    assert actions.out_dim(2) == 15 and not actions.discrete
    logit, mean, log_std = output[:, :3], output[:, 3:9].view(2, 3, 2), output[:, 9:].view(2, 3, 2).clamp(-3.2, 1)
    normal = td.Independent(td.Normal(mean, log_std.exp()), 1)
    theirs = td.MixtureSameFamily(td.Categorical(logits=logit), normal)
    chosen = torch.tensor([[0.2, -0.6], [1.0, 0.0]])
    torch.testing.assert_close(actions.log_prob(output, chosen), theirs.log_prob(chosen))
    torch.testing.assert_close(actions.distance(output, chosen), -theirs.log_prob(chosen))
    torch.testing.assert_close(actions.best(output), mean[torch.arange(2), logit.argmax(1)].clamp(-1, 1))
    drawn = actions.draw(output.repeat_interleave(40_000, 0), torch.Generator().manual_seed(0)).view(2, -1, 2)
    expected = theirs.sample((40_000,)).clamp(-1, 1).movedim(0, 1)
    torch.testing.assert_close(drawn.mean(1), expected.mean(1), atol=0.03, rtol=0)
    torch.testing.assert_close(drawn.std(1), expected.std(1), atol=0.03, rtol=0)
    assert drawn.abs().max() == 1.0
    told, numbers = actions.explained(output)
    assert told and torch.equal(numbers["mean"], actions.best(output)) and numbers["std"].shape == (2, 2)


def test_between_two_ways_a_mixture_takes_one_where_a_mean_takes_neither():
    """Actions of -0.5 and 0.5, equally often: the mean of one Gaussian lies between them."""
    action = torch.tensor([-0.5, 0.5]).repeat(500)[:, None]
    for actions, between in ((TanhGaussian(), True), (GaussianMixture(2), False)):
        torch.manual_seed(0)
        output = torch.nn.Parameter(actions.first_bound * torch.randn(actions.out_dim(1)))
        optimiser = torch.optim.Adam([output], 0.05)
        for _ in range(300):
            optimiser.zero_grad()
            actions.distance(output.expand(1000, -1), action).mean().backward()
            optimiser.step()
        best = float(actions.best(output.detach()[None]))
        assert abs(best) < 0.05 if between else abs(abs(best) - 0.5) < 0.05
