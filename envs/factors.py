"""What there is to know about a domain: facts that a probe can look for in an embedding of state or observation.

Dimension key: R rows, O observation, S state, A actions.
"""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Factor:
    """A fact about the domain, row by row.

    Attributes:
        label_R: its value, int64.
        hidden_R: bool, whether the row's observation leaves it open. A factor that is hidden nowhere is a visible one.
        shown_RK: float32, what the observation shows of what is asked about, of a size about 1, as where the two things
            stand of which one is meant; None where the value can be told without it. What it tells of the value by
            itself is part of the report.
    """

    label_R: NDArray[np.int64]
    hidden_R: NDArray[np.bool_]
    shown_RK: NDArray[np.float32] | None = None

    @property
    def is_hidden(self) -> bool:
        """Whether some row's observation leaves it open."""
        return bool(self.hidden_R.any())

    def take(self, row_N: NDArray[Any]) -> "Factor":
        """The same of some rows, by their numbers or a mask."""
        shown = None if self.shown_RK is None else self.shown_RK[row_N]
        return Factor(self.label_R[row_N], self.hidden_R[row_N], shown)


def factors(env: gym.Env[Any, Any], obs_RO: NDArray[Any], state_RS: NDArray[Any]) -> dict[str, Factor]:
    """The factors that a domain declares, by name, with a method of the same name; none where it has no such method."""
    if not env.has_wrapper_attr("factors"):
        return {}
    return dict(env.get_wrapper_attr("factors")(obs_RO, state_RS))


def informed_actions(env: gym.Env[Any, Any], state_RS: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Which actions (R, A) are best for one who knows the state; None where the domain cannot tell.

    A domain declares it with a method of the same name. A row without a best action (past the end) is all False.
    """
    found = env.get_wrapper_attr("informed_actions")(state_RS) if env.has_wrapper_attr("informed_actions") else None
    return None if found is None else np.asarray(found, bool)
