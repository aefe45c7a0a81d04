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


SAYS = """
 Time   |#Trial |#Backup |LBound    |UBound    |Precision  |#Alphas |#Beliefs
 0       0       0        -20        189        209         3        1
 0.5     37      1109     19.3713    19.3714    7.77531e-05 5        21
"""


@needs_files
@pytest.mark.parametrize("done", [True, False])
def test_other_programs_are_read(done, monkeypatch, tmp_path):
    """Of the start, [0.5, 0.5], the greater of (3 + 5) / 2 and (10 - 4) / 2; or one that is not done in time."""
    bounds, exact = tmp_path / "pomdpsol", tmp_path / "pomdp-solve"
    vectors = "0\n3.0 5.0\n\n1\n10.0 -4.0\n\n"
    bounds.write_text(f"#!/bin/sh\ncat <<'END'{SAYS}END\n")
    end = f"printf '{vectors}' > x.alpha; echo 'Solution found.'" if done else "while :; do :; done"
    exact.write_text(f"#!/bin/sh\n{end}\n")
    for program in (bounds, exact):
        program.chmod(0o755)
    monkeypatch.setenv("SARSOP", str(bounds))
    monkeypatch.setenv("POMDP_SOLVE", str(exact))
    monkeypatch.setattr("scripts.reporting.solver.EXACT_SECONDS", 1.0)
    line = dict(zip(COLUMNS, row(FILES / "tiger.pomdp"), strict=True))
    assert (line["SARSOP"], line["its gap"], line["its vectors"]) == ("19.3713 to 19.3714", "7.8e-05", "5")
    assert line["exactly"] == ("4.00000" if done else "–")
    bounds.write_text("#!/bin/sh\necho nothing\n")
    with pytest.raises(UserError, match=r"SARSOP: .* told no bounds of tiger\.pomdp"):
        row(FILES / "tiger.pomdp")


def test_other_solvers_agree_where_they_are_done():
    page = told()
    if all(line["SARSOP"] == "–" for line in page.values()):
        pytest.skip("the page was made without the programs of others")
    found = 0
    for name, line in page.items():
        lower, upper = float(line["lower"]), float(line["upper"])
        if line["exactly"] != "–":
            assert lower - 1e-5 <= float(line["exactly"]) <= upper + 1e-5, name
            found += 1
        low, high = (float(bound) for bound in line["SARSOP"].split(" to "))
        rounding = 5e-6 * abs(high)  # six digits
        assert lower <= high + rounding and low - rounding <= upper, name
    assert found >= 7
