"""Mean, variance and principal axes of weighted rows, by hand and from their json."""

import json
import math

import pytest
import torch

from torchkit.moments import WIDEST, Moments


def test_the_moments_of_weighted_rows_by_hand():
    moments = Moments.of(torch.tensor([[0.0, 1.0], [4.0, 1.0], [9.0, 9.0]]), torch.tensor([3, 1, 0]))
    assert moments.mean_Z.tolist() == [1.0, 1.0]
    assert moments.spread == pytest.approx((3 * 1 + 9) / 4)  # of 0 and 4 about 1
    assert moments.covariance_ZZ.tolist() == [[3.0, 0.0], [0.0, 0.0]]
    assert moments.rms == pytest.approx(math.sqrt(3))


def test_rows_divided_by_their_axes_are_white_and_empty_axes_are_nothing():
    rng = torch.Generator().manual_seed(0)
    mix = torch.tensor([[2.0, 0.5, 2.0], [0.0, 0.1, 0.0]])  # rank two in three numbers
    z_RZ = torch.randn(500, 2, generator=rng) @ mix + 7.0
    moments = Moments.of(z_RZ, torch.ones(500))
    axes_ZZ, std_Z = moments.whitening(1e-4)
    white = ((z_RZ - moments.mean_Z) @ axes_ZZ) / std_Z
    assert std_Z[0].item() == math.inf
    torch.testing.assert_close(white.T @ white / 500, torch.diag(torch.tensor([0.0, 1.0, 1.0])), atol=1e-3, rtol=0)


def test_standardised_moments_are_those_of_the_standardised_rows():
    z_RZ, weight = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)) * 3 + 2, torch.arange(50)
    moments = Moments.of(z_RZ, weight)
    found = Moments.of((z_RZ - moments.mean_Z) / moments.rms, weight)
    told = moments.standardised()
    assert found.spread == pytest.approx(1.0, abs=1e-5) == told.spread
    torch.testing.assert_close(told.covariance_ZZ, found.covariance_ZZ)
    torch.testing.assert_close(told.mean_Z, found.mean_Z, atol=1e-6, rtol=0)


def test_json_gives_them_back_and_other_numbers_are_refused():
    moments = Moments.of(torch.randn(20, 3), torch.ones(20))
    values = json.loads(json.dumps(moments.to_json()))
    back = Moments.from_json(values)
    assert torch.equal(back.mean_Z, moments.mean_Z) and torch.equal(back.covariance_ZZ, moments.covariance_ZZ)
    assert back.spread == moments.spread
    for damaged in (
        {"spread": -1.0}, {"spread": math.nan}, {"covariance": [[1.0]]}, {"mean": [[1.0]]}, {"covariance": [[1.0]] * 3},
        {"mean": [0.0, 1.0, math.inf]},
    ):  # fmt: skip
        with pytest.raises(ValueError, match="moments"):
            Moments.from_json(values | damaged)


def test_of_a_wide_embedding_the_variance_alone_is_kept():
    moments = Moments.of(torch.randn(3, WIDEST + 1), torch.ones(3))
    assert moments.covariance_ZZ is None and moments.spread > 0
    with pytest.raises(ValueError, match="too many"):
        moments.whitening(0.0)
    assert Moments.from_json(moments.to_json()).covariance_ZZ is None
