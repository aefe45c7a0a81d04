"""The report as one HTML page with its data, scripts and films inside, which asks for nothing from any network."""

import base64
import json
import math
from collections.abc import Iterable, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from scripts.reporting.figures import COLOURS
from scripts.reporting.runs import METRICS, SETTINGS, Record
from scripts.reporting.statistics import STATISTICS, Interval
from scripts.reporting.study import FEW, Panel, Row, Study, counted, few_seeds, gauged, unit_of
from scripts.reporting.tables import (
    ALL_DOMAINS,
    CHANCE,
    CLOCK,
    FINAL,
    TITLES,
    interval_text,
    reach_text,
    reached,
    time_text,
)

HERE = Path(__file__).resolve().parent
DIGITS = 5  # significant ones of a number in the page


def page(study: Study, film_megabytes: float) -> tuple[str, list[str]]:
    """report.html, and a note where not all films had room.

    Args:
        study: what to show.
        film_megabytes: how much of GIFs to put in, first of the first seed of each group, then of the second.
    """
    films, left_out = chosen_films(study.rows, film_megabytes)
    data = json.dumps(_data(study, films), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    parts = {
        "STYLE": (HERE / "page.css").read_text(encoding="utf-8"),
        "SCRIPT": (HERE / "page.js").read_text(encoding="utf-8"),
        "DATA": data.replace("<", "\\u003c"),  # no text of a run can end the element
    }
    text = (HERE / "page.html").read_text(encoding="utf-8")
    head, *rest = text.split("@@")
    text = head + "".join(parts[part] if index % 2 == 0 else part for index, part in enumerate(rest))
    room = f"report.html has no room for {left_out} of {left_out + len(films)} films; raise --film_megabytes"
    return text, [room] if left_out and film_megabytes else []


def chosen_films(rows: Iterable[Row], megabytes: float) -> tuple[dict[Path, str], int]:
    """The last film of each run as far as there is room, as data URIs by path; and how many are left out."""
    by_row = [[one.films[-1] for one in sorted(row.runs, key=lambda one: one.seed) if one.films] for row in rows]
    room, left_out = megabytes * 1e6, 0
    chosen: dict[Path, str] = {}
    for path in (path for together in zip_longest(*by_row) for path in together if path is not None):
        room -= path.stat().st_size
        if room < 0:
            left_out += 1
            room += path.stat().st_size
        else:
            chosen[path] = f"data:image/gif;base64,{base64.b64encode(path.read_bytes()).decode()}"
    return chosen, left_out


def _data(study: Study, films: Mapping[Path, str]) -> dict[str, Any]:
    """What page.js reads."""
    index = {path: number for number, path in enumerate(films)}
    settings = {
        one.key.env: ", ".join(
            f"{what} {one.settings[name]}" for name, what in SETTINGS.items() if name in one.settings
        )
        for one in study.records
    }
    references = {
        one.key.env: f"; random return {one.reference.random:.4g}, optimum {one.reference.optimum_text}"
        for one in study.records
        if one.reference is not None
    }
    return {
        "threshold": study.threshold,
        "threshold_metric": study.metric,
        "labels": [
            {"name": label, "colour": COLOURS[number % len(COLOURS)], "dashed": number >= len(COLOURS)}
            for label, number in ((label, study.colours[label]) for label in study.labels)
        ],
        "statistics": {name: TITLES[name] for name in ("iqm", "median", "mean")},
        "texts": {"final": FINAL, "chance": CHANCE, "clock": CLOCK.replace("`", ""), "all": ALL_DOMAINS},
        "panels": [_panel(study, panel, index) for panel in study.panels],
        "settings": [[env, text + references.get(env, "")] for env, text in sorted(settings.items())],
        "notes": [*study.notes, *few_seeds(study)],
        "few": FEW,
        "films": list(films.values()),
        "counts": f"{len(study.records)} runs, {sum(one.final is None for one in study.records)} of them not finished",
    }


def _panel(study: Study, panel: Panel, films: Mapping[Path, int]) -> dict[str, Any]:
    """One domain and kind of start."""
    return {
        "domain": panel.domain,
        "start": panel.start,
        "axes": list(panel.axes),
        "titles": panel.titles,
        "unit": unit_of(panel.rows),
        "domains": list(panel.domains),
        "rows": [_row(study, panel, row, films) for row in panel.rows],
        "thresholds": {name: _numbers(values) for name, values in panel.thresholds.items()},
        "profiles": {
            name: {study.labels.index(label): list(map(_numbers, lines)) for label, lines in found.items()}
            for name, found in panel.profiles.items()
        },
        "gauge": {
            name: {
                "points": {
                    study.labels.index(label): list(map(_numbers, pair)) for label, pair in found.points.items()
                },
                "text": f"Pearson {_text(found.pearson, '.2f')}, Spearman {_text(found.spearman, '.2f')}",
                "num": found.num,
            }
            for name, found in gauged(panel).items()
        },
        "improvement": {
            name: [
                [study.labels.index(x), study.labels.index(y), found.value, interval_text(found)]
                for (x, y), found in pairs.items()
            ]
            for name, pairs in panel.improvement.items()
        },
    }


def _row(study: Study, panel: Panel, row: Row, films: Mapping[Path, int]) -> dict[str, Any]:
    """One group."""
    return {
        "label": study.labels.index(row.label),
        "seeds": len(row.runs),
        "unfinished": row.unfinished,
        "full": row.full,
        "curves": {
            f"{axis}/{metric}": {
                "x": _numbers(found.x),
                "seeds": _numbers(found.seeds),
                **{name: [_numbers(line) for line in found.statistics[name]] for name in STATISTICS},
            }
            for (axis, metric), found in row.curves.items()
        },
        "final": {
            metric: {"seeds": found.num, **{name: _numbers(getattr(found, name)) for name in STATISTICS}}
            for metric, found in row.final.items()
            if found.num
        },
        "few": row.few,
        "learning": {
            name: {"x": _numbers(x), "lines": [_numbers(line) for line in lines]}
            for name, (x, lines) in row.learning.items()
        },
        "reached": reach_text(row),
        "clock": None
        if panel.domains
        else [
            counted(time_text(row.steps, ",.0f"), row, unit_of(panel.rows)),
            time_text(row.minutes, ",.1f"),
            _text(sum(row.hours) / len(row.hours), ".2f") if row.hours else "–",
            counted(_text(row.speed, ",.0f"), row, unit_of(panel.rows)),
        ],
        "runs": [] if panel.domains else [_run(one, films) for one in sorted(row.runs, key=lambda one: one.seed)],
    }


def _run(one: Record, films: Mapping[Path, int]) -> dict[str, Any]:
    """One run; `x` is by axis."""
    return {
        "seed": one.seed,
        "finished": one.final is not None,
        "reached": reached(one),
        "folder": str(one.folder),
        "film": films.get(one.films[-1]) if one.films else None,
        "x": {"steps": _numbers(one.steps), "minutes": _numbers(one.minutes)},
        "y": {metric: _numbers(one.curves[metric]) for metric in (*METRICS, "score") if metric in one.curves},
    }


def _numbers(values: Iterable[float] | Interval) -> list[float | None]:
    """As JSON keeps them: short, and null where there is none."""
    return [None if math.isnan(value) else float(f"{value:.{DIGITS}g}") for value in np.asarray(values, float).tolist()]


def _text(value: float, form: str) -> str:
    """A number, or a dash where there is none."""
    return "–" if math.isnan(value) else format(value, form)
