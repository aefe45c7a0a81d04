"""The page of exploration: rows of what is computed, and of what the script of the criteria has left."""

import pytest

from scripts.reporting import exploration
from utils.errors import UserError


def test_rows_stand_under_their_columns_and_bounds_hold():
    rows = [*exploration._operator(), *exploration._inequalities(30), *exploration._criteria(), *exploration._agents()]
    assert {len(row) for row in rows} == {len(exploration.COLUMNS)}
    assert all(isinstance(text, str) and "|" not in text for row in rows for text in row)
    by_name = {what: ours for what, _, ours in rows}
    for steps in (1, 5, 10):
        (ratio,) = (float(ours) for what, ours in by_name.items() if f"in TV, N = {steps}," in what)
        assert 0 < ratio <= 0.95**steps
    violated = [ours for what, ours in by_name.items() if what.endswith("violated")]
    assert violated[0].startswith("0 of 30") and violated[2].startswith("0 of 30")
    assert not violated[1].startswith("0 of")


def test_who_is_paid_for_information_asks_the_priest_more_often():
    asked = {what: float(ours) for what, _, ours in exploration.heaven_hell(1, 60)}
    of = {name: x for what, x in asked.items() for name in ("no bonus", "information gain") if name in what}
    assert len(asked) == 8 and all(0 <= x <= 1 for x in asked.values())
    assert of["information gain"] > of["no bonus"] > 0.3


def test_pictures_that_were_not_drawn_are_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(exploration, "DRAWN", tmp_path)
    (tmp_path / "hill.json").write_text("{")
    for problem in ("maze", "hill"):
        with pytest.raises(
            UserError, match=rf"^--computed=exploration: .*{problem}.json cannot be read \(.*\); run py"
        ):
            exploration.drawn(problem)
