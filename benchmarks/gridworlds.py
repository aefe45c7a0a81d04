"""An update of 15 seeds of the gridworld experiment, agents on tables, beside the public code of its paper.

    python benchmarks/gridworlds.py [--rounds 8] [--peer FOLDER --peer_python PROGRAM]

FOLDER is a checkout of github.com/adrienBolland/future-visitation-exploration, PROGRAM a Python 3.12 with torch 2.13.0,
gymnasium 0.29.1, minigrid 2.3.1, scipy, PyYAML and wandb. One thread each, in turns, processor time, looks left out.
"""

import argparse
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.arguments import count, folder, result_of  # noqa: E402 after the path
from policies.exact.exploring import Explorers, Settings  # noqa: E402
from scripts.reporting.criteria import GRIDWORLDS  # noqa: E402
from utils.device import prepare_cpu  # noqa: E402

SEEDS, WORLD, UPDATES = 15, "four rooms, exploration only", 200
PEER = {"future": "1-explore-sac-cv.yaml", "marginal": "2-explore-sac-mv.yaml"}
# Their loop, run for few and for more iterations, so that filling the replay does not count; prints ms of an iteration.
THEIRS = """
import sys, time, warnings
sys.path.insert(0, "src")
warnings.simplefilter("ignore")
import torch, wandb, yaml
wandb.init = wandb.log = lambda *args, **kwargs: None
import utils_minigrid as made
from density_rl.maxent_sac_visitation import sac_visitation
torch.set_num_threads(1)
name, updates = sys.argv[1], int(sys.argv[2])
config = yaml.safe_load(open(f"src/config_files_sac/{name}"))
config |= {"env_name": "MiniGrid-FourRooms-v0", "control_period": 10**9, "control_batch_size": 1}
build = made.get_sac_marginal_visitation_agent if "-mv" in name else made.get_sac_future_visitation_agent
def seconds(iterations):
    env = made.get_minigrid_terminal(config)
    agent, intrinsic = build(env, config)
    began = time.process_time()
    sac_visitation(env=env, agent=agent, intrinsic=intrinsic, config=config | {"nb_iteration": iterations})
    return time.process_time() - began
seconds(10)
few = seconds(1)
print(1e3 * (seconds(1 + updates) - few) / updates)
"""


def main() -> None:
    """Times both and prints a line of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=count, default=8)
    parser.add_argument("--peer", type=folder)
    parser.add_argument("--peer_python", default=sys.executable)
    asked = parser.parse_args()
    prepare_cpu(1)
    make, settings = GRIDWORLDS[WORLD]
    model = make()
    ours: dict[str, list[float]] = {bonus: [] for bonus in PEER}
    theirs: dict[str, list[float]] = {bonus: [] for bonus in PEER}
    explorers = {
        bonus: Explorers(model, np.arange(len(model.states)), Settings(bonus, **settings), SEEDS) for bonus in PEER
    }
    for agents in explorers.values():
        for _ in range(agents.settings.warm_up):
            agents.step()
    for _ in range(asked.rounds):
        for bonus, agents in explorers.items():
            began = time.process_time()
            for _ in range(UPDATES):
                agents.step()
                agents.update()
            ours[bonus].append(1e3 * (time.process_time() - began) / UPDATES)
            if asked.peer is not None:
                command = [asked.peer_python, "-c", THEIRS, PEER[bonus], str(UPDATES)]
                theirs[bonus].append(float(result_of("--peer", command, cwd=asked.peer).split()[-1]))
    for bonus in PEER:
        line = f"{bonus:9s} {SEEDS} seeds, a step and an update: {median(ours[bonus]):.2f} ms"
        if one := theirs[bonus]:
            ratios = [SEEDS * peer / own for peer, own in zip(one, ours[bonus], strict=True)]
            line += f"; theirs, one seed: {median(one):.1f} ms; {SEEDS} of theirs : ours {median(ratios):.0f}"
        print(line)


if __name__ == "__main__":
    main()
