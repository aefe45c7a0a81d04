"""What drawing a batch is of an update, and what saving a full replay takes."""

import tempfile
from functools import partial
from pathlib import Path
from time import perf_counter

from benchmarks.learner import CASES, make_update
from benchmarks.measure import Section, least, short
from benchmarks.settings import image_episodes, random_episodes, replays
from utils.checkpoint import save_checkpoint
from utils.device import prepare_cpu

TEXT = """
Milliseconds of the processor on one thread, the least of several. A batch is drawn as in training; plain fills it
episode by episode. The share is of drawing and update together. A full replay of HeavenHell (`replay_steps` =
1,000,000 rows, random episodes) is saved with its checksum and kept by the disk (fsync); by the clock.
"""
COLUMNS = ["what", "plain draws, ms", "ours draws, ms", "ours updates, ms", "share of drawing"]
ROWS = 1_000_000


def measure(folder: Path, repeats: int = 3) -> Section:
    """Both tables in one."""
    prepare_cpu(1)
    rows = []
    for case, (family, _, batch_size, length) in CASES.items():
        spec, episodes = image_episodes(64, 50) if family == "sac" else random_episodes(500, length)
        fast, plain = replays(spec, episodes)
        count = repeats if family == "dqn" else 3
        ours = least(partial(fast.sample, batch_size), count)
        theirs = least(partial(plain.sample, batch_size), count)
        update = make_update(case)
        update()
        spent = least(update, count)
        rows.append([case, short(theirs), short(ours), short(spent), f"{100 * ours / (ours + spent):.1f} %"])
    spec, episodes = random_episodes(2000)
    fast, _ = replays(spec, episodes, capacity=ROWS)
    while fast._oldest == 0:
        for episode in episodes:
            fast.add(episode)
    with tempfile.TemporaryDirectory() as where:
        times = []
        for _ in range(4):
            began = perf_counter()
            path = save_checkpoint(where, {"buffer": fast.state_dict()})
            times.append(perf_counter() - began)
        size = path.stat().st_size / 1e6
    rows.append([f"saving {fast.num_steps:,} steps, {size:.0f} MB: {short(min(times))} s", "–", "–", "–", "–"])
    return Section("Replay and checkpoints", TEXT, COLUMNS, rows)
