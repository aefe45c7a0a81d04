"""Updates a second against the straightforward implementation, on batches of whole episodes of T = 50 steps."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import Section, Variant, busy_cores, interleaved, middle, ratio
from benchmarks.settings import domain, image_episodes, make_agent, random_episodes, replays
from benchmarks.straightforward import PlainDQN, PlainSAC

TEXT = """
One gradient update of `mi`, in milliseconds: the median and, in brackets, the least of all; the variants, each in a
process of its own, take turns of five updates in a row, of images one. *Plain* is the straightforward implementation on
one thread (`benchmarks/straightforward.py`); its losses and gradients are the learner's within 1e-5
(`tests/benchmarks`). Both get whole episodes of 50 steps, so that padding saves nothing; only in the last row
HeavenHell's episodes are as long as random actions leave them. Ratios are plain : ours. By the processor's time, one
thread each, other programs on the machine count for less than by the clock. On two threads they count for more, as each
thread waits for the other; with more than half a core in use by others these columns are left out (–).
"""
COLUMNS = [
    "update",
    "plain, processor",
    "ours, processor",
    "ratio",
    "bf16, processor",
    "ratio",
    "ratio by the clock, one thread",
    "two threads",
    "two threads, bf16",
]
CASES = {  # family, memory, batch size, length of the episodes
    "`dqn:mi`, gru, B = 64": ("dqn", "gru", 64, 50),
    "`dqn:mi`, gpt, B = 64": ("dqn", "gpt", 64, 50),
    "`sac:mi`, gpt, 84×84 images, B = 32": ("sac", "gpt", 32, 50),
    "`dqn:mi`, gru, B = 64, random episodes": ("dqn", "gru", 64, None),
}


def make_update(case: str, plain: bool = False, precision: str = "fp32") -> Callable[[], Any]:
    """An update of a case on one batch, ours or the straightforward one."""
    family, memory, batch_size, length = CASES[case]
    if family == "dqn":
        (spec, episodes), config_env = random_episodes(3 * batch_size, length), domain()
    else:
        (spec, episodes), config_env = image_episodes(batch_size + 64, 50), None
    fast, slow = replays(spec, episodes)
    if plain:
        agent = make_agent(spec, family, memory, config_env, predictor_step="separate")
        learner: Any = (PlainDQN if family == "dqn" else PlainSAC)(agent)
        batches = slow.episodes[:batch_size], slow.episodes[batch_size : batch_size + 64]
        return partial(learner.update, *(slow.batch(each) for each in batches))
    batch = fast.episodes(np.arange(batch_size)) if length else fast.sample(batch_size)
    return partial(make_agent(spec, family, memory, config_env, precision=precision).update, batch)


def measure(folder: Path, rounds: int = 10) -> Section:
    """The table of all cases; nothing is drawn into `folder`."""
    rows, quiet = [], busy_cores() < 0.5
    for case, (family, *_) in CASES.items():
        variants = {
            "plain": Variant(partial(make_update, case, plain=True), tuned=False),
            "ours": Variant(partial(make_update, case)),
            "bf16": Variant(partial(make_update, case, precision="bf16")),
        }
        if quiet:
            variants["ours 2"] = Variant(partial(make_update, case), threads=2)
            variants["bf16 2"] = Variant(partial(make_update, case, precision="bf16"), threads=2)
        times = interleaved(variants, rounds, in_a_row=5) if family == "dqn" else interleaved(variants, 3, warm_up=1)
        cpu, wall = ({k: getattr(t, kind) for k, t in times.items()} for kind in ("cpu", "wall"))
        row = [case, middle(cpu["plain"])]
        for name in ("ours", "bf16"):
            row += [middle(cpu[name]), ratio(cpu["plain"], cpu[name])]
        row += [ratio(wall["plain"], wall[name]) if name in wall else "–" for name in ("ours", "ours 2", "bf16 2")]
        rows.append(row)
        print(row, flush=True)
    return Section("The learner", TEXT, COLUMNS, rows)
