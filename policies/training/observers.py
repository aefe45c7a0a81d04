"""What looks at an agent while it trains, and changes nothing of it: evaluation is the first of them."""

import math
import time
from collections.abc import Callable
from typing import Any, ClassVar

from ml_collections import ConfigDict

from envs.base import AsymmetricVectorEnv
from policies.acting.evaluate import evaluate
from policies.agents.base import Agent
from policies.probing.gauge import BeliefGauge
from utils.checkpoint import whole
from utils.seeding import seed_for


class Observer:
    """Looks when training begins, when it is done, and between where the run's clock says that it is due.

    Attributes:
        name: of what it keeps, in a checkpoint.
        shown: numbers that stand beside the progress bar.
    """

    name: ClassVar[str]

    def __init__(self) -> None:
        self.shown: dict[str, float] = {}

    def due(self, before: int, now: int) -> bool:
        """Whether it is to look now that the clock has gone from `before` to `now`."""
        raise NotImplementedError

    def look(self, agent: Agent, progress: int) -> dict[str, float]:
        """What there is to log, the clock showing `progress`."""
        raise NotImplementedError

    def state_dict(self) -> Any:
        """What it has seen."""
        return None

    def load_state_dict(self, state: Any, progress: int) -> None:
        """Goes on where `state_dict` was taken, when the clock showed `progress` at the last report."""

    def close(self) -> None:
        """Frees what it holds."""


class Evaluation(Observer):
    """Greedy episodes, fresh ones each time; the best policy so far is kept.

    Args:
        envs: to play in.
        config: `config.env.eval`: how many `episodes`, and after what `interval` of the run's clock.
        seed: the run's.
        keep_best: called when an evaluation has been better than all before.

    Attributes:
        history: one row an evaluation, with what the clock showed as `step`.
    """

    name = "history"

    def __init__(self, envs: AsymmetricVectorEnv, config: ConfigDict, seed: int, keep_best: Callable[[], None]):
        super().__init__()
        self.envs, self.episodes, self.interval, self.seed = envs, config.episodes, config.interval, seed
        self._keep_best = keep_best
        self.history: list[dict[str, float]] = []

    def due(self, before: int, now: int) -> bool:
        return crossed(before, now, self.interval)

    def look(self, agent: Agent, progress: int) -> dict[str, float]:
        began = time.monotonic()
        row = evaluate(agent.greedy(), self.envs, self.episodes, seed_for(self.seed, "eval", progress))
        if row["return"] > max((before["return"] for before in self.history), default=-math.inf):
            self._keep_best()
        self.history.append({"step": progress, **row})
        self._show()
        return {f"eval/{k}": v for k, v in row.items()} | {"clock/eval_seconds": time.monotonic() - began}

    def _show(self) -> None:
        if self.history:
            self.shown = {name: self.history[-1][name] for name in ("return", "success") if name in self.history[-1]}

    def state_dict(self) -> list[dict[str, float]]:
        return self.history

    def load_state_dict(self, state: list[dict[str, float]], progress: int) -> None:
        for row in state:
            whole(row["step"], "step", most=progress)
            if not all(isinstance(value, int | float) for value in (row["return"], *row.values())):
                raise TypeError("an evaluation holds something else than numbers")
        self.history = list(state)
        self._show()


class Gauge(Observer):
    """How much the memory holds of the exact belief, on episodes of its own (`policies.probing.gauge`).

    Args:
        gauge: what measures.
        interval: of the run's clock.
        seed: the run's.
    """

    name = "gauge"

    def __init__(self, gauge: BeliefGauge, interval: int, seed: int):
        super().__init__()
        self.gauge, self.interval, self.seed = gauge, interval, seed

    def due(self, before: int, now: int) -> bool:
        return crossed(before, now, self.interval)

    def look(self, agent: Agent, progress: int) -> dict[str, float]:
        began, seed = time.monotonic(), seed_for(self.seed, "gauge", progress)
        found = self.gauge.measure(agent.deployed, seed, agent.greedy())
        return {f"gauge/{k}": v for k, v in found.items()} | {"clock/gauge_seconds": time.monotonic() - began}

    def close(self) -> None:
        self.gauge.envs.close()


def crossed(before: int, now: int, interval: int) -> bool:
    """Whether a multiple of `interval` lies in (before, now]."""
    return now // interval > before // interval
