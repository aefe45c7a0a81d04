"""A table and learning curves of finished and interrupted runs of main.py, with intervals over seeds.

Runs of the same env, method, memory and kind of start (with or without demonstrations) are one group; the seeds are
its sample. --out gets table.md, table.csv and curves_<env>.png.

Example: python scripts/report.py --runs=logs/default,logs/baselines/history_s3 --out=report
"""

import csv
import io
import json
import math
import sys
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from numpy.typing import NDArray

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # the root, not scripts/

from utils.app import run
from utils.config import flatten
from utils.errors import UserError
from utils.run import atomic_path, atomic_write

_RUNS = flags.DEFINE_list(
    "runs", None, "run folders, or folders of such, separated by commas; searched to the bottom", required=True
)
_OUT = flags.DEFINE_string("out", None, "folder to write; a report that is there is replaced", required=True)
_THRESHOLD = flags.DEFINE_float(
    "threshold", 0.9, "success at which env steps are counted", lower_bound=0.0, upper_bound=1.0
)
_MIXED = flags.DEFINE_boolean(
    "allow_mixed", False, "compare runs of different evaluation settings, or the same seed twice, all the same"
)

Array = NDArray[np.float64]
Statistic = Callable[[Array], Array]  # (..., S seeds) -> (...)

LAST = 10  # evaluations whose mean counts, as in summary.json
SOLVED = 0.95  # of that mean
CONFIDENCE = 0.95
TINY = 1e-9  # a mean of ten times 0.95 may come out a rounding error below 0.95
METRICS = ("success", "return", "length")
# What an evaluation measures; runs of one env must agree on all of it.
SETTINGS = {
    "env.eval.episodes": "episodes per evaluation",
    "env.eval.interval": "evaluation interval",
    "env.horizon": "horizon",
    "env.kwargs": "arguments of the env",
    "env.hidden": "hidden entries",
}
# In these, runs of one group may differ without a note; `env.rl` has gone into `rl`.
OWN_FIELDS = ("run.seed", "run.threads", "env.rl", *SETTINGS)

# Okabe and Ito's colours, which the colour-blind can tell apart, less yellow, which white paper swallows.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


@dataclass(frozen=True, order=True)
class Key:
    """What makes runs one group."""

    env: str
    demonstrations: bool
    method: str  # family:variant
    memory: str

    @property
    def label(self) -> str:
        """Method and memory."""
        return f"{self.method}, {self.memory}"

    def __str__(self) -> str:
        return f"{self.env}, {self.label}, {'with' if self.demonstrations else 'without'} demonstrations"


@dataclass(frozen=True)
class Record:
    """One run as read from its folder.

    Attributes:
        config: all fields by dotted name.
        settings: values of `SETTINGS`, as JSON.
        steps: env steps of the E evaluations, ascending.
        curves: each of `METRICS`, (E,).
        final: statistics of the greedy episodes after training; None for a run that is not finished.
    """

    folder: Path
    key: Key
    seed: int
    config: Mapping[str, Any]
    settings: Mapping[str, str]
    steps: Array
    curves: Mapping[str, Array]
    final: Mapping[str, float] | None

    def last(self, metric: str) -> float:
        """Mean of the last ten evaluations, or of as many as there are."""
        return float(self.curves[metric][-LAST:].mean())

    def steps_to(self, threshold: float) -> float:
        """Env steps of the first evaluation whose success is at least `threshold`; infinite if there is none."""
        reached = self.curves["success"] >= threshold - TINY
        return float(self.steps[reached.argmax()]) if reached.any() else math.inf


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its interval, and the interquartile mean with its own; NaN where there is none."""

    num: int
    mean: float
    low: float
    high: float
    iqm: float
    iqm_low: float
    iqm_high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Estimate":
        """From one value a seed."""
        values_S = np.asarray(values, np.float64)
        if not len(values_S):
            return cls(0, *[math.nan] * 6)
        mean, trimmed = float(values_S.mean()), float(interquartile_mean(values_S))
        return cls(len(values_S), mean, *interval(values_S, _mean), trimmed, *interval(values_S, interquartile_mean))


@dataclass(frozen=True)
class Row:
    """One group in the table."""

    key: Key
    runs: Sequence[Record]
    final: Estimate
    last: Mapping[str, Estimate]
    solved: int
    steps: float
    never: int

    @classmethod
    def of(cls, key: Key, runs: Sequence[Record], threshold: float) -> "Row":
        """From a group's runs; one that has no evaluation yet counts among the seeds alone."""
        evaluated = [one for one in runs if len(one.steps)]
        steps = [one.steps_to(threshold) for one in runs]
        return cls(
            key,
            runs,
            Estimate.of([one.final["success"] for one in runs if one.final is not None]),
            {metric: Estimate.of([one.last(metric) for one in evaluated]) for metric in METRICS},
            sum(one.last("success") >= SOLVED - TINY for one in evaluated),
            float(np.median(steps)),
            sum(map(math.isinf, steps)),
        )

    @property
    def unfinished(self) -> int:
        """Runs without a summary."""
        return sum(one.final is None for one in self.runs)


def main() -> None:
    """Writes the report and says where."""
    print(write_report(_RUNS.value, Path(_OUT.value), _THRESHOLD.value, _MIXED.value))


def write_report(folders: Sequence[str], out: Path, threshold: float, allow_mixed: bool) -> str:
    """Reads runs, groups them, writes table and curves into `out`; returns two lines on what came of it.

    Raises:
        UserError: no runs, damaged ones, or such as cannot be compared.
    """
    records = read_runs(folders)
    check_comparable(records, allow_mixed)
    groups: dict[Key, list[Record]] = defaultdict(list)
    for record in records:
        groups[record.key].append(record)
    rows = [Row.of(key, groups[key], threshold) for key in sorted(groups)]
    notes = [note for row in rows for note in differences(row)]
    for note in notes:
        warnings.warn(note, stacklevel=2)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise UserError(f"--out: {out} is a file; name a folder") from error
    atomic_write(out / "table.md", markdown(rows, notes, threshold))
    atomic_write(out / "table.csv", comma_separated(rows, threshold))
    written = ["table.md", "table.csv"]
    methods = sorted({row.key.label for row in rows})
    for env in sorted({row.key.env for row in rows}):
        drawn = [row for row in rows if row.key.env == env and any(len(one.steps) for one in row.runs)]
        if drawn:
            written.append(f"curves_{env.replace('/', '_').replace(':', '_')}.png")
            plot_curves(drawn, methods, threshold, out / written[-1])
    unfinished = sum(row.unfinished for row in rows)
    counts = f"runs: {len(records)} ({unfinished} not finished), groups: {len(rows)}"
    return f"{counts}\nwritten to {out}: {', '.join(written)}"


def read_runs(folders: Sequence[str]) -> list[Record]:
    """All runs of main.py in and below `folders`, each once; results of stage 2 are passed over.

    Raises:
        UserError: a folder that is not there, none with a run, or a damaged run.
    """
    found: dict[Path, Path] = {}
    for name in folders:
        folder = Path(name).expanduser()
        if not folder.is_dir():
            raise UserError(f"--runs: no folder {name!r}")
        for path in sorted(folder.rglob("metrics.jsonl")):
            found.setdefault(path.parent.resolve(), path.parent)
    records = [record for folder in found.values() if (record := read_run(folder)) is not None]
    if not records:
        raise UserError(f"--runs: no run of main.py (a folder with metrics.jsonl) in {', '.join(folders) or 'nothing'}")
    return records


def read_run(folder: Path) -> Record | None:
    """One run; None where the folder holds something else than training, such as a representation.

    Raises:
        UserError: config.json, metrics.jsonl or summary.json is damaged; names file and field or line.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise UserError(f"--runs: {folder} has metrics.jsonl but no config.json; move it out of the folders to read")
    config = parse(path.read_bytes(), str(path)).get("config")
    if not isinstance(config, dict):
        raise damaged(str(path), "it lacks config")
    if "rl" not in config:
        return None
    flat = flatten(config)
    wanted = ("env.id", "env.eval.episodes", "env.eval.interval", "env.horizon", "rl.family", "rl.variant")
    for name in (*wanted, "seq.memory", "run.seed", "run.start_expert"):
        if not isinstance(flat.get(name), int | str):
            raise damaged(str(path), f"it lacks config.{name}")
    key = Key(
        flat["env.id"],
        flat["run.start_expert"] > 0,
        f"{flat['rl.family']}:{flat['rl.variant']}",
        flat["seq.memory"],
    )
    rows = read_evaluations(folder / "metrics.jsonl")
    curves = {metric: np.array([row[metric] for row in rows], np.float64) for metric in METRICS}
    settings = {name: json.dumps(_subtree(config, name), sort_keys=True) for name in SETTINGS}
    steps = np.array([row["step"] for row in rows], np.float64)
    return Record(folder, key, flat["run.seed"], flat, settings, steps, curves, read_final(folder / "summary.json"))


def read_evaluations(path: Path) -> list[dict[str, float]]:
    """The evaluations in metrics.jsonl: `step` and `METRICS`.

    Raises:
        UserError: a line that is not a JSON object, lacks a number, or goes back in steps.
    """
    rows: list[dict[str, float]] = []
    for count, line in enumerate(path.read_bytes().splitlines(), 1):
        where = f"{path}, line {count}"
        row = parse(line, where)
        if "eval/success" not in row:
            continue
        rows.append(
            {name: number(row, f"eval/{name}", where) for name in METRICS} | {"step": number(row, "step", where)}
        )
        if len(rows) > 1 and rows[-1]["step"] <= rows[-2]["step"]:
            raise damaged(where, "its step is not after that of the evaluation before")
    return rows


def read_final(path: Path) -> dict[str, float] | None:
    """Statistics of the greedy episodes after training; None where the run has not come to its end.

    Raises:
        UserError: the file is damaged.
    """
    if not path.exists():
        return None
    final = parse(path.read_bytes(), str(path)).get("final")
    if not isinstance(final, dict):
        raise damaged(str(path), "it lacks final")
    return {name: number(final, name, f"{path}, final") for name in METRICS}


def parse(text: bytes, where: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        UserError: it is none; `where` names the file.
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        raise damaged(where, "it is not JSON, or only half of it") from error
    if not isinstance(value, dict):
        raise damaged(where, "it is not a JSON object")
    return value


def number(row: Mapping[str, Any], name: str, where: str) -> float:
    """A finite number.

    Raises:
        UserError: it is missing or something else; `where` names the file.
    """
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise damaged(where, f"{name} is not a number")
    return value


def damaged(where: str, why: str) -> UserError:
    """What to say of a file that cannot be used."""
    return UserError(f"--runs: {where} is damaged: {why}; resume the run or move its folder away")


def check_comparable(records: Sequence[Record], allow_mixed: bool) -> None:
    """Refuses what would compare unlike with like, unless allowed.

    Raises:
        UserError: runs of one env whose `SETTINGS` differ, or a group that has a seed twice.
    """
    if allow_mixed:
        return
    by_env: dict[str, Record] = {}
    by_seed: dict[tuple[Key, int], Record] = {}
    for record in records:
        first = by_env.setdefault(record.key.env, record)
        for name, what in SETTINGS.items():
            if record.settings[name] != first.settings[name]:
                raise UserError(
                    f"--runs: {record.key.env}: {what} is {first.settings[name]} in {first.folder} but "
                    f"{record.settings[name]} in {record.folder}; leave one out, or give --allow_mixed"
                )
        twin = by_seed.setdefault((record.key, record.seed), record)
        if twin is not record:
            raise UserError(
                f"--runs: {record.key}: seed {record.seed} is in {twin.folder} and in {record.folder}, "
                "which are no independent sample; leave one out, or give --allow_mixed"
            )


def differences(row: Row) -> list[str]:
    """What the reader must know of a group: unlike configs, settings or repeated seeds."""
    notes, runs = [], row.runs
    unlike = [SETTINGS[name] for name in SETTINGS if len({one.settings[name] for one in runs}) > 1]
    names = dict.fromkeys(name for one in runs for name in one.config)
    free = [name for name in names if not any(name == own or name.startswith(f"{own}.") for own in OWN_FIELDS)]
    unlike += [name for name in free if len({json.dumps(one.config.get(name)) for one in runs}) > 1]
    if unlike:
        notes.append(f"{row.key}: the runs differ in {', '.join(unlike)}")
    repeated = len(runs) - len({one.seed for one in runs})
    if repeated:
        notes.append(f"{row.key}: {repeated} of {len(runs)} runs repeat a seed; the intervals are too narrow")
    return notes


def _mean(values: Array) -> Array:
    """Mean over the last axis."""
    return np.asarray(values.mean(axis=-1))


def interquartile_mean(values: Array) -> Array:
    """Mean of the middle half over the last axis; of fewer than four values it is the mean."""
    cut = values.shape[-1] // 4
    return np.asarray(np.sort(values, axis=-1)[..., cut : values.shape[-1] - cut].mean(axis=-1))


def interval(values_S: Array, statistic: Statistic, draws: int = 20_000) -> tuple[float, float]:
    """95 % percentile bootstrap over seeds; NaN of fewer than two seeds. The same values give the same interval.

    It is the stratified bootstrap of rliable (Agarwal et al., 2021) for one task, that is one stratum, all draws at
    once and from a generator of its own.
    """
    num = len(values_S)
    if num < 2:
        return math.nan, math.nan
    drawn_DS = values_S[np.random.default_rng(0).integers(num, size=(draws, num))]
    low, high = np.quantile(statistic(drawn_DS), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def markdown(rows: Sequence[Row], notes: Sequence[str], threshold: float) -> str:
    """table.md."""
    head = [
        "env",
        "method",
        "memory",
        "demonstrations",
        "seeds",
        "final success",
        "final success, IQM",
        f"success, last {LAST}",
        f"return, last {LAST}",
        f"length, last {LAST}",
        f"seeds ≥ {SOLVED:g}",
        f"env steps to {threshold:g}",
    ]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        num, last = len(row.runs), row.last
        lines.append(
            [
                row.key.env,
                row.key.method,
                row.key.memory,
                "with" if row.key.demonstrations else "without",
                f"{num}" + (f" (**{row.unfinished} not finished**)" if row.unfinished else ""),
                _cell(row.final, num),
                _cell(row.final, num, "iqm"),
                *(_cell(last[name], num, digits=1 if name == "length" else 2) for name in METRICS),
                f"{row.solved} of {num}",
                _reach(row),
            ]
        )
    text = ["# Report", "", *(f"| {' | '.join(line)} |" for line in lines), ""]
    text += [
        "Means over seeds; in brackets the 95 % percentile-bootstrap interval over seeds (none for a single seed);",
        "`3 of 5` after a number: only so many seeds are in it. Final success: greedy episodes after training, of",
        "finished runs. IQM: interquartile mean; of fewer than four seeds the mean. Last 10: mean of the last ten",
        "evaluations of a run, of those so far where it is not finished. Env steps to a success: median over seeds of",
        "the first evaluation that has it; a run without one (never, or not yet) counts as infinite.",
    ]
    if notes:
        text += ["", "## Notes", "", *(f"- {note}" for note in notes)]
    unfinished = [one for row in rows for one in row.runs if one.final is None]
    if unfinished:
        text += ["", "## Not finished", ""]
        text += [f"- {one.key}, seed {one.seed}, {_reached(one)}: `{one.folder}`" for one in unfinished]
    return "\n".join(text) + "\n"


def comma_separated(rows: Sequence[Row], threshold: float) -> str:
    """table.csv: every number in a column of its own; empty where there is none, `inf` for never."""
    lines: list[dict[str, Any]] = []
    for row in rows:
        line: dict[str, Any] = {
            "env": row.key.env,
            "method": row.key.method,
            "memory": row.key.memory,
            "demonstrations": "with" if row.key.demonstrations else "without",
            "seeds": len(row.runs),
            "unfinished": row.unfinished,
        }
        estimates = {"final_success": row.final} | {f"last_ten_{name}": row.last[name] for name in METRICS}
        for name, found in estimates.items():
            line[f"{name}_seeds"] = found.num
            for part in ("mean", "low", "high", "iqm", "iqm_low", "iqm_high"):
                value = getattr(found, part)
                line[f"{name}_{part}"] = "" if math.isnan(value) else f"{value:.6g}"
        line |= {"solved_seeds": row.solved, "threshold": f"{threshold:g}"}
        line |= {"steps_to_threshold": f"{row.steps:.10g}", "never_seeds": row.never}
        lines.append(line)
    file = io.StringIO()
    writer = csv.DictWriter(file, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return file.getvalue()


def curve(runs: Sequence[Record]) -> tuple[Array, Array, Array, Array]:
    """Success of a group at common steps G: (steps, mean, interval (2, G), number of seeds).

    Runs evaluate a few steps apart, since their random episodes at the start differ in length; each is interpolated
    between its own evaluations, and counts from its first to its last.
    """
    every = min(int(one.config["env.eval.interval"]) for one in runs)
    first, last = max(one.steps[0] for one in runs), max(one.steps[-1] for one in runs)
    ends = [one.steps[-1] for one in runs if one.final is not None] or [last]
    grid_G = np.unique([first, *np.arange(every, last + 1, every), min(ends)])
    grid_G = grid_G[grid_G >= first]
    values_SG = np.stack(
        [np.interp(grid_G, one.steps, one.curves["success"], left=math.nan, right=math.nan) for one in runs]
    )
    present_SG = ~np.isnan(values_SG)
    samples = [values[present] for values, present in zip(values_SG.T, present_SG.T)]
    bounds_2G = np.array([interval(values, _mean, draws=2000) for values in samples]).T
    return grid_G, np.array([values.mean() for values in samples]), bounds_2G, present_SG.sum(axis=0).astype(np.float64)


def plot_curves(rows: Sequence[Row], methods: Sequence[str], threshold: float, path: Path) -> None:
    """Success against env steps of one env: a panel for each kind of start, a colour and marker for each method.

    Args:
        methods: labels of all methods in the report, which fix the colours.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import EngFormatter

    kinds = sorted({row.key.demonstrations for row in rows})
    size = (1.2 + 5.2 * len(kinds), 4.6)
    figure, panels = plt.subplots(
        1, len(kinds), figsize=size, sharey=True, sharex=True, squeeze=False, layout="constrained"
    )
    dashed = False
    for kind, axes in zip(kinds, panels[0]):
        for row in rows:
            if row.key.demonstrations == kind:
                index = methods.index(row.key.label)
                dashed |= _draw(axes, row, COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)])
        axes.axhline(threshold, color="0.5", linewidth=0.8, linestyle=":")
        axes.set(
            xlabel="environment steps", title=f"{'with' if kind else 'without'} demonstrations", ylim=(-0.04, 1.04)
        )
        axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), frameon=False, fontsize="small", ncols=2)
    panels[0, 0].set_xlim(left=0)
    panels[0, 0].set_ylabel("success of greedy episodes")
    about = "mean and 95 % interval over seeds"
    figure.suptitle(f"{rows[0].key.env}: {about}{'; dashed: fewer seeds' if dashed else ''}")
    with atomic_path(path) as draft:
        figure.savefig(draft, dpi=150, format="png")
    plt.close(figure)


def _draw(axes: Any, row: Row, colour: str, marker: str) -> bool:
    """One method: a thin line a seed, the mean, its band. Says whether the mean is dashed in part (seeds missing)."""
    runs = [one for one in row.runs if len(one.steps)]
    for one in runs:
        axes.plot(one.steps, one.curves["success"], color=colour, alpha=0.35, linewidth=0.7)
    grid_G, mean_G, bounds_2G, count_G = curve(runs)
    full_G = count_G == len(runs)
    seeds = f"{len(row.runs)} seed{'s' * (len(row.runs) != 1)}"
    flag = f", {row.unfinished} not finished" if row.unfinished else ""
    every = max(len(grid_G) // 8, 1)
    axes.plot(grid_G, np.where(full_G, mean_G, math.nan), color=colour, linewidth=2)
    if not full_G.all():
        rest_G = ~full_G | np.append(~full_G[1:], False) | np.insert(~full_G[:-1], 0, False)  # joined to the solid line
        axes.plot(grid_G, np.where(rest_G, mean_G, math.nan), color=colour, linewidth=2, linestyle=(0, (2, 1)))
    axes.plot(grid_G, mean_G, color=colour, marker=marker, markevery=every, markersize=5, linestyle="none")
    axes.plot([], [], color=colour, marker=marker, markersize=5, linewidth=2, label=f"{row.key.label} ({seeds}{flag})")
    if len(runs) > 1:
        axes.fill_between(grid_G, *bounds_2G, color=colour, alpha=0.18, linewidth=0)
    return not full_G.all()


def _cell(found: Estimate, num: int, which: str = "mean", digits: int = 2) -> str:
    """`0.97 [0.91, 1.00], 3 of 5`: brackets where there is an interval, `of` where seeds are missing."""
    if not found.num:
        return "–"
    prefix = "" if which == "mean" else f"{which}_"
    mean, low, high = (
        f"{round(getattr(found, name), digits) + 0.0:.{digits}f}" for name in (which, f"{prefix}low", f"{prefix}high")
    )
    brackets = f" [{low}, {high}]" if found.num > 1 else ""
    return mean + brackets + (f", {found.num} of {num}" if found.num < num else "")


def _reach(row: Row) -> str:
    """Median env steps to the threshold, and how many seeds never came there."""
    if math.isinf(row.steps):
        return f"never ({row.never} of {len(row.runs)})"
    return f"{row.steps:,.0f}" + (f" ({row.never} of {len(row.runs)} never)" if row.never else "")


def _reached(one: Record) -> str:
    """How far a run has come."""
    if not len(one.steps):
        return "no evaluation yet"
    return f"{one.steps[-1]:,.0f} env steps, success {one.curves['success'][-1]:.2f}"


def _subtree(config: Mapping[str, Any], name: str) -> Any:
    """A field or a group by its dotted name; None where it is not there."""
    value: Any = config
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


if __name__ == "__main__":
    run(main)
