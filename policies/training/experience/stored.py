"""Experience of a data set: of it alone, or of envs besides once it has been learned from."""

import warnings
from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np

from buffers.batch import Episode
from buffers.episode_buffer import EpisodeBuffer
from buffers.recorded import open_episodes
from buffers.stored import EpisodesOnDisk
from buffers.streamed import StreamedEpisodes
from envs.base import AsymmetricVectorEnv
from policies.agents.base import Agent
from policies.extensions import wants_expert
from policies.training.experience.base import Batches, Experience, Origin, before_windows, past_discount
from policies.training.experience.played import MEASURED, Plan, PlayedEnvs
from utils.config import warn_of_another_task
from utils.errors import UserError
from utils.reads import POSITIVE, SHARE, Reads
from utils.seeding import seed_for


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
    if room and settings.max_rows is not None:
        raise UserError(
            f"--max_rows={settings.max_rows}: beside episodes that are played (learns_from=stored_then_envs) all that "
            "is stored is in memory; leave the flag out"
        )
    stored = open_episodes(settings.data_path, origin.config.env, origin.spec, settings.max_rows)
    warn_of_another_task("--data_path", stored.metadata.get("config_env", {}), origin.config.env)
    if len(stored) == 1 or (stored.success is not None and not stored.success.any()):
        said = "has one episode" if len(stored) == 1 else f"has no success in {len(stored)} episodes"
        warnings.warn(f"--data_path: the dataset {said}", RuntimeWarning, stacklevel=2)
    if wants_expert(agent) and not stored.expert.any():
        text = f"--data_path: no episode is said to be an expert's, and losses of {origin.method} are of these alone"
        warnings.warn(text, RuntimeWarning, stacklevel=2)
    seed, (share, copies) = seed_for(settings.seed, "replay"), origin.augmentation()
    terminal = rl.get("time_limit_is_terminal", False)
    burn_in, carry_dim = before_windows(origin, agent)
    if carry_dim:
        raise UserError("--config_rl.carry=stored: a data set holds no carries; choose zero")
    drawn = (settings.window, seed, share, copies, burn_in)
    if isinstance(stored, EpisodesOnDisk):
        assert settings.max_rows is not None
        sizes = [rl.batch_size, rl.get("aux_batch_size", 0) * agent.wants_aux_batch, MEASURED * agent.unmeasured]
        batch_size = min(max(sizes), len(stored))
        streamed = StreamedEpisodes(
            stored, settings.max_rows, *drawn, limit_is_terminal=terminal, batch_size=batch_size
        )
        streamed.past_discount = past_discount(rl)
        return streamed, stored.has_states
    held = EpisodeBuffer.of(stored, *drawn, limit_is_terminal=terminal, room=room, spec=origin.spec)
    held.past_discount = past_discount(rl)
    return held, stored.has_states


class OfDataSet(Experience):
    """What begins with a data set; the clock counts updates."""

    clock, unit = "updates", "updates"
    buffer: EpisodeBuffer

    def begin(self, agent: Agent, check_stop: Callable[[], None]) -> None:
        """The first of the stored episodes tell how an embedding varies whose file does not."""
        if agent.unmeasured:
            agent.measure(self.buffer.episodes(np.arange(min(MEASURED, len(self.buffer))), device=agent.device))

    def explored(self, check_stop: Callable[[], None], purpose: str) -> EpisodeBuffer:
        """What is stored, before anything is played."""
        return self.buffer


class StoredData(OfDataSet):
    """The episodes of a data set, all of them: no env is stepped to learn."""

    reads: ClassVar[Reads] = dict.fromkeys(("batch_size", "num_updates"), POSITIVE)
    rates = ("updates",)
    ignores = ("train_episodes", "num_envs", "start_training", "updates_per_step")
    may_grow = ("rl.num_updates",)

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

    @property
    def total(self) -> int:
        return self.num_updates

    def most(self) -> dict[str, int]:
        return super().most() | {"env_steps": 0, "updates": self.num_updates}

    def batches(self, agent: Agent) -> Batches:
        batch = self.buffer.sample(self.batch_size, agent.device)
        yield batch, self.buffer.sample(self.aux_batch_size, agent.device) if agent.wants_aux_batch else None

    def close(self) -> None:
        self.buffer.close()

    def metrics(self) -> dict[str, float]:
        return {"updates": self.updates, "data/epochs": self.updates * self.batch_size / len(self.buffer)}

    def state_dict(self) -> dict[str, Any]:
        """Not the episodes, which stay where they are."""
        return super().state_dict() | {"buffer": self.buffer.state_dict(rows=False)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.buffer.load_state_dict(state["buffer"])


class StoredThenEnvs(OfDataSet, PlayedEnvs):
    """A data set, and when that has been learned from for `num_updates`, envs besides.

    As in `ReplayedEnvs` env steps then earn updates, for so many steps as `--train_episodes` says; `stored_share` of
    each batch stays of what was stored (Ball et al., ICML 2023).
    """

    reads: ClassVar[Reads] = {"num_updates": POSITIVE, "stored_share": SHARE}
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
        if experience.total == experience.num_updates:
            raise UserError(
                f"--updates_per_step={rl.updates_per_step:g}: the {experience.steps_to_play} steps of "
                f"--train_episodes={settings.train_episodes} earn no update, so that none would be played; give more, "
                "or choose --config_rl.learns_from=stored_data"
            )
        return experience

    @property
    def total(self) -> int:
        return self.num_updates + int(self.steps_to_play * self.plan.updates_per_step)

    @property
    def _earned(self) -> int:
        return self.num_updates + super()._earned

    def most(self) -> dict[str, int]:
        return super().most() | {"updates": self._earned}

    @property
    def owed(self) -> int:
        return max(0, self._earned - self.updates) if self.updates >= self.num_updates else 0

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
