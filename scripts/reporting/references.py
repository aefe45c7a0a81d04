"""What random actions and the best policy earn on a domain, to put the returns of domains on one scale."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Reference:
    """Undiscounted returns of an env as its config makes it, with nothing changed by `kwargs` but what is `free`.

    Attributes:
        horizon: steps for which both hold.
        hidden: the entries of the observation that are taken away.
        random: mean return of uniformly random actions.
        optimum: mean return of the best policy that has the history alone; where it is not known exactly, what none has
            more of, so that a score is never too high.
        source: where both numbers come from.
        lower: what some policy is known to have, where the optimum is not known exactly.
        free: names of `kwargs` that change none of this.
    """

    horizon: int
    random: float
    optimum: float
    source: str
    hidden: tuple[int, ...] = ()
    lower: float | None = None
    free: tuple[str, ...] = ()

    @property
    def optimum_text(self) -> str:
        """The optimum, or between which bounds it is."""
        if self.lower is None or f"{self.lower:.6g}" == f"{self.optimum:.6g}":
            return f"{self.optimum:.4g}"
        return f"between {self.lower:.6g} and {self.optimum:.6g}"

    def normalise(self, value: Any) -> Any:
        """A return, or an array of such, as a score: 0 is random, 1 the optimum; worse than random is negative."""
        return (value - self.random) / (self.optimum - self.random)


GRID = "random: dynamic programming over the joint states; optimum: dynamic programming over beliefs, in the tests"
ROOMS = (
    "random: 200,000 episodes, -0.05 a step, as both exits are as likely (standard error 0.004); optimum: at most what "
    "who sees the state has, by shortest ways on 300,000 maps (0.002), at least what the expert has of 20,000 (0.01)"
)
# The tests work the random returns and the optima of the grids out again.
REFERENCES: dict[str, Reference] = {
    "HeavenHell-v0": Reference(50, 0.0, 1.0, GRID),
    "HeavenHell-6x9-v0": Reference(50, 0.0, 1.0, GRID),
    "Sphinx-v0": Reference(50, 0.016424370982179477, 0.8, GRID),
    "CarFlag-2D-v0": Reference(
        50,
        0.15927147974726832,
        1.0,
        "random: dynamic programming over the joint states; optimum: the expert earns 1 from every start, and no "
        "return is greater",
    ),
    "CarFlag-1D-v0": Reference(
        160, 0.0, 1.0, "random: 0, as the sides are alike; optimum: the expert earns 1, and no return is greater"
    ),
    "CarFlag-2D-Continuous-v0": Reference(
        50,
        0.1234,
        1.0,
        "random: 4,000,000 episodes (standard error 0.0002); optimum: the expert earns 1, and no return is greater",
    ),
    "CarFlag-7-v0": Reference(
        160, 0.0, 1.0, "random: 0, as the sides are alike; optimum: the expert earns 1, and no return is greater"
    ),
    "Cleaner-v0": Reference(
        200,
        22.13,
        71.0,
        "random: 20,000 episodes (standard error 0.05); optimum: the expert cleans all 71 cells",
    ),
    "MemoryFourRooms-7x7-v0": Reference(100, -2.267, 4.646, ROOMS, lower=4.40, free=("palette",)),
    "MemoryFourRooms-9x9-v0": Reference(100, -3.125, 4.671, ROOMS, lower=4.41, free=("palette",)),
    "CartPole-v1": Reference(
        200,
        22.24,
        200.0,
        "random: 40,000 episodes (standard error 0.06); optimum: a pole that never falls, the bound of any policy",
        hidden=(1, 3),
    ),
}


def reference_of(env: str, settings: Mapping[str, str]) -> Reference | None:
    """The reference of an env, if it has one that holds for these settings.

    Args:
        env: its id.
        settings: `env.horizon`, `env.kwargs` and `env.hidden` of its config, as JSON.
    """
    reference = REFERENCES.get(env)
    if reference is None or not set(json.loads(settings["env.kwargs"])) <= set(reference.free):
        return None
    hidden = json.loads(settings["env.hidden"]) or ()
    hidden = hidden if isinstance(hidden, str) else tuple(hidden)
    return reference if (json.loads(settings["env.horizon"]), hidden) == (reference.horizon, reference.hidden) else None
