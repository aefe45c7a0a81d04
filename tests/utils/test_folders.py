"""A folder that is being written is kept for one process."""

import subprocess
import sys

import pytest

from tests.helpers.scripts import ROOT
from utils.errors import UserError
from utils.folders import kept_for_us

KEEP = """
import sys
from pathlib import Path
from utils.folders import kept_for_us

with kept_for_us(Path(sys.argv[1])):
    print("kept", flush=True)
    input()
"""


def test_a_folder_is_kept_for_one_process_and_given_back(tmp_path):
    path = tmp_path / "deep" / "data"
    other = subprocess.Popen(
        [sys.executable, "-c", KEEP, str(path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout.readline() == "kept\n"
    with pytest.raises(UserError, match=f"--data_path: another process is writing into {path}"), kept_for_us(path):
        pass
    for link, target in (("link", path), ("around", path.parent)):
        (tmp_path / link).symlink_to(target)
    for named in ("link", "around/data"):
        with pytest.raises(UserError, match="another process is writing into"), kept_for_us(tmp_path / named):
            pass
    with kept_for_us(path.with_name("another")):
        pass
    other.kill()
    other.wait()
    with kept_for_us(path):
        assert [file.name for file in path.parent.iterdir()] == [".data.lock"]
    assert not list(path.parent.iterdir())
