"""Pictures of tables that are computed, drawn of the rows of a page and of nothing else."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rows = Sequence[Sequence[str]]
NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
MARKERS, COLOURS = "osD^vP*Xh", ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")


def numbers(cell: str) -> list[float]:
    """All numbers in a cell, such as a median and the bounds in brackets behind it."""
    return [float(found.replace(",", "")) for found in NUMBER.findall(cell)]


def picture_of(record: Mapping[str, Any]) -> tuple[Callable[[Rows], "Figure"], str] | None:
    """How a page's picture is drawn and what its file is called; None where it has none."""
    words = str(record.get("command", "")).split("\n")[0]
    name, page = re.search(r"--computed=(\w+)", words), re.search(r"--page=\S*?([\w-]+)\.md", words)
    if name is None or page is None or name[1] not in PICTURES:
        return None
    return PICTURES[name[1]], f"{page[1]}.png"


def save(record: Mapping[str, Any], folder: Path) -> None:
    """Writes the picture of a page, where it has one."""
    import matplotlib.pyplot as plt

    if (found := picture_of(record)) is None:
        return
    figure = found[0](record["rows"])
    with atomic_path(folder / found[1]) as draft:
        figure.savefig(draft, format="png", dpi=110, metadata={"Software": None})
    plt.close(figure)


def _panels(titles: Sequence[str], columns: int = 3) -> tuple["Figure", list["Axes"]]:
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
            held, earned = numbers(row[9]) or numbers(row[6]), numbers(row[5])
            held = held[:3] if len(held) >= 3 else numbers(row[6])[:3]
            label = " ".join(row[column].replace("`", "") for column in (1, 2) if len({r[column] for r in own}) > 1)
            _crossed(axes, held, earned, label, number)
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
            told = numbers(row[3])[:1]
            if told:
                _crossed(axes, told, numbers(row[6]), row[2], number)
            elif row[2] == "none":
                axes.axhline(numbers(row[6])[0], color="#999999", linestyle="--", linewidth=1, label="none")
        axes.set_xlabel("share of the return's variance", fontsize=8)
        axes.legend(fontsize=7)
    panels[0].set_ylabel("return, all of a run", fontsize=8)
    return figure


def _crossed(axes: "Axes", x: Sequence[float], y: Sequence[float], label: str, number: int) -> None:
    """A point with the spans of both, each a value with, or without, the least and the greatest behind it."""
    spans = [np.abs(np.array([[v[0] - v[1]], [v[2] - v[0]]])) if len(v) == 3 else None for v in (x, y)]
    style: dict[str, Any] = {"fmt": MARKERS[number % len(MARKERS)], "color": COLOURS[number % len(COLOURS)]}
    axes.errorbar(x[:1], y[:1], xerr=spans[0], yerr=spans[1], label=label, markersize=4, linewidth=0.8, **style)


PICTURES: dict[str, Callable[[Rows], "Figure"]] = {
    "aliasing": aliasing,
    "estimators": estimators,
    "information": information,
    "signal_worth": signal_worth,
}
