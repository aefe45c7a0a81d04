"""Pictures of tables that are computed, drawn of the rows of a page and of nothing else."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scripts.reporting.figures import COLOURS, MARKERS, write_figure
from scripts.reporting.signal_worth import NONE
from utils.errors import UserError, first_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rows = Sequence[Sequence[str]]
NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")


def numbers(cell: str) -> list[float]:
    """All numbers in a cell, such as a median and the bounds in brackets behind it."""
    return [float(found.replace(",", "")) for found in NUMBER.findall(cell)]


def picture_of(record: Mapping[str, Any]) -> Callable[[Rows], "Figure"] | None:
    """How the picture of a page is drawn, by what the page was computed; None where it has none."""
    computed = re.search(r"--computed=(\w+)", str(record.get("command", "")))
    return None if computed is None else PICTURES.get(computed[1])


def save(record: Mapping[str, Any], path: Path) -> None:
    """Writes the picture of a page, where it has one.

    Raises:
        UserError: its rows are not those of such a page.
    """
    if (draw := picture_of(record)) is None:
        return
    try:
        figure = draw(record["rows"])
    except (LookupError, TypeError, ValueError) as error:
        raise UserError(
            f"--page: rows of {path.with_suffix('.json')} cannot be drawn ({type(error).__name__}: {first_line(error)})"
        ) from error
    write_figure(figure, path, dpi=110)


def _panels(titles: Sequence[str], columns: int = 3) -> tuple["Figure", list["Axes"]]:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    columns = min(columns, len(titles))
    lines = -(-len(titles) // columns)
    figure, grid = plt.subplots(
        lines, columns, figsize=(3.7 * columns, 3.0 * lines), layout="constrained", squeeze=False
    )
    panels = list(grid.flat)
    for axes, title in zip(panels, titles, strict=False):
        axes.set_title(title, fontsize=9)
        axes.grid(alpha=0.3)
        axes.tick_params(labelsize=8)
    for axes in panels[len(titles) :]:
        axes.set_axis_off()
    return figure, panels


def aliasing(rows: Rows) -> "Figure":
    """Both critics over steps, samples, windows, features and iterations."""
    kinds: tuple[tuple[str, str, str, str], ...] = (
        ("error of the fixed point", "TD of", "steps of TD", "exact fixed points: error"),
        ("error of averaged TD(0)", "", "samples", "simulated TD(0): error"),
        ("error of the fixed point", "window of", "window of the agent state", "fixed points by window: error"),
        ("error with random features", "", "features of the asymmetric critic", "few features: error"),
        ("return, natural actor-critic", "", "iterations", "natural actor-critic: return"),
    )
    figure, panels = _panels([title for *_, title in kinds])
    for axes, (what, of, label, _) in zip(panels, kinds, strict=False):
        own = [row for row in rows if row[0] == what and row[1].startswith(of)]
        x = [numbers(row[1].split(", ")[-1] if "features" in what else row[1])[0] for row in own]
        for column, name in ((2, "symmetric"), (3, "asymmetric")):
            y = [numbers(row[column])[0] for row in own]
            axes.plot(x, y, marker=MARKERS[column], color=COLOURS[column - 2], label=name, markersize=4)
        if "averaged" in what:
            axes.set_xscale("log")
        axes.set_xlabel(label, fontsize=8)
    panels[0].legend(fontsize=8)
    return figure


def estimators(rows: Rows) -> "Figure":
    """What each tells of Gaussian pairs beside what is known, where it is not far beyond it."""
    from scripts.reporting.estimators import COLUMNS

    dims = list(dict.fromkeys(row[0].rpartition(",")[0] for row in rows if row[0].startswith("Gaussian")))
    figure, panels = _panels(dims)
    for axes, dim in zip(panels, dims, strict=False):
        own = [row for row in rows if row[0].startswith(f"{dim},")]
        known = [float(row[1]) for row in own]
        axes.plot(known, known, color="#999999", linestyle="--", label="known")
        for column, name in enumerate(COLUMNS[2:], 2):
            if name == "`plug_in`":  # by counting, which does not count what is continuous
                continue
            told = [numbers(row[column])[0] for row in own]
            style = f"-{MARKERS[column - 2]}"
            axes.plot(known, told, style, color=COLOURS[column - 2], label=name.strip("`"), linewidth=1, markersize=4)
        axes.set_ylim(-0.05 * (max(known) + 1), 1.6 * max(known) + 0.2)
        axes.set_xlabel("nats, known", fontsize=8)
    panels[0].set_ylabel("nats, told", fontsize=8)
    panels[0].legend(fontsize=7)
    return figure


def information(rows: Rows) -> "Figure":
    """Returns over what is held as training ends: medians, and between which values seeds are, a panel a domain."""
    envs = list(dict.fromkeys(row[0] for row in rows))
    figure, panels = _panels(envs)
    for axes, env in zip(panels, envs, strict=False):
        own = [row for row in rows if row[0] == env]
        for number, row in enumerate(own):
            held = (numbers(row[9]) or numbers(row[6]))[:3]  # of the whole belief, where the fact is not all of it
            apart = [column for column in (1, 2) if len({other[column] for other in own}) > 1] or [1]
            _crossed(axes, held, numbers(row[5]), " ".join(row[c].replace("`", "") for c in apart), number)
        axes.set_xlabel("nats held", fontsize=8)
        axes.legend(fontsize=6)
    panels[0].set_ylabel("return", fontsize=8)
    return figure


def signal_worth(rows: Rows) -> "Figure":
    """Returns of a whole run by each signal over what the test before training told of it."""
    groups = list(dict.fromkeys((row[0], row[1]) for row in rows if row[3] != "–" and row[5] != "–"))
    figure, panels = _panels([f"{env}, {learner.partition(' ')[0]}" for env, learner in groups])
    for axes, group in zip(panels, groups, strict=False):
        own = [row for row in rows if (row[0], row[1]) == group and row[5] != "–"]
        for number, row in enumerate(own):
            told, earned = numbers(row[3])[:1], numbers(row[6])
            if row[2] == NONE and earned:
                axes.axhline(earned[0], color="#999999", linestyle="--", linewidth=1, label=NONE)
            _crossed(axes, told, earned, row[2], number)
        axes.set_xlabel("share of the return's variance", fontsize=8)
        axes.legend(fontsize=7)
    panels[0].set_ylabel("return, all of a run", fontsize=8)
    return figure


def _crossed(axes: "Axes", x: Sequence[float], y: Sequence[float], label: str, number: int) -> None:
    """A point with the spans of both, each a value and, or not, the least and greatest; none where one is untold."""
    if not (x and y):
        return
    spans = [np.abs(np.array([[v[0] - v[1]], [v[2] - v[0]]])) if len(v) == 3 else None for v in (x, y)]
    style: dict[str, Any] = {"fmt": MARKERS[number % len(MARKERS)], "color": COLOURS[number % len(COLOURS)]}
    axes.errorbar(x[:1], y[:1], xerr=spans[0], yerr=spans[1], label=label, markersize=4, linewidth=0.8, **style)


PICTURES: dict[str, Callable[[Rows], "Figure"]] = {
    "aliasing": aliasing,
    "estimators": estimators,
    "information": information,
    "signal_worth": signal_worth,
}
