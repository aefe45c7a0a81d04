"""Updates of the offline rows beside each other and SAC's, on one batch of whole episodes of continuous actions.

    python benchmarks/offline.py [--rows iql misa …] [--rounds 5] [--batch_size 32] [--length 50]
    python benchmarks/offline.py --peer [--rounds 15]

Milliseconds of the processor, one thread, the rows in turns: the median and, in brackets, the least; and how many times
as long as the first of them. No env is stepped.

With --peer IQL and CQL beside d3rlpy's (pip install structlog dataclasses-json colorama gym, then --no-deps
d3rlpy==2.8.1, which asks for an older gymnasium than this repository), without a memory, each on batches of 256 single
transitions that are drawn anew; parameters that learn are counted. Both have two critics, an actor and, for IQL, a
value, each of two hidden layers of 256 units in float32, of which ours share the first among the critics, an embedding
of 256 numbers of the observation and 16 of the action. CQL takes 30 actions a state.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.arguments import count  # noqa: E402 after the path
from benchmarks.measure import machine, middle, ratio, turns  # noqa: E402
from benchmarks.settings import CPU  # noqa: E402
from buffers.batch import Episode  # noqa: E402
from buffers.episode_buffer import EpisodeBuffer  # noqa: E402
from configs.rl import offline, sac  # noqa: E402
from configs.seq import gru, markov  # noqa: E402
from envs.base import EnvSpec  # noqa: E402
from policies.agents.learner import Learner  # noqa: E402
from policies.build import build_agent  # noqa: E402
from policies.models.sources import Sources  # noqa: E402
from utils.device import prepare_cpu  # noqa: E402

SPEC = EnvSpec("MadeUp-v0", obs_dim=11, state_dim=17, action_dim=3, discrete=False, max_episode_steps=1000)


def episode(rng: np.random.Generator, length: int) -> Episode:
    """Steps of random numbers."""
    obs, state = (rng.normal(size=(length + 1, dim)).astype(np.float32) for dim in (SPEC.obs_dim, SPEC.state_dim))
    action = rng.uniform(-1, 1, (length, SPEC.action_dim)).astype(np.float32)
    return Episode(obs, state, action, rng.normal(size=length).astype(np.float32), np.ones(length, np.float32))


def update(row: str, batch_size: int, length: int) -> Callable[[], Any]:
    """An update of `offline:ROW`, or of `sac`, on one batch."""
    rl = sac.get_config("history") if row == "sac" else offline.get_config(row)
    agent = build_agent(Sources(SPEC, ConfigDict({"rl": rl, "seq": gru.get_config(), "repr": None})), 0, CPU)
    buffer, rng = EpisodeBuffer(SPEC, batch_size * (length + 1), length, 0), np.random.default_rng(0)
    for _ in range(batch_size):
        buffer.add(episode(rng, length))
    return partial(agent.update, buffer.episodes(np.arange(batch_size)))


ROWS = ("iql", "sac", "bc", "aawr", "cql", "misa")
PEER_BATCH, EPISODES, LENGTH = 256, 200, 50  # transitions a batch, and what they are drawn of
IN_A_ROW = 10  # updates a turn
PEER_CQL = {"bound.samples": 30, "bound.rows": PEER_BATCH}  # 10 at random, 10 of the policy before and after a step


def own_side(row: str) -> tuple[Callable[[], int], int]:
    """Some updates of `offline:ROW` without a memory, their batches drawn; and how many parameters learn by it."""
    rl, seq, seen = offline.get_config(row), markov.get_config(), ("observation",)
    sizes = {"policy_inputs": seen, "critic_inputs": seen, "head_dims": (256,), "action_dim": 16}
    rl.update_from_flattened_dict(sizes | (PEER_CQL if row == "cql" else {}))
    seq.vector.obs_dim = 256
    agent = build_agent(Sources(SPEC, ConfigDict({"rl": rl, "seq": seq, "repr": None})), 0, CPU)
    assert isinstance(agent, Learner)
    buffer, rng = EpisodeBuffer(SPEC, EPISODES * (LENGTH + 1), 1, 0), np.random.default_rng(0)
    for _ in range(EPISODES):
        buffer.add(episode(rng, LENGTH))

    def updates() -> int:
        for _ in range(IN_A_ROW):
            agent.update(buffer.sample(PEER_BATCH))
        return IN_A_ROW

    learned = {id(p): p.numel() for parameters in agent.parameters_of.values() for p in parameters}
    return updates, sum(learned.values())


def peer_side(row: str) -> tuple[Callable[[], int], int]:
    """The same by d3rlpy, with its own defaults."""
    algos, datasets = import_module("d3rlpy.algos"), import_module("d3rlpy.dataset")
    rng, steps = np.random.default_rng(0), EPISODES * LENGTH
    episodes = [episode(rng, LENGTH) for _ in range(EPISODES)]
    obs, action, reward = (
        np.concatenate([getattr(one, name)[:LENGTH] for one in episodes]) for name in ("obs", "action", "reward")
    )
    cut = (np.arange(steps) % LENGTH == LENGTH - 1).astype(np.float32)
    data = datasets.MDPDataset(obs, action, reward, np.zeros(steps, np.float32), cut)
    config = {"iql": algos.IQLConfig, "cql": algos.CQLConfig}[row](batch_size=PEER_BATCH)
    algo = config.create(device=False)
    algo.build_with_dataset(data)

    def updates() -> int:
        for _ in range(IN_A_ROW):
            algo.update(data.sample_transition_batch(PEER_BATCH))
        return IN_A_ROW

    nets = vars(algo.impl.modules)
    learned = [net for name, net in nets.items() if hasattr(net, "parameters") and not name.startswith("targ")]
    return updates, sum(p.numel() for net in learned for p in net.parameters())


def beside_peer(rounds: int) -> None:
    """Prints both sides of both rows."""
    for row in ("iql", "cql"):
        sides = {f"offline:{row}": own_side(row), f"d3rlpy's {row}": peer_side(row)}
        times = turns({name: (lambda call=call: call) for name, (call, _) in sides.items()}, rounds)  # type: ignore[misc]
        own = times[f"offline:{row}"]
        for name, spent in times.items():
            print(f"{name:16}{sides[name][1]:>10,}{middle(spent):>20}{ratio(spent, own):>14}")


def main() -> None:
    """Prints a line a row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=[*offline.VARIANTS, "sac"])
    parser.add_argument("--rounds", type=count, default=5)
    parser.add_argument("--batch_size", type=count, default=32)
    parser.add_argument("--length", type=count, default=50)
    parser.add_argument("--peer", action="store_true")
    args = parser.parse_args()
    prepare_cpu(1)
    if args.peer:
        print(f"{machine()}; {PEER_BATCH} single transitions, drawn and learned from; parameters, ms, ratio")
        beside_peer(args.rounds)
        return
    makers = {row: partial(update, row, args.batch_size, args.length) for row in args.rows}
    times = turns(makers, args.rounds)
    print(f"{machine()}; {args.batch_size} episodes of {args.length} steps")
    for row, spent in times.items():
        print(f"{row:16}{middle(spent):>16}{ratio(spent, times[args.rows[0]]):>14}")


if __name__ == "__main__":
    main()
