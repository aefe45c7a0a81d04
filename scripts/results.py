"""Writes a page of docs/results from run folders: every run, the worst first, with code, processor and seeds.

With --refresh the pages that are there are made anew, from what stands beside them: each says at its top which of its
settings are no longer today's.

Example: python scripts/results.py logs/sure_heaven_hell logs/sure_heaven_hell_avx2 --page=docs/results/heaven_hell.md
"""

import json
import sys
from pathlib import Path

from absl import flags

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # the root, not scripts/

from utils.app import run
from utils.errors import UserError
from utils.files import atomic_write

_RUNS = flags.DEFINE_list("runs", None, "run folders, or folders of such; they may also stand without a flag")
_PAGE = flags.DEFINE_string("page", None, "the page to write, or with --refresh the folder of pages", required=True)
_TITLE = flags.DEFINE_string("title", None, "its title; the env's id if not given")
_METRIC = flags.DEFINE_enum("metric", "success", ("success", "return"), "what is asked for")
_TARGET = flags.DEFINE_float("target", 0.95, "how much of it the last ten evaluations shall have")
_NOTES = flags.DEFINE_string("notes", None, "a Markdown file to stand at the end")
_REFRESH = flags.DEFINE_boolean("refresh", False, "make the pages of the folder --page anew")


def main() -> None:
    """Writes the page or pages and says which."""
    from scripts.reporting.results import gather

    where = Path(_PAGE.value)
    if _REFRESH.value:
        for file in sorted(where.glob("*.json")):
            print(write(json.loads(file.read_text()), file.with_suffix(".md")))
        return
    if not _RUNS.value:
        raise UserError("--runs is required")
    if where.suffix != ".md":
        raise UserError(f"--page: {where} does not end in .md")
    data = gather(_RUNS.value)
    notes = "" if _NOTES.value is None else Path(_NOTES.value).read_text()
    about = {"metric": _METRIC.value, "target": _TARGET.value, "notes": notes}
    record = {"title": _TITLE.value or where.stem.replace("_", " "), **about, **data}
    atomic_write(where.with_suffix(".json"), json.dumps(record) + "\n")
    print(write(record, where))


def write(record: dict[str, object], where: Path) -> str:
    """Writes the page of a record."""
    from scripts.reporting.results import page

    told = {name: record[name] for name in ("title", "metric", "target", "notes")}
    atomic_write(where, page(record, **told))  # type: ignore[arg-type]
    return f"written: {where}"


if __name__ == "__main__":
    run(main, positional="runs")
