"""What the theory of Asymmetric DQN claims (Baisero, Daley & Amato, UAI 2022), as rows of a page: theirs beside ours.

Theirs are numbers that others computed for the paper's definitions; what depends on drawn numbers is of another draw.
"""

from collections.abc import Iterator
from itertools import islice, pairwise

import numpy as np

from envs.finite import FinitePOMDP, Floats
from envs.heaven_hell_n import heaven_hell_model
from policies.exact.histories import Histories, greedy, history_tree
from policies.exact.tabular import (
    READINGS,
    Solved,
    asymmetric_policy_iteration,
    asymmetric_q_learning,
    asymmetric_value_iteration,
    policy_evaluation,
    policy_values,
    settled,
    solve,
    state_only_values,
    value_iteration,
)

TITLE = "Tabular methods: the theory of Asymmetric DQN, in numbers"
NOTES = [
    "VI, AAVI, API and AQL over the histories or beliefs of finite POMDPs",
    "([policies/exact/tabular.py](../../policies/exact/tabular.py)): what follows from the paper's definitions, as",
    "others worked it out, and as it comes out here. What is not of Heaven-Hell-n is of a POMDP of two states, actions",
    "and observations with γ = 0.9 that was drawn, theirs by another draw: sizes compare, digits do not. Heaven-Hell-n",
    "has γ = 0.99 and is solved over its beliefs, without a horizon.",
    "",
    "Of the three readings of AQL's update of Q, `consistent` keeps Q = E U, `algorithm3` is as the paper prints it,",
    "and `eq14_naive`, which weighs by Pr(s given h) what is already weighed by being visited, is biased: a control.",
]
COLUMNS = ("what", "theirs", "ours")
OF_Q_LEARNING = {"consistent": ("0.008", "3e-14"), "algorithm3": ("0.062", "0.062"), "eq14_naive": ("0.25", "0.26")}


def rows() -> list[list[str]]:
    """All rows, in the order of `COLUMNS`; some seconds."""
    tree = history_tree(drawn_pomdp(), 3)
    return [*_identities(tree), *_of_q_learning(tree), *_of_heaven_hell()]


def drawn_pomdp(seed: int = 0) -> FinitePOMDP:
    """Two states, actions and observations, which start by (0.7, 0.3), and γ = 0.9; the rest is drawn."""
    rng = np.random.default_rng(seed)
    names = ("0", "1")
    return FinitePOMDP(
        start_S=np.array([0.7, 0.3]),
        transition_ASE=tuple(rng.dirichlet(np.ones(2), (2, 2))),
        ends_ASE=None,
        observation_AEO=tuple(rng.dirichlet(np.ones(2), (2, 2))),
        reward_SA=rng.normal(size=(2, 2)),
        discount=0.9,
        states=names,
        actions=names,
        observations=names,
    )


def _identities(tree: Histories) -> Iterator[list[str]]:
    rng = np.random.default_rng(0)
    u, q = rng.normal(size=(len(tree), 2, 2)), rng.normal(size=(len(tree), 2))
    consistent = tree.expectation(u)
    after_u = tree.expectation(tree.evaluated_states(u, greedy(consistent)))
    yield [
        "greatest difference of E B_g(Q) U and B Q, where Q = E U",
        "4e-16",
        _far(after_u, tree.optimised(consistent)),
    ]
    optimum = settled(value_iteration(tree, np.zeros_like(q)))[0].q_HA
    for start, name in ((consistent, "consistent"), (q, "inconsistent")):
        third = list(islice(asymmetric_value_iteration(tree, u, start), 4))[3]
        yield [f"AAVI, {name} start, iteration 3 of depth 3: off Q*", "2e-16", _far(third.q_HA, optimum)]
    pairs = list(zip(islice(asymmetric_value_iteration(tree, u, consistent), 6), value_iteration(tree, consistent)))
    most = max(np.abs(ours.q_HA - theirs.q_HA).max() for ours, theirs in pairs)
    yield ["AAVI and VI, iterate by iterate, where Q = E U", "0, by theorem", f"{most:.0e}"]
    policy = rng.integers(2, size=len(tree))
    iterates = list(asymmetric_policy_iteration(tree, policy))
    falls = max(float((before.q_HA - after.q_HA).max()) for before, after in pairwise(iterates))
    yield ["API: off Q* at its end", "0, by theorem", _far(iterates[-1].q_HA, optimum)]
    yield ["API: the greatest fall of a value", "0, by theorem", f"{max(0.0, falls):.0e}"]
    of_policy = settled(policy_evaluation(tree, policy))[0].q_HA
    yield [
        "Q^π and E U^π of a drawn policy",
        "0, by theorem",
        _far(tree.expectation(policy_values(tree, policy)), of_policy),
    ]
    v = rng.normal(size=u.shape)
    shrinks = _ratio(tree.evaluated_states(u, policy) - tree.evaluated_states(v, policy), u - v)
    yield ["contraction of B_π on U, at most γ = 0.9", "≤ 0.9", f"{shrinks:.3f}"]


def _of_q_learning(tree: Histories) -> Iterator[list[str]]:
    optimum = settled(value_iteration(tree, np.zeros((len(tree), 2))))[0].q_HA
    for reading in READINGS:
        learned = asymmetric_q_learning(tree, 120_000, reading, rng=np.random.default_rng(0))
        assert learned.u_HSA is not None, "it has one"
        off_optimum, off_u = OF_Q_LEARNING[reading]
        yield [f"AQL, `{reading}`, 120,000 episodes: off Q*", off_optimum, _far(learned.q_HA, optimum)]
        yield [f"AQL, `{reading}`: Q off E U", off_u, _far(learned.q_HA, tree.expectation(learned.u_HSA))]


def _of_heaven_hell() -> Iterator[list[str]]:
    solved = {n: solve(heaven_hell_model(n), "aavi") for n in (1, 2, 3, 4)}
    for n, optimum in ((1, "0.941480"), (2, "0.904382"), (3, "0.868746"), (4, "0.834514")):
        yield [f"Heaven-Hell-{n}: V* at the start", optimum, f"{solved[n].start_value:.6f}"]
    start = "0.851458, 0.868746, 0.860058, 0.860058"
    yield ["Heaven-Hell-3: Q* at the start (N, S, E, W)", start, _list(solved[3].values.q_HA[0], 6)]
    fork, u_HSA = solved[1].histories.child_HAO[0, 0, 1], solved[1].values.u_HSA
    assert u_HSA is not None, "AAVI has one"
    yield ["Heaven-Hell-1, (start, N): Q*", "0.92274, 0.93207, 0, 0", _list(solved[1].values.q_HA[fork])]
    left, right = "0.92274, 0.93207, -0.99, 0.99", "0.92274, 0.93207, 0.99, -0.99"
    yield ["Heaven-Hell-1, (start, N): U*, heaven on the left", left, _list(u_HSA[fork, 1])]
    yield ["Heaven-Hell-1, (start, N): U*, heaven on the right", right, _list(u_HSA[fork, 7])]
    for n, theirs in (
        (1, ("0.941480", "0.980100", "0.960790", "0.943290")),
        (3, ("0.868746", "0.941480", "0.905113", "0.877838")),
    ):
        for what, one, ours in zip(
            ("before the priest", "after", "by Monte Carlo", "by TD(0)"), theirs, _start(solved[n])
        ):
            whose = "a critic of the state alone, " if what.startswith("by") else ""
            yield [f"Heaven-Hell-{n}: value of the start cell, {whose}{what}", one, f"{ours:.6f}"]


def _start(solved: Solved) -> list[float]:
    """The values of the start cell before and after the priest's answer, and what critics of the state alone have."""
    graph, policy, u_HSA = solved.histories, solved.values.policy_H, solved.values.u_HSA
    assert u_HSA is not None, "AAVI has one"
    told = np.flatnonzero((graph.belief_HS[:, 0] == 1.0) & (graph.visits(policy) > 0))[0]
    critics = [float(values[0]) for values in state_only_values(graph, policy)]
    return [float(u_HSA[h, 0, policy[h]]) for h in (0, told)] + critics


def _far(a: Floats, b: Floats) -> str:
    far = float(np.abs(a - b).max())
    return f"{far:.0e}" if far < 1e-3 else f"{far:.3f}"


def _ratio(a: Floats, b: Floats) -> float:
    return float(np.abs(a).max() / np.abs(b).max())


def _list(values: Floats, digits: int = 5) -> str:
    return ", ".join(f"{x:.{digits}f}" if x else "0" for x in values)
