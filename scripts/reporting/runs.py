"""Run folders of main.py as records, and which of them may be compared.

Dimension key: E evaluations of a run.
"""

import json
import math
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scripts.domains import domain_name
from scripts.reporting.references import Reference, reference_of
from scripts.reporting.statistics import Array
from utils.config import flatten
from utils.errors import UserError, suggest

LAST = 10  # evaluations whose mean counts, as in summary.json
TINY = 1e-9  # a mean of ten times 0.95 may come out a rounding error below 0.95
MOST_STEPS = 2**53  # up to which a float counts
MOST_MINUTES = 1e12
METRICS = ("success", "return", "length")
# how the names of what is logged of learning begin
LEARNING = ("loss/", "q/", "bonus/", "grad_norm", "gauge/", "train/return")
UNTOLD = ("success",)  # what an env may not tell
# by `rl.learns_from`, how long a run is; a clock counts updates with those of `OF_DATA`, else env steps
OF_DATA = {"stored_data": ("rl.num_updates",), "stored_then_envs": ("rl.num_updates", "run.train_episodes")}
OF_ENVS = ("run.train_episodes",)
ENV_STEPS, UPDATES = "env steps", "updates"
NAME = "name"  # what `by` calls the folder's name without its seed
# What an evaluation measures; runs of one env must agree on all of it.
SETTINGS = {
    "env.eval.episodes": "episodes per evaluation",
    "env.eval.interval": "evaluation interval",
    "env.horizon": "horizon",
    "env.kwargs": "arguments of the env",
    "env.hidden": "hidden entries",
}
# What a run's config must have, and of which kind.
FIELDS: dict[str, type] = {
    "env.id": str,
    "env.eval.episodes": int,
    "env.eval.interval": int,
    "env.horizon": int,
    "rl.family": str,
    "rl.variant": str,
    "seq.memory": str,
    "run.seed": int,
    "run.start_expert": int,
}
# In these, runs of one group may differ without a note; `env.rl` has gone into `rl`, `env.seq` into `seq`.
OWN_FIELDS = ("run.seed", "run.threads", "env.rl", "env.seq", *SETTINGS)


WorkOut = Callable[[Mapping[str, Any]], Reference | None]


def unknown(config_env: Mapping[str, Any]) -> None:
    """What is known of random and best returns is in the table alone."""


@dataclass(frozen=True, order=True)
class Key:
    """What makes runs one group."""

    env: str
    demonstrations: bool
    method: str  # family:variant
    memory: str
    more: str = ""  # what `by` tells apart besides

    @property
    def label(self) -> str:
        """Method and memory."""
        return ", ".join(filter(None, (self.method, self.memory, self.more)))

    def __str__(self) -> str:
        return f"{self.env}, {self.label}, {start(self.demonstrations)}"


@dataclass(frozen=True)
class Record:
    """One run as read from its folder.

    Attributes:
        config: all fields by dotted name.
        settings: values of `SETTINGS`, as JSON.
        unit: what the run's clock counts, and its `steps` are: `ENV_STEPS` or `UPDATES`.
        steps: of the E evaluations, ascending.
        curves: each of `METRICS` that the env tells, (E,); and `score`, the normalised return, where the env has a
            reference.
        minutes: wall-clock of training until the evaluations (E,); NaN where no rate was logged.
        clock: minutes and steps of the last line with a rate; None without one.
        final: statistics of the greedy episodes after training; None for a run that is not finished.
        films: GIFs.
        learning: by name, such as `loss/td`, steps and values (2, ·); NaN where not finite.
        left_out: how many evaluations have `null` for a number.
        reference: random and best return of its env, where they are known.
    """

    folder: Path
    key: Key
    seed: int
    config: Mapping[str, Any]
    settings: Mapping[str, str]
    unit: str
    steps: Array
    curves: Mapping[str, Array]
    minutes: Array
    clock: tuple[float, float] | None
    final: Mapping[str, float] | None
    films: tuple[Path, ...]
    learning: Mapping[str, Array]
    left_out: int = 0
    reference: Reference | None = None

    def last(self, metric: str) -> float:
        """Mean of the last ten evaluations, or of as many as there are."""
        return float(self.curves[metric][-LAST:].mean())

    def first_reaching(self, threshold: float, metric: str = "success") -> tuple[float, float]:
        """Steps and minutes of the first evaluation that is at least `threshold`; infinite if there is none.

        NaN where the env does not tell the metric.
        """
        if metric not in self.curves:
            return math.nan, math.nan
        reached = self.curves[metric] >= threshold - TINY
        if not reached.any():
            return math.inf, math.inf
        return float(self.steps[reached.argmax()]), float(self.minutes[reached.argmax()])


def start(demonstrations: bool) -> str:
    """What a kind of start is called."""
    return "with demonstrations" if demonstrations else "without demonstrations"


def read_runs(
    folders: Sequence[str], by: Sequence[str] = (), work_out: WorkOut = unknown
) -> tuple[list[Record], list[str]]:
    """All runs of main.py in and below `folders`, each once, and notes; results of stage 2 are passed over.

    Args:
        folders: run folders, or folders of such.
        by: fields of the config that tell groups apart besides env, start, method and memory; or `NAME`.
        work_out: is asked for the reference of an env, by its config, where none is known.

    Raises:
        UserError: a folder that is not there, none with a run, a damaged run, or a field that no run has.
    """
    found: dict[Path, Path] = {}
    records: list[Record] = []
    notes: list[str] = []
    for name in folders:
        folder = Path(name).expanduser()
        if not folder.is_dir():
            raise UserError(f"--runs: no folder {name!r}")
        before, known = len(records), False
        for path in run_folders(folder):
            known |= path.resolve() in found
            if path.resolve() not in found:
                found[path.resolve()] = path
                record = read_run(path, by, work_out)
                records += [] if record is None else [record]
                if record is not None and record.left_out:
                    notes.append(f"{path}: {record.left_out} evaluations are left out, a number in them is null")
        if len(records) == before and not known:
            notes.append(f"no run of main.py in {name}")
    if not records:
        raise UserError(f"--runs: no run of main.py (a folder with metrics.jsonl) in {', '.join(folders) or 'nothing'}")
    fields = {name for record in records for name in record.config}
    for name in by:
        if name != NAME and name not in fields:
            raise UserError(
                f"--by: no run has a field {name!r}{suggest(name, fields)}; give fields of config.json, or name"
            )
    return records, notes


def run_folders(folder: Path) -> list[Path]:
    """All folders in and below one that hold what a run writes; what goes while it is searched is passed over."""
    return sorted(Path(root) for root, _, files in os.walk(folder) if {"metrics.jsonl", "config.json"} & set(files))


def read_run(folder: Path, by: Sequence[str] = (), work_out: WorkOut = unknown) -> Record | None:
    """One run; None where the folder holds something else than training, such as a representation.

    Raises:
        UserError: config.json, metrics.jsonl or summary.json is damaged; names file and field or line.
    """
    path, begun = folder / "config.json", (folder / "metrics.jsonl").exists()
    if not path.is_file():
        raise UserError(f"--runs: {folder} has metrics.jsonl but no config.json; move it out of the folders to read")
    try:
        config = parse(path.read_bytes(), str(path)).get("config")
    except UserError:
        if begun:
            raise
        return None
    if not begun and not (isinstance(config, dict) and {"env", "rl", "seq", "run"} <= config.keys()):
        return None  # some other program's config.json
    if not isinstance(config, dict):
        raise damaged(str(path), "it lacks config")
    if "rl" not in config:
        return None
    flat = flatten(config)
    for name, kind in FIELDS.items():
        if name not in flat:
            raise damaged(str(path), f"it lacks config.{name}")
        value = flat[name]
        fits = isinstance(value, kind) and not isinstance(value, bool)
        if isinstance(value, str):
            fits &= value.isprintable()
        elif fits and name == "env.eval.interval":
            fits = value >= 1
        if not fits:
            raise damaged(str(path), f"config.{name} is {value!r}")
    if not isinstance(_subtree(config, "env.hidden"), list | str | None):
        raise damaged(str(path), f"config.env.hidden is {_subtree(config, 'env.hidden')!r}")
    key = Key(
        domain_name(flat["env.id"], _subtree(config, "env.kwargs")),
        flat["run.start_expert"] > 0,
        f"{flat['rl.family']}:{flat['rl.variant']}",
        flat["seq.memory"],
        ", ".join(filter(None, (_told_apart(name, flat, folder) for name in by))),
    )
    settings = {name: json.dumps(_subtree(config, name), sort_keys=True) for name in SETTINGS}
    unit = UPDATES if str(flat.get("rl.learns_from")) in OF_DATA else ENV_STEPS
    rows, clock, learning, left_out = read_metrics(folder / "metrics.jsonl", unit)
    steps = np.array([row["step"] for row in rows], np.float64)
    told = [metric for metric in METRICS if all(metric in row for row in rows)]
    curves = {metric: np.array([row[metric] for row in rows], np.float64) for metric in told}
    reference = reference_of(flat["env.id"], settings) or work_out(config["env"])
    if reference is not None:
        curves["score"] = reference.normalise(curves["return"])
    minutes = np.interp(steps, *np.transpose([(0.0, 0.0), *clock])) if clock else np.full(len(steps), math.nan)
    return Record(
        folder,
        key,
        flat["run.seed"],
        flat,
        settings,
        unit,
        steps,
        curves,
        minutes,
        (clock[-1][1], clock[-1][0]) if clock else None,
        read_final(folder / "summary.json"),
        tuple(sorted(path for path in folder.glob("films/*.gif") if is_own_film(path, folder))),
        learning,
        left_out,
        reference,
    )


def is_own_film(path: Path, folder: Path) -> bool:
    """Whether it is a GIF of the folder itself: a link could bring any file of this machine into a page."""
    if path.is_symlink() or not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
        return False
    with path.open("rb") as file:
        return file.read(4) == b"GIF8"


def read_metrics(
    path: Path, unit: str = ENV_STEPS
) -> tuple[list[dict[str, float]], list[tuple[float, float]], dict[str, Array], int]:
    """The evaluations in metrics.jsonl, `step` and `METRICS`; (steps, minutes so far) of each logged rate; by name,
    steps and values (2, ·) of what is logged of `LEARNING`; and how many evaluations are left out.

    Steps are of the run's clock, and so are rates: of its `unit`. A rate holds for the steps since the line before. So
    minutes are those of training, evaluations among them, without what lay between a stop and the resumption. A file
    that is not there yet is an empty one. An env that does not tell success has none. An evaluation in which a number
    is `null` is left out, and counted.

    Raises:
        UserError: a line that is not a JSON object, lacks a number, or goes back in steps.
    """
    rows: list[dict[str, float]] = []
    clock: list[tuple[float, float]] = []
    learning: dict[str, list[tuple[float, float]]] = {}
    left_out, speed = 0, f"clock/{unit.replace(' ', '_')}_per_second"
    for count, line in enumerate(path.read_bytes().splitlines() if path.exists() else [], 1):
        where = f"{path}, line {count}"
        row = parse(line, where)
        if isinstance(row.get("step"), int | float) and abs(row["step"]) > MOST_STEPS:
            raise damaged(where, f"its step is {row['step']!r:.20}")
        if "eval/return" in row or "eval/success" in row:
            told = [name for name in METRICS if name not in UNTOLD or f"eval/{name}" in row]
            if any(row.get(f"eval/{name}", 0) is None for name in told):
                left_out += 1
                continue
            found = {name: number(row, f"eval/{name}", where) for name in told}
            rows.append(found | {"step": number(row, "step", where)})
            if len(rows) > 1 and rows[-1]["step"] <= rows[-2]["step"]:
                raise damaged(where, "its step is not after that of the evaluation before")
        if row.get(speed) is not None:
            rate, step = number(row, speed, where), number(row, "step", where)
            before, minutes = clock[-1] if clock else (0.0, 0.0)
            if rate > 0 and step > before:
                clock.append((step, minutes + (step - before) / rate / 60))
                if clock[-1][1] > MOST_MINUTES:
                    raise damaged(where, f"at a rate of {rate:g} its steps take {clock[-1][1]:g} minutes")
        for name in (name for name in row if name.startswith(LEARNING)):
            value = math.nan if row[name] is None else number(row, name, where)
            learning.setdefault(name, []).append((number(row, "step", where), value))
    return rows, clock, {name: np.array(pairs, np.float64).T for name, pairs in sorted(learning.items())}, left_out


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
    told = [name for name in METRICS if name not in UNTOLD or name in final]
    return {name: number(final, name, f"{path}, final") for name in told}


def parse(text: bytes, where: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        UserError: it is none; `where` names the file.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
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
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
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
            unlike = unlike_fields((twin, record))
            apart = f", tell them apart by --by={','.join(unlike[:3])}" if unlike else ""
            raise UserError(
                f"--runs: {record.key}: seed {record.seed} is in {twin.folder} and in {record.folder}, "
                f"which are no independent sample; leave one out{apart}, or give --allow_mixed"
            )


def unlike_fields(runs: Sequence[Record]) -> list[str]:
    """The fields of the config in which runs differ that should not."""
    names = dict.fromkeys(name for one in runs for name in one.config)
    free = [name for name in names if not any(name == own or name.startswith(f"{own}.") for own in OWN_FIELDS)]
    return [name for name in free if len({json.dumps(one.config.get(name)) for one in runs}) > 1]


def differences(key: Key, runs: Sequence[Record]) -> list[str]:
    """What the reader must know of a group: unlike configs, settings or repeated seeds."""
    notes = []
    unlike = [SETTINGS[name] for name in SETTINGS if len({one.settings[name] for one in runs}) > 1]
    unlike += unlike_fields(runs)
    if unlike:
        notes.append(f"{key}: the runs differ in {', '.join(unlike)}")
    repeated = len(runs) - len({one.seed for one in runs})
    if repeated:
        notes.append(f"{key}: {repeated} of {len(runs)} runs repeat a seed; the intervals are too narrow")
    return notes


def _told_apart(name: str, flat: Mapping[str, Any], folder: Path) -> str:
    """What sets a run apart by a field: its last part and value, "" where that is empty; or its folder's name."""
    if name == NAME:
        return re.sub(r"[_\-.]s(eed)?[_\-]?\d+$", "", folder.name) or folder.name
    value = flat.get(name, "nothing")
    if value == "":
        return ""
    return f"{name.rsplit('.', 1)[-1]}={value if isinstance(value, str) else json.dumps(value)}"


def _subtree(config: Mapping[str, Any], name: str) -> Any:
    """A field or a group by its dotted name; None where it is not there."""
    value: Any = config
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
