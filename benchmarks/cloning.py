"""How well the actor of `sac:history` copies the robot's expert, from demonstrations alone and by its settings.

    python benchmarks/cloning.py [--domain block_pushing] [--updates 1500] [--rows published both]

No critic and no episodes of its own: each update lowers the squared distance from the expert's actions on 16 episodes,
four of five turned. Printed are that distance, on what it learned from and on 40 demonstrations that it did not see,
and the success of 100 greedy episodes. Some ten minutes a row on a core.
"""

import argparse
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.arguments import count  # noqa: E402 after the path
from buffers.augment import draw_angles, turned_share  # noqa: E402
from buffers.batch import EpisodeBatch  # noqa: E402
from buffers.episode_buffer import EpisodeBuffer  # noqa: E402
from configs.envs import robot  # noqa: E402
from configs.rl import sac  # noqa: E402
from configs.seq import gpt  # noqa: E402
from envs.base import AsymmetricVectorEnv  # noqa: E402
from envs.make import make_vector_env  # noqa: E402
from policies.acting.evaluate import GreedyPolicy, evaluate  # noqa: E402
from policies.acting.rollout import ExpertPolicy, iterate_episodes  # noqa: E402
from policies.build import build_agent  # noqa: E402
from policies.losses import masked_mean  # noqa: E402
from policies.models.policy import HistoryPolicy  # noqa: E402
from policies.models.sources import Sources  # noqa: E402
from policies.training.resolve import resolve  # noqa: E402
from utils.device import prepare_cpu  # noqa: E402

BATCH, HELD_OUT, EVALUATED = 16, 40, 100  # episodes
STANDARDISED = robot.PUBLISHED | {"image.cnn.centre": (0.14, 0.0), "image.cnn.spread": (0.05, 1.0)}  # metres


@dataclass(frozen=True)
class Row:
    """What differs from the domain's settings: of the env's constructor, of the memory, copies; how much is shown."""

    kwargs: Mapping[str, Any] = field(default_factory=dict)
    seq: Mapping[str, Any] = field(default_factory=dict)
    augment: str = "se2"
    demonstrations: int = 80


ROWS = {
    "published": Row({"first": "either"}, robot.PUBLISHED),
    "nearest": Row({"first": "nearest"}, robot.PUBLISHED),
    "standardised": Row({"first": "either"}, STANDARDISED),
    "both": Row({"first": "nearest"}, STANDARDISED),
    "mirrored": Row({"first": "nearest"}, STANDARDISED, augment="e2"),
    "more": Row({"first": "nearest"}, STANDARDISED, demonstrations=400),
}


def demonstrations(envs: AsymmetricVectorEnv, count: int, seed: int) -> EpisodeBuffer:
    """So many successful episodes of the expert."""
    buffer = EpisodeBuffer(envs.spec_sizes, 100_000, envs.spec_sizes.max_episode_steps, seed)
    expert, rounds = ExpertPolicy(envs, 0.0, np.random.default_rng(seed)), 0
    while len(buffer) < count:
        for _, episode in iterate_episodes(envs, expert, count - len(buffer), seed + 1000 * rounds):
            if episode.success:
                buffer.add(episode)
        rounds += 1
    return buffer


def distance(policy: HistoryPolicy, batch: EpisodeBatch) -> torch.Tensor:
    """The squared distance of the policy's best actions from those of the batch, a step on average."""
    with batch.encoding_once():
        output = policy.head(policy.public(batch.public), batch)
    return masked_mean((policy.greedy(output)[:-1] - batch.action).square().sum(-1), batch.mask)


def copied(row: Row, domain: str, updates: int, seed: int) -> tuple[float, float, float]:
    """Distances on what was learned from, in the last fifth of the updates, and on what was not; and the success."""
    config_env, config_seq = robot.get_config(domain), gpt.get_config()
    config_env.kwargs.update(row.kwargs)
    config_env.augment = row.augment
    config_seq.update_from_flattened_dict(row.seq)
    config = resolve(config_env, sac.get_config("history"), config_seq, None, set(), {}, set(row.seq))
    with closing(make_vector_env(config_env, 16, seed=seed)) as envs:
        spec = envs.spec_sizes
        shown, others = (demonstrations(envs, *of) for of in ((row.demonstrations, seed), (HELD_OUT, seed + HELD_OUT)))
        agent = build_agent(Sources(spec, config), seed, torch.device("cpu"))
        policy, rng = agent.policy, np.random.default_rng(seed)
        adam = torch.optim.Adam(policy.parameters(), config.rl.actor_lr)
        share = turned_share(config_env.augment, config_env.n_aug, spec)
        learned = []
        policy.train()
        for _ in range(updates):
            drawn = rng.integers(row.demonstrations, size=BATCH)
            loss = distance(policy, shown.episodes(drawn, draw_angles(rng, BATCH, share, row.augment)))
            adam.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(policy.parameters(), config.rl.max_grad_norm)
            adam.step()
            learned.append(loss.item())
        policy.eval()
        with torch.no_grad():
            held_out = distance(policy, others.episodes(np.arange(HELD_OUT)))
        success = evaluate(GreedyPolicy(policy), envs, EVALUATED, seed + 7)["success"]
    return float(np.mean(learned[-max(1, updates // 5) :])), float(held_out), success


def main() -> None:
    """Prints a line a row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--domain", default="block_pushing", choices=robot.VARIANTS)
    parser.add_argument("--updates", type=count, default=1500)
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=ROWS)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    prepare_cpu(1)
    print(f"{args.domain:20}{'shown':>8}{'learned':>10}{'held out':>10}{'success':>10}")
    for name in args.rows:
        row = ROWS[name]
        learned, held_out, success = copied(row, args.domain, args.updates, args.seed)
        print(f"{name:20}{row.demonstrations:8}{learned:10.3f}{held_out:10.3f}{success:10.2f}", flush=True)


if __name__ == "__main__":
    main()
