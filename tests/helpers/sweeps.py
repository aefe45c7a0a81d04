"""Sweeps for tests: of main.py as a few lines without torch, and small real ones."""

import json
from pathlib import Path

from ml_collections import ConfigDict
from safetensors.torch import load_file

from scripts.sweeping.plan import Sweep
from scripts.sweeping.pool import Pool
from scripts.sweeping.status import Records

ROOT = Path(__file__).resolve().parents[2]
QUICK = ROOT / "configs/sweeps/quick.py"

FAKE = """
import json, os, pathlib, signal, sys, time
flags = dict(word.split("=", 1) for word in sys.argv[1:])
folder = pathlib.Path(flags["--save_dir"], flags["--group"], flags["--run_name"])
folder.mkdir(parents=True, exist_ok=True)
with (folder / "starts").open("a") as file:
    file.write(f"{os.environ['OMP_NUM_THREADS']} {time.monotonic()} ")
do = flags["--do"]
length = int(flags.get("--train_episodes", 1000))
(folder / "config.json").write_text(json.dumps({"config": {"run": {"train_episodes": length}}}))
stop = []
for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
    signal.signal(number, lambda n, frame: stop.append(n))
first = (folder / "starts").read_text().count(" ") == 2
if do == "fail" and first:
    print("error: the disk is full"), print("and more")
    sys.exit(2)
if do == "again" and first:
    sys.exit(75)
if do == "die" and first:
    os.kill(os.getpid(), signal.SIGKILL)
if do == "nothing":
    sys.exit(0)
while do in ("wait", "save") and not stop and first:
    (folder / "ready").touch()
    time.sleep(0.01)
if stop and do == "save":
    (folder / "checkpoint").mkdir()
    (folder / "checkpoint/00000001.ckpt").touch()
if stop:
    (folder / "saved").write_text(str(stop))
    time.sleep(0.2)
    sys.exit(130 if stop[0] == signal.SIGINT else 75)
with (folder / "starts").open("a") as file:
    file.write(f"{time.monotonic()}\\n")
(folder / "summary.json").write_text(json.dumps({"final": {"success": float(flags.get("--x", 0))}}))
"""


def run_pool(sweep, num=2, watch=lambda one: None):
    """Runs all jobs of a sweep on this machine."""
    jobs = sweep.jobs()
    records = Records(sweep.folder)
    records.check(jobs)
    records.reopen(jobs)
    one = Pool(jobs, num, records, watch)
    one.run()
    return one


def child_of(pid, text):
    """The process below `pid` whose command line has `text`."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        if text in Path(f"/proc/{child}/cmdline").read_text():
            return int(child)
    return None


TINY = {
    "collect": ("--episodes=20", "--random_episodes=20", "--num_envs=10", "--config_env.horizon=16"),
    "pretrain": (
        "--num_epochs=1", "--config_repr.batch_size=50", "--config_repr.hidden_dim=16", "--report_steps=5",
        "--config_env.horizon=16",
    ),
    "train": (
        "--config_env.horizon=16", "--config_env.eval.interval=100", "--train_episodes=40", "--num_envs=5",
        "--batch_size=4", "--start_training=2", "--eval_episodes=3", "--updates_per_step=0.1", "--film_episodes=0",
        "--config_rl.head_dims=(16,)", "--cuda=-1", "--checkpoint_minutes=0",
    ),
}  # fmt: skip


def tiny(folder):
    """The flags of the quick sweep, smaller still."""
    adds = [f"--add={stage}:{flag}" for stage, flags in TINY.items() for flag in flags]
    return [f"--config_sweep={QUICK}", f"--save_dir={folder}", "--config_sweep.axes.seed=(0,)", *adds]


def metrics(folder):
    """The rows of a run, without its clocks."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if not name.startswith("clock/")} for row in rows]


def assert_same(run, other):
    """Metrics and weights of two runs, number for number."""
    assert metrics(run) == metrics(other)
    one, two = (load_file(folder / "policy/policy.safetensors") for folder in (run, other))
    assert one.keys() == two.keys() and all(one[name].equal(two[name]) for name in one)


def sweep_of(tmp_path, axes, stages, more=None, **other):
    """A sweep named s."""
    config = ConfigDict({"name": "s", "axes": axes, "stages": stages, **other})
    return Sweep(config.lock(), tmp_path, more)


def train(over, *flags, **other):
    """A stage of main.py."""
    return {"script": "main.py", "over": over, "flags": flags, **other}
