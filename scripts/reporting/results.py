"""Pages of docs/results: every run of a set, the worst first, and what they are of.

A page stands beside a json of what it was made of, from which it is made anew: whether today's configs are still those
of its runs is said at its top.
"""

import contextlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scripts.reporting.certified import Certified
from scripts.reporting.defaults import GROUPS, differing, settings_of
from scripts.reporting.runs import (
    ENV_STEPS,
    LAST,
    Record,
    check_comparable,
    damaged,
    parse,
    read_runs,
    run_folders,
)
from scripts.reporting.statistics import correlations, ranks
from utils.errors import UserError

DIGITS = 4  # behind the point, of curves and of what stage 2 reported
ROUNDING = 0.51 * 10**-DIGITS  # by which a mean of such numbers may be off
TOLD = ("success", "return")  # what pages show, where the env tells it
BOTH = "z_obs, z_state (zero-off)"
REPORTED = {  # numbers of stage 2's report, which there is before stage 3, and where in it they are
    "share of `z_state` that is hidden": ("unseen_share", "z_state"),
    "nats that `z_state` and `z_obs` share": ("shared_nats", "z_state_z_obs"),
    "reward told by both, R²": ("decisions", "reward_r2", BOTH),
    "the informed expert's action told by both": ("decisions", "informed_action", BOTH),
    "the same by `z_state` alone": ("decisions", "informed_action", "z_state (zero-on)"),
}
ALL = "all that it has"  # instructions of the processor, where no variable limits them
FEWEST = 4  # encoders of which a rank correlation is told


def gather(folders: Sequence[str], by: Sequence[str] = ()) -> dict[str, Any]:
    """What pages need of the runs in folders, as plain values, and notes; `by` names fields that tell groups apart.

    Of domains that are finite POMDPs the optimum is worked out where it is not known.

    Raises:
        UserError: no runs, damaged ones, or such as are not to be compared.
    """
    apart = ("run.start_expert", *by)
    certified = Certified()
    records, notes = read_runs(folders, by=apart, work_out=certified)
    if "rl.teacher" not in by and any(record.config.get("rl.teacher") for record in records):
        records, notes = read_runs(folders, by=(*apart, "rl.teacher"), work_out=certified)
    check_comparable(records, allow_mixed=False)
    settings: dict[str, dict[str, Any]] = {}
    runs = [_run(record, settings) for record in records]
    optima = {
        record.key.env: {"random": one.random, "optimum": one.optimum, "told": one.optimum_text}
        for record in records
        if (one := record.reference) is not None
    }
    return {"runs": runs, "settings": list(settings.values()), "left_out": notes, "optima": optima}


def joined(before: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """A page's record with more runs; one with the method and seeds of another takes its place.

    Settings of which no run is left are left out.
    """

    def key(run: Mapping[str, Any]) -> tuple[Any, ...]:
        made_of = (run.get(name, {}).get("seed") for name in ("data", "encoders"))
        return (*(run.get(name) or "" for name in ("env", *TOGETHER, "seed")), *made_of)

    runs = {key(run): run for run in (*before["runs"], *more["runs"])}
    replaced = {key(run) for run in more["runs"]}
    stay = [run for run in before["runs"] if key(run) not in replaced]
    of = {f"{run['method']}, {run['memory']}" for run in stay} | {"stage 2" for run in stay if "encoders" in run}
    settings = {
        json.dumps(settings_of(one["configs"]), sort_keys=True): one
        for one in before["settings"]
        if ", ".join(one["what"].split(", ")[:2]) in of
    }
    settings |= {json.dumps(settings_of(one["configs"]), sort_keys=True): one for one in more["settings"]}
    notes = dict.fromkeys((*before.get("left_out", ()), *more["left_out"]))
    made = {"runs": list(runs.values()), "settings": list(settings.values()), "left_out": list(notes)}
    return {**before, **made, "optima": before.get("optima", {}) | more.get("optima", {})}


def _run(record: Record, settings: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """One run; its command and resolved settings go to `settings` unless the like are there.

    Raises:
        UserError: its config.json, or that of its encoders, lacks something.
    """
    described = record.folder / "config.json"
    about = parse(described.read_bytes(), str(described))
    run = {
        "env": record.key.env,
        "method": record.key.method,
        "memory": record.key.memory,
        "demonstrations": record.config["run.start_expert"],
        "apart": record.key.more.partition(", ")[2],  # what is told apart besides
        "seed": record.seed,
        **({} if record.unit == ENV_STEPS else {"unit": record.unit}),
        "steps": [int(step) for step in record.steps],
        **{name: [round(float(x), DIGITS) for x in record.curves[name]] for name in TOLD if name in record.curves},
        "finished": record.final is not None and len(record.steps) > 0,
    }
    embedder = record.config.get("run.state_embedder")
    encoders = Path(embedder) / "config.json" if isinstance(embedder, str) else None
    try:
        run["of"] = _of(about)
        _remember(settings, record.key.label, about)
        if encoders is not None and encoders.is_file():
            described = encoders
            stage_2 = parse(described.read_bytes(), str(described))
            run["encoders"] = {"seed": stage_2["config"]["run"]["seed"], "of": _of(stage_2)}
            if (report := encoders.parent / "report.json").is_file():
                described = report
                run["encoders"]["report"] = _reported(parse(report.read_bytes(), str(report)))
            run["data"] = {"seed": stage_2["config"]["data"]["seed"]}
            _remember(settings, "stage 2", stage_2)
    except (AttributeError, KeyError, TypeError) as error:
        raise damaged(str(described), f"it lacks what a run records ({type(error).__name__}: {error})") from error
    return run


def _reported(report: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a report of stage 2 that a page sets beside what became of its encoders; {} where it has none."""
    found = {}
    for name, path in REPORTED.items():
        value: Any = report
        for key in path:
            value = value.get(key, {})
        if isinstance(value, float):
            found[name] = round(value, DIGITS)
    factors = [one for one in report.get("factors", {}).values() if one.get("kind") == "hidden"]
    shares = [one["variance_share"]["z_state"] for one in factors if "z_state" in one.get("variance_share", {})]
    if shares:
        found["share of `z_state`'s variance by the hidden factor"] = round(max(shares), DIGITS)
    return found


def _of(about: Mapping[str, Any]) -> dict[str, Any]:
    """By what code and on what machine something was made."""
    named = about.get("instructions") or {}
    instructions = ", ".join(f"{name}={value}" for name, value in named.items())
    return {
        "revision": about["git_revision"][:7] + ("-dirty" if about["git_revision"].endswith("-dirty") else ""),
        "processor": about.get("processor", "unknown"),
        "instructions": instructions,
    }


def origin(folders: Sequence[str]) -> dict[str, dict[str, int]]:
    """Of which code, processors and instructions the runs in and below folders are, of any stage: how often each."""
    counts = {name: Counter[str]() for name in ("revision", "processor", "instructions")}
    below = (path for folder in folders for path in run_folders(Path(folder).expanduser()))
    for path in sorted({path.resolve() for path in below}):
        file = path / "config.json"
        with contextlib.suppress(OSError, UserError, AttributeError, KeyError, TypeError):  # else it is none of ours
            of = _of(parse(file.read_bytes(), str(file)))
            for name, count in counts.items():
                count[str(of[name] or ALL)] += 1
    return {name: dict(count) for name, count in counts.items()}


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in sorted(counts.items()))


def _remember(settings: dict[str, dict[str, Any]], what: str, about: Mapping[str, Any]) -> None:
    configs = {group: about["config"][group] for group in GROUPS if about["config"].get(group) is not None}
    key = json.dumps(settings_of(configs), sort_keys=True)
    settings.setdefault(key, {"what": what, "command": portable(about["command"]), "configs": configs})


def portable(command: str) -> str:
    """A command without the folders of the machine on which it ran, but for those within a repository's configs."""
    command = re.sub(r"(?<![\w./])/[^\s=]*/(?=configs/)", "", command)
    return re.sub(r"(?<![\w./])/[^\s=]*/(?=[^/\s]+)", "", command)


def rendered(record: Mapping[str, Any], picture: str = "") -> str:
    """The page of what stands beside it: of runs, or a table that a command computes, with its picture's file."""
    if "rows" not in record:
        named = {name: record[name] for name in ("title", "metric", "target", "notes")}
        return page(record, **named, last=record.get("last", LAST))
    columns = list(record["columns"])
    table = [f"| {' | '.join(row)} |" for row in (columns, ["---"] * len(columns), *record["rows"])]
    made = ["Made by:", "", "```sh", record["command"], "```"]
    for command, of in record.get("of", {}).items():
        alone = record["command"] == command
        of_which = "What its runs are of" if alone else f"What the runs of `{command}` are of"
        told = f"code, by revision: {_told(of['revision'])}; processor: {_told(of['processor'])}; instructions: "
        made += ["", f"{of_which}: {told}{_told(of['instructions'])}."]
    shown = [f"![{record['title']}]({picture})", ""] if picture else []
    return "\n".join([f"# {record['title']}", "", *record["notes"], "", *shown, *table, "", *made, ""])


TOGETHER = ("method", "memory", "demonstrations", "apart")  # runs of one env that are alike in these make a group


def page(data: Mapping[str, Any], title: str, metric: str, target: float, notes: str = "", last: int = LAST) -> str:
    """The page as Markdown, every run of every group, the worst first; of a run the mean of its `last` evaluations."""
    changed = differing(data["settings"])
    lines = [f"# {title}", ""]
    if changed:
        lines += [f"> **These runs are not of today's settings** ({len(changed)} fields):", ">"]
        lines += [f"> - {line}" for line in changed[:20]] + ["> - …"] * (len(changed) > 20) + [""]
    finished = [run for run in data["runs"] if run["finished"]]
    lines += _origin(finished, len(data["runs"]) - len(finished), data.get("left_out", ()), last)
    optima = data.get("optima", {})
    lines[-1:] = [
        f"- {env}: the optimum of the return is {one['told']}, and random actions have {one['random']:.3g}; a score is "
        "a return's share of the way between them."
        for env, one in sorted(optima.items())
    ] + [""]
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for run in finished:
        groups.setdefault(tuple(run.get(name) or "" for name in ("env", *TOGETHER)), []).append(run)
    names = {key: _name(key, several=len({env for env, *_ in groups}) > 1) for key in groups}
    named = {names[key]: runs for key, runs in groups.items()}
    lines += _overview(named, metric, target, last, optima)
    lines += _foretold(named)
    for name, runs in named.items():
        lines += [f"## {name}", "", *_table(runs, metric, target, last), ""]
    return "\n".join([*lines, *([notes.strip(), ""] if notes.strip() else [])])


def _origin(runs: Sequence[Mapping[str, Any]], unfinished: int, notes: Sequence[str], last: int) -> list[str]:
    """Of which code, processors and seeds the runs are."""

    def told(values: Iterable[str]) -> str:
        return _told(Counter(values))

    encoders = [run["encoders"] for run in runs if "encoders" in run]
    lines = [
        f"- Runs: {len(runs)}" + (f"; {unfinished} more are not finished and left out." if unfinished else "."),
        f"- Code, by revision: {told(run['of']['revision'] for run in runs)}"
        + (f"; of encoders: {told(one['of']['revision'] for one in encoders)}." if encoders else "."),
        f"- Processor: {told(run['of']['processor'] for run in runs)}; instructions: "
        f"{told(run['of']['instructions'] or ALL for run in runs)}.",
    ]
    if encoders:
        data = sorted({run["data"]["seed"] for run in runs if "data" in run})
        seeds = sorted({one["seed"] for one in encoders})
        lines.append(
            f"- Seeds of data sets: {_list(data)}; of encoders: {_list(seeds)}, each on a data set of its own."
        )
    mean = "a run's last evaluation" if last == 1 else f"the mean of a run's last {last} evaluations"
    lines.append(
        f"- {_of_last(last).capitalize()}: {mean}. For good: the first evaluation at a success of 0.9 or above after "
        "which none is below."
    )
    short = sum(len(run["return"]) < last for run in runs)
    if short:
        lines.append(f"- {short} of the runs have fewer than {last} evaluations; of these all count.")
    return [*lines, *(f"- {note}" for note in notes), ""]


def _of_last(last: int) -> str:
    return {1: "last", LAST: "last ten"}.get(last, f"last {last}")


def _overview(
    groups: Mapping[str, Sequence[Mapping[str, Any]]],
    metric: str,
    target: float,
    of: int,
    optima: Mapping[str, Mapping[str, float]],
) -> list[str]:
    columns = ["runs", "number", f"{metric}, {_of_last(of)}: least", "median", "mean", f"at {target:g} or above"]
    unit = _unit([run for runs in groups.values() for run in runs])
    columns += [f"0.9 for good, {unit}: median", "latest", "never", *(["score: median"] if optima else [])]
    lines = [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    for name, runs in groups.items():
        last, good = [_last(run, metric, of) for run in runs], [_for_good(run) for run in runs]
        never = "–" if math.isnan(sum(good)) else sum(steps == math.inf for steps in good)
        reached = [steps for steps in good if steps < math.inf]
        lines.append(
            f"| {name} | {len(runs)} | {min(last):.2f} | {np.median(last):.2f} | "
            f"{sum(last) / len(last):.2f} | {sum(x >= target - ROUNDING for x in last)} of {len(runs)} | "
            f"{_steps(float(np.median(good)))} | "
            f"{_steps(max(reached, default=float(np.median(good))))} | {never} |"
            + (f" {_score(runs, of, optima)} |" if optima else "")
        )
    return [*lines, ""]


def _score(runs: Sequence[Mapping[str, Any]], of: int, optima: Mapping[str, Mapping[str, float]]) -> str:
    """The median over runs of one env; – where its optimum is not known."""
    if (known := optima.get(runs[0]["env"])) is None:
        return "–"
    middle = float(np.median([_last(run, "return", of) for run in runs]))
    return f"{(middle - known['random']) / (known['optimum'] - known['random']):.2f}"


def _foretold(groups: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """How numbers of stage 2's reports go with the steps that policies needed, encoder by encoder.

    Of an encoder the mean over its policies counts, one that never gets there as infinite, by Spearman's correlation.
    """
    table = []
    for group, runs in groups.items():
        of: dict[tuple[int, int], list[Mapping[str, Any]]] = {}
        for run in runs:
            if run.get("encoders", {}).get("report"):
                of.setdefault((run["data"]["seed"], run["encoders"]["seed"]), []).append(run)
        steps = [sum(map(_for_good, mine)) / len(mine) for mine in of.values()]
        if len(of) < FEWEST or math.isnan(sum(steps)):
            continue
        for name in next(iter(of.values()))[0]["encoders"]["report"]:
            told = [mine[0]["encoders"]["report"].get(name, math.nan) for mine in of.values()]
            if not math.isnan(sum(told)):
                # of ranks, which are finite where steps are not
                found, _ = correlations(ranks(np.array(told)), ranks(np.array(steps)))
                rank = "–" if math.isnan(found) else f"{found:.2f}"
                table.append(f"| {group} | {len(of)} | {name} | {min(told):.3g} to {max(told):.3g} | {rank} |")
    if not table:
        return []
    head = "| runs | encoders | number of stage 2's report | from, to | Spearman with steps to 0.9 for good |"
    return ["## What stage 2 told before", "", head, "| --- | --- | --- | --- | --- |", *table, ""]


def _table(runs: Sequence[Mapping[str, Any]], metric: str, target: float, of: int) -> list[str]:
    reached = f"0.9 for good, {_unit(runs)}"
    lines = [
        f"| data | encoders | policy | {_of_last(of)}: success | return | {reached} | below the target |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for run in sorted(runs, key=lambda run: (_last(run, metric, of), -_for_good(run))):
        missed = _last(run, metric, of) < target - ROUNDING
        lines.append(
            f"| {run.get('data', {}).get('seed', '–')} | {run.get('encoders', {}).get('seed', '–')} | {run['seed']} | "
            f"{' | '.join(f'{_last(run, name, of):.2f}' if name in run else '–' for name in TOLD)} | "
            f"{_steps(_for_good(run))} | "
            f"{'**yes**' if missed else ''} |"
        )
    return lines


def _last(run: Mapping[str, Any], metric: str, last: int) -> float:
    if metric not in run:
        raise UserError(f"--metric={metric}: {run.get('env', 'the env')} does not tell it; choose return")
    values = run[metric][-last:]
    return float(sum(values) / len(values))


def _for_good(run: Mapping[str, Any]) -> float:
    """When the first evaluation was from which on success is 0.9 or above, in `_unit`; infinite where the last is not.

    NaN where the env does not tell success.
    """
    if "success" not in run:
        return math.nan
    steps = math.inf
    for step, success in zip(reversed(run["steps"]), reversed(run["success"])):
        if success < 0.9 - ROUNDING:
            break
        steps = step
    return steps


def _unit(runs: Sequence[Mapping[str, Any]]) -> str:
    """What the clocks of these runs count; of env steps nothing is said in their records."""
    return " or ".join(sorted({run.get("unit", "steps") for run in runs}))


def _name(key: tuple[Any, ...], several: bool) -> str:
    """What a group is called; its env first where there are several."""
    env, method, memory, demonstrations, apart = key
    name = f"{f'{env}, ' if several else ''}`{method}`, {memory}, {demonstrations or 'no'} demonstrations"
    return f"{name}, {apart}" if apart else name


def _steps(steps: float) -> str:
    if math.isnan(steps):
        return "–"
    return "never" if steps == math.inf else f"{round(steps):,}"


def _list(values: Sequence[int]) -> str:
    return ", ".join(map(str, values))
