"""The report as Markdown and as CSV files."""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scripts.reporting.runs import LAST, METRICS, Record
from scripts.reporting.statistics import STATISTICS, Estimate, Interval
from scripts.reporting.study import SOLVED, Panel, Row, Study, counted, few_seeds, gauged, unit_of

DIGITS = {"length": 1}
TITLES = {"mean": "mean", "iqm": "IQM", "median": "median"}

SUMMARY = f"""\
Means over seeds; in brackets the 95 % percentile-bootstrap interval over seeds (none for a single seed);
`3 of 5` after a number: only so many seeds are in it. Success after training: greedy episodes of the last policy, of
finished runs. IQM: interquartile mean; of fewer than four seeds the mean. Last {LAST}: mean of the last ten
evaluations of a run, of those so far where it is not finished. Steps to a {{metric}}: median over seeds of
the first evaluation that has it; a run without one (never, or not yet) counts as infinite."""
FINAL = """\
Means of the last ten evaluations of finished runs. Score: the return between that of random actions, 0, and that of
the best policy, 1, where both are known."""
CHANCE = """\
The probability that a run of X earns a greater return than one of Y, a tie counting half, with its 95 % interval;
of finished runs, as above. 0.5 is no difference. Of fewer than five seeds there is no interval."""
CLOCK = """\
Median over seeds with the 95 % interval; `never` counts as infinite. Minutes are those of training with its
evaluations, as the machine was at the time, without what lay between a stop and the resumption."""
GAUGED = """\
What the memory held of the exact belief, in nats, against the mean return of the same greedy episodes, over all looks
of `--gauge` at all runs of a domain. Looks at one run are not independent."""
ALL_DOMAINS = """\
Finished runs, with as much weight for each domain; the interval is a stratified bootstrap over the seeds of each.
Score as above. The median is that of the domains' means. Only groups that have finished runs in all of the domains."""


def markdown(study: Study) -> str:
    """table.md."""
    text = ["# Report", "", *_table(*_summary(study)), "", SUMMARY.format(metric=study.metric)]
    finished = [row for row in study.rows if row.any_finished]
    if finished:
        text += ["", f"## Last {LAST} evaluations", "", *_table(*_final(finished)), "", FINAL]
    pairs = [line for panel in study.panels for line in _pairs(panel)]
    if pairs:
        head = ["env", "demonstrations", "X", "Y", "P(X > Y)"]
        text += ["", "## Probability of improvement", "", *_table(head, pairs), "", CHANCE]
    text += ["", "## Sample efficiency and wall-clock", "", *_table(*_clock(study)), "", CLOCK]
    aggregates = [panel for panel in study.panels if panel.domains]
    if aggregates:
        text += ["", "## All domains", "", *_table(*_aggregate(aggregates)), "", ALL_DOMAINS, ""]
        text += [_plain(f"Over {', '.join(panel.domains)}, {panel.start}.") for panel in aggregates]
    looks = [
        [panel.domain, panel.start, name, str(found.num), _number(found.pearson), _number(found.spearman)]
        for panel in study.panels
        for name, found in gauged(panel).items()
    ]
    if looks:
        head = ["env", "demonstrations", "belief", "looks", "Pearson", "Spearman"]
        text += ["", "## What memories hold, and return", "", *_table(head, looks), "", GAUGED]
    known = {one.key.env: one.reference for one in study.records if one.reference is not None}
    if known:
        text += ["", "## What scores are measured by", ""]
        text += _table(
            ["env", "random", "optimum", "source"],
            [[env, f"{found.random:.4g}", found.optimum_text, found.source] for env, found in sorted(known.items())],
        )
    notes = [*study.notes, *few_seeds(study)]
    if notes:
        text += ["", "## Notes", "", *(f"- {_plain(note)}" for note in notes)]
    unfinished = [one for row in study.rows for one in row.runs if one.final is None]
    if unfinished:
        text += ["", "## Not finished", ""]
        text += [f"- {_plain(str(one.key))}, seed {one.seed}, {reached(one)}: `{one.folder}`" for one in unfinished]
    return "\n".join(text) + "\n"


def csv_files(study: Study) -> dict[str, str]:
    """Every number in a column of its own; empty where there is none, `inf` for never."""
    files = {
        "table.csv": [_group_line(row, study) for row in study.rows],
        "curves.csv": list(_curve_lines(study)),
        "profiles.csv": list(_profile_lines(study)),
        "improvement.csv": list(_improvement_lines(study)),
        "all_domains.csv": [
            _aggregate_line(panel, row) for panel in study.panels if panel.domains for row in panel.rows
        ],
    }
    return {name: _csv(lines) for name, lines in files.items() if lines}


def cell(found: Estimate, num: int, which: str = "mean", digits: int = 2) -> str:
    """`0.97 [0.91, 1.00], 3 of 5`: brackets where there is an interval, `of` where seeds are missing."""
    if not found.num:
        return "–"
    return interval_text(getattr(found, which), digits) + (f", {found.num} of {num}" if found.num < num else "")


def interval_text(found: Interval, digits: int = 2) -> str:
    """`0.97 [0.91, 1.00]`: brackets where there is an interval."""
    value, low, high = (f"{round(number, digits) + 0.0:.{digits}f}" for number in found)
    return value + ("" if math.isnan(found.low) else f" [{low}, {high}]")


def reached(one: Record) -> str:
    """How far a run has come."""
    if not len(one.steps):
        return "no evaluation yet"
    metric = "success" if "success" in one.curves else "return"
    return f"{one.steps[-1]:,.0f} {one.unit}, {metric} {one.curves[metric][-1]:.2f}"


def reach_text(row: Row) -> str:
    """How many runs reached the threshold; a dash where the env does not tell its metric."""
    return "–" if math.isnan(row.steps.value) else f"{len(row.runs) - row.never} of {len(row.runs)}"


def time_text(found: Interval, form: str) -> str:
    """A time that may be never, with its bounds."""
    if math.isnan(found.value):
        return "–"
    value, low, high = ("never" if math.isinf(number) else format(number, form) for number in found)
    return value + ("" if math.isnan(found.low) else f" [{low}, {high}]")


def _summary(study: Study) -> tuple[list[str], list[list[str]]]:
    """The first table."""
    head = [
        "env",
        "method",
        "memory",
        "demonstrations",
        "seeds",
        "success after training",
        "success after training, IQM",
    ]
    head += [f"{name}, last {LAST}" for name in METRICS]
    what = f"{'' if study.metric == 'success' else 'return '}{study.threshold:g}"
    head += [f"seeds ≥ {SOLVED:g}", f"{unit_of(study.rows)} to {what}"]
    lines = []
    for row in study.rows:
        num = len(row.runs)
        lines.append(
            [
                *_names(row),
                f"{num}" + (f" (**{row.unfinished} not finished**)" if row.unfinished else ""),
                cell(row.reported, num),
                cell(row.reported, num, "iqm"),
                *(cell(row.last.get(name, Estimate.of()), num, digits=DIGITS.get(name, 2)) for name in METRICS),
                "–" if row.solved is None else f"{row.solved} of {num}",
                counted(_reach(row), row, unit_of(study.rows)),
            ]
        )
    return head, lines


def _final(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """IQM, median and mean of what there is."""
    metrics = ("success", "return", "score")
    head = ["env", "method", "memory", "demonstrations"]
    head += [f"{name}, {TITLES[which]}" for name in metrics for which in ("iqm", "median", "mean")]
    nothing = Estimate.of()
    lines = [
        _names(row)
        + [
            cell(row.final.get(name, nothing), len(row.runs), which)
            for name in metrics
            for which in ("iqm", "median", "mean")
        ]
        for row in rows
    ]
    return head, lines


def _pairs(panel: Panel) -> Iterator[list[str]]:
    """Each pair of a panel once."""
    name = "score" if panel.domains else "return"
    labels = list(panel.profiles.get(name, {}))
    for index, x in enumerate(labels):
        for y in labels[index + 1 :]:
            chance = interval_text(panel.improvement[name][x, y])
            yield [panel.domain, panel.start.split()[0], x, y, chance]


def _clock(study: Study) -> tuple[list[str], list[list[str]]]:
    """Steps and minutes to the threshold, and the whole."""
    what = f"{study.metric} {study.threshold:g}"
    unit = unit_of(study.rows)
    head = ["env", "method", "memory", "demonstrations", f"reached {what}", f"{unit} to {what}"]
    head += [f"minutes to {what}", "hours a run", f"{unit} a second"]
    lines = []
    for row in study.rows:
        hours = f"{sum(row.hours) / len(row.hours):.2f}" if row.hours else "–"
        missing = f", {len(row.hours)} of {len(row.runs)}" if 0 < len(row.hours) < len(row.runs) else ""
        lines.append(
            [
                *_names(row),
                reach_text(row),
                counted(time_text(row.steps, ",.0f"), row, unit),
                time_text(row.minutes, ",.1f"),
                hours + missing,
                "–" if math.isnan(row.speed) else counted(f"{row.speed:,.0f}", row, unit),
            ]
        )
    return head, lines


def _aggregate(panels: Sequence[Panel]) -> tuple[list[str], list[list[str]]]:
    """IQM, median and mean over domains."""
    head = [
        "group",
        "demonstrations",
        "domains",
        "seeds",
        "score, IQM",
        "score, median",
        "score, mean",
        "success, mean",
    ]
    head += ["reached the threshold"]
    lines = []
    for panel in panels:
        for row in panel.rows:
            num = len(row.runs)
            cells = [cell(row.final["score"], num, which) for which in ("iqm", "median", "mean")]
            success = row.final.get("success", Estimate.of())
            lines.append(
                [row.label, panel.start.split()[0], str(len(panel.domains)), str(num), *cells]
                + [cell(success, num), reach_text(row)]
            )
    return head, lines


def _names(row: Row) -> list[str]:
    """Env, method, memory, start."""
    method = f"{row.key.method} ({row.key.more})" if row.key.more else row.key.method
    return [row.key.env, method, row.key.memory, "with" if row.demonstrations else "without"]


def _reach(row: Row) -> str:
    """Median steps to the threshold, and how many seeds never came there."""
    if math.isnan(row.steps.value):
        return "–"
    if math.isinf(row.steps.value):
        return f"never ({row.never} of {len(row.runs)})"
    return f"{row.steps.value:,.0f}" + (f" ({row.never} of {len(row.runs)} never)" if row.never else "")


def _plain(text: str) -> str:
    """What Markdown shows as this text: no column, no HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    clean = [[_plain(text) for text in line] for line in [head, ["---"] * len(head), *lines]]
    return [f"| {' | '.join(line)} |" for line in clean]


def _group_line(row: Row, study: Study) -> dict[str, Any]:
    """A group in table.csv."""
    line: dict[str, Any] = {
        "env": row.key.env,
        "method": row.key.method,
        "memory": row.key.memory,
        "more": row.key.more,
        "demonstrations": "with" if row.demonstrations else "without",
        "seeds": len(row.runs),
        "unfinished": row.unfinished,
    }
    found = {"final_success": row.reported}
    found |= {f"last_ten_{name}": row.last.get(name, Estimate.of()) for name in METRICS}
    finished = {f"finished_{name}": row.final.get(name, Estimate.of()) for name in (*METRICS, "score")}
    line |= _estimates(found | finished)
    line |= {
        "solved_seeds": "" if row.solved is None else row.solved,
        "threshold": f"{study.threshold:g}",
        "threshold_metric": study.metric,
    }
    line |= _interval("steps_to_threshold", row.steps, "{:.10g}") | _interval("minutes_to_threshold", row.minutes)
    hours = _number(sum(row.hours) / len(row.hours) if row.hours else math.nan)
    speed = {"unit": row.unit, "steps_per_second": _number(row.speed)}
    return line | {"never_seeds": row.never, "hours_mean": hours} | speed


def _curve_lines(study: Study) -> Iterator[dict[str, Any]]:
    """A point of a curve in curves.csv."""
    for panel in study.panels:
        for row in panel.rows:
            for (axis, name), found in row.curves.items():
                for index, x in enumerate(found.x):
                    line = _head(panel, row.label) | {"metric": name, "axis": axis, "x": f"{x:.10g}"}
                    line |= {"seeds": f"{found.seeds[index]:g}"}
                    for which in STATISTICS:
                        line |= _interval(which, Interval(*found.statistics[which][:, index]))
                    yield line


def _profile_lines(study: Study) -> Iterator[dict[str, Any]]:
    """A threshold of a profile in profiles.csv."""
    for panel in study.panels:
        for name, by_label in panel.profiles.items():
            for label, profile_3P in by_label.items():
                for threshold, column in zip(panel.thresholds[name], profile_3P.T):
                    line = _head(panel, label) | {"metric": name, "threshold": f"{threshold:.6g}"}
                    yield line | _interval("share_above", Interval(*column))


def _improvement_lines(study: Study) -> Iterator[dict[str, Any]]:
    """A pair in improvement.csv."""
    for panel in study.panels:
        for name, pairs in panel.improvement.items():
            for (x, y), found in pairs.items():
                yield _head(panel, x) | {"over": y, "metric": name} | _interval("probability", found)


def _head(panel: Panel, label: str) -> dict[str, Any]:
    """The first columns of all files but table.csv."""
    return {"env": panel.domain, "demonstrations": panel.start.split()[0], "group": label}


def _aggregate_line(panel: Panel, row: Row) -> dict[str, Any]:
    """A group in all_domains.csv."""
    line = _head(panel, row.label) | {"domains": " ".join(panel.domains), "seeds": len(row.runs)}
    return line | {"never_seeds": row.never} | _estimates(row.final)


def _estimates(found: Mapping[str, Estimate]) -> dict[str, Any]:
    """Columns of estimates."""
    line: dict[str, Any] = {}
    for name, one in found.items():
        line[f"{name}_seeds"] = one.num
        line |= dict(zip((f"{name}_mean", f"{name}_low", f"{name}_high"), map(_number, one.mean)))
        for which in ("iqm", "median"):
            line |= _interval(f"{name}_{which}", getattr(one, which))
    return line


def _interval(name: str, found: Interval, form: str = "{:.6g}") -> dict[str, str]:
    """A value and its bounds in three columns."""
    return {f"{name}{end}": _number(number, form) for end, number in zip(("", "_low", "_high"), found)}


def _number(value: float, form: str = "{:.6g}") -> str:
    """Empty where there is none."""
    return "" if math.isnan(value) else form.format(value)


def _csv(lines: Sequence[Mapping[str, Any]]) -> str:
    """One file; a column that a line has not is empty there."""
    file = io.StringIO()
    writer = csv.DictWriter(file, list(dict.fromkeys(name for line in lines for name in line)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return file.getvalue()
