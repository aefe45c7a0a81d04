"""Figures of a study, each as PNG and PDF."""

import math
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scripts.reporting.statistics import Interval
from scripts.reporting.study import ALL, Panel, Row, Study
from scripts.reporting.tables import TITLES
from utils.files import atomic_path

# Okabe and Ito's colours, which the colour-blind can tell apart, less yellow, which white paper swallows; and three of
# Tol's.
COLOURS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"),
    *("#882255", "#999933", "#44AA99"),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
FORMATS = ("png", "pdf")
MOST_PAIRED = 5  # groups all of whose pairs are drawn
NARROW = 34  # letters a line of a name beside an axis


def draw(study: Study, statistic: str, out: Path) -> list[str]:
    """Writes two figures of each domain and of all together: learning curves, and what came of the finished runs.

    Args:
        statistic: of `STATISTICS`, for the curves.
        out: a folder.

    Returns:
        The names of the files.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams["text.parse_math"] = False  # a $ in a name is a $
    written = []
    for domain in study.domains:
        stem = "all_domains" if domain == ALL else domain.replace("/", "_").replace(":", "_")
        panels = [panel for panel in study.of(domain) if any(row.curves for row in panel.rows)]
        finished = [panel for panel in panels if panel.profiles]
        if panels:
            written += _save(_curves(plt, study, panels, statistic), out, f"curves_{stem}")
        if finished:
            written += _save(_final(plt, study, finished), out, f"final_{stem}")
    return written


def write_figure(figure: Any, *paths: Path, dpi: int = 150) -> None:
    """Writes a figure, in the format of each name's end, without the date: the same figure is the same file."""
    import matplotlib.pyplot as plt

    for path in paths:
        kind = path.suffix[1:]
        undated = {"CreationDate": None} if kind == "pdf" else {}
        with atomic_path(path) as draft:
            figure.savefig(draft, dpi=dpi, format=kind, metadata=undated)
    plt.close(figure)


def _save(figure: Any, out: Path, stem: str) -> list[str]:
    names = [f"{stem}.{kind}" for kind in FORMATS]
    write_figure(figure, *(out / name for name in names))
    return names


def _curves(plt: Any, study: Study, panels: Sequence[Panel], statistic: str) -> Any:
    """A metric against steps: a row for each metric, a column for each kind of start, a colour for each group."""
    from matplotlib.ticker import EngFormatter

    axis = panels[0].axes[0]
    metrics = ("success", "score") if axis == "share" else ("success", "return")
    longest = max(len(_legend(row)) for panel in panels for row in panel.rows)
    columns = 2 if longest <= 34 else 1
    lines = max(_lines(map(_legend, panel.rows)) for panel in panels) / columns
    size = (1.2 + 5.2 * len(panels), 6.2 + 0.2 * lines)
    shared = {"sharex": True, "sharey": "row", "squeeze": False}
    figure, cells = plt.subplots(2, len(panels), figsize=size, layout="constrained", **shared)
    dashed = False
    for column, panel in zip(cells.T, panels):
        for metric, axes in zip(metrics, column):
            for row in panel.rows:
                if (axis, metric) in row.curves:
                    dashed |= _curve(axes, row, axis, metric, statistic, *_look(study, row))
            if metric == study.metric:
                axes.axhline(study.threshold, color="0.5", linewidth=0.8, linestyle=":")
            _tidy(axes)
        column[0].set(title=panel.start, ylim=(-0.04, 1.04))
        column[1].set_xlabel(panel.titles[axis])
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.2)}
        column[1].legend(**below, frameon=False, fontsize="small", ncols=columns)
    for metric, axes in zip(metrics, cells[:, 0]):
        axes.set_ylabel(metric)
    if axis == "steps":
        cells[0, 0].xaxis.set_major_formatter(EngFormatter(sep=" "))
    cells[0, 0].set_xlim(left=0)
    about = f"{TITLES[statistic]} and 95 % interval over seeds"
    figure.suptitle(f"{panels[0].domain}\ngreedy episodes: {about}{'; dashed: fewer seeds' if dashed else ''}")
    return figure


def _curve(axes: Any, row: Row, axis: str, metric: str, statistic: str, colour: str, marker: str) -> bool:
    """One group: a thin line a seed, the statistic, its band. Says whether it is dashed in part (seeds missing)."""
    found = row.curves[axis, metric]
    if axis == "steps":
        for one in row.runs:
            axes.plot(one.steps, one.curves[metric], color=colour, alpha=0.3, linewidth=0.6)
    value_G, low_G, high_G = found.statistics[statistic]
    full_G = found.seeds == row.full
    every = max(len(found.x) // 8, 1)
    axes.plot(found.x, np.where(full_G, value_G, math.nan), color=colour, linewidth=2)
    if not full_G.all():
        rest_G = ~full_G | np.append(~full_G[1:], False) | np.insert(~full_G[:-1], 0, False)  # joined to the solid line
        axes.plot(found.x, np.where(rest_G, value_G, math.nan), color=colour, linewidth=2, linestyle=(0, (2, 1)))
    axes.plot(found.x, value_G, color=colour, marker=marker, markevery=every, markersize=5, linestyle="none")
    axes.plot([], [], color=colour, marker=marker, markersize=5, linewidth=2, label=_legend(row))
    axes.fill_between(found.x, low_G, high_G, color=colour, alpha=0.18, linewidth=0)
    return not full_G.all()


def _final(plt: Any, study: Study, panels: Sequence[Panel]) -> Any:
    """IQM, median and mean with intervals, performance profile, probability of improvement: a row for each start."""
    bars = max(_lines(_legend(row, NARROW, finished=True) for row in panel.rows) for panel in panels)
    bars += max(_lines(map(_versus, _shown_pairs(panel, next(iter(panel.profiles))))) for panel in panels)
    size = (19.0, 1.0 + len(panels) * (1.6 + 0.22 * bars))
    widths = {"width_ratios": (1, 1, 1, 1.5, 1.4)}
    figure, cells = plt.subplots(len(panels), 5, figsize=size, squeeze=False, layout="constrained", gridspec_kw=widths)
    for panel, axes in zip(panels, cells):
        metric = "score" if "score" in panel.profiles else "return"
        rows = [row for row in panel.rows if row.label in panel.profiles[metric]]
        for which, side in zip(("iqm", "median", "mean"), axes[:3]):
            for height, row in enumerate(rows):
                _bar(side, height, getattr(row.final[metric], which), _look(study, row)[0])
            side.set(title=f"{metric}, {TITLES[which]}", ylim=(len(rows) - 0.5, -0.5), yticks=range(len(rows)))
            side.set_yticklabels([_legend(row, NARROW, finished=True) for row in rows] if which == "iqm" else [])
        _profile(axes[3], study, panel, metric, rows)
        axes[4].set_visible(len(rows) > 1)
        if len(rows) > 1:
            _pairs(axes[4], panel, metric)
        for side in axes:
            _tidy(side)
        axes[0].set_ylabel(panel.start)
    figure.suptitle(f"{panels[0].domain}\nfinished runs, last ten evaluations, 95 % intervals over seeds")
    return figure


def _bar(axes: Any, height: int, found: Interval, colour: str) -> None:
    """A value as a mark on its interval."""
    axes.use_sticky_edges = False  # a bar's end is no end of the axis
    axes.margins(x=0.08)
    axes.barh(height, found.high - found.low, left=found.low, height=0.55, color=colour, alpha=0.35)
    axes.plot([found.value] * 2, [height - 0.28, height + 0.28], color=colour, linewidth=2.5)


def _profile(axes: Any, study: Study, panel: Panel, metric: str, rows: Sequence[Row]) -> None:
    """The share of runs above each threshold."""
    thresholds_P = panel.thresholds[metric]
    for row in rows:
        value_P, low_P, high_P = panel.profiles[metric][row.label]
        axes.plot(thresholds_P, value_P, color=_look(study, row)[0], linewidth=2)
        axes.fill_between(thresholds_P, low_P, high_P, color=_look(study, row)[0], alpha=0.18, linewidth=0)
    axes.set(title="performance profile", xlabel=f"{metric} τ", ylabel="share of runs above τ", ylim=(-0.03, 1.03))


def _pairs(axes: Any, panel: Panel, metric: str) -> None:
    """The probability that one group beats another, the better one first."""
    shown = _shown_pairs(panel, metric)
    for height, pair in enumerate(shown):
        _bar(axes, height, panel.improvement[metric][pair], "0.3")
    axes.axvline(0.5, color="0.5", linewidth=0.8, linestyle=":")
    axes.set(title="P(X > Y)", xlim=(-0.03, 1.03), ylim=(len(shown) - 0.5, -0.5), yticks=range(len(shown)))
    axes.set_yticklabels([_versus(pair) for pair in shown], fontsize="small")


def _shown_pairs(panel: Panel, metric: str) -> list[tuple[str, str]]:
    """Each pair of groups once; of many groups the pairs with the best one (all are in the page and in the CSV)."""
    pairs, labels = panel.improvement[metric], list(panel.profiles[metric])
    if len(labels) > MOST_PAIRED:
        best = max(
            (row for row in panel.rows if row.label in labels), key=lambda row: row.final[metric].mean.value
        ).label
        return [(best, label) for label in labels if label != best]
    both = [(x, y) for index, x in enumerate(labels) for y in labels[index + 1 :]]
    return [(x, y) if pairs[x, y].value >= 0.5 else (y, x) for x, y in both]


def _look(study: Study, row: Row) -> tuple[str, str]:
    """A group's colour and marker, the same in every figure."""
    index = study.colours[row.label]
    return COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]


def _versus(pair: tuple[str, str]) -> str:
    """`X > Y`, on one line or, where that is long, on more."""
    text = " > ".join(pair)
    return text if len(text) <= NARROW else "\n> ".join(textwrap.fill(label, NARROW) for label in pair)


def _lines(texts: Iterable[str]) -> int:
    """How many lines all of them have together."""
    return sum(1 + text.count("\n") for text in texts)


def _legend(row: Row, width: int = 60, finished: bool = False) -> str:
    """A group's name and how many seeds it has, on lines of at most so many letters."""
    num = len(row.runs) - row.unfinished if finished else len(row.runs)
    flag = f", {row.unfinished} not finished" if row.unfinished and not finished else ""
    return textwrap.fill(f"{row.label} ({num} seed{'s' * (num != 1)}{flag})", width)


def _tidy(axes: Any) -> None:
    """A light grid and no box."""
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
