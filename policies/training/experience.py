"""Where a run's batches come from, and its clock: envs and a replay, fresh episodes, or episodes that are stored.

A family names its own in `Agent.learns_from`, or its config does, by a name of `EXPERIENCES`. What is played is played
here, and nowhere else in training.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from ml_collections import ConfigDict
from torch import Tensor

from buffers import augment
from buffers.batch import Episode, EpisodeBatch
from buffers.episode_buffer import EpisodeBuffer
from buffers.recorded import STATE_FIELD, read_episodes
from envs.base import AsymmetricVectorEnv, EnvSpec
from policies.acting.embedded_envs import STATE, MakeEnvs, WatchedEnvs
from policies.acting.rollout import (
    EpisodeStream,
    ExpertPolicy,
    Guided,
    Policy,
    RandomPolicy,
    check_expert,
    iterate_episodes,
)
from policies.agents.base import Agent
from policies.agents.learner import linear
from policies.deployed.teachers import Teacher, teacher_of
from policies.models.views import PrivilegedViews
from policies.training.settings import Settings
from utils.checkpoint import whole
from utils.errors import UserError, choose, choose_name
from utils.reads import ANY, FROM_ZERO, POSITIVE, SHARE, Reads
from utils.seeding import generator, seed_for

Batches = Iterator[tuple[EpisodeBatch, EpisodeBatch | None]]
MEASURED = 100  # episodes
ROUNDS = 20  # of demonstrations, in which the expert must have succeeded often enough


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

    def augmentation(self) -> tuple[float, bool]:
        """The share of what is sampled that is turned, and whether half of that is mirrored; none of embeddings."""
        env, observe = self.config.env, self.config.rl.get("observe", ())
        observe = () if tuple(observe) == STATE else observe
        if observe and env.augment and env.n_aug:  # what they are made of is not stored
            warnings.warn(f"no turned copies for {self.method}: it sees embeddings", stacklevel=2)
        share = 0.0 if observe else augment.turned_share(env.augment, env.n_aug, self.spec)
        return share, augment.mirrors(env.augment)


class Experience:
    """Batches, and the clock by which a run is reported, evaluated and ended.

    Attributes:
        reads: fields of `config.rl` that it needs.
        clock: which of the counters is the clock, and `unit` what it counts, in a word.
        ignores: flags of a run that say nothing to it.
        env_steps, episodes: env steps that were taken, those of demonstrations among them, and episodes that ended.
        updates: batches that were learned from.
        has_states: whether its episodes tell states.
    """

    has_states = True
    reads: ClassVar[Reads] = {}
    clock: ClassVar[str] = "env_steps"
    unit: ClassVar[str] = "steps"
    ignores: ClassVar[tuple[str, ...]] = ()
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


@dataclass(frozen=True)
class Plan:
    """How much is played, and how much of it is learned from; steps are env steps, a demonstration's among them.

    Training goes on for `train_episodes` times the horizon steps after `start_expert` successful expert episodes
    (kept for good) and `start_random` random ones.
    """

    train_episodes: int
    start_random: int
    start_expert: int
    updates_per_step: float
    batch_size: int
    aux_batch_size: int
    time_limit_is_terminal: bool = False


class PlayedEnvs(Experience):
    """Episodes that are played while training goes on, and kept in a replay."""

    reads: ClassVar[Reads] = {
        **dict.fromkeys(("batch_size", "replay_steps"), POSITIVE),
        "updates_per_step": FROM_ZERO,
        "time_limit_is_terminal": ANY,
    }
    counters = ("env_steps", "start_steps", "episodes", "updates")
    advised: ClassVar[bool] = False  # whether its episodes have a teacher's advice

    def __init__(self, envs: AsymmetricVectorEnv, buffer: EpisodeBuffer, plan: Plan, seed: int):
        super().__init__()
        self.envs, self.buffer, self.plan, self.seed = envs, buffer, plan, seed
        self.spec, self.start_steps = envs.spec_sizes, 0
        self.stream = self._fresh_stream()

    def _fresh_stream(self) -> EpisodeStream:
        """Envs that begin anew, as training begins."""
        return EpisodeStream(self.envs, seed_for(self.seed, "train"), carry_dim=self.buffer.carry_dim)

    @classmethod
    def build(cls, origin: Origin, agent: Agent) -> Self:
        settings = origin.settings
        buffer, plan = cls.planned(origin, agent)
        return cls(origin.make_envs(settings.num_envs, seed=settings.seed), buffer, plan, settings.seed)

    @classmethod
    def planned(cls, origin: Origin, agent: Agent) -> tuple[EpisodeBuffer, "Plan"]:
        """An empty replay, and how much is to be played."""
        settings, rl = origin.settings, origin.config.rl
        if settings.data_path is not None:
            warnings.warn(f"--data_path is not used by {origin.method}", RuntimeWarning, stacklevel=2)
        if settings.start_expert:
            cls.check_demonstrations(origin)
        buffer = EpisodeBuffer(
            origin.spec,
            rl.replay_steps,
            settings.window,
            seed_for(settings.seed, "replay"),
            *origin.augmentation(),
            *before_windows(origin, agent),
            advised=cls.advised,
        )
        buffer.check_fits(settings.train_episodes * (origin.spec.max_episode_steps + 1))
        plan = Plan(
            settings.train_episodes,
            settings.start_random,
            settings.start_expert,
            rl.updates_per_step,
            rl.batch_size,
            rl.get("aux_batch_size", rl.batch_size),
            rl.time_limit_is_terminal,
        )
        return buffer, plan

    @classmethod
    def check_demonstrations(cls, origin: Origin) -> None:
        """Refuses demonstrations that cannot be played, or not learned from.

        Raises:
            UserError: names the flag.
        """
        with closing(origin.make_envs(1, seed=0)) as one:
            check_expert(one, "--start_expert_training", "leave the flag out")

    def begin(self, agent: Agent, check_stop: Callable[[], None]) -> None:
        """Random episodes, apart from those that are learned from, tell how an embedding varies whose file does not."""
        if agent.unmeasured:
            agent.measure(self.explored(check_stop, "measure").newest(MEASURED, agent.device))

    def explored(self, check_stop: Callable[[], None], purpose: str) -> EpisodeBuffer:
        """Random ones, apart from those that are learned from."""
        horizon = self.spec.max_episode_steps
        played = EpisodeBuffer(self.spec, MEASURED * (horizon + 1), horizon, 0)
        random = RandomPolicy(self.spec.action_dim, self.spec.discrete, generator(self.seed, purpose))
        for _, episode in iterate_episodes(self.envs, random, MEASURED, seed_for(self.seed, purpose)):
            played.add(episode)
            check_stop()
        self.stream = self._fresh_stream()  # whose envs have been used
        return played

    @property
    def total(self) -> int:
        return self.start_steps + self.plan.train_episodes * self.spec.max_episode_steps

    def most(self) -> dict[str, int]:
        """A replay holds no more than was played; the last of `advance` may go beyond the total."""
        plan, horizon = self.plan, self.spec.max_episode_steps
        begun = (plan.start_random + ROUNDS * plan.start_expert) * horizon
        return {
            "start_steps": min(begun, self.env_steps),
            "env_steps": self.total + self._at_once,
            "episodes": self.env_steps - self.start_steps,
        }

    @property
    def _at_once(self) -> int:
        """The most env steps by which `advance` goes on."""
        raise NotImplementedError

    def check_counters(self) -> None:
        super().check_counters()
        whole(self.buffer.num_steps, "replay/steps", most=self.env_steps)

    def metrics(self) -> dict[str, float]:
        return {"episodes": self.episodes, "updates": self.updates, "replay/steps": self.buffer.num_steps}

    def keep(self, episode: Episode, protect: bool = False) -> None:
        """Puts an episode into the replay."""
        if self.plan.time_limit_is_terminal:
            episode.end_at_limit(self.spec.max_episode_steps)
        self.buffer.add(episode, protect)

    def behaviour(self, agent: Agent) -> Policy:
        """Who acts now."""
        return agent.exploring()

    def _step(self, agent: Agent) -> list[Episode]:
        """One step of all envs; the episodes that end by it are kept."""
        packed = agent.packed if self.buffer.carry_dim else None
        ended = [episode for _, episode in self.stream.step(self.behaviour(agent), packed)]
        for episode in ended:
            self.keep(episode)
        self.episodes += len(ended)
        self.env_steps += self.envs.num_envs
        return ended

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"stream": self.stream.state_dict(), "buffer": self.buffer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.stream.load_state_dict(state["stream"])
        self.buffer.load_state_dict(state["buffer"])

    def close(self) -> None:
        self.envs.close()


class ReplayedEnvs(PlayedEnvs):
    """Envs that go on step by step, learned from by batches of a replay: as many as the steps so far have earned."""

    reads: ClassVar[Reads] = {"burn_in": FROM_ZERO, "carry": ANY}

    def begin(self, agent: Agent, check_stop: Callable[[], None]) -> None:
        """Demonstrations of the expert, the successful ones, and random episodes."""
        super().begin(agent, check_stop)
        self._demonstrate(check_stop)
        random = RandomPolicy(self.spec.action_dim, self.spec.discrete, generator(self.seed, "random"))
        if self.plan.start_random:
            seed = seed_for(self.seed, "random")
            for _, episode in iterate_episodes(self.envs, random, self.plan.start_random, seed):
                self.env_steps += len(episode)
                self.keep(episode)
                check_stop()
        self.start_steps = self.env_steps
        self.stream = self._fresh_stream()

    def _demonstrate(self, check_stop: Callable[[], None]) -> None:
        wanted, tries, told = self.plan.start_expert, 0, False
        expert = self.demonstrator()
        while wanted:
            for _, episode in iterate_episodes(self.envs, expert, wanted, seed_for(self.seed, "expert", tries)):
                self.env_steps += len(episode)
                told |= episode.success is not None
                if episode.success:
                    episode.expert = True
                    self.keep(episode, protect=True)
                    wanted -= 1
                check_stop()
            tries += 1
            if wanted and tries == ROUNDS:
                why = "" if told else f"; {self.spec.env_id} does not tell success, by which they are chosen"
                raise UserError(
                    f"--start_expert_training: after {tries} rounds the expert still lacks {wanted} successful "
                    f"episodes{why}"
                )

    def demonstrator(self) -> Policy:
        """Who plays what the replay begins with."""
        return ExpertPolicy(self.envs, 0.0, generator(self.seed, "expert"))

    def advance(self, agent: Agent) -> list[Episode]:
        """One step of all envs."""
        super().advance(agent)
        return self._step(agent)

    @property
    def _at_once(self) -> int:
        return self.envs.num_envs

    @property
    def _earned(self) -> int:
        """Updates by now, those that are owed among them."""
        return int(self.env_steps * self.plan.updates_per_step)

    def most(self) -> dict[str, int]:
        return super().most() | {"updates": self._earned}

    @property
    def owed(self) -> int:
        return max(0, self._earned - self.updates) if len(self.buffer) else 0

    def batches(self, agent: Agent) -> Batches:
        while self.owed:
            batch = self.buffer.sample(self.plan.batch_size, agent.device)
            wants_two = agent.wants_aux_batch
            yield batch, self.buffer.sample(self.plan.aux_batch_size, agent.device) if wants_two else None


class RelabelledEpisodes(ReplayedEnvs):
    """The same with a teacher beside the student, who says of every step what it would have done (`AdvisedBatch`).

    It acts itself in a share of the steps, `config_rl.beta`; its demonstrations take the place of the expert's. There
    are no random episodes. The student acts and learns as without a teacher, but for what reads the advice.
    """

    reads: ClassVar[Reads] = {
        "teacher": ANY,
        **dict.fromkeys(("beta.start", "beta.end"), SHARE),
        "beta.steps": FROM_ZERO,
    }
    ignores = ("start_training",)
    advised = True

    def __init__(
        self, envs: WatchedEnvs, buffer: EpisodeBuffer, plan: Plan, seed: int, teacher: Teacher, beta: ConfigDict
    ):
        super().__init__(envs, buffer, replace(plan, start_random=0), seed)
        self.teacher, self.beta, self.rng = teacher, beta, generator(seed, "teacher")

    @classmethod
    def build(cls, origin: Origin, agent: Agent) -> Self:
        settings, rl = origin.settings, origin.config.rl
        buffer, plan = cls.planned(origin, agent)
        envs = WatchedEnvs(origin.make_envs(settings.num_envs, seed=settings.seed))
        try:
            teacher = teacher_of(rl.teacher, settings.expert_policy, envs, origin.config.env)
        except BaseException:
            envs.close()
            raise
        return cls(envs, buffer, plan, settings.seed, teacher, rl.beta)

    @classmethod
    def check_demonstrations(cls, origin: Origin) -> None:
        """The teacher's can be played."""

    def share(self) -> float:
        """β now: linear in env steps."""
        return linear(self.beta.start, self.beta.end, self.beta.steps, self.env_steps)

    def demonstrator(self) -> Policy:
        return Guided(self.teacher, self.teacher, 0.0, self.rng)

    def behaviour(self, agent: Agent) -> Policy:
        return Guided(agent.exploring(), self.teacher, self.share(), self.rng)

    def metrics(self) -> dict[str, float]:
        return super().metrics() | {"teacher/share": self.share()}

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"teacher": {"rng": self.rng.bit_generator.state}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.rng.bit_generator.state = state["teacher"]["rng"]


class FreshEpisodes(PlayedEnvs):
    """Whole episodes of the present policy, all begun after the last update, of which each is learned from once."""

    ignores = ("sampled_seq_len",)

    @classmethod
    def check_demonstrations(cls, origin: Origin) -> None:
        family = origin.config.rl.family
        raise UserError(f"--start_expert_training: {family} learns from fresh episodes alone; leave the flag out")

    def advance(self, agent: Agent) -> list[Episode]:
        """A batch of whole episodes: no checkpoint falls between them."""
        super().advance(agent)
        seed, ended = seed_for(self.seed, "batch", self.updates), []
        for _, episode in iterate_episodes(self.envs, agent.exploring(), self.plan.batch_size, seed):
            self.keep(episode)
            self.episodes += 1
            self.env_steps += len(episode)
            ended.append(episode)
        return ended

    @property
    def _at_once(self) -> int:
        return self.plan.batch_size * self.spec.max_episode_steps

    def most(self) -> dict[str, int]:
        return super().most() | {"updates": self.episodes // self.plan.batch_size}

    def batches(self, agent: Agent) -> Batches:
        yield self.buffer.newest(self.plan.batch_size, agent.device), None


def stored_buffer(origin: Origin, agent: Agent, room: int = 0) -> tuple[EpisodeBuffer, bool]:
    """The episodes of `--data_path`, with room in rows for others, and whether they tell states.

    Raises:
        UserError: there is no such data set, or it does not fit the domain; or demonstrations are asked for.
    """
    settings, rl = origin.settings, origin.config.rl
    if settings.data_path is None:
        raise UserError(f"--data_path: needed by {origin.method}, which learns from stored episodes")
    if settings.start_expert:
        raise UserError(f"--start_expert_training: {rl.family} learns from --data_path alone; leave the flag out")
    stored = read_episodes(settings.data_path, origin.config.env, origin.spec)
    if len(stored) == 1 or (stored.success is not None and not stored.success.any()):
        said = "has one episode" if len(stored) == 1 else f"has no success in {len(stored)} episodes"
        warnings.warn(f"--data_path: the dataset {said}", RuntimeWarning, stacklevel=2)
    seed, (share, mirrored) = seed_for(settings.seed, "replay"), origin.augmentation()
    terminal = rl.get("time_limit_is_terminal", False)
    burn_in, carry_dim = before_windows(origin, agent)
    if carry_dim:
        raise UserError("--config_rl.carry=stored: a data set holds no carries; choose zero")
    drawn = (settings.window, seed, share, mirrored, burn_in)
    return EpisodeBuffer.of(stored, *drawn, limit_is_terminal=terminal, room=room), stored.has_states


class StoredData(Experience):
    """The episodes of a data set, all of them: the clock counts updates, and no env is stepped to learn."""

    reads: ClassVar[Reads] = dict.fromkeys(("batch_size", "num_updates"), POSITIVE)
    clock, unit, rates = "updates", "updates", ("updates",)
    ignores = ("train_episodes", "num_envs", "start_training")

    def __init__(self, buffer: EpisodeBuffer, num_updates: int, batch_size: int, aux_batch_size: int):
        super().__init__()
        self.buffer, self.num_updates = buffer, num_updates
        self.batch_size, self.aux_batch_size = batch_size, aux_batch_size

    @classmethod
    def build(cls, origin: Origin, agent: Agent) -> Self:
        rl, (buffer, has_states) = origin.config.rl, stored_buffer(origin, agent)
        experience = cls(buffer, rl.num_updates, rl.batch_size, rl.get("aux_batch_size", rl.batch_size))
        experience.has_states = has_states
        return experience

    def begin(self, agent: Agent, check_stop: Callable[[], None]) -> None:
        """The first of the stored episodes tell how an embedding varies whose file does not."""
        if agent.unmeasured:
            agent.measure(self.buffer.episodes(np.arange(min(MEASURED, len(self.buffer))), device=agent.device))

    def explored(self, check_stop: Callable[[], None], purpose: str) -> EpisodeBuffer:
        """What is stored."""
        return self.buffer

    @property
    def total(self) -> int:
        return self.num_updates

    def most(self) -> dict[str, int]:
        return super().most() | {"env_steps": 0, "updates": self.num_updates}

    def batches(self, agent: Agent) -> Batches:
        batch = self.buffer.sample(self.batch_size, agent.device)
        yield batch, self.buffer.sample(self.aux_batch_size, agent.device) if agent.wants_aux_batch else None

    def metrics(self) -> dict[str, float]:
        return {"updates": self.updates, "data/epochs": self.updates * self.batch_size / len(self.buffer)}

    def state_dict(self) -> dict[str, Any]:
        """Not the episodes, which stay where they are."""
        return super().state_dict() | {"buffer": self.buffer.state_dict(rows=False)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.buffer.load_state_dict(state["buffer"])


class StoredThenEnvs(PlayedEnvs):
    """A data set, and when that has been learned from for `num_updates`, envs besides; the clock counts updates.

    As in `ReplayedEnvs` env steps then earn updates, for so many steps as `--train_episodes` says; `stored_share` of
    each batch stays of what was stored (Ball et al., ICML 2023).
    """

    reads: ClassVar[Reads] = {"num_updates": POSITIVE, "stored_share": SHARE}
    clock, unit = "updates", "updates"
    ignores = ("start_training",)

    def __init__(
        self, envs: AsymmetricVectorEnv, buffer: EpisodeBuffer, plan: Plan, seed: int, num_updates: int, share: float
    ):
        super().__init__(envs, buffer, plan, seed)
        self.num_updates, self.stored_share = num_updates, share

    @classmethod
    def build(cls, origin: Origin, agent: Agent) -> Self:
        settings, rl = origin.settings, origin.config.rl
        buffer, has_states = stored_buffer(origin, agent, rl.replay_steps)
        buffer.check_fits(buffer.capacity - rl.replay_steps + settings.train_episodes * origin.spec.max_episode_steps)
        sizes = (rl.batch_size, rl.batch_size, rl.time_limit_is_terminal)
        plan = Plan(settings.train_episodes, 0, 0, rl.updates_per_step, *sizes)
        envs = origin.make_envs(settings.num_envs, seed=settings.seed)
        experience = cls(envs, buffer, plan, settings.seed, rl.num_updates, rl.stored_share)
        experience.has_states = has_states
        return experience

    def begin(self, agent: Agent, check_stop: Callable[[], None]) -> None:
        """The first of the stored episodes tell how an embedding varies whose file does not."""
        if agent.unmeasured:
            agent.measure(self.buffer.episodes(np.arange(min(MEASURED, len(self.buffer))), device=agent.device))

    def explored(self, check_stop: Callable[[], None], purpose: str) -> EpisodeBuffer:
        """What is stored, before anything is played."""
        return self.buffer

    @property
    def total(self) -> int:
        return self.num_updates + int(super().total * self.plan.updates_per_step)

    @property
    def owed(self) -> int:
        if self.updates < self.num_updates:
            return 0
        return max(0, self.num_updates + int(self.env_steps * self.plan.updates_per_step) - self.updates)

    def advance(self, agent: Agent) -> list[Episode]:
        """Nothing, as long as it is the data set's turn; then a step of all envs."""
        super().advance(agent)
        return self._step(agent) if self.updates >= self.num_updates else []

    def batches(self, agent: Agent) -> Batches:
        if self.updates < self.num_updates:
            yield self.buffer.sample(self.plan.batch_size, agent.device), None
            return
        while self.owed and self.updates < self.total:
            yield self.buffer.sample(self.plan.batch_size, agent.device, self.stored_share), None


EXPERIENCES: dict[str, type[Experience]] = {
    "replayed_envs": ReplayedEnvs,
    "relabelled_episodes": RelabelledEpisodes,
    "fresh_episodes": FreshEpisodes,
    "stored_data": StoredData,
    "stored_then_envs": StoredThenEnvs,
}


def kind_for(learner: Agent | type[Agent], config_rl: ConfigDict) -> type[Experience]:
    """That which the config names, or else the family; where its replay has a teacher, the teacher's kind.

    Raises:
        UserError: none is named, or one that is not there.
    """
    if "learns_from" in config_rl:
        kind = choose(EXPERIENCES, config_rl.learns_from, "--config_rl.learns_from")
    else:
        name, who = getattr(learner, "learns_from", ""), getattr(learner, "__name__", type(learner).__name__)
        kind = choose(EXPERIENCES, name, f"{who}.learns_from")
    return RelabelledEpisodes if kind is ReplayedEnvs and config_rl.get("teacher") else kind


def experience_of(agent: Agent, origin: Origin) -> Experience:
    """That from which the agent learns.

    Raises:
        UserError: the flags do not give what it needs, or give what it cannot use.
    """
    experience = kind_for(agent, origin.config.rl).build(origin, agent)
    experience.check(agent)
    return experience


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
    if stored and rl.critic_inputs and rl.critic_memory == "separate":
        raise UserError(f"{flag}: the critics' own memory does not act; give --config_rl.critic_memory=shared, or zero")
    if stored and origin.augmentation()[0]:
        raise UserError(f"{flag}: turned copies were never played; give --config_env.n_aug=0, or zero")
    return burn_in, agent.policy.public.carry_dim if stored else 0
