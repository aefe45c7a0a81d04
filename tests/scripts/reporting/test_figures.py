"""The figures of a report."""

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
    monkeypatch.setattr("scripts.reporting.figures._save", lambda plt, figure, out, stem: drawn.append(figure) or [])
    draw(study(read_runs([str(tmp_path)])[0], 0.9, "success", []), statistic, tmp_path)
    assert len(drawn) == 2
    for figure in drawn:
        figure.canvas.draw()
        extent = figure._suptitle.get_window_extent()
        assert extent.x0 >= 0 and extent.x1 <= figure.bbox.x1
