"""What images cost in learning: drawing a batch of 84x84 images, and one update of `sac:mi` on it.

    python benchmarks/images.py [--batch_size 32] [--shortest 8] [--repeats 3]

Episodes of made-up images, their lengths uniform up to 50. Processor time on one thread, the median of the repeats. A
batch is drawn from images that are kept as float32, as bytes, and as bytes with four turned copies on each episode. An
update encodes the rows of the batch as they stand, padding and repeated frames included, each encoder as often as a
loss or target asks; or each frame once. Frames: the rows that all encoders together are given in one update. What part
of an update goes to encoders, memories and heads, forwards and backwards, is measured in further updates.
"""

import argparse
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from ml_collections import ConfigDict
from torch import Tensor, nn

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.arguments import count  # noqa: E402 after the path
from buffers.augment import turned_share  # noqa: E402
from buffers.batch import Episode, EpisodeBatch, Rows  # noqa: E402
from buffers.episode_buffer import EpisodeBuffer  # noqa: E402
from configs.envs import robot  # noqa: E402
from envs.base import EnvSpec  # noqa: E402
from policies.agents.base import Agent  # noqa: E402
from policies.build import build_agent  # noqa: E402
from policies.models.heads import Head  # noqa: E402
from policies.models.sources import Sources  # noqa: E402
from torchkit.networks import Encoder  # noqa: E402
from torchkit.sequence import Memory  # noqa: E402

HORIZON, SIZE = 50, 84
SHAPE, DIM = (2, SIZE, SIZE), 2 * SIZE**2
DEPTH, MASK, NOTHING = (0.0, 0.32, 8), (0.0, 1.0, 1), (0.0, 0.0, 0)
SPEC = EnvSpec(
    "Images-v0",
    DIM,
    DIM,
    5,
    False,
    HORIZON,
    SHAPE,
    SHAPE,
    (),
    obs_storage=(DEPTH, NOTHING),
    state_storage=(DEPTH, MASK),
)


def episode(length: int, rng: np.random.Generator) -> Episode:
    """Depths and masks of noise, where one step in five changes nothing."""
    pixels = SIZE**2
    depth = rng.uniform(0, 0.32, (length + 1, pixels)).astype(np.float32)
    mask = rng.integers(0, 2, (length + 1, pixels)).astype(np.float32)
    for row in np.flatnonzero(rng.random(length) < 0.2):
        depth[row + 1], mask[row + 1] = depth[row], mask[row]
    return Episode(
        obs=np.concatenate([depth, 0 * depth], 1),
        state=np.concatenate([depth, mask], 1),
        action=rng.uniform(-1, 1, (length, 5)).astype(np.float32),
        reward=np.zeros(length, np.float32),
        discount=np.ones(length, np.float32),
    )


def make_agent(dropout: float, today: bool = False, one_memory: bool = False) -> Agent:
    """`sac:mi` with the memory and the published encoders of the robot domains, or today's, of random weights."""
    config = {
        "rl": import_module("configs.rl.sac").get_config("mi"),
        "seq": import_module("configs.seq.gpt").get_config(),
        "repr": import_module("configs.repr.robot").get_config("drawer_opening"),
    }
    for part in config.values():
        part.unlock()
    config["rl"].update({"z_obs": "scratch", "z_state": "random"})
    config["seq"].kwargs.dropout = dropout
    if one_memory:
        config["rl"].critic_memory = "shared"
    if today:
        config["seq"].update(robot.get_config("drawer_opening").seq)
    else:
        config["seq"].update_from_flattened_dict(robot.PUBLISHED)
    return build_agent(Sources(SPEC, ConfigDict(config)), 0, torch.device("cpu"))


PARTS: dict[str, type[nn.Module]] = {"encoders": Encoder, "memories": Memory, "heads": Head}


class Stopwatch:
    """Processor time within modules of some kinds, forwards and backwards; none of a kind may hold another's."""

    def __init__(self, agent: nn.Module):
        self.spent = dict.fromkeys(PARTS, 0.0)
        for name, kind in PARTS.items():
            for module in agent.modules():
                if isinstance(module, kind):
                    self._watch(name, module)

    def _watch(self, name: str, module: nn.Module) -> None:
        since = [0.0]

        def start(*_: object) -> None:
            since[0] = time.process_time()

        def stop(*_: object) -> None:
            now = time.process_time()
            self.spent[name] += now - since[0]
            since[0] = now

        method = "encode" if isinstance(module, Memory) else "forward"
        plain = getattr(module, method)

        def timed(*inputs: Any, **options: Any) -> Tensor:
            start()
            output: Tensor = plain(*inputs, **options)
            stop()
            if output.grad_fn is not None:  # backwards: from here to the gradient of its last parameter
                output.grad_fn.register_prehook(start)
            return output

        setattr(module, method, timed)
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(stop)


def shares(agent: Agent, batch: EpisodeBatch, repeats: int) -> list[str]:
    """The shares of an update that go to each of `PARTS`, and the rest."""
    watch, start = Stopwatch(agent), time.process_time()
    for _ in range(repeats):
        agent.update(batch)
    total = time.process_time() - start
    parts = [seconds / total for seconds in watch.spent.values()]
    return [f"{share:.0%}" for share in (*parts, 1 - sum(parts))]


def milliseconds(call: Callable[[], object], repeats: int) -> float:
    """Processor time of a call, the median."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(1e3 * (time.process_time() - start))
    return median(times)


def frames_of(encoder: nn.Module, x: Tensor) -> int:
    """How many images an encoder is given, flat or as it reads them."""
    assert isinstance(encoder, Encoder)
    reading = encoder.reading
    return len(x) if reading is not None and x.shape[1:] == reading.shape else x.numel() // DIM


def drawn(buffer: EpisodeBuffer, batch_size: int) -> None:
    """A batch, and the images of both its views."""
    batch = buffer.sample(batch_size)
    _ = batch.obs.distinct, batch.state.distinct


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch_size", type=count, default=32)
    parser.add_argument("--shortest", type=count, default=8, help="length of the shortest episodes")
    parser.add_argument("--repeats", type=count, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    episodes = [episode(int(rng.integers(args.shortest, HORIZON + 1)), rng) for _ in range(2 * args.batch_size)]
    plain = replace(SPEC, obs_storage=(), state_storage=())
    buffers = {
        "float32": EpisodeBuffer(plain, 10_000, HORIZON, 0),
        "bytes": EpisodeBuffer(SPEC, 10_000, HORIZON, 0),
        "bytes, turned": EpisodeBuffer(SPEC, 10_000, HORIZON, 0, turned_share("se2", 4, SPEC)),
    }
    print(f"{'replay':<36}{'kB/step':>10}{'ms/batch':>10}")
    for name, buffer in buffers.items():
        for each in episodes:
            buffer.add(each)
        size = buffer.max_bytes / buffer.capacity / 1e3
        taken = milliseconds(partial(drawn, buffer, args.batch_size), args.repeats)
        print(f"{name:<36}{size:>10.1f}{taken:>10.0f}", flush=True)
    batch = buffers["bytes, turned"].sample(args.batch_size)
    full = replace(batch, obs=Rows.all_different(batch.obs.full()), state=Rows.all_different(batch.state.full()))
    columns = "".join(f"{name:>10}" for name in (*PARTS, "the rest"))
    print(f"\n{'update of sac:mi, gpt':<36}{'frames':>10}{'ms':>10}{columns}")
    rows: list[tuple[str, EpisodeBatch, bool, dict[str, Any]]] = []
    for dropout in (0.0, 0.1):
        rows.append((f"dropout {dropout}, as they stand", full, False, {"dropout": dropout}))
        rows.append((f"dropout {dropout}, each frame once", batch, True, {"dropout": dropout}))
    rows.append(("no dropout, as robots read today", batch, True, {"dropout": 0.0, "today": True}))
    rows.append(
        ("the same, one memory for all heads", batch, True, {"dropout": 0.0, "today": True, "one_memory": True})
    )
    for name, given, once, kind in rows:
        agent, frames = make_agent(**kind), [0]
        for module in agent.modules():
            if isinstance(module, Encoder):
                module.register_forward_pre_hook(lambda m, x, n=frames: n.__setitem__(0, n[0] + frames_of(m, x[0])))
        with nullcontext() if once else patch.object(EpisodeBatch, "encoding_once", nullcontext):
            spent, seen = milliseconds(partial(agent.update, given), args.repeats), frames[0] // args.repeats
            split = "".join(f"{share:>10}" for share in shares(agent, given, args.repeats))
        print(f"{name:<36}{seen:>10,}{spent:>10,.0f}{split}", flush=True)


if __name__ == "__main__":
    main()
