"""Pictures of pages: numbers out of cells, one for each page of a kind that has one, drawn of its rows."""

import json

import imageio.v3 as iio
import pytest

from scripts.reporting.pictures import PICTURES, numbers, picture_of, save
from utils.config import ROOT
from utils.errors import UserError

PAGES = {
    path.stem: record
    for path in sorted((ROOT / "docs/results").glob("*.json"))
    if "rows" in (record := json.loads(path.read_text())) and picture_of(record)
}


def test_numbers_of_a_cell():
    assert numbers("-20.64 [-29.78, -19.13]") == [-20.64, -29.78, -19.13]
    assert numbers("10,000 samples; in the end 0.681 and 0") == [10_000, 0.681, 0]
    assert numbers("8e-15") == [8e-15] and numbers("+0.085, 0.084") == [0.085, 0.084] and numbers("–") == []


def test_every_kind_of_picture_is_of_a_page():
    assert {picture_of(record) for record in PAGES.values()} == set(PICTURES.values())


def test_pages_of_runs_and_tables_of_another_kind_have_none():
    assert picture_of({"title": "runs"}) is None
    assert picture_of({"command": "python scripts/results.py --computed=solver --page=docs/results/solver.md"}) is None


@pytest.mark.parametrize("name", PAGES)
def test_the_picture_of_a_page_is_there_and_is_drawn_of_its_rows(name, tmp_path):
    save(PAGES[name], tmp_path / "drawn.png")
    drawn = iio.imread(tmp_path / "drawn.png")
    assert drawn.std() > 10
    assert iio.imread(ROOT / f"docs/results/{name}.png").ndim == 3
    assert f"]({name}.png)" in (ROOT / f"docs/results/{name}.md").read_text()


def test_what_is_not_told_is_left_out_and_what_cannot_be_drawn_is_one_line(tmp_path):
    page = PAGES["information"]
    untold = [*page["rows"][0][:5], "–", "–", *page["rows"][0][7:]]
    axes = PICTURES["information"]([untold, page["rows"][0]]).axes[0]
    assert len(axes.containers) == 1
    with pytest.raises(UserError, match=r"^--page: rows of .*page.json cannot be drawn \(IndexError"):
        save(page | {"rows": [["Env-v0", "gru"]]}, tmp_path / "page.png")
    assert list(tmp_path.iterdir()) == []


def test_points_and_spans_by_hand():
    row = ["Env-v0", "`gru`", "`dqn:mi`", "1", "3", "-2.00 [-3.00, -1.50]", "0.50 [0.40, 0.70]", "1.00", "–", "–"]
    other = ["Env-v0", "`lstm`, warmed", "`dqn:mi`", "1", "3", "1.00", "0.10", "1.00", "–", "1.25 [1.00, 1.50]"]
    axes = PICTURES["information"]([row, other]).axes[0]
    first, second = axes.containers
    assert first.get_label() == "gru" and second.get_label() == "lstm, warmed"
    assert first.lines[0].get_xydata().tolist() == [[0.5, -2.0]] and second.lines[0].get_xydata().tolist() == [
        [1.25, 1.0]
    ]
    held, earned = (bar.get_segments()[0].tolist() for bar in first.lines[2])
    assert held == [[pytest.approx(0.4), -2], [pytest.approx(0.7), -2]] and earned == [[0.5, -3], [0.5, -1.5]]
