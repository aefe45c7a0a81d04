"""Metrics: whole lines, cut and continued where a checkpoint says, mirrored on request."""

import errno
import json
import resource
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.logger import JsonlWriter, Logger, TensorBoardWriter, WandbWriter, wandb_id

ROOT = Path(__file__).resolve().parents[2]


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_logger_hands_every_write_to_every_writer(tmp_path):
    logger = Logger([JsonlWriter(tmp_path / "a"), JsonlWriter(tmp_path / "b")])
    logger.write(4, {"loss": torch.tensor(0.5), "count": 3, "mean": np.float32(0.25)})
    logger.close()
    for name in "ab":
        assert rows(tmp_path / name) == [{"step": 4, "loss": 0.5, "count": 3, "mean": 0.25}]


def test_numbers_that_are_not_finite_are_null(tmp_path):
    writer = JsonlWriter(tmp_path / "m")
    writer.write(0, {"a": float("nan"), "b": float("inf"), "c": -float("inf"), "d": 1.0})
    assert rows(tmp_path / "m") == [{"step": 0, "a": None, "b": None, "c": None, "d": 1.0}]
    writer.close()


def test_each_write_is_on_disk_at_once(tmp_path):
    writer = JsonlWriter(tmp_path / "m")
    for step in range(3):
        writer.write(step, {"x": step})
        assert len(rows(tmp_path / "m")) == step + 1
    writer.close()


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20), st.data())
@settings(max_examples=30, deadline=None, derandomize=True)
def test_cut_and_continued_equals_unbroken(tmp_path_factory, values, data):
    folder = tmp_path_factory.mktemp("logs")
    cut = data.draw(st.integers(0, len(values)))
    unbroken, broken = JsonlWriter(folder / "unbroken"), JsonlWriter(folder / "broken")
    for step, value in enumerate(values):
        if step == cut:
            offset = broken.offset()
        unbroken.write(step, {"x": value})
        broken.write(step, {"x": value})
    if cut == len(values):
        offset = broken.offset()
    unbroken.close()
    broken.close()
    broken = JsonlWriter(folder / "broken")
    broken.truncate(offset)
    for step, value in list(enumerate(values))[cut:]:
        broken.write(step, {"x": value})
    broken.close()
    assert (folder / "broken").read_bytes() == (folder / "unbroken").read_bytes()


@pytest.mark.parametrize("torn", [b'{"step": 1, "x"', b"x" * 10_000])
def test_a_torn_last_line_is_cut(tmp_path, torn):
    path = tmp_path / "m"
    path.write_bytes(b'{"step": 0}\n' + torn)
    writer = JsonlWriter(path)
    writer.write(1, {})
    writer.close()
    assert rows(path) == [{"step": 0}, {"step": 1}]


def test_a_file_shorter_than_its_checkpoint_says_is_told(tmp_path):
    writer = JsonlWriter(tmp_path / "m")
    writer.write(0, {})
    with pytest.warns(RuntimeWarning, match="shorter"):
        writer.truncate(1000)
    writer.close()
    assert rows(tmp_path / "m") == [{"step": 0}]


@pytest.fixture
def small_disk():
    """No file may become larger than 1,000 bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_full_disk_names_the_file_once(tmp_path, small_disk):
    logger = Logger([JsonlWriter(tmp_path / "metrics")])
    with pytest.raises(OSError, match="metrics") as failed:
        for step in range(1000):
            logger.write(step, {"loss": 0.5})
    assert failed.value.errno == errno.EFBIG
    logger.close()
    assert (tmp_path / "metrics").stat().st_size == 1000
    JsonlWriter(tmp_path / "metrics").close()
    assert [row["step"] for row in rows(tmp_path / "metrics")] == list(range(step))


def test_what_the_disk_cannot_keep_names_the_file(tmp_path, monkeypatch):
    def fail(_):
        raise OSError(errno.EIO, "Input/output error")

    writer = JsonlWriter(tmp_path / "metrics")
    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="metrics"):
        writer.offset()
    writer.close()


def test_all_writers_are_closed_though_one_fails(tmp_path):
    class Bad(JsonlWriter):
        def close(self):
            super().close()
            raise OSError("bad")

    writers = [JsonlWriter(tmp_path / "a"), Bad(tmp_path / "b"), JsonlWriter(tmp_path / "c")]
    with pytest.raises(OSError, match="bad"):
        Logger(writers).close()
    assert all(writer._file.closed for writer in writers)


def test_tensorboard_gets_the_curves(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with warnings.catch_warnings(action="ignore"):
        writer = TensorBoardWriter(tmp_path)
        writer.write(5, {"loss": 0.5})
        writer.close()
        events = EventAccumulator(str(tmp_path)).Reload().Scalars("loss")
    assert [(event.step, event.value) for event in events] == [(5, 0.5)]


def test_a_resumed_run_hides_later_points_in_tensorboard_and_keeps_its_last_one(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with warnings.catch_warnings(action="ignore"):
        for first_step, steps in ((0, (100, 200, 300)), (201, (300, 400))):
            writer = TensorBoardWriter(tmp_path, first_step)
            for step in steps:
                writer.write(step, {"loss": float(first_step)})
            writer.close()
        events = EventAccumulator(str(tmp_path)).Reload().Scalars("loss")
    assert [(event.step, event.value) for event in events] == [(100, 0), (200, 0), (300, 201), (400, 201)]


def test_mirrors_are_imported_only_when_asked_for():
    code = "import sys, utils.logger; sys.exit(any(name in sys.modules for name in ('wandb', 'tensorboard', 'torch')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0


def test_wandb_is_offline_without_an_account(tmp_path):
    code = (
        "from utils.logger import WandbWriter\n"
        f"writer = WandbWriter({str(tmp_path)!r}, 'a/b', {{'lr': 1.0}}, group='g')\n"
        "writer.write(5, {'loss': 0.5})\n"
        "writer.close()\n"
    )
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "WANDB_SILENT": "true"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob(f"wandb/offline-run-*-{wandb_id(tmp_path)}"))


def test_tensorboard_can_sort_runs_by_their_tags(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    with warnings.catch_warnings(action="ignore"):
        writer = TensorBoardWriter(tmp_path, tags={"method": "dqn:mi", "seed": 3})
        writer.close()
        events = EventAccumulator(str(tmp_path)).Reload()
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    started = HParamsPluginData.FromString(content).session_start_info
    assert started.hparams["method"].string_value == "dqn:mi"
    assert started.hparams["seed"].number_value == 3


def test_wandb_is_told_name_group_and_tags(tmp_path, monkeypatch):
    asked = {}
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr("wandb.init", lambda **kwargs: asked.update(kwargs))
    WandbWriter(tmp_path, "run", {}, group="g", tags=["dqn:mi", "x" * 70])
    assert (asked["name"], asked["group"], asked["tags"]) == ("run", "g", ["dqn:mi", "x" * 64])
    assert asked["id"] == wandb_id(tmp_path)
    monkeypatch.setenv("WANDB_SWEEP_ID", "s")  # the agent gives each of a sweep's runs an id
    WandbWriter(tmp_path, "run", {})
    assert asked["id"] is None


def test_wandb_knows_a_run_by_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ids = {wandb_id(tmp_path / folder) for folder in ("logs/a/run", "logs/b/run", "more/a/run")}
    assert len(ids) == 3
    assert wandb_id("logs/a/run") == wandb_id(tmp_path / "logs/a/../a/run") == wandb_id(tmp_path / "logs/a/run")
