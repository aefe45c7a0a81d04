"""What every experience is: where a run's batches come from, and its clock."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from ml_collections import ConfigDict
from torch import Tensor

from buffers import augment
from buffers.batch import Episode, EpisodeBatch
from buffers.episode_buffer import EpisodeBuffer
from buffers.recorded import STATE_FIELD
from envs.base import EnvSpec
from policies.acting.embedded_envs import STATE, MakeEnvs
from policies.agents.base import Agent
from policies.models.sources import normalised_views
from policies.models.views import PrivilegedViews
from policies.training.settings import Settings
from utils.checkpoint import whole
from utils.errors import UserError, choose_name
from utils.reads import Reads

Batches = Iterator[tuple[EpisodeBatch, EpisodeBatch | None]]


@dataclass(frozen=True)
class Origin:
    """What an experience is made of: the run's config and flags, and its domain."""

    config: ConfigDict
    settings: Settings
    make_envs: MakeEnvs
    spec: EnvSpec

    @property
    def method(self) -> str:
        """For messages."""
        return f"{self.config.rl.family}:{self.config.rl.variant}"

    def augmentation(self) -> tuple[float, str]:
        """The share of what is sampled that is turned, none of embeddings, and the kind of these copies."""
        env, observe = self.config.env, self.config.rl.get("observe", ())
        observe = () if tuple(observe) == STATE else observe
        if observe and env.augment and env.n_aug:  # what they are made of is not stored
            warnings.warn(f"no turned copies for {self.method}: it sees embeddings", stacklevel=2)
        share = 0.0 if observe else augment.turned_share(env.augment, env.n_aug, self.spec)
        return share, str(env.augment)


class Experience:
    """Batches, and the clock by which a run is reported, evaluated and ended.

    Attributes:
        reads: fields of `config.rl` that it needs.
        clock: which of the counters is the clock, and `unit` what it counts, in a word.
        ignores: flags of a run that say nothing to it.
        may_grow: fields of `config.json` that may be greater in a run that goes on, from the end of what was asked.
        env_steps, episodes: env steps that were taken, those of demonstrations among them, and episodes that ended.
        updates: batches that were learned from.
        has_states: whether its episodes tell states.
    """

    has_states = True
    reads: ClassVar[Reads] = {}
    clock: ClassVar[str] = "env_steps"
    unit: ClassVar[str] = "steps"
    ignores: ClassVar[tuple[str, ...]] = ()
    may_grow: ClassVar[tuple[str, ...]] = ("run.train_episodes",)
    rates: ClassVar[tuple[str, ...]] = ("env_steps", "updates")  # counters of which the rates are logged
    counters: ClassVar[tuple[str, ...]] = ("env_steps", "episodes", "updates")

    def __init__(self) -> None:
        self.env_steps = self.episodes = self.updates = 0

    @classmethod
    def build(cls, origin: Origin, agent: Agent) -> Self:
        """That of a run.

        Raises:
            UserError: the flags do not give what it needs, or give what it cannot use.
        """
        raise NotImplementedError

    def check(self, agent: Agent) -> None:
        """Refuses an agent that reads what its episodes do not have."""
        if not self.has_states and any(m.names for m in agent.modules() if isinstance(m, PrivilegedViews)):
            raise UserError(
                f"{STATE_FIELD}: --data_path has no states, which critics or losses read; say where they are"
            )

    @property
    def progress(self) -> int:
        """What the clock shows."""
        return int(getattr(self, self.clock))

    @property
    def total(self) -> int:
        """What the clock shows when training is done."""
        raise NotImplementedError

    @property
    def owed(self) -> int:
        """How many batches are to come before it goes on."""
        return 0

    def begin(self, agent: Agent, check_stop: Callable[[], None]) -> None:
        """What comes before training; `check_stop` is called now and then, and may raise."""

    def explored(self, check_stop: Callable[[], None], purpose: str) -> EpisodeBuffer:
        """Episodes of which nothing has been learned, for a purpose before training."""
        raise NotImplementedError

    def advance(self, agent: Agent) -> list[Episode]:
        """Goes on by as little as can be: the episodes that have ended by it; tells the agent the time."""
        agent.env_steps = self.progress
        return []

    def batches(self, agent: Agent) -> Batches:
        """What is to be learned from before it goes on, with a second batch for an agent that wants one."""
        raise NotImplementedError

    def learn(self, agent: Agent) -> Iterator[Mapping[str, Tensor]]:
        """Has the agent learn from these; the metrics of each update, once it is counted.

        Raises:
            DivergenceError: the loss is not finite.
        """
        for batch, aux_batch in self.batches(agent):
            metrics = agent.update(batch, aux_batch)
            self.updates += 1
            yield metrics

    def metrics(self) -> dict[str, float]:
        """How much there is of it by now."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """All that changes; what is `counters` is joined with the trainer's."""
        return {"counters": {name: getattr(self, name) for name in self.counters}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where `state_dict` was taken."""
        for name in self.counters:
            setattr(self, name, whole(state["counters"][name], name))

    def most(self) -> dict[str, int]:
        """What counters cannot be above, by each other, by what is stored and by how long it goes on."""
        return {"episodes": self.env_steps}

    def check_counters(self) -> None:
        """Refuses counters of a checkpoint that cannot be true.

        Raises:
            ValueError: names one.
        """
        for name, most in self.most().items():
            whole(getattr(self, name), name, most=most)

    def close(self) -> None:
        """Frees what it holds."""


def past_discount(config_rl: ConfigDict) -> float | None:
    """γ of the returns by which rewards are normalised, of which windows are told what went before; None for none."""
    return float(config_rl.discount) if "reward" in normalised_views(config_rl) else None


def before_windows(origin: Origin, agent: Agent) -> tuple[int, int]:
    """What windows begin with: how many rows memories read before, and the numbers of a stored carry, 0 for none.

    Raises:
        UserError: there are no windows, or no carry for what is learned of them.
    """
    rl, flag = origin.config.rl, "--config_rl.carry=stored"
    burn_in = rl.get("burn_in", 0)
    stored = choose_name(("zero", "stored"), rl.get("carry", "zero"), "--config_rl.carry") == "stored"
    if (burn_in or stored) and origin.settings.window >= origin.spec.max_episode_steps:
        field = flag if stored else f"--config_rl.burn_in={burn_in}"
        raise UserError(
            f"{field}: for windows of episodes; give --sampled_seq_len below {origin.spec.max_episode_steps}"
        )
    horizon, bonuses = origin.spec.max_episode_steps, rl.get("intrinsic", {}).get("use", ())
    if "marginal_visitation" in bonuses and origin.settings.window < horizon:
        raise UserError(
            "--config_rl.intrinsic.use: marginal_visitation counts the steps of whole episodes; leave it out, or give "
            f"--sampled_seq_len={horizon}"
        )
    if stored and rl.get("critic_inputs") and rl.critic_memory == "separate":
        raise UserError(f"{flag}: the critics' own memory does not act; give --config_rl.critic_memory=shared, or zero")
    if stored and rl.get("teacher"):
        raise UserError(f"{flag}: beside a teacher no carries are kept; leave config_rl.teacher out, or choose zero")
    if stored and origin.augmentation()[0]:
        raise UserError(f"{flag}: turned copies were never played; give --config_env.n_aug=0, or zero")
    return burn_in, agent.policy.public.carry_dim if stored else 0
