"""The figures of a report."""

import itertools

import pytest

from scripts.reporting.figures import draw
from scripts.reporting.runs import read_runs
from scripts.reporting.study import study
from tests.helpers.runs import write_run


@pytest.mark.parametrize("statistic", ["mean", "iqm"])
def test_titles_of_long_names_stay_within_their_figures(tmp_path, monkeypatch, statistic):
    for seed in (1, 2):  # one of fewer evaluations, so that the title has all of its words
        write_run(tmp_path / f"run{seed}", [0.5] * (8 if seed == 1 else 4), seed, env="CarFlag-2D-Continuous-v0")
    drawn = []
    monkeypatch.setattr("scripts.reporting.figures._save", lambda figure, out, stem: drawn.append(figure) or [])
    draw(study(read_runs([str(tmp_path)])[0], 0.9, "success", []), statistic, tmp_path)
    assert len(drawn) == 2
    for figure in drawn:
        figure.canvas.draw()
        extent = figure._suptitle.get_window_extent()
        assert extent.x0 >= 0 and extent.x1 <= figure.bbox.x1


def test_long_names_of_groups_leave_room_for_what_they_name(tmp_path, monkeypatch):
    for seed, name in enumerate(("mi", "a_row_that_somebody_has_given_a_name_of_many_words_" * 2, "history " * 12)):
        write_run(tmp_path / f"run{seed}", [0.5] * 8, seed, variant=name)
    drawn = []
    monkeypatch.setattr("scripts.reporting.figures._save", lambda figure, out, stem: drawn.append(figure) or [])
    draw(study(read_runs([str(tmp_path)])[0], 0.9, "success", []), "mean", tmp_path)
    _, final = drawn
    for figure in drawn:
        figure.canvas.draw()
        for axes in figure.axes:
            assert axes.bbox.width > 0.07 * figure.bbox.width
            labels = [*axes.get_yticklabels(), *(axes.get_legend().get_texts() if axes.get_legend() else [])]
            boxes = [label.get_window_extent() for label in labels if label.get_text()]
            assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes)
    for axes in (final.axes[0], final.axes[4]):  # names under each other do not touch
        boxes = sorted((label.get_window_extent() for label in axes.get_yticklabels()), key=lambda box: box.y0)
        assert all(below.y1 <= above.y0 for below, above in itertools.pairwise(boxes))
