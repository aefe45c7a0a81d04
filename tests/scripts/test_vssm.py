"""The study of digits: a run that was stopped and went on is the unbroken one, and is what the page tells."""

import json

import pytest
import torch

from scripts import generative
from scripts.reporting import vssm as page
from tests.helpers.scripts import ROOT
from utils.checkpoint import load_checkpoint, save_checkpoint
from utils.errors import UserError
from utils.run import Run


@pytest.fixture
def few(monkeypatch):
    images = generative.digits()
    assert [part.shape for part in images] == [(8, count, 8) for count in generative.PARTS]
    assert max(int(part.max()) for part in images) < generative.VALUES
    monkeypatch.setattr(generative, "digits", lambda: generative.Digits(*(part[:, :40] for part in images)))
    monkeypatch.setattr(generative, "SAMPLES", 3)


class Stopping:
    """A stop signal that has come by the second epoch."""

    def __init__(self):
        self.asked, self.number = 0, None

    def listening(self):
        from contextlib import nullcontext

        return nullcontext()

    def interrupt(self):
        self.asked += 1
        self.number = 15
        if self.asked == 2:
            raise SystemExit(75)


@pytest.mark.parametrize("model", ["vssm_causal", "gpt"])
def test_a_stopped_study_goes_on_as_the_unbroken_one(model, few, tmp_path, monkeypatch):
    whole = generative.study(str(tmp_path / "whole"), model, 1, 3)
    with monkeypatch.context() as stopped, pytest.raises(SystemExit):
        stopped.setattr(generative, "StopRequest", Stopping)
        generative.study(str(tmp_path / "parts"), model, 1, 3)
    folder = tmp_path / "parts" / "vssm" / f"{model}_s1"
    assert load_checkpoint(folder / "checkpoint")["counters"]["epoch"] == 2
    parts = generative.study(str(tmp_path / "parts"), model, 1, 3)
    assert {**parts, "seconds": 0} == {**whole, "seconds": 0}
    for name, value in load_checkpoint(tmp_path / "whole" / "vssm" / f"{model}_s1" / "checkpoint")["model"].items():
        assert torch.equal(value, load_checkpoint(folder / "checkpoint")["model"][name])
    assert generative.study(str(tmp_path / "parts"), model, 1, 3) == parts, "a finished one is told again"
    longer = generative.study(str(tmp_path / "parts"), model, 1, 4)
    assert longer["epochs"] == 4
    with pytest.raises(UserError, match=r"already holds a run with run.epochs = 4, not 3"):
        generative.study(str(tmp_path / "parts"), model, 1, 3)


def test_a_checkpoint_of_another_model_is_told(few, tmp_path):
    run = Run.create(str(tmp_path), "vssm/gru_s0", {"run": {"model": "gru", "seed": 0, "epochs": 1}}, ["x"])
    save_checkpoint(run.checkpoint_dir, {"model": {}})
    run.close()
    with pytest.raises(UserError, match="does not fit this run"):
        generative.study(str(tmp_path), "gru", 0, 1)


def test_the_page_has_every_model_and_length():
    record = json.loads((ROOT / "docs/results/vssm.json").read_text())
    assert [row[0] for row in record["rows"]] == [f"`{name}`" for name in generative.MODELS]
    assert record["columns"] == list(page.COLUMNS)
    assert [page.of_seeds(x) for x in ([1.0, 2.0], [1.0], [None])] == ["1.500 (1.000, 2.000)", "1.000", "–"]
