"""What there is to know about a domain: facts that a probe can look for in an embedding of state or observation.

Dimension key: R rows, O observation, S state, A actions, J joint states of a grid.
"""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.grid import NUM_ACTIONS, GridRules


@dataclass(frozen=True)
class Factor:
    """A fact about the domain, row by row.

    Attributes:
        label_R: its value, int64.
        hidden_R: bool, whether the row's observation leaves it open. A factor that is hidden nowhere is a visible one.
    """

    label_R: NDArray[np.int64]
    hidden_R: NDArray[np.bool_]

    @property
    def is_hidden(self) -> bool:
        """Whether some row's observation leaves it open."""
        return bool(self.hidden_R.any())


def factors(env: gym.Env[Any, Any], obs_RO: NDArray[Any], state_RS: NDArray[Any]) -> dict[str, Factor]:
    """The factors that a domain declares, by name; none where it declares none.

    Grid domains have two: the agent's cell and the goal. Any other domain declares its own with a method
    `factors(obs_RO, state_RS) -> dict[str, Factor]`.
    """
    env = env.unwrapped
    rules = getattr(env, "rules", None)
    if isinstance(rules, GridRules):
        joint_R = _joint(rules, state_RS)
        return {
            "goal": Factor(rules.hidden_J[joint_R].astype(np.int64), ~rules.informative_J[joint_R]),
            "cell": Factor(rules.cell_J[joint_R].astype(np.int64), np.zeros(len(joint_R), bool)),
        }
    declared = getattr(env, "factors", None)
    return {} if declared is None else dict(declared(obs_RO, state_RS))


def informed_actions(env: gym.Env[Any, Any], state_RS: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Which actions (R, A) are best for one who knows the state; None where the domain cannot tell.

    Other domains than the grids declare it with a method of the same name. A row without a best action (past the end)
    is all False.
    """
    env = env.unwrapped
    rules = getattr(env, "rules", None)
    if isinstance(rules, GridRules):
        return _shortest_ways(rules)[_joint(rules, state_RS)]
    declared = getattr(env, "informed_actions", None)
    return None if declared is None else np.asarray(declared(state_RS), bool)


def _joint(rules: GridRules, state_RS: NDArray[Any]) -> NDArray[np.int64]:
    """The joint states of rows of the state, ended episodes included."""
    state_JS = rules.state(np.arange(len(rules.cell_J)))
    number = {row.tobytes(): j for j, row in enumerate(state_JS)}
    try:
        return np.array([number[row.tobytes()] for row in np.ascontiguousarray(state_RS, state_JS.dtype)], np.int64)
    except KeyError as error:
        raise ValueError("a row is no state of this domain") from error


def _shortest_ways(rules: GridRules) -> NDArray[np.bool_]:
    """Which actions (J, A) begin a shortest way to the goal that ends no episode before."""
    distance_J = np.where(rules.success_J, 0.0, np.inf)
    for _ in range(rules.num_cells):
        through_J = np.where(rules.ends_J, np.inf, 1.0 + distance_J[rules.next_JA].min(axis=1))
        distance_J = np.minimum(distance_J, through_J)
    best_JA: NDArray[np.bool_] = distance_J[rules.next_JA] + 1.0 == distance_J[:, None]
    reachable_J = np.isfinite(distance_J) & ~rules.ends_J
    assert best_JA.shape == (len(distance_J), NUM_ACTIONS)
    return best_JA & reachable_J[:, None]
