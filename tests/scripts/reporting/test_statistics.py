"""Statistics over seeds and domains against numbers by hand, all resamples, and rliable called directly."""

from itertools import product

import numpy as np
import pytest
from rliable import library, metrics

from scripts.reporting.statistics import (
    STATISTICS,
    Estimate,
    Interval,
    estimates,
    interquartile_mean,
    mean,
    median,
    median_of_times,
    performance_profile,
    probability_of_improvement,
)

RLIABLE = {"mean": metrics.aggregate_mean, "iqm": metrics.aggregate_iqm, "median": metrics.aggregate_median}


def strata_of(matrix):
    """Runs x tasks, as rliable has it, to one array a domain."""
    return list(np.asarray(matrix).T)


@pytest.mark.parametrize("name", STATISTICS)
def test_of_several_domains_they_are_those_of_rliable(name):
    rng = np.random.default_rng(0)
    for seeds, domains in product((1, 2, 3, 5, 8), (2, 3, 4)):
        scores = rng.random((seeds, domains))
        assert STATISTICS[name](strata_of(scores)) == pytest.approx(RLIABLE[name](scores))


def test_of_one_domain_they_are_over_seeds():
    rng = np.random.default_rng(0)
    for num in range(1, 14):
        values = rng.random(num)
        assert interquartile_mean([values]) == pytest.approx(metrics.aggregate_iqm(values[:, None]))
        assert median([values]) == np.median(values)
        assert mean([values]) == pytest.approx(values.mean())
    stacked = rng.random((3, 5))
    for statistic in STATISTICS.values():
        np.testing.assert_allclose(statistic([stacked]), [statistic([row]) for row in stacked])


def test_domains_count_alike_whatever_their_numbers_of_seeds():
    strata = [np.array([0.0, 1.0]), np.array([0.2, 0.4, 0.9])]
    assert mean(strata) == pytest.approx((0.5 + 0.5) / 2)
    assert median(strata) == pytest.approx(0.5)
    equal = np.stack([np.repeat(strata[0], 3), np.repeat(strata[1], 2)], axis=1)  # six runs of each
    assert interquartile_mean(strata) == pytest.approx(metrics.aggregate_iqm(equal))
    assert interquartile_mean(strata) == pytest.approx((0.2 * 2 + 0.4 * 2 + 0.9 * 2) / 6)  # 0 and 1 are cut away


def test_the_interval_is_that_of_all_resamples():
    for strata in ([[0.1, 0.6, 0.7, 1.0]], [[0.1, 0.6, 1.0], [0.3, 0.35]]):
        arrays = [np.array(values) for values in strata]
        resamples = [[np.array(drawn) for drawn in product(values, repeat=len(values))] for values in strata]
        for name, statistic in STATISTICS.items():
            every = [float(statistic(drawn)) for drawn in product(*resamples)]
            found = getattr(Estimate.of(*arrays), name)
            assert found.value == pytest.approx(float(statistic(arrays)))
            expected = np.quantile(every, [0.025, 0.975], method="inverted_cdf")
            np.testing.assert_allclose(found[1:], expected, atol=0.03)


def test_the_interval_is_that_of_rliable():
    scores = np.random.default_rng(1).random((6, 3))
    np.random.seed(0)
    _, theirs = library.get_interval_estimates(
        {"x": scores}, lambda x: np.array([RLIABLE[name](x) for name in RLIABLE]), reps=4000
    )
    ours = Estimate.of(*strata_of(scores))
    for index, name in enumerate(RLIABLE):
        np.testing.assert_allclose(getattr(ours, name)[1:], theirs["x"][:, index], atol=0.015)


def test_the_same_values_give_the_same_interval_and_points_do_not_mix():
    values = np.random.default_rng(0).random((4, 5))
    together = estimates([values], 500)
    for name in STATISTICS:
        one_by_one = np.concatenate([estimates([row[None]], 500)[name] for row in values], axis=1)
        np.testing.assert_allclose(together[name], one_by_one)


def test_what_has_no_interval():
    assert Estimate.of([1.0, 1.0]) == Estimate(2, *[Interval(1.0, 1.0, 1.0)] * 3)
    for nothing in (Estimate.of(), Estimate.of([]), Estimate.of([1.0], [])):
        assert nothing.num == 0
        assert np.isnan(nothing.iqm.value)
    single = Estimate.of([1.0, 2.0], [3.0])  # the second domain has a single seed
    assert single.mean.value == 2.25
    assert np.isnan(single.mean[1:]).all()


def test_the_profile_is_that_of_rliable():
    rng = np.random.default_rng(0)
    scores, thresholds = rng.random((5, 3)).round(1), np.linspace(0, 1, 11)
    found = performance_profile(strata_of(scores), thresholds)
    theirs, bounds = library.create_performance_profile({"x": scores}, thresholds, reps=2000)
    np.testing.assert_allclose(found[0], theirs["x"])
    np.testing.assert_allclose(found[1:], bounds["x"], atol=0.07)  # a fifteenth is one run
    np.testing.assert_allclose(performance_profile([np.array([0.2, 0.5])], np.array([0.1, 0.2, 0.5]))[0], [1, 0.5, 0])


def test_the_probability_of_improvement_is_that_of_rliable():
    rng = np.random.default_rng(0)
    for x_seeds, y_seeds, domains in ((5, 5, 1), (4, 6, 3)):
        x, y = rng.random((x_seeds, domains)).round(1), (rng.random((y_seeds, domains)) - 0.1).round(1)
        found = probability_of_improvement(strata_of(x), strata_of(y))
        assert found.value == pytest.approx(metrics.probability_of_improvement(x, y))
        np.random.seed(0)
        _, theirs = library.get_interval_estimates(
            {"x,y": (x, y)}, lambda x, y: np.array([metrics.probability_of_improvement(x, y)]), reps=500
        )
        np.testing.assert_allclose(found[1:], theirs["x,y"][:, 0], atol=0.06)


def test_the_probability_of_improvement_by_hand():
    x, y = [np.array([1.0, 2.0])], [np.array([1.0, 0.0, 3.0])]
    assert probability_of_improvement(x, y).value == pytest.approx((0.5 + 1 + 0 + 1 + 1 + 0) / 6)
    both = probability_of_improvement([*x, np.array([5.0])], [*y, np.array([5.0, 5.0])])
    assert both.value == pytest.approx((3.5 / 6 + 0.5) / 2)
    assert np.isnan(both.low)
    there, back = probability_of_improvement(x, y).value, probability_of_improvement(y, x).value
    assert there + back == pytest.approx(1)


def test_times_that_may_be_never():
    never = np.inf
    assert median_of_times([10.0, 20.0, never]).value == 20
    assert median_of_times([10.0, never, never]).value == never
    assert median_of_times([10.0, never, never]).low == 10  # 7 in 27 resamples have it twice or more
    assert median_of_times([10.0, 20.0]).high == 20
    assert median_of_times([never] * 3) == (never, never, never)
    assert np.isnan(median_of_times([5.0])[1:]).all()
    assert np.isnan(median_of_times([])).all()
