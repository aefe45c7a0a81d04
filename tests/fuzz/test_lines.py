"""Whatever a command line says, it runs, or is refused in one line that names a flag; some hundred are tried.

CI tries as many as stand below; FUZZ=400 tries more, FUZZ_SEED another choice of them.
"""

import os
import re
import shutil
import signal
import threading

import pytest

from tests.fuzz.lines import lines
from tests.helpers.scripts import ROOT

COUNT = int(os.environ.get("FUZZ", "60"))
SEED = int(os.environ.get("FUZZ_SEED", "17"))
PARTS = 6
PATIENCE = 120.0  # seconds, after which a line hangs
ALLOWED = (0, 2, 3, 75)  # done; refused; diverged; out of time
NAMES = re.compile(r"(?<![\w/.])--?[A-Za-z]|config_\w+\.|unexpected argument|unknown flag")  # a flag or field


@pytest.fixture(scope="module")
def places(scripts, tmp_path_factory):
    """A data set, a run, and a damaged one, which all lines may name."""
    folder = tmp_path_factory.mktemp("fuzz")
    env = ("--config_env=configs/envs/heaven_hell.py", "--config_env.horizon=5")
    done = scripts.run(
        "main_collect_data.py", *env, "--episodes=8", "--random_episodes=8", f"--data_path={folder / 'data'}"
    )
    assert done.returncode == 0, done.stderr
    done = scripts.run(
        "main.py", *env, "--train_episodes=1", "--num_envs=2", "--batch_size=2", "--start_training=1",
        "--eval_episodes=1", "--updates_per_step=0.02", "--film_episodes=0", "--cuda=-1", "--config_rl.head_dims=(4,)",
        f"--save_dir={folder}", "--group=runs", "--run_name=run",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = folder / "runs" / "run"
    damaged = folder / "damaged"
    shutil.copytree(run, damaged)
    for name in ("config.json", "summary.json", "policy/policy.json"):
        (damaged / name).write_text('{"config": 3}')
    tiger = ROOT / "configs/envs/tiger.pomdp"
    return {
        "tmp": folder,
        "tiger": tiger,
        "data": folder / "data",
        "run": run,
        "runs": folder / "runs",
        "damaged": damaged,
    }


def wrong(done):
    """What is wrong with how a script ended; None where nothing is."""
    told = [text for text in done.stderr.splitlines() if text.startswith("error: ")]
    if done.returncode not in ALLOWED:
        return f"code {done.returncode}"
    if "Traceback" in done.stderr:
        return "a traceback"
    if done.returncode == 2 and len(told) != 1:
        return f"{len(told)} lines"
    if done.returncode == 2 and not NAMES.search(told[0]):
        return "no flag is named"
    return None


@pytest.mark.parametrize("part", range(PARTS))
def test_every_line_runs_or_is_refused_in_one_line(scripts, places, part):
    fell_short = []
    for number, (script, flags) in list(enumerate(lines(SEED, COUNT)))[part::PARTS]:
        filled = [re.sub(r"\{(\w+)\}", lambda m: str(places.get(m[1], m[0])), flag) for flag in flags]
        process = scripts.start(script, *filled, cwd=places["tmp"])
        alarm = threading.Timer(PATIENCE, process.kill, [signal.SIGKILL])
        alarm.start()
        done = process.wait()
        alarm.cancel()
        if (why := wrong(done)) is not None:
            fell_short.append(f"{number}: {script} {filled}: {why}: {done.stderr[-600:]}")
    assert not fell_short, f"{len(fell_short)} of {COUNT}\n" + "\n\n".join(fell_short)
