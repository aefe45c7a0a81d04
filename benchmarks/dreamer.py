"""An update of Dreamer, and of a maintained torch DreamerV3 of PyPI at the same sizes; to be named, for its peer.

pip install torch==2.13.0, then sheeprl==0.8.4, beside what this repository asks for
"""

from collections.abc import Callable
from importlib import import_module, resources
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from ml_collections import ConfigDict

from benchmarks.measure import Section, middle, turns
from buffers.batch import EpisodeBatch
from envs.base import EnvSpec
from policies.build import build_agent
from policies.models.sources import Sources
from utils.device import prepare_cpu

TEXT = """
Milliseconds of the processor of one update on one thread, the median and, in brackets, the least, in turns in one
process: 16 sequences of 64 steps of 8 numbers and 4 actions, 15 imagined steps from each of the 1,024 rows (and the
last of each sequence); `dreamer:observed`, GRU of 64, 8×8 codes, one hidden layer of 64, 255 bins. sheeprl's
`dreamer_v3_XS` with the same sizes has LayerNorm and SiLU where ours has ReLU; both have a slow critic. Ratio: this :
ours of medians. Of the unrolling, ours steps through codes, gates and the posterior alone; observations, actions and
the prior are products of all steps.
"""
COLUMNS = ["update", "parameters", "ms", "ratio"]
T, B, OBS, A = 64, 16, 8, 4


def batch() -> EpisodeBatch:
    """B sequences of T random steps."""
    rng = torch.Generator().manual_seed(0)
    obs, action = torch.randn(T + 1, B, OBS, generator=rng), torch.randint(A, (T, B), generator=rng)
    reward, ones = torch.randn(T, B, generator=rng), torch.ones(T, B)
    return EpisodeBatch.from_transitions(obs, obs, action, reward, ones, ones, A)


def ours(**rl: Any) -> tuple[Callable[[], Any], int]:
    """An update, and how many parameters learn by it."""
    config = ConfigDict(
        {
            "rl": import_module("configs.rl.dreamer").get_config("observed"),
            "seq": import_module("configs.seq.gru").get_config(),
        }
    )
    with config.unlocked():
        config.rl.update(rl)
    agent = build_agent(Sources(EnvSpec("Random-v0", OBS, OBS, A, True, T), config), 0, torch.device("cpu"))
    data = batch()
    return lambda: agent.update(data), sum(p.numel() for p in agent.parameters() if p.requires_grad)


def sheeprl() -> tuple[Callable[[], Any], int]:
    """The same by sheeprl's own `train`."""
    hydra, fabrics = import_module("hydra"), import_module("lightning.fabric")
    spaces = import_module("gymnasium").spaces
    agents, learning = (import_module(f"sheeprl.algos.dreamer_v3.{name}") for name in ("agent", "dreamer_v3"))
    sizes = {"dense_units": 64, "mlp_layers": 1, "horizon": 15, "per_rank_batch_size": B, "per_rank_sequence_length": T}
    sizes |= {f"world_model.{name}": 8 for name in ("discrete_size", "stochastic_size")}
    sizes |= {"world_model.recurrent_model.recurrent_state_size": 64}
    sizes |= {f"world_model.{name}.hidden_size": 64 for name in ("transition_model", "representation_model")}
    keys = {
        "cnn_keys.encoder": "[]",
        "cnn_keys.decoder": "[]",
        "mlp_keys.encoder": "[obs]",
        "mlp_keys.decoder": "[obs]",
    }
    fields = [f"algo.{name}={value}" for name, value in (sizes | keys).items()]
    fixed = ["exp=dreamer_v3", "env=gym", "env.id=CartPole-v1", "algo=dreamer_v3_XS", "metric.log_level=0"]
    with hydra.initialize_config_dir(str(resources.files("sheeprl") / "configs"), version_base="1.3"):
        composed = hydra.compose("config", overrides=[*fixed, *fields])
    plain = import_module("omegaconf").OmegaConf.to_container(composed, resolve=True)
    config = import_module("sheeprl.utils.utils").dotdict(plain)
    fabric = fabrics.Fabric(accelerator="cpu", devices=1)
    space = spaces.Dict(obs=spaces.Box(-np.inf, np.inf, (OBS,), np.float32))
    model, actor, critic, target, _ = agents.build_agent(fabric, [A], False, config, space)
    of = ((config.algo.world_model, model), (config.algo.actor, actor), (config.algo.critic, critic))
    made = [hydra.utils.instantiate(one.optimizer, params=net.parameters(), _convert_="all") for one, net in of]
    optimisers = fabric.setup_optimizers(*made)
    moments = import_module("sheeprl.algos.dreamer_v3.utils").Moments(0.99, 1.0, 0.05, 0.95)
    data, none = batch(), torch.zeros(T, B, 1)
    rows = {"obs": data.obs.full()[:-1], "rewards": data.reward[..., None]}
    rows["actions"] = torch.nn.functional.one_hot(data.action, A).float()
    rows |= dict.fromkeys(("terminated", "truncated", "is_first"), none)

    def update() -> None:
        given = {name: value.clone() for name, value in rows.items()}
        nets = (model, actor, critic, target)
        learning.train(fabric, *nets, *optimisers, given, None, config, False, [A], moments)

    return update, sum(p.numel() for _, net in of for p in net.parameters())


def measure(folder: Path, rounds: int = 7) -> Section:
    """The table; nothing is drawn into `folder`."""
    prepare_cpu(1)
    made = {"`dreamer:observed`, XS": ours()}
    try:
        made[f"sheeprl {version('sheeprl')}"] = sheeprl()
    except PackageNotFoundError:
        pass  # it is not installed: ours alone
    times = turns({name: lambda call=call: call for name, (call, _) in made.items()}, rounds)  # type: ignore[misc]
    own = median(times["`dreamer:observed`, XS"])
    rows = [[name, f"{made[name][1]:,}", middle(taken), f"{median(taken) / own:.1f}"] for name, taken in times.items()]
    return Section("Dreamer", TEXT, COLUMNS, rows)
