"""What world models hold that must tell the observation, the state or both, as rows of a page: no actor, one data set a
seed, equal updates.

Dimension key: T steps, B batch, K steps ahead, D dreams, N bins.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import NamedTuple

import numpy as np
import torch
from ml_collections import ConfigDict
from numpy.typing import NDArray
from torch import Tensor

from buffers.batch import EpisodeBatch
from buffers.episode_buffer import EpisodeBuffer
from envs.base import AsymmetricVectorEnv
from envs.finite import Filter
from envs.heaven_hell_n import heaven_hell_model
from envs.make import make_vector_env
from policies.acting.rollout import ExpertPolicy, RandomPolicy, run_episodes
from policies.agents.assembly import make_extensions
from policies.auxiliary.world_model import WorldModel
from policies.models.latent import Latent
from policies.models.sources import Sources
from policies.models.trunk import Trunk
from policies.models.views import PublicViews
from policies.probing.fit import linear_probe
from torchkit.actions import Categorical
from torchkit.fast.adam import Adam
from utils.device import prepare_cpu

TITLE = "World models: what the latent must tell, and what it then holds"
AHEAD = (1, 3, 6)  # steps
AFTER = (50, 200)  # updates
SEEDS, HORIZON, EPISODES, HELD_OUT, DREAMS = 5, 20, 150, 50, 4
ROWS = {"obs": "`observed`", "info": "`informed`", "both": "`both`"}
NOTES = [
    "Heaven-Hell-1, world model alone (`configs/rl/dreamer.py`, XS, 16 episodes an update): 150 episodes of random",
    "actions and 150 of the expert, who guesses in half of them, and 50 of each held out. The mean over five seeds, of",
    "data and of weights, with the least and the greatest.",
    "",
    "*Side*: how often a linear probe of the latent is right about where heaven lies, on held-out rows where the exact",
    "belief is sure. *Reward*: nats of the reward so many steps ahead, by four dreams of the actions that were taken.",
    "*KL*: of posterior and prior, in nats.",
    "",
    "Claim (Lambrechts, Bolland & Ernst, RLC 2024): to tell the information makes a better statistic of the history in",
    "as many updates. In part: after 200 updates the side is read better from a latent that was made to tell the",
    "state, alone or with the observation; rewards are not foreseen better, and six steps ahead worse where the state",
    "alone is told. After 50 nothing can be said. Of the return of a policy this page says nothing.",
]
COLUMNS = ("row", "updates", "side", *(f"reward, {k} ahead" for k in AHEAD), "KL")


def rows() -> list[list[str]]:
    """All rows, in the order of `COLUMNS`; minutes."""
    prepare_cpu(1)
    found: dict[tuple[int, str], list[dict[str, float]]] = {}
    for seed in range(SEEDS):
        envs = make_vector_env(_domain(), 20, seed=seed)
        played, held_out = (_episodes(envs, num, at) for num, at in ((EPISODES, seed), (HELD_OUT, 1000 + seed)))
        sides = [Side(batch, *_sides(batch)) for batch in (_whole(played), _whole(held_out))]
        for decode in ROWS:
            for updates, measured in _curve(envs, played, sides, decode, seed).items():
                found.setdefault((updates, decode), []).append(measured)
            print(f"seed {seed}, {decode}", flush=True)
    return [
        [ROWS[decode], str(updates), *(_spread([one[name] for one in found[updates, decode]]) for name in COLUMNS[2:])]
        for updates in AFTER
        for decode in ROWS
    ]


def _domain() -> ConfigDict:
    config: ConfigDict = import_module("configs.envs.heaven_hell_n").get_config("1")
    with config.unlocked():
        config.horizon = HORIZON
    return config


def _episodes(envs: AsymmetricVectorEnv, num: int, seed: int) -> EpisodeBuffer:
    """`num` episodes of random actions and as many of the expert, who guesses in half of them."""
    rng, spec = np.random.default_rng(seed), envs.spec_sizes
    buffer = EpisodeBuffer(spec, 2 * num * (HORIZON + 1), HORIZON, seed)
    for policy in (RandomPolicy(spec.action_dim, True, rng), ExpertPolicy(envs, 0.5, rng)):
        for episode in run_episodes(envs, policy, num, seed):
            buffer.add(episode)
    return buffer


class Side(NamedTuple):
    """Episodes, where heaven lies in them, and the rows on which the exact belief is sure of it, both (T+1, B)."""

    batch: EpisodeBatch
    side_TB: NDArray[np.int64]
    sure_TB: NDArray[np.bool_]


def _whole(buffer: EpisodeBuffer) -> EpisodeBatch:
    return buffer.episodes(np.arange(len(buffer)))


def _curve(
    envs: AsymmetricVectorEnv, played: EpisodeBuffer, sides: Sequence[Side], decode: str, seed: int
) -> Mapping[int, dict[str, float]]:
    """What is measured, by the number of updates."""
    torch.manual_seed(seed)
    config = import_module("configs.rl.dreamer").get_config("informed")
    with config.unlocked():
        config.auxiliary.world_model.decode = decode
    groups = ConfigDict({"rl": config, "seq": import_module("configs.seq.gru").get_config()})
    sources = Sources(envs.spec_sizes, groups)
    trunk = Trunk(sources, Categorical())
    trunk.width("latent")
    extensions, public = make_extensions(trunk, ("world_model",), ()), trunk.public()
    learned = [*public.parameters(), *extensions.learned()]
    optimiser, told = Adam(learned, config.model_lr), {}
    model = extensions.auxiliary["world_model"]
    assert isinstance(model, WorldModel)
    for update in range(1, max(AFTER) + 1):
        batch = played.sample(config.batch_size)
        public.train()
        optimiser.zero_grad()
        extensions.total(public(batch), batch, {}).backward()
        torch.nn.utils.clip_grad_norm_(learned, config.max_grad_norm)
        optimiser.step()
        public.eval()
        if update in AFTER:
            told[update] = _measured(public, model, sides)
    return told


@torch.no_grad()
def _measured(public: PublicViews, model: WorldModel, sides: Sequence[Side]) -> dict[str, float]:
    """The columns of a row, but the first two; `sides` are of what was learned from and of what is held out."""
    features = [public(one.batch)["latent"].numpy()[one.sure_TB] for one in sides]
    labels = [one.side_TB[one.sure_TB] for one in sides]
    ones = [np.ones(len(label)) for label in labels]
    found = {"side": linear_probe(features[0], labels[0], ones[0], features[1], labels[1], ones[1])}
    batch = sides[1].batch
    public.train()  # samples, as in training
    views, fold = public(batch), public.folds["latent"]
    assert isinstance(fold, Latent)
    posterior, prior = views["latent_posterior"], views["latent_prior"]
    kl_TB = (posterior.exp() * (posterior - prior)).sum((-2, -1))
    found["KL"] = float(kl_TB[batch.row_mask > 0].mean())
    found |= {f"reward, {k} ahead": _reward_nats(views["latent"], fold, model, batch, k) for k in AHEAD}
    public.eval()
    return found


def _sides(batch: EpisodeBatch) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Where heaven lies (T+1, B), and whether the exact belief is sure of it, on rows that are real."""
    pomdp = heaven_hell_model(1)
    belief = Filter(pomdp)
    right_S = np.array([name.startswith("right") for name in pomdp.states])
    obs_TB, action_TB = batch.obs.full().argmax(-1).numpy(), batch.action.numpy()
    state_TB, mask_TB = batch.state.full().argmax(-1).numpy(), batch.mask.numpy() > 0
    sure_TB = np.zeros(obs_TB.shape, bool)
    for b in range(obs_TB.shape[1]):
        length = int(mask_TB[:, b].sum())
        ended = bool(batch.discount[length - 1, b] == 0)
        right_R = belief.episode(obs_TB[: length + 1, b], action_TB[:length, b], ended)[:, right_S].sum(axis=1)
        sure_TB[: length + 1, b] = np.abs(right_R - 0.5) > 0.5 - 1e-9
    return right_S[state_TB].astype(np.int64), sure_TB


def _reward_nats(latent: Tensor, fold: Latent, model: WorldModel, batch: EpisodeBatch, ahead: int) -> float:
    """The mean of -log p(reward of the K-th step from a row), p by D dreams of the actions that were taken."""
    steps = len(batch.mask) - ahead + 1
    z = latent[:steps].expand(DREAMS, *latent[:steps].shape)
    for k in range(ahead):
        action = batch.prev_action[k + 1 : k + 1 + steps].expand(DREAMS, -1, -1, -1)
        flat = fold.model.imagine(z.flatten(0, 2), action.flatten(0, 2))
        z = flat.view(*z.shape[:-1], -1)
    share = model.two_hot.shares(model.reward_net(z)).mean(0)
    reward, real = batch.reward[ahead - 1 :], batch.mask[ahead - 1 :] > 0
    nats = model.two_hot.loss(share.clamp(min=1e-12).log(), share, reward[..., None])[..., 0]
    return float(nats[real].mean())


def _spread(values: list[float]) -> str:
    """The mean, and in brackets the least and the greatest."""
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"
