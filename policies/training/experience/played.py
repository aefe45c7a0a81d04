"""Experience of envs: with a replay, with a teacher beside it, or of fresh episodes. Training plays nowhere else."""

import warnings
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from ml_collections import ConfigDict

from buffers.batch import Episode
from buffers.episode_buffer import EpisodeBuffer
from envs.base import AsymmetricVectorEnv
from policies.acting.embedded_envs import WatchedEnvs
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
from policies.training.experience.base import Batches, Experience, Origin, before_windows, past_discount
from utils.checkpoint import whole
from utils.errors import UserError
from utils.reads import ANY, FROM_ZERO, POSITIVE, SHARE, Reads
from utils.seeding import generator, seed_for

MEASURED = 100  # episodes
ROUNDS = 20  # of demonstrations, in which the expert must have succeeded often enough


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
    """Episodes that are played while training goes on, and kept in a replay, which may hold others before."""

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
        self.spec, self.start_steps, self.steps_given = envs.spec_sizes, 0, buffer.num_steps
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
        if settings.max_rows is not None:
            warnings.warn(f"--max_rows is not used by {origin.method}", RuntimeWarning, stacklevel=2)
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
        buffer.past_discount = past_discount(rl)
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
    def steps_to_play(self) -> int:
        """Env steps when training is done."""
        return self.start_steps + self.plan.train_episodes * self.spec.max_episode_steps

    @property
    def total(self) -> int:
        return self.steps_to_play

    def most(self) -> dict[str, int]:
        """A replay holds no more than was played; the last of `advance` may go beyond the total."""
        plan, horizon = self.plan, self.spec.max_episode_steps
        begun = (plan.start_random + ROUNDS * plan.start_expert) * horizon
        return {
            "start_steps": min(begun, self.env_steps),
            "env_steps": self.steps_to_play + self._at_once,
            "episodes": self.env_steps - self.start_steps,
        }

    @property
    def _at_once(self) -> int:
        """The most env steps by which `advance` goes on."""
        return self.envs.num_envs

    @property
    def _earned(self) -> int:
        """The updates that env steps have earned by now."""
        return int(self.env_steps * self.plan.updates_per_step)

    def check_counters(self) -> None:
        super().check_counters()
        whole(self.buffer.num_steps, "replay/steps", most=self.steps_given + self.env_steps)

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

    ignores = ("sampled_seq_len", "start_training")

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
