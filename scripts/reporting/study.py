"""Everything that a report says, as numbers: groups of runs by domain, and over all domains.

Dimension key: S seeds, G points of a curve, P thresholds of a profile.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from scripts.reporting.runs import ENV_STEPS, METRICS, OF_DATA, OF_ENVS, TINY, Key, Record, differences, start
from scripts.reporting.statistics import (
    CURVE_DRAWS,
    STATISTICS,
    Array,
    Estimate,
    Interval,
    correlations,
    estimates,
    median_of_times,
    performance_profile,
    probability_of_improvement,
)

SOLVED = 0.95  # of the mean of the last ten evaluations
ALL = "all domains"
AXES = {"minutes": "minutes of training", "share": "share of training, %"}
COMPARED = ("success", "return", "score")  # of which more is better
POINTS = 60  # of a curve over minutes; of a profile; of what is logged of learning
GAUGE = "gauge/"  # how the names of what --gauge logs begin
RETURN = f"{GAUGE}return"
FEW = 5  # seeds, below which an interval says little, and one of a probability of improvement is none: [1, 1] of two


@dataclass(frozen=True)
class Curve:
    """A metric of a group at common points.

    Attributes:
        x: where (G,).
        seeds: how many runs each point has (G,).
        statistics: each of `STATISTICS` with its interval (3, G): value, low, high.
    """

    x: Array
    seeds: Array
    statistics: Mapping[str, Array]


@dataclass(frozen=True)
class Row:
    """One group of a panel.

    Attributes:
        runs: of all its domains.
        full: how many runs a curve has where none is missing.
        samples: for each metric the mean of the last ten evaluations of finished runs, (S,) for each domain.
        final: the same as estimates.
        curves: by (axis, metric).
        learning: by name, what is logged of learning: steps (G,), and mean, least and greatest over seeds (3, G).
        reported: success of the greedy episodes after training, of finished runs.
        last: mean of the last ten evaluations so far, of all runs that have one.
        solved: how many runs have a `last` success of at least `SOLVED`; None where the env does not tell success.
        steps: median `unit` to the threshold; infinite for never.
        minutes: the same on the clock.
        never: how many runs did not reach it.
        hours: wall-clock of each run that has one.
        speed: `unit` a second, the median over runs; NaN where no run has a clock.
    """

    label: str
    demonstrations: bool
    runs: Sequence[Record]
    full: int
    samples: Mapping[str, Sequence[Array]]
    final: Mapping[str, Estimate]
    curves: Mapping[tuple[str, str], Curve]
    reported: Estimate
    last: Mapping[str, Estimate]
    solved: int | None
    steps: Interval
    minutes: Interval
    never: int
    hours: Sequence[float]
    speed: float
    learning: Mapping[str, tuple[Array, Array]] = field(default_factory=dict)

    @property
    def few(self) -> bool:
        """Whether some of its domains have too few finished runs for an interval over them to say much."""
        counts = [len(values) for values in next(iter(self.samples.values()), ())]
        return any(count < FEW for count in counts)

    @property
    def unfinished(self) -> int:
        """Runs without a summary."""
        return sum(one.final is None for one in self.runs)

    @property
    def any_finished(self) -> bool:
        """Whether there is a finished run to compare."""
        return any(found.num for found in self.final.values())

    @property
    def key(self) -> Key:
        """Of the first run."""
        return self.runs[0].key

    @property
    def unit(self) -> str:
        """What the clock of its runs counts."""
        return self.runs[0].unit


@dataclass(frozen=True)
class Panel:
    """The groups that may be compared: one domain, or all of them, and one kind of start.

    Attributes:
        thresholds: of the profiles of each metric (P,).
        profiles: for each metric and each row with finished runs, by its label, (3, P).
        improvement: for each metric, by labels (X, Y), the probability that X does better than Y.
        domains: the domains of an aggregate, in order.
    """

    domain: str
    demonstrations: bool
    rows: Sequence[Row]
    axes: Sequence[str]
    thresholds: Mapping[str, Array] = field(default_factory=dict)
    profiles: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)
    improvement: Mapping[str, Mapping[tuple[str, str], Interval]] = field(default_factory=dict)
    domains: Sequence[str] = ()

    @property
    def start(self) -> str:
        """What its kind of start is called."""
        return start(self.demonstrations)

    @property
    def titles(self) -> dict[str, str]:
        """What its axes are called."""
        titles = {"steps": unit_of(self.rows).replace(ENV_STEPS, "environment steps")} | AXES
        return {name: titles[name] for name in self.axes}


@dataclass(frozen=True)
class Study:
    """All that is reported.

    Attributes:
        panels: by domain, then over all domains.
        labels: of all groups.
        threshold: the value that counts as reached.
        metric: whose value.
    """

    records: Sequence[Record]
    panels: Sequence[Panel]
    labels: Sequence[str]
    notes: Sequence[str]
    threshold: float
    metric: str

    @property
    def rows(self) -> list[Row]:
        """The groups by domain."""
        return [row for panel in self.panels if not panel.domains for row in panel.rows]

    @property
    def domains(self) -> list[str]:
        """What there are panels of."""
        return list(dict.fromkeys(panel.domain for panel in self.panels))

    @cached_property
    def colours(self) -> dict[str, int]:
        """A number for each label, such that labels of one panel have different ones; small ones first."""
        beside = {label: {label} for label in self.labels}
        for panel in self.panels:
            for row in panel.rows:
                beside[row.label] |= {other.label for other in panel.rows}
        numbers: dict[str, int] = {}
        for label in self.labels:
            taken = {numbers[other] for other in beside[label] if other in numbers}
            numbers[label] = min(set(range(len(self.labels))) - taken)
        return numbers

    def of(self, domain: str) -> list[Panel]:
        """The panels of one domain."""
        return [panel for panel in self.panels if panel.domain == domain]


def unit_of(rows: Sequence[Row]) -> str:
    """What the clocks of these groups count; `env steps or updates` where they are unlike."""
    return " or ".join(sorted({row.unit for row in rows}))


def counted(text: str, row: Row, unit: str) -> str:
    """A number of steps, with what it counts where the column's `unit` leaves that open."""
    return f"{text} {row.unit}" if unit != row.unit and any(letter.isdigit() for letter in text) else text


def study(records: Sequence[Record], threshold: float, metric: str, notes: Sequence[str] = ()) -> Study:
    """Groups the runs and works out every number of the report."""
    groups: dict[Key, list[Record]] = defaultdict(list)
    for record in records:
        groups[record.key].append(record)
    notes = [*notes, *(note for key in sorted(groups) for note in differences(key, groups[key]))]
    panels = []
    for domain, demonstrations in sorted({(key.env, key.demonstrations) for key in groups}):
        keys = [key for key in sorted(groups) if (key.env, key.demonstrations) == (domain, demonstrations)]
        notes += unlike_budgets({key: groups[key] for key in keys})
        rows = [row_of([groups[key]], threshold, metric) for key in keys]
        panels.append(compared(Panel(domain, demonstrations, rows, ("steps", "minutes"))))
    for demonstrations in (False, True):
        panel, found = over_domains(groups, demonstrations, threshold, metric)
        notes += found
        panels += [] if panel is None else [compared(panel)]
    return Study(records, panels, sorted({key.label for key in groups}), notes, threshold, metric)


def unlike_budgets(groups: Mapping[Key, Sequence[Record]]) -> list[str]:
    """Notes where groups that are compared were trained for unlike numbers of steps, or by unlike clocks."""
    budgets: dict[str, dict[str, dict[str, None]]] = defaultdict(lambda: defaultdict(dict))
    units: dict[str, dict[str, None]] = defaultdict(dict)
    for key, runs in groups.items():
        for one in runs:
            units[one.unit][key.label] = None
            for name in OF_DATA.get(str(one.config.get("rl.learns_from")), OF_ENVS):
                budgets[name][str(one.config.get(name))][key.label] = None
    first = next(iter(groups))
    unlike = {f"groups differ in {name}": found for name, found in budgets.items()}
    unlike["what is told of steps counts unlike things"] = units
    told = {
        what: [f"{value}: {' and '.join(labels)}" for value, labels in found.items()] for what, found in unlike.items()
    }
    where = f"{first.env}, {start(first.demonstrations)}"
    return [f"{where}: {what} ({'; '.join(found)})" for what, found in told.items() if len(found) > 1]


def over_domains(
    groups: Mapping[Key, Sequence[Record]], demonstrations: bool, threshold: float, metric: str
) -> tuple[Panel | None, list[str]]:
    """The groups that have finished runs in every domain whose random and best returns are known; notes on the rest."""
    by_label: dict[str, dict[str, Sequence[Record]]] = defaultdict(dict)
    notes: list[str] = []
    for key, runs in groups.items():
        if key.demonstrations != demonstrations or all(one.final is None for one in runs):
            continue
        if all(one.reference is not None for one in runs):
            by_label[key.label][key.env] = runs
        else:
            notes.append(f"{ALL}: {key.env} is left out: no random and best return for its settings")
    domains = sorted({env for found in by_label.values() for env in found})
    if len(domains) < 2:
        return None, []
    complete = {label: found for label, found in sorted(by_label.items()) if len(found) == len(domains)}
    others = [
        f"{label} ({', '.join(sorted(found))})" for label, found in sorted(by_label.items()) if label not in complete
    ]
    if others:
        where = f"{ALL}, {start(demonstrations)}: left out for want of finished runs on all of {', '.join(domains)}"
        notes.append(f"{where}: {'; '.join(others)}")
    rows = [row_of([found[env] for env in domains], threshold, metric) for found in complete.values()]
    return Panel(ALL, demonstrations, rows, ("share",), domains=domains) if rows else None, list(dict.fromkeys(notes))


def row_of(strata: Sequence[Sequence[Record]], threshold: float, metric: str) -> Row:
    """One group: its runs in each of its domains. A run that has no evaluation yet counts among the seeds alone."""
    runs = [one for stratum in strata for one in stratum]
    evaluated = [[one for one in stratum if len(one.steps)] for stratum in strata]
    finished = [[one for one in stratum if one.final is not None and len(one.steps)] for stratum in strata]
    metrics = [name for name in (*METRICS, "score") if all(name in one.curves for one in runs)]
    if len(strata) > 1:
        metrics = [name for name in metrics if name in ("success", "score")]
    samples = {name: [np.array([one.last(name) for one in found]) for found in finished] for name in metrics}
    reached = [one.first_reaching(threshold, metric) for one in runs]
    clocks = [one.clock for one in runs if one.clock is not None]
    times = [minutes for one, (_, minutes) in zip(runs, reached) if one.clock is not None]
    return Row(
        runs[0].key.label,
        runs[0].key.demonstrations,
        runs,
        sum(map(len, evaluated)),
        samples,
        {name: Estimate.of(*found) for name, found in samples.items()},
        curves_of(evaluated, metrics),
        Estimate.of(*([one.final["success"] for one in stratum if one.final] for stratum in strata))
        if all("success" in one.final for one in runs if one.final is not None)
        else Estimate.of(),
        {name: Estimate.of(*([one.last(name) for one in found] for found in evaluated)) for name in metrics},
        sum(one.last("success") >= SOLVED - TINY for found in evaluated for one in found)
        if "success" in metrics
        else None,
        median_of_times([steps for steps, _ in reached]),
        median_of_times(times),
        sum(math.isinf(steps) for steps, _ in reached),
        [minutes / 60 for minutes, _ in clocks],
        float(np.median([steps / minutes / 60 for minutes, steps in clocks])) if clocks else math.nan,
        learning_of(runs) if len(strata) == 1 else {},
    )


def compared(panel: Panel) -> Panel:
    """The panel with profiles and probabilities of improvement of its groups that have finished runs."""
    rows = [row for row in panel.rows if row.any_finished]
    metrics = [name for name in COMPARED if rows and all(name in row.samples for row in rows)]
    thresholds, profiles, improvement = {}, {}, {}
    for name in metrics:
        values = np.concatenate([values for row in rows for values in row.samples[name]])
        low, high = (min(0.0, values.min()), max(1.0, values.max()))
        if name == "return":
            low, high = values.min(), values.max()
        thresholds[name] = np.linspace(low, high, POINTS + 1)
        profiles[name] = {row.label: performance_profile(row.samples[name], thresholds[name]) for row in rows}
        improvement[name] = {
            (x.label, y.label): chance(x.samples[name], y.samples[name]) for x in rows for y in rows if x is not y
        }
    return Panel(
        panel.domain, panel.demonstrations, panel.rows, panel.axes, thresholds, profiles, improvement, panel.domains
    )


def chance(strata_x: Sequence[Array], strata_y: Sequence[Array]) -> Interval:
    """The probability of improvement; without an interval where a side has too few seeds for one to mean anything."""
    found = probability_of_improvement(strata_x, strata_y)
    few = min(len(values) for values in (*strata_x, *strata_y)) < FEW
    return Interval(found.value, math.nan, math.nan) if few else found


def curves_of(strata: Sequence[Sequence[Record]], metrics: Sequence[str]) -> dict[tuple[str, str], Curve]:
    """The learning curves of a group, by axis and metric; over share of training where it has several domains."""
    if not all(strata):
        return {}
    if len(strata) > 1:
        longest = [max(one.steps[-1] for one in found) for found in strata]
        ends = {
            one.folder: end if one.final is None else one.steps[-1]
            for found, end in zip(strata, longest)
            for one in found
        }

        def share(one: Record) -> Array:
            """Per cent of its own steps, or of the longest run's where it is not finished."""
            return 100 * one.steps / ends[one.folder]

        first = max(share(one)[0] for found in strata for one in found)
        points = np.linspace(0, 100, POINTS + 1)
        return {("share", name): curve(strata, name, share, points[points >= first]) for name in metrics}
    (runs,) = strata
    curves = {("steps", name): curve(strata, name, lambda one: one.steps, steps_grid(runs)) for name in metrics}
    timed = [one for one in runs if one.clock is not None]
    if timed:
        first, last = max(one.minutes[0] for one in timed), max(one.minutes[-1] for one in timed)
        grid_G = np.linspace(first, max(first, last), POINTS + 1)
        curves |= {("minutes", name): curve([timed], name, lambda one: one.minutes, grid_G) for name in metrics}
    return curves


def learning_of(runs: Sequence[Record]) -> dict[str, tuple[Array, Array]]:
    """What is logged of learning at common steps, each run between its own lines; of runs that have it.

    Not a value between two lines of which one is not finite: what is missing is missing in the curve as well.
    """
    found = {}
    for name in sorted({name for one in runs for name in one.learning}):
        traces = [one.learning[name] for one in runs if name in one.learning]
        grid_G = np.linspace(min(trace[0, 0] for trace in traces), max(trace[0, -1] for trace in traces), POINTS + 1)
        values_SG = np.stack([np.interp(grid_G, trace[0], trace[1], left=math.nan, right=math.nan) for trace in traces])
        kept_G = ~np.isnan(values_SG).all(axis=0)
        if kept_G.any():
            values_SG = values_SG[:, kept_G]
            lines = [reduce(values_SG, axis=0) for reduce in (np.nanmean, np.nanmin, np.nanmax)]
            found[name] = grid_G[kept_G], np.stack(lines)
    return found


@dataclass(frozen=True)
class Gauged:
    """What memories held against what their policies came to, over looks, seeds and groups of a domain.

    Attributes:
        points: of each group, by its label, nats and mean return of the same episodes (2, P).
        pearson, spearman: over all of them.
    """

    points: Mapping[str, Array]
    pearson: float
    spearman: float

    @property
    def num(self) -> int:
        """How many looks."""
        return sum(found.shape[1] for found in self.points.values())


def gauged(panel: Panel) -> dict[str, Gauged]:
    """By the name of a belief what the gauge of `--gauge` saw in a domain."""
    found: dict[str, dict[str, list[Array]]] = defaultdict(lambda: defaultdict(list))
    for row in () if panel.domains else panel.rows:
        for learning in (one.learning for one in row.runs if RETURN in one.learning):
            steps, returns = learning[RETURN]
            for name in (name for name in learning if name.startswith(GAUGE) and name != RETURN):
                if name.endswith("_entropy"):
                    continue
                _, mine, theirs = np.intersect1d(learning[name][0], steps, return_indices=True)
                pair = np.stack([learning[name][1][mine], returns[theirs]])
                found[name.removeprefix(GAUGE)][row.label].append(pair[:, np.isfinite(pair).all(axis=0)])
    together = {
        name: {label: np.concatenate(pairs, axis=1) for label, pairs in by.items()} for name, by in found.items()
    }
    return {
        name: Gauged(by, *correlations(*np.concatenate(list(by.values()), axis=1))) for name, by in together.items()
    }


def few_seeds(study: Study) -> list[str]:
    """A note where groups with finished runs have too few of them in some domain."""
    rows = [row for row in study.rows if row.few and row.any_finished]
    nums = [max(found.num for found in row.final.values()) for row in rows]
    few = [f"{row.key.env}, {row.label}, {start(row.demonstrations)} ({num})" for row, num in zip(rows, nums)]
    return [f"too few seeds (under {FEW}) for intervals to say much: {'; '.join(few)}"] if few else []


def steps_grid(runs: Sequence[Record]) -> Array:
    """Common steps (G,): multiples of the interval from the latest first evaluation on, and the first end."""
    every = min(int(one.config["env.eval.interval"]) for one in runs)
    first, last = max(one.steps[0] for one in runs), max(one.steps[-1] for one in runs)
    ends = [one.steps[-1] for one in runs if one.final is not None] or [last]
    grid_G = np.unique([first, *np.arange(every, last + 1, every), min(ends)])
    return np.asarray(grid_G[grid_G >= first], np.float64)


def curve(strata: Sequence[Sequence[Record]], metric: str, where: Callable[[Record], Array], grid_G: Array) -> Curve:
    """A metric of a group at points G, as far as every domain has a run there.

    Runs evaluate a few steps apart, since their random episodes at the start differ in length; each is interpolated
    between its own evaluations, and counts from its first to its last.

    Args:
        strata: the runs of each domain, all with an evaluation.
        where: the points of a run's evaluations.
    """
    values = [
        np.stack(
            [np.interp(grid_G, where(one), one.curves[metric], left=math.nan, right=math.nan) for one in found], axis=-1
        )
        for found in strata
    ]
    kept_G = np.all([~np.isnan(values_GS).all(axis=-1) for values_GS in values], axis=0)
    values = [values_GS[kept_G] for values_GS in values]
    present = np.concatenate([~np.isnan(values_GS) for values_GS in values], axis=-1)
    found = {name: np.full((3, len(present)), math.nan) for name in STATISTICS}
    for pattern in np.unique(present, axis=0):
        here = (present == pattern).all(axis=1)
        some = [values_GS[here][:, ~np.isnan(values_GS[here][0])] for values_GS in values]
        for name, numbers in estimates(some, CURVE_DRAWS).items():
            found[name][:, here] = numbers
    return Curve(grid_G[kept_G], present.sum(axis=1).astype(np.float64), found)
