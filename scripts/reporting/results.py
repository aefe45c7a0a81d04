"""Pages of docs/results: every run of a set, the worst first, and what they are of.

A page stands beside a json of what it was made of, from which it is made anew: whether today's configs are still those
of its runs is said at its top.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.reporting.defaults import GROUPS, differing, settings_of
from scripts.reporting.runs import LAST, Record, read_runs

SEED = re.compile(r"--seed=0*(\d+)")


def gather(folders: Sequence[str]) -> dict[str, Any]:
    """What pages need of the runs in folders, as plain values.

    Raises:
        UserError: no runs, or damaged ones.
    """
    records, _ = read_runs(folders)
    settings: dict[str, dict[str, Any]] = {}
    runs = [_run(record, settings) for record in records]
    return {"runs": runs, "settings": list(settings.values())}


def _run(record: Record, settings: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """One run; its command and resolved settings go to `settings` unless the like are there."""
    about = json.loads((record.folder / "config.json").read_text())
    _remember(settings, record.key.label + (", demonstrations" if record.key.demonstrations else ""), about)
    run = {
        "method": record.key.method,
        "memory": record.key.memory,
        "demonstrations": record.config["run.start_expert"],
        "seed": record.seed,
        "of": _of(about),
        "steps": [int(step) for step in record.steps],
        "success": [round(float(x), 4) for x in record.curves["success"]],
        "return": [round(float(x), 4) for x in record.curves["return"]],
        "finished": record.final is not None,
    }
    embedder = record.config.get("run.state_embedder")
    described = None if embedder is None else Path(embedder) / "config.json"
    if described is not None and described.is_file():
        stage_2 = json.loads(described.read_text())
        _remember(settings, "stage 2", stage_2)
        run["encoders"] = {"seed": stage_2["config"]["run"]["seed"], "of": _of(stage_2)}
        run["data"] = {"seed": stage_2["config"]["data"]["seed"]}
    return run


def _of(about: Mapping[str, Any]) -> dict[str, Any]:
    """By what code and on what machine something was made."""
    named = about.get("instructions") or {}
    instructions = ", ".join(f"{name}={value}" for name, value in named.items())
    return {
        "revision": about["git_revision"][:7] + ("-dirty" if about["git_revision"].endswith("-dirty") else ""),
        "processor": about.get("processor", "unknown"),
        "instructions": instructions,
    }


def _remember(settings: dict[str, dict[str, Any]], what: str, about: Mapping[str, Any]) -> None:
    configs = {group: about["config"][group] for group in GROUPS if about["config"].get(group) is not None}
    key = json.dumps(settings_of(configs), sort_keys=True)
    settings.setdefault(key, {"what": what, "command": _portable(about["command"]), "configs": configs})


def _portable(command: str) -> str:
    """A command without the folders of the machine on which it ran."""
    return re.sub(r"(?<![\w./])/[^\s=]*/(?=[^/\s]+)", "", command)


def page(data: Mapping[str, Any], title: str, metric: str, target: float, notes: str = "") -> str:
    """The page as Markdown, every run of every group, the worst first."""
    changed = differing(data["settings"])
    lines = [f"# {title}", ""]
    if changed:
        lines += [f"> **These runs are not of today's settings** ({len(changed)} fields):", ">"]
        lines += [f"> - {line}" for line in changed[:20]] + ["> - …"] * (len(changed) > 20) + [""]
    finished = [run for run in data["runs"] if run["finished"]]
    lines += _origin(finished, len(data["runs"]) - len(finished))
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for run in finished:
        groups.setdefault((run["method"], run["memory"], run["demonstrations"]), []).append(run)
    lines += _overview(groups, metric, target)
    for key, runs in groups.items():
        lines += [f"## {_name(key)}", "", *_table(runs, metric, target), ""]
    return "\n".join([*lines, *([notes.strip(), ""] if notes.strip() else [])])


def _origin(runs: Sequence[Mapping[str, Any]], unfinished: int) -> list[str]:
    """Of which code, processors and seeds the runs are."""

    def told(values: Iterable[str]) -> str:
        return ", ".join(f"{name} ({count})" for name, count in sorted(Counter(values).items()))

    encoders = [run["encoders"] for run in runs if "encoders" in run]
    lines = [
        f"- Runs: {len(runs)}" + (f"; {unfinished} more are not finished and left out." if unfinished else "."),
        f"- Code, by revision: {told(run['of']['revision'] for run in runs)}"
        + (f"; of encoders: {told(one['of']['revision'] for one in encoders)}." if encoders else "."),
        f"- Processor: {told(run['of']['processor'] for run in runs)}; instructions: "
        f"{told(run['of']['instructions'] or 'all that it has' for run in runs)}.",
    ]
    if encoders:
        data = sorted({run["data"]["seed"] for run in runs if "data" in run})
        seeds = sorted({one["seed"] for one in encoders})
        lines.append(
            f"- Seeds of data sets: {_list(data)}; of encoders: {_list(seeds)}, each on a data set of its own."
        )
    lines.append(
        f"- Last ten: the mean of a run's last {LAST} evaluations. For good: the first evaluation at a success of 0.9 "
        "or above after which none is below."
    )
    return [*lines, ""]


def _overview(groups: Mapping[tuple[Any, ...], Sequence[Mapping[str, Any]]], metric: str, target: float) -> list[str]:
    columns = ["runs", "number", f"{metric}, last ten: least", "median", "mean", f"at {target:g} or above"]
    columns += ["0.9 for good, steps: median", "latest", "never"]
    lines = [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    for key, runs in groups.items():
        last, good = sorted(_last(run, metric) for run in runs), sorted(_for_good(run) for run in runs)
        reached = [steps for steps in good if steps < math.inf]
        middle = good[len(good) // 2]
        lines.append(
            f"| {_name(key)} | {len(runs)} | {last[0]:.2f} | {last[len(last) // 2]:.2f} | "
            f"{sum(last) / len(last):.2f} | {sum(x >= target - 1e-9 for x in last)} of {len(runs)} | "
            f"{_steps(middle)} | "
            f"{_steps(reached[-1] if reached else math.inf)} | {len(good) - len(reached)} |"
        )
    return [*lines, ""]


def _table(runs: Sequence[Mapping[str, Any]], metric: str, target: float) -> list[str]:
    lines = [
        "| data | encoders | policy | last ten: success | return | 0.9 for good, steps | below the target |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for run in sorted(runs, key=lambda run: (_last(run, metric), -_for_good(run))):
        missed = _last(run, metric) < target - 1e-9
        lines.append(
            f"| {run.get('data', {}).get('seed', '–')} | {run.get('encoders', {}).get('seed', '–')} | {run['seed']} | "
            f"{_last(run, 'success'):.2f} | {_last(run, 'return'):.2f} | {_steps(_for_good(run))} | "
            f"{'**yes**' if missed else ''} |"
        )
    return lines


def _last(run: Mapping[str, Any], metric: str) -> float:
    values = run[metric][-LAST:]
    return float(sum(values) / len(values))


def _for_good(run: Mapping[str, Any]) -> float:
    """Env steps of the first evaluation from which on success is 0.9 or above; infinite where the last is not."""
    steps = math.inf
    for step, success in zip(reversed(run["steps"]), reversed(run["success"])):
        if success < 0.9 - 1e-9:
            break
        steps = step
    return steps


def _name(key: tuple[Any, ...]) -> str:
    method, memory, demonstrations = key
    return f"`{method}`, {memory}, {demonstrations or 'no'} demonstrations"


def _steps(steps: float) -> str:
    return "never" if steps == math.inf else f"{int(steps):,}"


def _list(values: Sequence[int]) -> str:
    return ", ".join(map(str, values))
