"""Arguments of benchmarks that do not do, and commands that fail."""

import pytest

from tests.helpers.scripts import ROOT


@pytest.mark.parametrize(
    ("script", "flags", "said"),
    [
        ("seeds.py", ("--repeats=0",), "argument --repeats: '0' is not a whole number of at least 1"),
        ("gridworlds.py", ("--rounds=-1",), "argument --rounds: '-1' is not"),
        ("gridworlds.py", ("--peer=/nowhere/at/all",), "argument --peer: there is no folder '/nowhere/at/all'"),
        ("offline.py", ("--rows", "nope"), "argument --rows: invalid choice: 'nope'"),
        ("run.py", ("--date=2026-13-99",), "argument --date: invalid fromisoformat value: '2026-13-99'"),
        ("seeds.py", ("--repeats=1", "--num_seeds=2", "--config_rl.lr=-1"), "error: main.py: --config_rl.lr"),
    ],
)
def test_what_does_not_do_is_told_and_ends(scripts, script, flags, said):
    done = scripts.run(f"benchmarks/{script}", *flags, cwd=ROOT)
    assert done.returncode == 2
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
