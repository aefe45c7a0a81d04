"""Bellman's operators over histories, and the methods that use them, held to theorems and to numbers of others.

The numbers are of Heaven-Hell-n, where all that there is to know of a history is (cell, unknown | left | right).
"""

from dataclasses import replace
from itertools import islice, pairwise

import numpy as np
import pytest

from envs.finite import FinitePOMDP
from envs.heaven_hell_n import heaven_hell_model
from policies.exact.histories import belief_graph, greedy, history_tree
from policies.exact.tabular import (
    METHODS,
    READINGS,
    Values,
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
from utils.errors import UserError

GAMMA = 0.99


def tiger():
    """Listening is right with 0.85 and costs 1; a door pays 10 or -100 and puts the tiger behind a door anew."""
    stay, anew = np.eye(2), np.full((2, 2), 0.5)
    hears = np.array([[0.85, 0.15], [0.15, 0.85]])
    return FinitePOMDP(
        start_S=np.array([0.5, 0.5]),
        transition_ASE=(stay, anew, anew),
        ends_ASE=None,
        observation_AEO=(hears, anew, anew),
        reward_SA=np.array([[-1.0, -100.0, 10.0], [-1.0, 10.0, -100.0]]),
        discount=0.95,
        states=("left", "right"),
        actions=("listen", "open left", "open right"),
        observations=("left", "right"),
    )


def drawn(seed, states=3, actions=2, observations=2, ends=True, first=False):
    """A POMDP of random numbers, some of which are zeros; with `first`, something is seen before the first action."""
    rng = np.random.default_rng(seed)

    def rows(*shape):
        weight = rng.random(shape) * (rng.random(shape) < 0.7)
        weight[..., 0] += 0.1
        return weight / weight.sum(axis=-1, keepdims=True)

    return FinitePOMDP(
        start_S=rows(states),
        transition_ASE=tuple(rows(actions, states, states)),
        ends_ASE=tuple(rng.random((actions, states, states)) * 0.4) if ends else None,
        observation_AEO=tuple(rows(actions, states, observations)),
        reward_SA=rng.normal(size=(states, actions)),
        discount=0.9,
        states=tuple(map(str, range(states))),
        actions=tuple(map(str, range(actions))),
        observations=tuple(map(str, range(observations))),
        first_SO=rows(states, observations) if first else None,
    )


CASES = {"tiger": (tiger(), 4), "random": (drawn(0), 4), "first": (drawn(1, first=True), 3),
         "heaven-hell": (heaven_hell_model(1), 5)}  # fmt: skip


@pytest.fixture(params=CASES)
def tree(request):
    model, depth = CASES[request.param]
    return history_tree(model, depth)


def random_u(tree, seed=0):
    shape = (*tree.belief_HS.shape, len(tree.model.actions))
    return np.where(tree.belief_HS[:, :, None] > 0, np.random.default_rng(seed).normal(size=shape), 0.0)


def by_recursion(model, depth):
    """The optimal value from unnormalised weights of states, one history at a time, and the number of histories."""
    seen = [0]

    def follow(weight, action):
        for obs in range(len(model.observations)):
            after = np.zeros(len(weight))
            for s in range(len(weight)):
                for e in range(len(weight)):
                    goes_on = 1 - (0 if model.ends_ASE is None else model.ends_ASE[action][s, e])
                    chance = model.transition_ASE[action][s, e] * goes_on * model.observation_AEO[action][e, obs]
                    after[e] += weight[s] * chance
            if after.any():
                yield after

    def best(weight, left):
        if not left:
            return 0.0
        seen[0] += 1
        return max(
            weight @ model.reward_SA[:, a] + model.discount * sum(best(after, left - 1) for after in follow(weight, a))
            for a in range(len(model.actions))
        )

    if model.first_SO is None:
        starts = [model.start_S]
    else:
        starts = [model.start_S * model.first_SO[:, o] for o in range(len(model.observations))]
    return sum(best(start, depth) for start in starts if start.any()), seen[0]


def test_a_tree_has_every_history_that_is_possible(tree):
    value, number = by_recursion(tree.model, tree.depth)
    assert len(tree) == number
    q_HA = settled(value_iteration(tree, np.zeros((len(tree), len(tree.model.actions)))))[0].q_HA
    assert tree.start_value(q_HA) == pytest.approx(value, abs=1e-12)


def test_tiger_has_259_histories_of_less_than_four_decisions():
    tree = history_tree(tiger(), 4)
    assert len(tree) == 1 + 6 + 36 + 216
    heard_left = tree.child_HAO[0, 0, 0]
    np.testing.assert_allclose(tree.belief_HS[heard_left], [0.85, 0.15])
    np.testing.assert_allclose(tree.belief_HS[tree.child_HAO[heard_left, 0, 0]], [0.85**2 / 0.745, 0.15**2 / 0.745])
    np.testing.assert_allclose(tree.chance_HAO[heard_left, 0], [0.745, 0.255])  # 0.85² + 0.15²
    assert len(history_tree(heaven_hell_model(1), 7)) == 5058  # about 4^t at depth t


def test_asymmetric_evaluation_is_the_optimality_operator_where_q_is_that_of_u(tree):
    """Lemma 4.2; 4e-16 was observed elsewhere."""
    u = random_u(tree)
    q = tree.expectation(u)
    assert np.abs(tree.expectation(tree.evaluated_states(u, greedy(q))) - tree.optimised(q)).max() < 1e-12


@pytest.mark.parametrize("consistent", [True, False])
def test_aavi_is_backward_induction_after_as_many_iterations_as_decisions(tree, consistent):
    u = random_u(tree)
    q = tree.expectation(u) if consistent else np.random.default_rng(1).normal(size=u.shape[::2])
    *_, before, last = islice(asymmetric_value_iteration(tree, u, q), tree.depth + 1)
    value, _ = by_recursion(tree.model, tree.depth)
    assert tree.start_value(last.q_HA) == pytest.approx(value, abs=1e-12)
    assert np.abs(tree.optimised(last.q_HA) - last.q_HA).max() < 1e-12
    assert before.distance(last) > 1e-6  # not sooner


def test_iterates_of_aavi_are_those_of_value_iteration(tree):
    u = random_u(tree)
    q = tree.expectation(u)
    pairs = zip(islice(asymmetric_value_iteration(tree, u, q), 6), value_iteration(tree, q), strict=False)
    assert max(np.abs(ours.q_HA - theirs.q_HA).max() for ours, theirs in pairs) < 1e-12


def test_an_inconsistent_start_spoils_the_first_iterate_only(tree):
    u, q = random_u(tree), np.random.default_rng(1).normal(size=(len(tree), len(tree.model.actions)))
    first, second, third = islice(asymmetric_value_iteration(tree, u, q), 3)
    assert np.abs(second.q_HA - tree.optimised(first.q_HA)).max() > 1e-3
    assert np.abs(third.q_HA - tree.optimised(second.q_HA)).max() < 1e-12


def test_policy_iteration_ends_at_the_optimum_and_no_value_ever_falls(tree):
    worst = np.random.default_rng(2).integers(len(tree.model.actions), size=len(tree))
    iterates = list(asymmetric_policy_iteration(tree, worst))
    for before, after in pairwise(iterates):
        greedy_before = np.take_along_axis(after.q_HA, before.policy_H[:, None], 1)[:, 0]
        assert (greedy_before >= before.q_HA.max(axis=1) - 1e-12).all()
        assert (after.q_HA >= before.q_HA - 1e-12).all()
    u = random_u(tree)
    optimal, _ = settled(asymmetric_value_iteration(tree, u, tree.expectation(u)))
    np.testing.assert_allclose(iterates[-1].q_HA, optimal.q_HA, atol=1e-12)
    assert 2 <= len(iterates) <= tree.depth + 2


def test_the_value_of_a_policy_is_the_expectation_of_that_with_the_state(tree):
    policy = np.random.default_rng(3).integers(len(tree.model.actions), size=len(tree))
    q = settled(policy_evaluation(tree, policy))[0].q_HA
    assert np.abs(tree.expectation(policy_values(tree, policy)) - q).max() < 1e-12


def test_all_operators_contract(tree):
    policy = np.random.default_rng(4).integers(len(tree.model.actions), size=len(tree))
    gamma = tree.model.discount + 1e-12
    for seed in range(5):
        u, v = random_u(tree, seed), random_u(tree, seed + 50)
        q, p = tree.expectation(u), tree.expectation(v)
        for operator, a, b in (
            (lambda x: tree.evaluated_states(x, policy), u, v),
            (lambda x: tree.evaluated(x, policy), q, p),
            (tree.optimised, q, p),
        ):
            assert 0 < np.abs(operator(a) - operator(b)).max() <= gamma * np.abs(a - b).max()


def test_q_learning_is_consistent_unbiased_or_biased_by_how_it_is_read():
    """Elsewhere max|Q - Q*| was 0.008, 0.062 and 0.25 and max|Q - EU| 3e-14, 0.062 and 0.26 on another random POMDP."""
    tree = history_tree(replace(drawn(5, states=2, ends=False), start_S=np.array([0.7, 0.3])), 3)
    optimal = settled(value_iteration(tree, np.zeros((len(tree), 2))))[0].q_HA
    off_optimum, off_u = {}, {}
    for reading in READINGS:
        learned = asymmetric_q_learning(tree, 60_000, reading, rng=np.random.default_rng(0))
        off_optimum[reading] = np.abs(learned.q_HA - optimal).max()
        off_u[reading] = np.abs(learned.q_HA - tree.expectation(learned.u_HSA)).max()
    assert off_u["consistent"] < 1e-10
    assert off_optimum["consistent"] < 0.06
    assert 1e-3 < off_u["algorithm3"] < 0.1
    assert off_optimum["algorithm3"] < 0.1
    assert off_u["eq14_naive"] > 0.15
    assert off_optimum["eq14_naive"] > 0.15


def test_the_naive_reading_weighs_states_by_the_square_of_their_probability():
    model = replace(drawn(5, states=2, ends=False), start_S=np.array([0.7, 0.3]))
    tree = history_tree(model, 1)
    learned = asymmetric_q_learning(tree, 100_000, "eq14_naive", rng=np.random.default_rng(0))
    np.testing.assert_allclose(learned.q_HA[0], np.array([0.49, 0.09]) @ model.reward_SA / 0.58, atol=0.03)
    assert np.abs(learned.q_HA[0] - model.start_S @ model.reward_SA).max() > 0.1


def test_q_learning_stops_at_ends():
    model = heaven_hell_model(1)
    tree = history_tree(model, 4)  # start, north, west or east, and what the exit pays
    learned = asymmetric_q_learning(tree, 20_000, rng=np.random.default_rng(0))
    at_fork = tree.child_HAO[0, 0, 1]
    np.testing.assert_allclose(learned.u_HSA[at_fork, 1, 2:], [-0.99, 0.99], atol=0.02)  # heaven is in the west
    np.testing.assert_allclose(learned.u_HSA[at_fork, 7, 2:], [0.99, -0.99], atol=0.02)


@pytest.mark.parametrize("n, value", [(1, 0.941480), (2, 0.904382), (3, 0.868746), (4, 0.834514)])
def test_heaven_hell_has_a_graph_of_beliefs(n, value):
    solved = solve(heaven_hell_model(n), "vi")
    assert len(solved.histories) == 3 * (4 * n + 2) - 1  # on the priest's cell nobody knows nothing
    assert solved.start_value == pytest.approx(GAMMA ** (4 * n + 2), abs=1e-12) == pytest.approx(value, abs=5e-7)
    if n == 3:
        np.testing.assert_allclose(solved.values.q_HA[0], [0.851458, 0.868746, 0.860058, 0.860058], atol=5e-7)


def at(graph, cell, known=None, n=1):
    """The number of the belief that stands on a cell and knows the side or does not."""
    cells = 4 * n + 2
    belief_S = np.zeros(2 * cells)
    belief_S[[cell, cells + cell] if known is None else [cell + cells * (known == "right")]] = 1 + (known is not None)
    (found,) = np.flatnonzero((graph.belief_HS == belief_S / 2).all(axis=1))
    return found


@pytest.mark.parametrize("method", ["aavi", "api"])
def test_the_best_action_given_the_state_is_not_that_of_the_optimal_policy(method):
    solved = solve(heaven_hell_model(1), method)
    fork = at(solved.histories, 1)
    asking = [0.92274, 0.93207]
    np.testing.assert_allclose(solved.values.q_HA[fork], [*asking, 0, 0], atol=5e-6)
    left, right = solved.values.u_HSA[fork, [1, 7]]
    np.testing.assert_allclose(left, [*asking, -0.99, 0.99], atol=5e-6)
    np.testing.assert_allclose(right, [*asking, 0.99, -0.99], atol=5e-6)
    assert solved.values.policy_H[fork] == 1  # south, to the priest
    assert (left.argmax(), right.argmax()) == (3, 2)  # west and east, straight to heaven


@pytest.mark.parametrize(
    "n, before, after, monte_carlo, td",
    [(1, 0.941480, 0.980100, 0.960790, 0.943290), (3, 0.868746, 0.941480, 0.905113, 0.877838)],
)
def test_a_critic_of_the_state_alone_is_wrong_by_so_much(n, before, after, monte_carlo, td):
    solved = solve(heaven_hell_model(n), "aavi")
    graph, policy = solved.histories, solved.values.policy_H
    unknown, told = at(graph, 0, n=n), at(graph, 0, "left", n=n)
    assert solved.values.u_HSA[unknown, 0, policy[unknown]] == pytest.approx(before, abs=5e-7)
    assert solved.values.u_HSA[told, 0, policy[told]] == pytest.approx(after, abs=5e-7)
    assert [values[0] for values in state_only_values(graph, policy)] == pytest.approx([monte_carlo, td], abs=5e-7)


def test_a_tree_and_the_graph_agree_where_the_horizon_is_long_enough():
    by_tree, by_graph = solve(heaven_hell_model(1), "api", 7), solve(heaven_hell_model(1), "api")
    assert by_tree.start_value == pytest.approx(by_graph.start_value, abs=1e-12)
    assert solve(heaven_hell_model(1), "vi", 6).start_value == 0  # too few steps to ask: a coin


@pytest.mark.parametrize("method", ["vi", "aavi", "api"])
@pytest.mark.parametrize("discount", [0.9999, 0.999999])
def test_what_is_hardly_discounted_settles_at_what_its_policy_is_worth(method, discount):
    model = replace(tiger(), discount=discount)
    solved = solve(model, method)
    graph, every = solved.histories, np.arange(len(solved.histories))
    step_HH, policy_H = np.zeros((len(graph), len(graph))), solved.values.policy_H
    for o in range(2):
        np.add.at(step_HH, (every, graph.child_HAO[every, policy_H, o]), graph.chance_HAO[every, policy_H, o])
    reward_HA = graph.belief_HS @ model.reward_SA
    worth_H = np.linalg.solve(np.eye(len(graph)) - discount * step_HH, reward_HA[every, policy_H])
    np.testing.assert_allclose(solved.values.q_HA.max(axis=1), worth_H, rtol=1e-8)
    after_HA = np.einsum("hao,hao->ha", graph.chance_HAO, worth_H[graph.child_HAO])
    np.testing.assert_allclose((reward_HA + discount * after_HA).max(axis=1), worth_H, rtol=1e-12)  # the optimum
    assert solved.iterations < 3000


def test_a_leap_that_leads_astray_is_taken_back():
    def bent():
        """Towards 1000 by a thousandth of the way, but beyond 900 towards that by halves."""
        q = 0.0
        while True:
            sent = yield Values(np.full((1, 1), q))
            q = q if sent is None else float(sent.q_HA[0, 0])
            q = 0.999 * q + 1.0 if q < 900 else 900 + (q - 900) / 2

    values, number = settled(bent())
    assert values.q_HA[0, 0] == pytest.approx(900, abs=1e-9)
    assert 2300 < number < 2400  # 0.999^2302 is a tenth


def test_every_method_is_chosen_by_its_name():
    for method in METHODS:
        solved = solve(tiger(), method, 2, episodes=20_000)
        assert solved.start_value == pytest.approx(-1 - 0.95, abs=0.05 if method == "aql" else 1e-12)
    assert solve(drawn(1, first=True), "vi", 3).start_value == pytest.approx(
        by_recursion(drawn(1, first=True), 3)[0], abs=1e-12
    )


def test_what_cannot_be_solved_so_is_refused_in_one_line(monkeypatch):
    with pytest.raises(UserError, match="--method: 'sarsa'; choose from vi, aavi, api, aql"):
        solve(tiger(), "sarsa", 2)
    with pytest.raises(UserError, match="--horizon: aql needs one"):
        solve(tiger(), "aql")
    with pytest.raises(UserError, match="there are more than 100 beliefs; give a horizon"):
        belief_graph(drawn(0, states=4), most=100)
    with pytest.raises(UserError, match="rewards that are not discounted need one"):
        solve(replace(tiger(), discount=1.0), "vi")
    with pytest.raises(UserError, match="--reading: 'naive'; choose from consistent"):
        asymmetric_q_learning(history_tree(tiger(), 2), 1, "naive", rng=np.random.default_rng(0))
    monkeypatch.setattr("policies.exact.histories.MOST_NUMBERS", 10_000)
    with pytest.raises(UserError, match="--horizon: 12 decisions are too many"):
        solve(tiger(), "vi", 12)
    with pytest.raises(UserError, match="tables of 300 states do not fit"):
        solve(heaven_hell_model(37), "vi")
