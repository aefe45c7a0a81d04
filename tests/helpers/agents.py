"""Small agents, batches and embedders for tests."""

import importlib
from pathlib import Path

import numpy as np
import torch
from ml_collections import ConfigDict

from buffers.batch import EpisodeBatch, Rows
from buffers.episode_buffer import EpisodeBuffer
from envs.base import EnvSpec
from policies.build import build_agent
from policies.models.believer import Believer, BelieverConfig, save_believer
from policies.models.encoders import build_memory
from policies.models.on_disk import save_encoder
from policies.models.sources import Sources
from tests.helpers.configs import config_named
from tests.helpers.episodes import random_episode
from torchkit.networks import Encoder, EncoderConfig

SPEC = EnvSpec("Test-v0", 3, 7, 4, True, 12)  # a state of a width that nothing else has
IMAGES = EnvSpec("Images-v0", 50, 32, 4, True, 12, (2, 5, 5), (2, 4, 4))
CPU = torch.device("cpu")
EMBEDDING = 6

CONTINUOUS = EnvSpec("Continuous-v0", 3, 7, 2, False, 12)

VARIANTS = tuple(importlib.import_module("configs.rl.dqn").VARIANTS)
SAC_VARIANTS = tuple(f"sac:{name}" for name in importlib.import_module("configs.rl.sac").VARIANTS)
DISTILL_VARIANTS = ("distill:clone", "distill:dagger")
A2C_VARIANTS = tuple(f"a2c:{name}" for name in importlib.import_module("configs.rl.a2c").VARIANTS)
OFFLINE_VARIANTS = tuple(f"offline:{name}" for name in importlib.import_module("configs.rl.offline").VARIANTS)
DREAMER_VARIANTS = tuple(f"dreamer:{name}" for name in importlib.import_module("configs.rl.dreamer").VARIANTS)
MEMORIES = ("markov", "gru", "lstm", "gpt", "hybrid", "nbrc")


def make_config(variant="history", memory="gru", seq=None, repr_name=None, **rl):
    """The configs of an agent, small; `rl` and `seq` are overrides by dotted name (`__` for the dot).

    `variant` is one of DQN's, or of another family as "family:variant".
    """
    family, _, variant = f"dqn:{variant}".rpartition(":")
    config_rl = config_named("rl", f"{family.removeprefix('dqn:')}:{variant}")
    config_seq = config_named("seq", memory)
    repr_name = repr_name or ("believer_vector" if variant == "believer" else "heaven_hell")
    config_repr = config_named("repr", repr_name)
    hidden = {f"auxiliary.{part}.hidden_dims": (16,) for part in ("state_prediction", "self_prediction")}
    small = {"head_dims": (16, 16), "batch_size": 4} | hidden
    small |= {"auxiliary.world_model.hidden_dims": (16,), "auxiliary.world_model.free_nats": 0.0}
    small |= {
        f"latent.{name}": size for name, size in zip(("deterministic", "groups", "classes", "hidden"), (10, 3, 4, 9))
    }
    small |= {"belief.samples": 5, "belief.sample_dims": (6, 6), "belief.out_dim": 6}
    with config_rl.unlocked(), config_seq.unlocked(), config_repr.unlocked():
        for group in (config_seq.vector, config_seq.image):
            group.obs_dim, group.action_dim = 8, 4
        config_seq.state_dim = 5
        if memory not in ("markov", "mlp", "gpt"):
            config_seq.kwargs.out_dim = 10
        config_repr.embedding_dim = EMBEDDING
        config_repr.encoder.hidden_dims = (9,)
        if "belief" in config_repr:
            sizes = {"embedding_dim": 8, "context_dims": (12, 10), "latent_dim": 4, "hidden_dims": (13, 12)}
            config_repr.belief.update(sizes)
        config_rl.update_from_flattened_dict(small | {k.replace("__", "."): v for k, v in rl.items()})
        config_seq.update_from_flattened_dict({k.replace("__", "."): v for k, v in (seq or {}).items()})
    return ConfigDict({"rl": config_rl, "seq": config_seq, "repr": config_repr})


def write_embedders(folder: Path, spec: EnvSpec = SPEC, seed: int = 5) -> str:
    """φ, ψ and a belief of random weights in a folder."""
    torch.manual_seed(seed)
    for name, in_dim in (("s_encoder", spec.state_dim), ("o_encoder", spec.obs_dim)):
        save_encoder(folder, name, Encoder(EncoderConfig(in_dim, EMBEDDING, (9,))), {"env_id": spec.env_id})
    save_believer(folder, make_believer(obs_dim=spec.obs_dim), {"env_id": spec.env_id})
    return str(folder)


def make_believer(memory="gru", obs_dim=SPEC.obs_dim, x_dim=EMBEDDING):
    """A belief model of random weights."""
    kwargs = {"out_dim": 9, "layers": 2} if memory == "gru" else {"heads": 2}
    config = BelieverConfig(
        EncoderConfig(obs_dim, 8), {"memory": memory, "kwargs": kwargs}, (11, 10), x_dim, 4, (13, 12), 0.1
    )
    return Believer(config, lambda settings, width: build_memory(settings, width, SPEC.max_episode_steps + 1))


def make_agent(variant="history", memory="gru", spec=SPEC, seed=0, embedders=None, **overrides):
    """An agent; without a folder of embedders φ is random and ψ starts from scratch."""
    if embedders is None:
        overrides = {"z_obs": "scratch", "z_state": "random", "believer": "scratch"} | overrides
    sources = Sources(spec, make_config(variant, memory, **overrides), embedders, embedders)
    agent = build_agent(sources, seed, CPU)
    if agent.unmeasured:
        agent.measure(make_batch(spec=spec))
    return agent


def make_batch(
    lengths=(3, 12, 1, 7), spec=SPEC, seed=0, terminated=(True, False, True, True), advised=False
) -> EpisodeBatch:
    """A padded batch of random episodes, one of each length, that were not searched for doubles.

    The advice, if there is any, is the action of the next step.
    """
    rng = np.random.default_rng(seed)
    buffer = EpisodeBuffer(spec, 1000, spec.max_episode_steps, seed, advised=advised)
    for length, ends in zip(lengths, terminated, strict=False):
        episode = random_episode(spec, length, rng, ends)
        episode.advice = np.roll(episode.action, -1, axis=0)
        buffer.add(episode)
    slots = buffer._slots(np.arange(len(lengths)))
    batch = buffer._gather(buffer._first[slots], buffer._length[slots])
    batch.expert[1] = 1.0
    batch.obs, batch.state = (Rows.all_different(rows.full()) for rows in (batch.obs, batch.state))
    return batch


def weights(module):
    """A copy of all weights by name."""
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def changed(before, module):
    """The names of the weights that are no longer what they were."""
    return {name for name, value in module.state_dict().items() if not torch.equal(value, before[name])}


def numbered(*_):
    """A view of three rows: their numbers, by which tables are read."""
    return {"number": torch.arange(3)[:, None, None]}
