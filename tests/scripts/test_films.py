"""A finished run stays finished, whatever fails in drawing it."""

import json
import subprocess
import sys

import imageio.v3 as iio
import numpy as np
import pytest

from envs.pictures import as_picture, of_one_size
from tests.helpers import drawing
from tests.helpers.scripts import ROOT
from utils.errors import UserError

ENV = ("--config_env=configs/envs/cartpole_hidden.py", "--config_env.module=tests.helpers.drawing",
       "--config_env.horizon=6", "--config_env.state_fn=", "--config_env.hidden=()")  # fmt: skip
TRAIN = (
    *ENV, "--config_rl=configs/rl/dqn.py", "--config_seq=configs/seq/markov.py", "--train_episodes=3", "--num_envs=2",
    "--start_training=1", "--eval_episodes=2", "--updates_per_step=0.1", "--batch_size=2", "--film_episodes=2",
    "--config_rl.head_dims=(4,)", "--cuda=-1", "--run_name=run",
)  # fmt: skip


def a_coin(kind):
    env = kind(render_mode="rgb_array")
    env.reset(seed=0)
    env.step(0)
    return env


@pytest.mark.parametrize("name", drawing.DRAWN)
def test_frames_of_all_kinds_are_pictures(name):
    picture = as_picture(a_coin(drawing.DRAWN[name]).render(), name)
    assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
    assert (picture == 60).all()


@pytest.mark.parametrize("drawn", [None, "text", np.zeros((2, 3, 4, 3)), np.zeros((4, 4, 2)), np.zeros(0), []])
def test_what_is_no_picture_is_refused(drawn):
    with pytest.raises(UserError, match="Some-v0 draws"):
        as_picture(drawn, "Some-v0")


def test_pictures_of_other_sizes_share_a_frame():
    film = of_one_size([np.full((2, 3, 3), 9, np.uint8), np.full((3, 2, 3), 7, np.uint8)])
    assert film.shape == (2, 3, 3, 3)
    assert (film[0, :2] == 9).all() and (film[0, 2] == 0).all() and (film[1, :, 2] == 0).all()


FULL = """
import resource, signal, sys
import numpy as np
from policies.acting.evaluate import write_gif
from pathlib import Path

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
frames = np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), np.uint8)
try:
    write_gif(list(frames), Path(sys.argv[1]), 6)
except OSError as error:
    print(error)
"""


def test_a_film_that_the_disk_has_no_room_for_is_one_error(tmp_path):
    command = [sys.executable, "-c", FULL, str(tmp_path / "film.gif")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout == f"[Errno 27] File too large: '{tmp_path / 'film.gif'}'\n"
    assert (done.returncode, done.stderr, list(tmp_path.iterdir())) == (0, "", [])


@pytest.mark.parametrize("name", ["Growing", "Raising", "Leaving", "Unmade", "Mute", "Unclosed"])
def test_a_run_is_finished_whatever_its_film_comes_to(scripts, tmp_path, name):
    flags = (*TRAIN, f"--config_env.id=drawing/{name}-v0", f"--save_dir={tmp_path}")
    done = scripts.run("main.py", *flags)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    run = tmp_path / "default" / "run"
    summary = json.loads((run / "summary.json").read_text())
    assert summary["final_episodes"] == 100
    films = list((run / "films").iterdir())
    if name in ("Growing", "Unclosed"):
        assert [film.name for film in films] == [f"drawing_{name}-v0.gif"] and summary["film"] == str(films[0])
        assert iio.imread(films[0]).shape[1:] == ((24, 30, 3) if name == "Growing" else (20, 30, 3))
    else:
        assert not films and summary["film"] is None
        assert "warning: no film: " in done.stderr and f"drawing/{name}-v0" in done.stderr
        return
    assert "is finished" in scripts.run("main.py", *flags).stdout
    shown = scripts.run("main.py", *ENV, f"--config_env.id=drawing/{name}-v0", f"--policy_dir={run}", "--cuda=-1",
                        "--eval_episodes=2", "--film_episodes=1")  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    assert "success of 2 greedy episodes" in shown.stdout


@pytest.mark.parametrize("name", ["Raising", "Growing"])
def test_an_inspection_shows_what_can_be_drawn(scripts, tmp_path, name):
    run = (f"--config_env.id=drawing/{name}-v0", f"--save_dir={tmp_path}", "--film_episodes=0")
    assert scripts.run("main.py", *TRAIN, *run).returncode == 0
    done = scripts.run("scripts/inspect_episode.py", tmp_path / "default" / "run", "--episodes=1", "--trust")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "default" / "run" / "inspect" / "episodes.html").exists()
    with_film = scripts.run("scripts/inspect_episode.py", tmp_path / "default" / "run", "--gif", "--trust")
    assert with_film.returncode == (0 if name == "Growing" else 2), with_film.stderr
