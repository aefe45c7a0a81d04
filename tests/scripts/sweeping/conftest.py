"""What the tests of sweeps share."""

import pytest

from scripts.sweeping import pool
from tests.helpers.sweeps import FAKE, sweep_of, train


@pytest.fixture
def fakes(tmp_path, monkeypatch):
    """Sweeps of main.py as a few lines without torch."""
    (tmp_path / "main.py").write_text(FAKE)
    monkeypatch.setattr(pool, "ROOT", tmp_path)

    def make(do, need=False, **stage):
        axes = {"do": tuple(do), "seed": (0,)}
        stages = {"t": train(("do",), "--do={do}", **stage)}
        if need:
            stages["after"] = train(("do",), "--do=ok", "--from={t}")
        return sweep_of(tmp_path, axes, stages)

    return make
