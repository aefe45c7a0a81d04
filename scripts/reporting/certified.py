"""Random and best returns of finite domains, worked out: the best one as a lower and an upper bound."""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from envs.finite import FinitePOMDP, entries_of
from envs.make import horizon_of, model_of
from policies.exact.point_based import Solver
from scripts.reporting.references import Reference
from utils.config import from_here_or_root
from utils.errors import ForeignError, UserError
from utils.files import atomic_write

CLOSE = 1e-4  # of what there is to be gained over random actions: where bounds need be no nearer
USEFUL = 0.1  # how far apart they may be for scores
PAGE_SECONDS = 20.0  # of a processor for a domain of a page, whose optimum is worked out each time
STARTED = 2e8  # products of the first bounds that a core does in a second, about
APART = ("rl", "seq", "eval", "augment", "n_aug")  # fields of a domain that change nothing of its returns


@dataclass(frozen=True)
class Bounds:
    """Undiscounted returns over the horizon: of uniform actions, exact, and around the optimum, in so many seconds."""

    random: float
    lower: float
    upper: float
    seconds: float

    @property
    def open(self) -> float:
        """What they leave open, as a share of what there is to be gained over random actions."""
        return (self.upper - self.lower) / max(self.upper - self.random, np.finfo(float).eps)


class Certified:
    """References of domains that are finite POMDPs, each worked out once and kept in a file.

    Args:
        path: the file; one that is damaged is written anew. None: no file is kept.
        seconds: of a processor for each domain, at most; 0: none is worked out.

    Attributes:
        notes: on domains whose bounds are too far apart.
    """

    def __init__(self, path: Path | None = None, seconds: float = PAGE_SECONDS) -> None:
        self.path, self.seconds = path, seconds
        self.notes: list[str] = []
        self._known: dict[str, Reference | None] = {}
        self._kept = _read(path) if path else {}

    def __call__(self, config_env: Mapping[str, Any]) -> Reference | None:
        """The reference of a domain, by its config as a run has kept it; None where it cannot be told."""
        if not self.seconds or config_env.get("module") != "envs":
            return None  # no module of strangers is imported for this
        text = json.dumps({name: value for name, value in config_env.items() if name not in APART}, sort_keys=True)
        if text not in self._known:
            self._known[text] = self._worked_out(ConfigDict(json.loads(text)))
        return self._known[text]

    def _worked_out(self, config_env: ConfigDict) -> Reference | None:
        try:
            model, horizon = model_of(config_env), horizon_of(config_env)
        except (UserError, ForeignError, AttributeError, KeyError, TypeError, ValueError):
            kwargs = config_env.get("kwargs")
            path = kwargs.get("path") if isinstance(kwargs, ConfigDict) else None
            if isinstance(path, str) and path and not from_here_or_root(path).is_file():
                self.notes.append(f"{config_env.get('id')}: no scores, as its file is not at {path} from here")
            return None  # no finite domain, or not one of today's
        key = digest(model, horizon)
        kept = self._kept.get(key)
        if kept is None or (kept.open > CLOSE and kept.seconds < self.seconds):
            if first_steps(model, horizon) > STARTED * self.seconds:
                return None
            kept = self._kept[key] = bounds(model, horizon, self.seconds)
            if self.path:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                atomic_write(self.path, json.dumps({name: asdict(one) for name, one in self._kept.items()}, indent=1))
        if kept.upper - kept.random <= CLOSE * CLOSE * max(1.0, abs(kept.random)):
            return None  # no policy is better than chance
        if kept.open > USEFUL:
            self.notes.append(
                f"{config_env.id}: no scores, as {kept.seconds:g} seconds leave its optimum between {kept.lower:.6g} "
                f"and {kept.upper:.6g}; --optimum_seconds gives it more"
            )
            return None
        source = "random: dynamic programming over the states; optimum: certified bounds, scores by the upper one"
        return Reference(horizon, kept.random, kept.upper, source, lower=kept.lower)


def bounds(model: FinitePOMDP, horizon: int, seconds: float) -> Bounds:
    """The returns of a model over a horizon, as near as `CLOSE` or as time allows."""
    began, chance = time.process_time(), random_return(model, horizon)

    def is_late() -> bool:
        return time.process_time() - began > seconds

    for now in Solver(replace(model, discount=1.0), horizon, is_late).run():
        found = Bounds(chance, now.lower, now.upper, seconds)
        if found.open <= CLOSE or is_late():
            break
    return found


def random_return(model: FinitePOMDP, horizon: int) -> float:
    """The mean undiscounted return of uniform actions."""
    actions = range(len(model.actions))
    on_ASE, reward_S = [model.going_on(action) for action in actions], model.reward_SA.mean(axis=1)
    value_S = np.zeros(len(reward_S))
    for _ in range(horizon):
        value_S = reward_S + np.mean([on_SE @ value_S for on_SE in on_ASE], axis=0)
    return float(model.start_S @ value_S)


def first_steps(model: FinitePOMDP, horizon: int) -> float:
    """About how many products the first bounds are, without which the others tell nothing."""
    ways = sum(len(entries_of(matrix)[0]) for matrix in model.transition_ASE)
    return float(horizon) * len(model.actions) * ways * len(model.observations)


def digest(model: FinitePOMDP, horizon: int) -> str:
    """What tells apart all that returns depend on."""
    found = hashlib.sha256(f"{horizon} {model.reward_SA.shape} {len(model.observations)}".encode())
    groups = (model.transition_ASE, model.ends_ASE or (), model.observation_AEO, (model.first_SO,))
    for matrix in (matrix for group in groups for matrix in group if matrix is not None):
        for part in entries_of(matrix):
            found.update(part.tobytes())
        found.update(b"|")
    found.update(model.start_S.tobytes() + np.ascontiguousarray(model.reward_SA).tobytes())
    return found.hexdigest()


def _read(path: Path) -> dict[str, Bounds]:
    """What was kept; nothing of a file that is damaged."""
    try:
        kept = {key: Bounds(**one) for key, one in json.loads(path.read_bytes()).items()}
        usable = all(np.isfinite(list(asdict(one).values())).all() for one in kept.values())
    except (OSError, AttributeError, TypeError, ValueError, RecursionError):
        return {}
    return kept if usable else {}
