"""A solved POMDP as a policy like any other: it acts on the history, by the exact belief and alpha vectors."""

from typing import Any

import numpy as np
import torch
from ml_collections import ConfigDict
from numpy.typing import NDArray

from envs.base import EnvSpec
from envs.finite import FinitePOMDP, Floats, dense
from policies.build import SOLVED, build_policy
from policies.exact.point_based import Controller
from policies.models.exact_belief import AlphaVectors, ExactBelief, SolvedSizes
from policies.models.policy import HistoryPolicy
from policies.models.sources import Sources
from utils.errors import UserError

MOST_NUMBERS = 100_000_000  # of a policy: 400 MB
MOST_SIZE = 100.0  # of values, beside how far they differ, up to which they are kept as they are


class TooLargeError(UserError):
    """A policy would have too many numbers."""


def check_size(model: FinitePOMDP, num_views: int, num_vectors: int = 0) -> None:
    """Refuses a policy that would be too large.

    Raises:
        TooLargeError: it would be.
    """
    num_S, num_A = model.reward_SA.shape
    numbers = num_S * (num_A * (num_S + num_views) + num_vectors)
    if numbers > MOST_NUMBERS:
        raise TooLargeError(
            f"--nokeep_policy: without it a policy for {num_S:,} states is kept, of {numbers:,} numbers; "
            f"expected {MOST_NUMBERS:,} at most"
        )


def solved_policy(
    model: FinitePOMDP,
    view_VD: NDArray[np.float32],
    vectors: Controller,
    horizon: int,
    spec: EnvSpec,
    config: ConfigDict,
) -> HistoryPolicy:
    """The policy that acts by the greatest of vectors.

    Args:
        model: the POMDP.
        view_VD: what its observations look like, in their order; a further row is that of none.
        vectors: of its lower bound.
        horizon: the number of steps that it was solved for, 0 for no end.
        spec: sizes of the domain.
        config: as `solved_config` gives it.

    Raises:
        TooLargeError: it would be too large.
    """
    (num_S, num_A), num_V = model.reward_SA.shape, len(view_VD)
    check_size(model, num_V, len(vectors.vector_KS))
    sizes = SolvedSizes(num_S, num_A, num_V, view_VD.shape[1], len(vectors.vector_KS), horizon)
    policy = build_policy(Sources(spec, config, kept={"exact_belief": sizes}))
    fold, head = policy.public.folds["exact_belief"], policy.head.net[0]
    assert isinstance(fold, ExactBelief) and isinstance(head, AlphaVectors)
    _copy(fold.view_VD, view_VD)
    _copy(fold.first_VS, _first_beliefs(model, num_V))
    _copy(fold.on_SM, np.concatenate([dense(model.going_on(a)) for a in range(num_A)], axis=1))
    _copy(fold.seen_MS, np.concatenate([_rows(see_EO, num_V) for see_EO in model.observation_AEO]))
    told_KS = relative(vectors)
    for table, values in zip((head.vector_KS, head.action_K, head.left_K), (told_KS, *vectors[1:]), strict=True):
        _copy(table, values)
    least = min(0.0, float(model.reward_SA.min())) * (horizon or 1.0 / (1.0 - model.discount))
    if not np.array_equal(told_KS, vectors.vector_KS):
        least = float(2 * told_KS.min() - told_KS.max()) - 1.0  # below all that they tell
    _copy(head.least, np.array([least]))
    return policy.eval()


def relative(vectors: Controller) -> Floats:
    """The vectors (K, S) less a constant for each number of steps left, where single precision would round off more.

    Vectors of as many steps are compared with each other alone, so that what is best stays; values are then relative.
    """
    told_KS = vectors.vector_KS.copy()
    for left in np.unique(vectors.left_K):
        some = vectors.left_K == left
        low, high = told_KS[some].min(), told_KS[some].max()
        if max(abs(low), abs(high)) > MOST_SIZE * (high - low):
            told_KS[some] -= (low + high) / 2
    return told_KS


def solved_config(config_env: ConfigDict, method: str) -> ConfigDict:
    """The configs that a policy's files hold, of one that nothing was learned for."""
    widths = {"obs_dim": 1, "action_dim": 1, "reward_dim": 0}
    return ConfigDict(
        {
            "env": config_env,
            "rl": {"family": SOLVED, "variant": method, "observe": ""},
            "seq": {"memory": "exact_belief", "vector": widths, "image": widths},
        }
    )


def _first_beliefs(model: FinitePOMDP, num_V: int) -> Floats:
    """The belief after each first observation (V, S); after one that no start has, the start's."""
    if model.first_SO is None:
        return np.repeat(model.start_S[None], num_V, axis=0)
    weight_VS = _rows(model.first_SO, num_V) * model.start_S
    total_V1 = weight_VS.sum(axis=1, keepdims=True)
    return np.where(total_V1 > 0, weight_VS / np.where(total_V1 > 0, total_V1, 1.0), model.start_S)


def _rows(see_EO: Any, num_V: int) -> Floats:
    """Pr(o | s') by observation (V, E); that none was made tells nothing."""
    rows = np.ones((num_V, see_EO.shape[0]))
    rows[: see_EO.shape[1]] = dense(see_EO).T
    return rows


@torch.no_grad()
def _copy(table: torch.Tensor, values: NDArray[Any]) -> None:
    table.copy_(torch.from_numpy(np.ascontiguousarray(values, np.float32)))
