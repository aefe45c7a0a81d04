"""Estimators of mutual information: by hand, and on pairs whose information is known."""

import math
from functools import partial

import numpy as np
import pytest
import torch

from scripts.reporting import estimators as known
from torchkit.information import ESTIMATORS, KSG, PlugIn
from torchkit.information.base import DeepSet, Effort
from torchkit.information.critics import apart, donsker_varadhan, info_nce, nguyen_wainwright_jordan
from torchkit.mutual_information import Club

EFFORT = Effort(steps=120, hidden_dims=(64, 64), lr=4e-3)
CRITICS = ("mine", "nwj", "infonce", "smile", "jsd")


def pairs(draw, num=2000, seed=0):
    return draw(num, torch.Generator().manual_seed(seed))


def test_bounds_by_hand():
    score_BB = torch.tensor([[2.0, 0.0, 1.0], [0.0, 2.0, 0.0], [1.0, 0.0, 2.0]])
    assert apart(score_BB).tolist() == [0, 1, 0, 0, 1, 0]
    mean = (4 + 2 * math.e) / 6  # of exp T⁻
    assert donsker_varadhan(score_BB).item() == pytest.approx(2 - math.log(mean), abs=1e-6)
    assert donsker_varadhan(score_BB, clip=0.5).item() == pytest.approx(
        2 - math.log((4 + 2 * math.exp(0.5)) / 6), abs=1e-6
    )
    assert nguyen_wainwright_jordan(score_BB).item() == pytest.approx(3 - mean, abs=1e-6)
    sums = [math.exp(2) + 1 + math.e, math.exp(2) + 2, math.exp(2) + 1 + math.e]
    assert info_nce(score_BB).item() == pytest.approx(2 - np.log(sums).mean() + math.log(3), abs=1e-6)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_what_is_known_is_found_and_independence_is_nothing(name):
    draw = partial(known.discrete, 8) if name == "plug_in" else partial(known.gaussian, 1)
    truth = known.of_discrete(8, 0.2) if name == "plug_in" else known.of_gaussian(1, 0.8)
    estimator = ESTIMATORS[name](EFFORT)
    state = torch.get_rng_state()
    found = estimator.fit(*pairs(partial(draw, 0.2 if name == "plug_in" else 0.8)))
    assert torch.equal(torch.get_rng_state(), state)
    if name == "club":  # with the true p(y | x): ρ² / (1 - ρ²)
        assert found == pytest.approx(0.64 / 0.36, rel=0.2)
    else:
        assert found == pytest.approx(truth, abs=0.1)
    nothing = estimator.fit(*pairs(partial(draw, 1.0 if name == "plug_in" else 0.0)))
    assert nothing == pytest.approx(0, abs=0.04)


@pytest.mark.parametrize("share", [0.5, 0.1, 0.02])
@pytest.mark.parametrize("name", ["plug_in", "ksg"])
def test_a_rare_category_counts_as_often_as_it_is(name, share):
    generator = torch.Generator().manual_seed(0)
    rare_N1 = (torch.rand(2000, 1, generator=generator) < share).float()
    place_N1 = 10 * rare_N1 + (0.1 * torch.randn(2000, 1, generator=generator) if name == "ksg" else 0)
    part = rare_N1.mean().item()
    entropy = -part * math.log(part) - (1 - part) * math.log(1 - part)
    assert ESTIMATORS[name](EFFORT).fit(rare_N1, place_N1) == pytest.approx(entropy, abs=0.02)


@pytest.mark.parametrize("name", [*CRITICS, "barber_agakov"])
def test_lower_bounds_stay_below_and_grow_with_the_information(name):
    found = [ESTIMATORS[name](EFFORT).fit(*pairs(partial(known.gaussian, 4, rho))) for rho in (0.3, 0.6, 0.9)]
    truth = [known.of_gaussian(4, rho) for rho in (0.3, 0.6, 0.9)]
    assert found == sorted(found)
    assert found[2] > 0.6 * truth[2]
    if name != "smile":
        assert all(value < most + 0.05 for value, most in zip(found, truth))


def test_sets_of_particles_are_read_whatever_their_order_and_number():
    torch.manual_seed(0)
    net, x = DeepSet(2, (8, 8), 3), torch.randn(5, 6, 2)
    torch.testing.assert_close(net(x), net(x[:, torch.randperm(6)]))
    torch.testing.assert_close(net(x), net(torch.cat([x, x], dim=1)))
    truth = known.of_gaussian(1, 0.8 / math.sqrt(1 + 1 / known.PARTICLES))
    x, y = pairs(partial(known.particles, 1, 0.8), 1000)
    small = Effort(steps=100, batch=64, hidden_dims=(32, 32), lr=5e-3)
    assert ESTIMATORS["infonce"](small).fit(x, y) == pytest.approx(truth, abs=0.12)
    assert ESTIMATORS["barber_agakov"](small).fit(y, x) == pytest.approx(truth, abs=0.12)
    for name in ("club", "ksg"):
        with pytest.raises(ValueError, match="particles"):
            ESTIMATORS[name](EFFORT).fit(x, y)


def test_finite_beliefs_are_counted_and_their_entropy_is_the_most_there_is():
    x, y = pairs(partial(known.discrete, 24, 0.0))
    truth = float(PlugIn().fit(x, y))
    assert truth == pytest.approx(math.log(24), abs=0.02)
    for name in ("infonce", "barber_agakov"):
        assert ESTIMATORS[name](EFFORT).fit(x, y) == pytest.approx(truth, abs=0.1)


def test_ksg_is_scikit_learns_where_that_has_one():
    from sklearn.feature_selection import mutual_info_regression

    x, y = pairs(partial(known.gaussian, 1, 0.7), 500)
    theirs = mutual_info_regression(x.numpy(), y[:, 0].numpy(), n_neighbors=3, random_state=0)[0]
    assert KSG().fit(x, y) == pytest.approx(theirs, abs=0.01)


def test_ksg_reads_every_column_in_any_order():
    x, y = pairs(partial(known.gaussian, 2, 0.7), 500)
    noise = torch.randn(500, 1, generator=torch.Generator().manual_seed(1))
    vector = torch.cat([x, noise], dim=1)
    found = KSG().fit(vector, y)
    assert KSG().fit(vector.flip(1), y) == KSG().fit(vector, y.flip(1)) == pytest.approx(found, abs=1e-6)
    assert found == pytest.approx(known.of_gaussian(2, 0.7), abs=0.15)


def test_sparse_rewards_are_not_told_apart_by_their_place():
    generator = torch.Generator().manual_seed(0)
    paid = torch.rand(1000, 2, generator=generator) < 0.1
    x, y = torch.where(paid, torch.randn(1000, 2, generator=generator), torch.zeros(1000, 2)).split(1, dim=1)
    assert KSG().fit(x, y) == pytest.approx(0, abs=0.03)
    assert KSG().fit(x, torch.arange(1000.0)[:, None]) == pytest.approx(0, abs=0.03)


def test_a_feature_that_never_varies_where_it_is_fitted_does_no_harm():
    x, y = pairs(partial(known.discrete, 64, 0.0), 400)
    assert 2 < ESTIMATORS["infonce"](EFFORT).fit(x, y) < math.log(64) + 0.1


def test_a_spread_lets_club_tell_small_variances():
    torch.manual_seed(0)
    wide = Club(1, 1, spread=6.0)
    with torch.no_grad():
        wide.logvar.bias.fill_(-20.0)
    assert wide(torch.zeros(1, 1))[1].item() == pytest.approx(-6.0, abs=0.1)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (torch.zeros(10, 2), torch.zeros(9, 2)),
        (torch.zeros(10), torch.zeros(10, 1)),
        (torch.zeros(4, 1), torch.zeros(4, 1)),
        (torch.full((10, 1), math.nan), torch.zeros(10, 1)),
    ],
)
def test_what_are_no_pairs_is_refused(x, y):
    with pytest.raises(ValueError, match="pair"):
        ESTIMATORS["infonce"](EFFORT).fit(x, y)


def test_each_says_what_it_is_and_where_it_cannot_be_trusted():
    for kind in ESTIMATORS.values():
        assert kind.bound in ("lower", "upper", "neither") and kind.doubt
    assert ESTIMATORS["mine"]().limit(2000) == pytest.approx(math.log(1000))


def test_the_information_of_the_mixture_is_that_of_its_true_ratio():
    x, y = (v[:, 0].double() for v in pairs(known.mixture, 200_000))
    near, far = (-0.5 * (v - known.APART).square() for v in (x, y)), (-0.5 * (v + known.APART).square() for v in (x, y))
    (near_x, near_y), (far_x, far_y) = near, far
    half = math.log(0.5)
    joint = torch.logaddexp(near_x + near_y, far_x + far_y) + half
    single = torch.logaddexp(near_x, far_x) + torch.logaddexp(near_y, far_y) + 2 * half
    assert known.of_mixture() == pytest.approx(float((joint - single).mean()), abs=5e-3)


def test_a_pair_unlike_those_that_were_fitted_does_not_ruin_the_estimate():
    """A probability that is nearly 0 in all pairs but a few: their distance is 10^5 scales of the others."""
    torch.manual_seed(0)
    x = torch.randn(1024, 4)
    y = torch.stack([x[:, 0] + torch.randn(1024), 1e-5 * torch.rand(1024)], dim=1)
    plain = ESTIMATORS["infonce"](EFFORT).fit(x, y)
    y[torch.randperm(1024)[:2], 1] = 1.0
    assert ESTIMATORS["infonce"](EFFORT).fit(x, y) == pytest.approx(plain, abs=0.1)
