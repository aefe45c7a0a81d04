"""The page of certified bounds: what it says agrees with another solver, and with a file that is solved again."""

import json

import pytest

from scripts.reporting.solver import COLUMNS, GAP, THEIRS, row, rows
from tests.helpers.pomdps import FILES, needs_files
from tests.helpers.scripts import ROOT
from utils.errors import UserError


def told():
    record = json.loads((ROOT / "docs/results/solver.json").read_text())
    assert record["columns"] == list(COLUMNS)
    return {line[0]: dict(zip(COLUMNS, line, strict=True)) for line in record["rows"]}


def test_the_page_agrees_with_another_solver():
    page = told()
    assert set(THEIRS) < set(page)
    for name, line in page.items():
        lower, upper = float(line["lower"]), float(line["upper"])
        assert lower <= upper + 1e-9
        if name in THEIRS:
            digits = THEIRS[name].split(" to ")[0].partition(".")[2]
            low, high = (float(bound) for bound in THEIRS[name].split(" to "))
            assert lower <= high + 10.0 ** -len(digits) and upper >= low - 10.0 ** -len(digits), name
    assert float(page["tiger.original"]["gap"]) <= 1e-4 and float(page["tiger.original"]["seconds"]) <= 1
    assert float(page["hallway.original"]["gap"]) <= 0.15


@needs_files
def test_a_file_is_solved_as_the_page_says():
    line = dict(zip(COLUMNS, row(FILES / "1d.pomdp"), strict=True))
    page = told()["1d"]
    for name in ("lower", "upper"):
        assert float(line[name]) == pytest.approx(float(page[name]), abs=float(page["gap"]) + 1e-5)
    assert float(line["gap"]) <= GAP  # counts of vectors and points hang on rounding, and are not compared


def test_without_files_there_is_one_line(monkeypatch, tmp_path):
    for folder in ("", str(tmp_path)):
        monkeypatch.setenv("POMDP_FILES", folder)
        with pytest.raises(UserError, match="POMDP_FILES"):
            rows()
