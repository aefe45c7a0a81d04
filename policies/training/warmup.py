"""Warms the memories of an agent up before it trains, where the config asks for it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from buffers.episode_buffer import EpisodeBuffer
from policies.agents.base import Agent
from policies.agents.learner import Learner
from policies.models.history import History
from policies.training.experience.base import Experience, Origin
from policies.training.experience.played import MEASURED
from torchkit.sequence.warmup import Equilibria, equilibria, warm_up
from utils.errors import UserError
from utils.seeding import seed_for

SEQUENCES = 32  # a step of the warm-up, and of a measurement


@dataclass(frozen=True)
class WarmUp:
    """The warm-up of a run; the same seed gives the same memories.

    Attributes:
        steps: of Adam; with none nothing is done.
        seed: the run's.
    """

    steps: int
    seed: int

    @classmethod
    def of(cls, origin: Origin) -> "WarmUp":
        """What the config of the memory says."""
        return cls(origin.config.seq.get("warmup", 0), origin.settings.seed)

    def __call__(self, agent: Agent, experience: Experience, check_stop: Callable[[], None]) -> dict[str, float]:
        """Warms up every memory that learns, and its targets; what each could reach before and after.

        Running statistics begin with episodes that it is warmed by, so that it reads what it is to read later; no more
        are asked for at once than a step of the warm-up asks for.

        Raises:
            UserError: the agent has no memory of `config_seq` that learns.
        """
        if not self.steps:
            return {}
        assert isinstance(agent, Learner), "with --batch_seeds there is no warm-up"
        histories = trained_histories(agent)
        episodes, metrics = experience.explored(check_stop, "warmup"), dict[str, float]()
        for some in np.split(np.arange(count := min(MEASURED, len(episodes))), range(SEQUENCES, count, SEQUENCES)):
            agent.show(episodes.episodes(some, device=agent.device))
        for number, history in enumerate(histories):
            generator = torch.Generator().manual_seed(seed_for(self.seed, "warmup", number))

            def draw(history: History = history, generator: torch.Generator = generator) -> tuple[Tensor, Tensor]:
                check_stop()
                return inputs_of(history, episodes, generator, agent.device)

            name = "memory" if number == 0 else f"memory_{number}"
            metrics |= told(f"{name}/before", equilibria(history.memory, *draw(), generator))
            metrics[f"{name}/warmed"] = warm_up(history.memory, draw, self.steps, generator)[-1]
            metrics |= told(f"{name}/after", equilibria(history.memory, *draw(), generator))
        agent.refresh_targets()
        return metrics


def trained_histories(agent: Learner) -> list[History]:
    """The memories that learn, the policy's first; not those of target networks.

    Raises:
        UserError: there is none.
    """
    trained = {id(parameter) for mine in agent.parameters_of.values() for parameter in mine}
    found = [
        module
        for module in dict.fromkeys([*agent.policy.modules(), *agent.modules()])
        if isinstance(module, History) and any(id(parameter) in trained for parameter in module.memory.parameters())
    ]
    if not found:
        raise UserError("--config_seq.warmup: this method has no memory of --config_seq that learns; give 0")
    return found


@torch.no_grad()
def inputs_of(
    history: History, episodes: EpisodeBuffer, generator: torch.Generator, device: torch.device
) -> tuple[Tensor, Tensor]:
    """What a memory reads of episodes drawn with replacement, (T, B, F), and how many rows of each there are (B,)."""
    drawn = torch.randint(len(episodes), (SEQUENCES,), generator=generator).numpy()
    batch = episodes.episodes(np.asarray(drawn, np.int64), device=device)
    return history.read(batch.public).full(), batch.row_mask.sum(0).long()


def told(name: str, found: Equilibria) -> dict[str, float]:
    """As it is logged."""
    return {f"{name}/{field}": value for field, value in found._asdict().items()}
