"""Statistics over seeds and domains, after rliable (Agarwal et al., 2021): pure functions of arrays.

Dimension key: S seeds, G points of a curve, D bootstrap draws, P thresholds. `strata` is a sequence with one array
(..., S) for each domain; domains may have different numbers of seeds. The tests hold all of it against rliable.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Statistic = Callable[[Sequence[Array]], Array]  # strata (..., S) -> (...)

CONFIDENCE = 0.95
DRAWS, CURVE_DRAWS = 20_000, 2_000
CHUNK = 4_000_000  # numbers that are drawn at once


def correlations(x: Array, y: Array) -> tuple[float, float]:
    """Pearson's and Spearman's correlation of pairs; NaN where one of them does not vary. Equal values share a rank."""
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan, math.nan
    pearson, spearman = (float(np.corrcoef(*pair)[0, 1]) for pair in ((x, y), (ranks(x), ranks(y))))
    return pearson, spearman


def spread(values: Sequence[float]) -> str:
    """Median, least and greatest, as a cell of a table; a dash where one is not a number."""
    if np.isnan(values).any():
        return "–"
    return f"{np.median(values):.2f} [{min(values):.2f}, {max(values):.2f}]"


def ranks(values: Array) -> Array:
    """The rank of each, from 0; of equal ones the mean of theirs."""
    _, which, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count + 1) / 2)[which])


def mean(strata: Sequence[Array]) -> Array:
    """Mean over domains of the means over seeds (...)."""
    return np.asarray(np.mean([values.mean(axis=-1) for values in strata], axis=0))


def median(strata: Sequence[Array]) -> Array:
    """Of one domain the median over seeds (...); of several, as rliable has it, that of their means over seeds."""
    if len(strata) == 1:
        return np.asarray(np.median(strata[0], axis=-1))
    return np.asarray(np.median([values.mean(axis=-1) for values in strata], axis=0))


def interquartile_mean(strata: Sequence[Array]) -> Array:
    """Mean of the middle half of all seeds of all domains (...); of fewer than four seeds it is their mean.

    Domains count alike: where they have different numbers of seeds, each value stands as often as makes them equal.
    """
    values = np.concatenate(strata, axis=-1)
    sizes = [stratum.shape[-1] for stratum in strata]
    if len(set(sizes)) == 1:
        cut = values.shape[-1] // 4
        return np.asarray(np.sort(values, axis=-1)[..., cut : values.shape[-1] - cut].mean(axis=-1))
    copies = np.concatenate([np.full(size, math.lcm(*sizes) // size) for size in sizes])
    order = np.argsort(values, axis=-1)
    upper = np.cumsum(copies[order], axis=-1)
    cut, total = copies.sum() // 4, copies.sum()
    kept = np.clip(np.minimum(upper, total - cut) - np.maximum(upper - copies[order], cut), 0, None)
    return np.asarray((np.take_along_axis(values, order, axis=-1) * kept).sum(axis=-1) / kept.sum(axis=-1))


STATISTICS: dict[str, Statistic] = {"mean": mean, "iqm": interquartile_mean, "median": median}


class Interval(NamedTuple):
    """A value and the bounds of its interval; bounds are NaN where there is none."""

    value: float
    low: float
    high: float


NOTHING = Interval(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Estimate:
    """Mean, interquartile mean and median of `num` runs, each with its interval; NaN of no run."""

    num: int
    mean: Interval
    iqm: Interval
    median: Interval

    @classmethod
    def of(cls, *strata: Sequence[float] | Array) -> "Estimate":
        """From one value a seed, for each domain."""
        arrays = [np.asarray(values, np.float64)[None] for values in strata]
        num = sum(values.size for values in arrays)
        if not arrays or any(not values.size for values in arrays):
            return cls(0, NOTHING, NOTHING, NOTHING)
        return cls(num, *(Interval(*found_31[:, 0].tolist()) for found_31 in estimates(arrays, DRAWS).values()))


def estimates(strata: Sequence[Array], draws: int) -> dict[str, Array]:
    """Each of `STATISTICS` with its interval (3, G): value, low, high.

    The interval is the 95 % percentile bootstrap with domains as strata: seeds are drawn anew within each, with
    replacement. It is NaN where a domain has a single seed. The same values give the same interval.

    Args:
        strata: (G, S) of each domain.
        draws: resamples.
    """
    found = {name: np.full((3, len(strata[0])), math.nan) for name in STATISTICS}
    for name, statistic in STATISTICS.items():
        found[name][0] = statistic(strata)
    if min(values.shape[-1] for values in strata) < 2:
        return found
    index = [_draw(values.shape[-1], draws, number) for number, values in enumerate(strata)]
    step = max(1, CHUNK // (draws * sum(values.shape[-1] for values in strata)))
    for first in range(0, len(strata[0]), step):
        part = slice(first, first + step)
        drawn = [values[part][:, index_DS] for values, index_DS in zip(strata, index)]  # (G, D, S)
        for name, statistic in STATISTICS.items():
            found[name][1:, part] = bounds(statistic(drawn))
    return found


def bounds(drawn: Array) -> Array:
    """The limits (2, ...) between which 95 % of the draws (..., D) lie."""
    return np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=-1)


def median_of_times(values: Sequence[float]) -> Interval:
    """The median over seeds of times that may be infinite, for never; its bounds are drawn medians, not between two."""
    values_S = np.asarray(values, np.float64)
    if not len(values_S):
        return NOTHING
    middle = float(np.median(values_S))
    if len(values_S) < 2:
        return Interval(middle, math.nan, math.nan)
    drawn_D = np.sort(np.median(values_S[_draw(len(values_S), DRAWS, 0)], axis=-1))
    low, high = (drawn_D[math.ceil(share * DRAWS) - 1] for share in ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return Interval(middle, float(low), float(high))


def performance_profile(strata: Sequence[Array], thresholds_P: Array) -> Array:
    """The share of runs above each threshold (3, P): value, low, high; domains count alike.

    Args:
        strata: (S,) of each domain.
    """
    return estimates([(values > thresholds_P[:, None]).astype(np.float64) for values in strata], CURVE_DRAWS)["mean"]


def probability_of_improvement(strata_x: Sequence[Array], strata_y: Sequence[Array]) -> Interval:
    """The probability that a run of X does better than one of Y on the same domain, averaged over domains.

    A tie counts half (Mann-Whitney's U over the number of pairs). Runs of X and of Y are drawn independently.

    Args:
        strata_x: (S,) of each domain; numbers of seeds may differ.
        strata_y: the same domains in the same order.
    """
    better = [((x[:, None] > y) + 0.5 * (x[:, None] == y)) for x, y in zip(strata_x, strata_y)]
    value = float(np.mean([pairs.mean() for pairs in better]))
    if min(min(pairs.shape) for pairs in better) < 2:
        return Interval(value, math.nan, math.nan)
    drawn = np.zeros(CURVE_DRAWS)
    for number, pairs in enumerate(better):
        row_DS, col_DS = (_draw(size, CURVE_DRAWS, 2 * number + which) for which, size in enumerate(pairs.shape))
        drawn += pairs[row_DS[:, :, None], col_DS[:, None]].mean(axis=(1, 2)) / len(better)
    return Interval(value, *bounds(drawn).tolist())


def _draw(num: int, draws: int, number: int) -> NDArray[np.int64]:
    """Indices (D, S) of resamples, for the stratum of that number; always the same ones."""
    return np.random.default_rng((0, number)).integers(num, size=(draws, num))
