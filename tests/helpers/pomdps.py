"""Finite POMDPs to test with: files that others wrote, where a machine has them, and such as are drawn."""

import os
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from envs.finite import FinitePOMDP
from policies.exact.histories import belief_graph
from policies.exact.tabular import value_iteration
from tests.helpers.scripts import ROOT

FILES = Path(os.environ.get("POMDP_FILES") or ROOT.parent / "shared/fixtures/pomdp")
needs_files = pytest.mark.skipif(not FILES.is_dir(), reason="the files of others are not on this machine")

TIGER = (ROOT / "configs/envs/tiger.pomdp").read_text()


def drawn_pomdp(rng, states=3, actions=2, observations=2, ends=0.3):
    """A domain of random numbers, some of them 0; `ends` is the share of transitions that may end the episode."""

    def rows(*shape):
        weight = rng.random(shape) * (rng.random(shape) < 0.7)
        weight[..., 0] += 0.1
        return weight / weight.sum(axis=-1, keepdims=True)

    may_end = rng.random((actions, states, states)) < ends
    return FinitePOMDP(
        start_S=rows(states),
        transition_ASE=tuple(rows(actions, states, states)),
        ends_ASE=tuple(may_end * rng.random(may_end.shape)) if ends else None,
        observation_AEO=tuple(rows(actions, states, observations)),
        reward_SA=rng.normal(size=(states, actions)),
        discount=0.9,
        states=tuple(f"s{i}" for i in range(states)),
        actions=tuple(f"a{i}" for i in range(actions)),
        observations=tuple(f"o{i}" for i in range(observations)),
        first_SO=rows(states, observations),
    )


def assert_same(one, other):
    """That two domains have the same arrays, bit for bit."""
    for name in ("start_S", "reward_SA", "discount", "states", "actions", "observations"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    for name in ("transition_ASE", "observation_AEO", "ends_ASE"):
        if getattr(one, name) is None:
            assert getattr(other, name) is None
            continue
        for first, second in zip(getattr(one, name), getattr(other, name), strict=True):
            assert type(first) is type(second)
            assert not (first != second).sum(), name
    assert (one.first_SO is None) == (other.first_SO is None)
    assert one.first_SO is None or not (one.first_SO != other.first_SO).sum()


def optimal_returns(rules, steps):
    """For 0, 1, … `steps` steps the best undiscounted return, by the (x, y) where an episode starts on a grid."""
    graph = belief_graph(replace(rules.model, discount=0.5))  # which beliefs there are does not hang on it
    graph, starts = replace(graph, model=rules.model), len(graph.first_R)
    row, column = np.divmod(rules.cell_J[rules._open_M[graph.belief_HS[:starts].argmax(axis=1)]], rules.cols)
    at = list(zip(column.tolist(), row.tolist()))
    sweeps = value_iteration(graph, np.zeros(graph.child_HAO.shape[:2]))
    return [dict(zip(at, values.q_HA[:starts].max(axis=1))) for values in islice(sweeps, steps + 1)]
