"""Writes a page of docs/results from run folders: every run, the worst first, with code, processor and seeds.

With --computed the page is a table that is computed, mostly of no runs. With --refresh the pages that are there are
made anew, from what stands beside them: each says at its top which of its settings are no longer today's. With --add a
page gets more runs; one with the method and seeds of a run that is there takes its place. A table that is computed of
runs gets more rows by it; a row of the same domain, memory and method takes the place of the one that is there,
whatever its seeds, so that all runs of a row are given together; the title stays, the notes are today's.

Example: python scripts/results.py logs/sure_heaven_hell logs/sure_heaven_hell_avx2 --page=docs/results/heaven_hell.md
Example: python scripts/results.py --computed=theory --page=docs/results/tabular.md
"""

import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # the root, not scripts/

from utils.app import run
from utils.errors import UserError, first_line
from utils.files import atomic_write

OF_RUNS = {"title", "metric", "target", "notes", "runs", "settings"}  # what a page of runs is made of
# what has TITLE, NOTES, COLUMNS and rows()
PAGES = (
    "theory",
    "solver",
    "weighted",
    "vssm",
    "memories",
    "estimators",
    "information",
    "signals",
    "signal_worth",
    "aliasing",
    "exploration",
    "world_models",
    "encoders",
    "asymmetric_dqn",
)
COMPUTED = {name: f"scripts.reporting.{name}" for name in PAGES}
OF_GIVEN = ("information", "memories", "encoders", "signal_worth", "asymmetric_dqn")  # whose rows() takes run folders
OF_TABLE = {"title", "notes", "columns", "rows", "command"}
UNUSED = {
    "refresh": ("runs", "computed", "title", "metric", "target", "last", "notes", "add", "by"),
    "computed": ("metric", "target", "last", "notes", "by"),
}

_RUNS = flags.DEFINE_list("runs", None, "run folders, or folders of such; they may also stand without a flag")
_PAGE = flags.DEFINE_string("page", None, "the page to write, or with --refresh the folder of pages", required=True)
_TITLE = flags.DEFINE_string("title", None, "its title; made of the page's name if not given")
_METRIC = flags.DEFINE_enum("metric", "success", ("success", "return"), "what is asked for")
_TARGET = flags.DEFINE_float("target", 0.95, "how much of it the last evaluations shall have; of success at most 1")
_LAST = flags.DEFINE_integer("last", 10, "of how many evaluations the mean counts", lower_bound=1)
_NOTES = flags.DEFINE_string("notes", None, "a Markdown file to stand at the end")
_BY = flags.DEFINE_list("by", [], "fields of config.json that tell groups apart, such as rl.expectile")
_COMPUTED = flags.DEFINE_enum("computed", None, tuple(COMPUTED), "what to compute instead of reading runs")
_ADD = flags.DEFINE_boolean("add", False, "add runs, or rows, to those of the page that is there, and keep its words")
_REFRESH = flags.DEFINE_boolean("refresh", False, "make the pages of the folder --page anew")


def main() -> None:
    """Writes the page or pages and says which."""
    from scripts.reporting.results import gather, joined

    where = Path(_PAGE.value)
    check_flags()
    if _REFRESH.value:
        files = sorted(where.glob("*.json"))
        if not files:
            raise UserError(f"--page: with --refresh a folder of pages is needed, and {where} has none (*.json)")
        for file in files:
            print(write(usable(read_record(file), file), file.with_suffix(".md")))
        return
    runs = _RUNS.value or []
    if not runs and _COMPUTED.value is None:
        raise UserError("--runs is required")
    check_place(where)
    if _METRIC.value == "success" and not 0 <= _TARGET.value <= 1:
        raise UserError(f"--target={_TARGET.value:g}: a success from 0 to 1 is needed; of returns give --metric=return")
    if _COMPUTED.value is not None:
        record = computed(_COMPUTED.value, where, runs)
    else:
        beside = where.with_suffix(".json")
        before = usable(read_record(beside, of=OF_RUNS), beside) if _ADD.value else None
        notes = "" if _NOTES.value is None else read(Path(_NOTES.value), "--notes")
        about = {"title": _TITLE.value, "metric": _METRIC.value, "target": _TARGET.value, "last": _LAST.value}
        about |= {"notes": notes}
        if before is None:
            record = about | {"title": _TITLE.value or where.stem.replace("_", " ")} | gather(runs, _BY.value)
        else:
            kept = {k: v for k, v in about.items() if flags.FLAGS[k].present}
            record = joined(before, gather(runs, _BY.value)) | kept
    told = write(record, where)
    atomic_write(where.with_suffix(".json"), json.dumps(record) + "\n")
    print(told)


def check_flags() -> None:
    """Refuses flags that say nothing to what is asked for.

    Raises:
        UserError: one was given.
    """
    for owner, names in UNUSED.items():
        for name in names if flags.FLAGS[owner].value else ():
            flag = flags.FLAGS[name]
            if flag.present or flag.value != flag.default:  # those without a flag are not marked as present
                raise UserError(f"--{name}: with --{owner} there is no use for it; leave one of them out")


def check_place(where: Path) -> None:
    """Refuses a page where none can be, or where something else is.

    Raises:
        UserError: says why.
    """
    if where.suffix != ".md":
        raise UserError(f"--page: {where} does not end in .md")
    if not where.parent.is_dir():
        raise UserError(f"--page: there is no folder {where.parent}")
    beside = where.with_suffix(".json")
    if beside.exists():
        read_record(beside)
    elif where.exists():
        raise UserError(f"--page: {where} is no page of results, beside which {beside.name} would be; name another")


def computed(name: str, where: Path, runs: Sequence[str]) -> dict[str, Any]:
    """What a page of a table that is computed is made of; some are computed of runs."""
    from scripts.reporting.results import origin, portable

    source = importlib.import_module(COMPUTED[name])
    if bool(runs) != (name in OF_GIVEN):
        has = "needs run folders" if name in OF_GIVEN else "has no use for run folders"
        raise UserError(f"--runs: --computed={name} {has}")
    before = addable(name, source, where.with_suffix(".json")) if _ADD.value else None
    command = portable(f"python scripts/results.py {' '.join([*runs, ''])}--computed={name} --page={where}")
    about = {"title": _TITLE.value or source.TITLE, "notes": source.NOTES, "command": command}
    record = {**about, "columns": source.COLUMNS, "rows": source.rows(runs) if runs else source.rows()}
    if runs:
        record["of"] = {command: origin(runs)}
    if before is None:
        return record
    rows = {source.row_key(row): row for row in [*before["rows"], *record["rows"]]}
    more = f"{command} --add"
    commands = [*(line for line in before["command"].split("\n") if line != more), more]
    words = {"title": _TITLE.value or before["title"], "command": "\n".join(commands)}
    of = {**before.get("of", {}), more: record["of"][command]}
    return {**record, **words, "of": of, "rows": [rows[key] for key in sorted(rows)]}


def addable(name: str, source: Any, beside: Path) -> dict[str, Any]:
    """The table that is there, to which rows can be added.

    Raises:
        UserError: it is not there, is another one, or its rows have nothing to tell them apart by.
    """
    able = [other for other in OF_GIVEN if hasattr(importlib.import_module(COMPUTED[other]), "row_key")]
    if name not in able:
        raise UserError(f"--add: no rows can be added to --computed={name}; choose from {', '.join(able)}")
    if not beside.exists():
        raise UserError(f"--add: there is no {beside}; leave --add out")
    before = usable(read_record(beside), beside)
    if list(before.get("columns", ())) != list(source.COLUMNS):
        raise UserError(f"--add: {beside} has not the columns of today's --computed={name}; leave --add out")
    try:
        for row in before["rows"]:
            source.row_key(row)
    except (LookupError, TypeError, ValueError) as error:
        raise UserError(f"--page: {beside} is damaged ({type(error).__name__}: {first_line(error)})") from error
    return before


def read(file: Path, flag: str) -> str:
    """A text that a flag names."""
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{flag}: {file} cannot be read ({first_line(error)})") from error


def read_record(file: Path, of: set[str] | None = None) -> dict[str, Any]:
    """What a page was made of; of runs or of a table, or only `of` one of these."""
    try:
        record = json.loads(read(file, "--page"))
        if any(set(record) >= known for known in ((OF_RUNS, OF_TABLE) if of is None else (of,))):
            return dict(record)
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(f"--page: {file} is not JSON ({first_line(error)})") from error
    raise UserError(f"--page: {file} is not what a page of results is made of; move it out of the folder")


def usable(record: dict[str, Any], file: Path) -> dict[str, Any]:
    """The record of a file, if a page can be made of it.

    Raises:
        UserError: none can.
    """
    from scripts.reporting.results import rendered

    try:
        rendered(record)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise UserError(f"--page: {file} is damaged ({type(error).__name__}: {first_line(error)})") from error
    return record


def write(record: dict[str, Any], where: Path) -> str:
    """Writes the page of a record, and its picture where it has one."""
    from scripts.reporting.pictures import picture_of, save
    from scripts.reporting.results import rendered

    picture = where.with_suffix(".png")
    save(record, picture)
    atomic_write(where, rendered(record, "" if picture_of(record) is None else picture.name))
    return f"written: {where}"


if __name__ == "__main__":
    run(main, positional="runs")
