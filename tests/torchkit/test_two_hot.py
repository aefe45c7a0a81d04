"""Two-hot targets over exponential bins, by numbers worked out by hand."""

import math

import pytest
import torch

from torchkit.two_hot import TwoHot, symexp, symlog

E = math.e


def test_symlog_and_its_inverse():
    x = torch.tensor([0.0, E - 1, -(E**2 - 1), 1e6])
    torch.testing.assert_close(symlog(x), torch.tensor([0.0, 1.0, -2.0, math.log(1e6 + 1)]))
    torch.testing.assert_close(symexp(symlog(x)), x)


def test_a_target_is_split_between_the_bins_around_it():
    two_hot = TwoHot(5, limit=2.0)  # at -(e²-1), -(e-1), 0, e-1, e²-1
    torch.testing.assert_close(two_hot.values_N, torch.tensor([-(E**2 - 1), -(E - 1), 0.0, E - 1, E**2 - 1]))
    logits = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5])
    total = math.log(sum(math.exp(x) for x in logits.tolist()))
    quarter = (E - 1) / 4  # three quarters of 0, one of e - 1
    expected = torch.tensor([total - (0.75 * 0.3 + 0.25 * 0.4), total - 0.5, total - 0.1, total - 0.3])
    targets = torch.tensor([quarter, 100.0, -100.0, 0.0])  # beyond the last bin it counts as there
    torch.testing.assert_close(
        two_hot.loss(logits.expand(4, 5), two_hot.shares(logits).expand(4, 5), targets[:, None])[:, 0], expected
    )


def test_the_gradient_is_what_is_predicted_minus_the_target():
    two_hot, logits = TwoHot(5, limit=2.0), torch.randn(5, requires_grad=True)
    losses = two_hot.loss(logits, two_hot.shares(logits), torch.tensor([-(E - 1) / 2, E - 1]))
    (losses @ torch.tensor([1.0, 3.0])).backward()
    expected = 4 * logits.detach().softmax(-1) - torch.tensor([0.0, 0.5, 0.5, 3.0, 0.0])
    torch.testing.assert_close(logits.grad, expected)


@pytest.mark.parametrize("bins", [255, 40])
def test_an_untrained_head_says_exactly_zero_for_all_its_huge_bins(bins):
    two_hot = TwoHot(bins)
    assert two_hot.values_N[-1] > 4e8
    assert (two_hot.values_N == -two_hot.values_N.flip(0)).all()
    assert (two_hot.mean(two_hot.shares(torch.full((3, bins), 0.7))) == 0).all()


def test_the_mean_is_that_of_the_targets_and_not_of_their_logarithms():
    two_hot, shares = TwoHot(255), torch.zeros(255)
    for target, share in ((-100.0, 0.15), (10.0, 0.85)):  # of a door, with a tiger behind it
        above = int(torch.searchsorted(two_hot.values_N, target))
        low, high = two_hot.values_N[above - 1 : above + 1]
        shares[above] += share * (target - low) / (high - low)
        shares[above - 1] += share * (high - target) / (high - low)
    assert two_hot.mean(shares).item() == pytest.approx(-6.5, rel=1e-3)
