"""What the command line says of a run beside its configs."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

LATER = ("data_path", "expert_policy", "max_rows")


@dataclass(frozen=True)
class Settings:
    """The flags that decide what a run comes to; they are kept in its config.json."""

    seed: int
    train_episodes: int
    num_envs: int
    start_random: int
    start_expert: int
    window: int
    state_embedder: str | None
    obs_embedder: str | None
    threads: int
    data_path: str | None = None
    expert_policy: str | None = None
    max_rows: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """What is kept of them; a flag that came later only where it is given, so that older runs can be taken up."""
        return {name: value for name, value in asdict(self).items() if name not in LATER or value is not None}


@dataclass(frozen=True)
class Schedule:
    """When a run writes its means, by its clock, and its checkpoints; and how long it may take."""

    log_interval: int = 1000
    checkpoint_minutes: float = 5.0
    time_limit_hours: float = math.inf
    began: float | None = None  # a time of `time.monotonic` from which hours and minutes are counted


@dataclass(frozen=True)
class Options:
    """The flags that do not: where a run is written and drawn, on what it runs, and for how long.

    Attributes:
        save_dir, name: the run's folder, the second within the first.
        command: as it was typed.
        cuda: index of the GPU, -1 for the CPU, None for a GPU if there is one.
        mirrors: of the metrics, out of `tensorboard` and `wandb`.
        gauge: what is measured of the memory; None for nothing.
        gauge_interval: after so much of the run's clock; None for a fifth of the run.
    """

    save_dir: str
    name: str
    command: Sequence[str]
    cuda: int | None
    mirrors: Sequence[str]
    film_episodes: int
    checkpoint_minutes: float
    time_limit_hours: float | None
    began: float
    gauge: str | None = None
    gauge_interval: int | None = None

    @property
    def folder(self) -> Path:
        """The run's."""
        return Path(self.save_dir, self.name)

    @property
    def schedule(self) -> Schedule:
        """When it saves, and when it stops."""
        limit = math.inf if self.time_limit_hours is None else self.time_limit_hours
        return Schedule(checkpoint_minutes=self.checkpoint_minutes, time_limit_hours=limit, began=self.began)
