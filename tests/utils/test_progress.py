"""The progress line does not flood a log."""

import sys

from utils.progress import progress


def test_log_gets_whole_lines_and_few(capsys):
    with progress(1000, initial=10, desc="training") as bar:
        for _ in range(990):
            bar.update()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) <= 3
    assert "\r" not in "".join(lines)
    assert "1000/1000" in lines[-1]
    assert sys.stderr.isatty() is False
