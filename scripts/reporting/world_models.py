"""What world models hold that must tell the observation, the state or both, as rows of a page: no actor, one data set a
seed, equal updates.

Dimension key: T steps, B batch, K steps ahead, D dreams, N bins.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

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
AHEAD = (1, 3, 6, 15)  # steps
SEEDS, DREAMS = 5, 4
ROWS = {"obs": "`observed`", "info": "`informed`", "both": "`both`"}
COLUMNS = ("domain", "row", "updates", "fact", "place, R²", *(f"reward, {k} ahead" for k in AHEAD), "KL")
NOTES = [
    "World model alone (`configs/rl/dreamer.py`, XS, 16 episodes an update), the mean over five seeds, of data and of",
    "weights, with the least and the greatest. Heaven-Hell-1: 150 episodes of up to 20 steps of random actions and",
    "150 of the expert, who guesses in half of them; Varying Mountain Hike: 1,000 of each, of up to 64 steps. 50 of",
    "each are held out, and probes are fitted on 50 of each.",
    "",
    "*Fact*: how often a linear probe of the latent is right about where heaven lies, on rows where the exact belief",
    "is sure, or about how actions are turned, on all rows. *Place*: the share of the variance of x and y that a ridge",
    "regression tells. *Reward*: nats of the reward so many steps ahead, by four dreams of the actions that were",
    "taken. *KL*: of posterior and prior, in nats.",
    "",
    "Claim (Lambrechts, Bolland & Ernst, RLC 2024): to tell the information makes a better statistic of the history",
    "in as many updates. By means it mostly does, by little; ranges of five seeds overlap throughout. Heaven-Hell-1,",
    "after 200 updates: the side is read better from a latent that was made to tell the state; rewards are not",
    "foreseen better, and six steps ahead worse where the state alone is told. After 50 `both` reads the side worst.",
    "Varying Mountain Hike: after 100 updates the place is read better and nothing else, after 200 turns are (0.41",
    "against 0.37, where 0.25 is chance) and rewards are foreseen a little better at every distance. 15 steps ahead",
    "all three then foresee worse than after 100; our reading, untested, is that dreams have grown surer and go",
    "astray. 200 updates are few: of a model that is trained out, and of a policy, this page says nothing.",
]


class Facts(NamedTuple):
    """Episodes, a fact of their states and the rows it is looked for on (T+1, B), and places (T+1, B, 2), if any."""

    batch: EpisodeBatch
    fact_TB: NDArray[np.int64]
    looked_TB: NDArray[np.bool_]
    place_TB2: NDArray[Any] | None = None


class Domain(NamedTuple):
    """What is modelled.

    Attributes:
        config, variant: of the env.
        horizon: steps after which an episode is cut off.
        episodes, held_out: of each of two policies.
        after: updates, at which the model is looked at.
        ahead: steps, of the rewards that are then asked for.
        facts: what is looked for.
    """

    config: str
    variant: str
    horizon: int
    episodes: int
    held_out: int
    after: tuple[int, ...]
    ahead: tuple[int, ...]
    facts: Callable[[EpisodeBatch], Facts]

    def envs(self, seed: int) -> AsymmetricVectorEnv:
        config: ConfigDict = import_module(f"configs.envs.{self.config}").get_config(self.variant)
        with config.unlocked():
            config.horizon = self.horizon
        return make_vector_env(config, 20, seed=seed)


def rows() -> list[list[str]]:
    """All rows, in the order of `COLUMNS`; an hour."""
    prepare_cpu(1)
    return [row for name, domain in DOMAINS.items() for row in _of_domain(name, domain)]


def _of_domain(name: str, domain: Domain) -> list[list[str]]:
    """The rows of one domain."""
    found: dict[tuple[int, str], list[dict[str, float]]] = {}
    for seed in range(SEEDS):
        envs = domain.envs(seed)
        played, held_out = (
            _episodes(envs, domain, num, at) for num, at in ((domain.episodes, seed), (domain.held_out, 1000 + seed))
        )
        facts = [domain.facts(_whole(played, domain.held_out)), domain.facts(_whole(held_out))]
        for decode in ROWS:
            for updates, measured in _curve(envs, domain, played, facts, decode, seed).items():
                found.setdefault((updates, decode), []).append(measured)
            print(f"{name}: seed {seed}, {decode}", flush=True)
    return [
        [
            name,
            ROWS[decode],
            str(updates),
            *(_spread([one.get(column) for one in found[updates, decode]]) for column in COLUMNS[3:]),
        ]
        for updates in domain.after
        for decode in ROWS
    ]


def _episodes(envs: AsymmetricVectorEnv, domain: Domain, num: int, seed: int) -> EpisodeBuffer:
    """`num` episodes of random actions and as many of the expert, who guesses in half of them, in turns."""
    rng, spec = np.random.default_rng(seed), envs.spec_sizes
    buffer = EpisodeBuffer(spec, 2 * num * (domain.horizon + 1), domain.horizon, seed)
    policies = (RandomPolicy(spec.action_dim, True, rng), ExpertPolicy(envs, 0.5, rng))
    played = [run_episodes(envs, policy, num, seed) for policy in policies]
    for pair in zip(*played, strict=True):
        for episode in pair:
            buffer.add(episode)
    return buffer


def _whole(buffer: EpisodeBuffer, pairs: int | None = None) -> EpisodeBatch:
    """All of the episodes, or as many of each policy."""
    return buffer.episodes(np.arange(len(buffer) if pairs is None else 2 * min(pairs, len(buffer) // 2)))


def _curve(
    envs: AsymmetricVectorEnv, domain: Domain, played: EpisodeBuffer, facts: Sequence[Facts], decode: str, seed: int
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
    for update in range(1, max(domain.after) + 1):
        batch = played.sample(config.batch_size)
        public.train()
        optimiser.zero_grad()
        extensions.total(public(batch), batch, {}).backward()
        torch.nn.utils.clip_grad_norm_(learned, config.max_grad_norm)
        optimiser.step()
        public.eval()
        if update in domain.after:
            told[update] = _measured(public, model, facts, domain.ahead)
    return told


@torch.no_grad()
def _measured(public: PublicViews, model: WorldModel, facts: Sequence[Facts], ahead: Sequence[int]) -> dict[str, float]:
    """The columns of a row, but the first three; `facts` are of what was learned from and of what is held out."""
    features = [public(one.batch)["latent"].numpy()[one.looked_TB] for one in facts]
    labels = [one.fact_TB[one.looked_TB] for one in facts]
    ones = [np.ones(len(label)) for label in labels]
    found = {"fact": linear_probe(features[0], labels[0], ones[0], features[1], labels[1], ones[1])}
    places = [one.place_TB2[one.looked_TB] for one in facts if one.place_TB2 is not None]
    if places:
        found["place, R²"] = _r2(features[0], places[0], features[1], places[1])
    batch = facts[1].batch
    public.train()  # samples, as in training
    views, fold = public(batch), public.folds["latent"]
    assert isinstance(fold, Latent)
    posterior, prior = views["latent_posterior"], views["latent_prior"]
    kl_TB = (posterior.exp() * (posterior - prior)).sum((-2, -1))
    found["KL"] = float(kl_TB[batch.row_mask > 0].mean())
    found |= {f"reward, {k} ahead": _reward_nats(views["latent"], fold, model, batch, k) for k in ahead}
    public.eval()
    return found


def _r2(train_RF: NDArray[Any], train_RX: NDArray[Any], test_RF: NDArray[Any], test_RX: NDArray[Any]) -> float:
    """What a ridge regression on standardised features explains of the variance of numbers, the mean over them."""
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return float(make_pipeline(StandardScaler(), Ridge()).fit(train_RF, train_RX).score(test_RF, test_RX))


def _sides(batch: EpisodeBatch) -> Facts:
    """Where heaven lies, looked for on real rows on which the exact belief is sure of it."""
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
    return Facts(batch, right_S[state_TB].astype(np.int64), sure_TB)


def _turns(batch: EpisodeBatch) -> Facts:
    """How actions are turned, and the place, on all real rows."""
    state_TBS = batch.state.full().numpy()
    return Facts(batch, state_TBS[..., 2:].argmax(-1), batch.row_mask.numpy() > 0, state_TBS[..., :2])


DOMAINS = {
    "Heaven-Hell-1": Domain("heaven_hell_n", "1", 20, 150, 50, (50, 200), (1, 3, 6), _sides),
    "Varying Mountain Hike": Domain("mountain_hike", "varying", 64, 1000, 50, (100, 200), AHEAD, _turns),
}


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


def _spread(values: list[float | None]) -> str:
    """The mean, and in brackets the least and the greatest; a dash for what was not measured."""
    told = [value for value in values if value is not None]
    return f"{np.mean(told):.3f} ({min(told):.3f} to {max(told):.3f})" if told else "–"
