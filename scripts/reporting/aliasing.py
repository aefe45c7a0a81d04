"""What theory says that an asymmetric critic is spared (Lambrechts, Ernst & Mahajan, ICML 2025), in numbers."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from envs.finite import FinitePOMDP, Floats
from envs.t_maze import t_maze_model
from policies.exact.agent_states import AgentStates, window_states

STATES, AGENT_STATES, ACTIONS, OBSERVATIONS = 6, 3, 2, 2
DRAWN, DISCOUNT = 40, 0.9
LENGTH, WALK = 1, (0.4, 0.4, 0.1, 0.1)  # of the T-Maze, and how its actions are drawn: right, up, left, down
SAMPLES, TOGETHER = (100, 1_000, 10_000, 100_000), 32
FEATURES = (2, 4, 6, 12, 24)
ITERATIONS, RATE = 50, 1.0

TITLE = "What aliasing costs a critic: the finite-time bound's terms, computed"
NOTES = [
    f"{DRAWN} POMDPs that are drawn: {STATES} states, {AGENT_STATES} agent states whose update is drawn as well,",
    f"{ACTIONS} actions, {OBSERVATIONS} observations, rewards in [0, 1], γ = {DISCOUNT:g}, a drawn policy of the agent",
    "state ([policies/exact/agent_states.py](../../policies/exact/agent_states.py)). A symmetric critic is Q(z, a), an",
    "asymmetric one Q(s, z, a), which counts by its mean over the states that z stands for. Errors are ‖·‖_d, against",
    "Q(z, a) of the policy, by the discounted visitation d: means over POMDPs. Fixed points are exact; samples are",
    f"drawn from d, with steps of 1/√K and the mean of all iterates, {TOGETHER} times on the T-Maze. Windows are",
    f"of observations on the T-Maze of length {LENGTH}, whose actions are right, up, left, down by {WALK}.",
]
COLUMNS = ("what", "of", "symmetric", "asymmetric")


def rows() -> list[list[str]]:
    """All rows; less than a minute."""
    cases = [drawn(seed) for seed in range(DRAWN)]
    return [*_fixed_points(cases), *_windows(), *_sampled(walk(1)), *_features(cases), *_returns(cases)]


def drawn(seed: int) -> AgentStates:
    """A POMDP, an update of the agent state and a policy, drawn."""
    rng = np.random.default_rng(seed)
    S, Z, A, O = STATES, AGENT_STATES, ACTIONS, OBSERVATIONS  # noqa: E741
    model = FinitePOMDP(
        start_S=rng.dirichlet(np.ones(S)),
        transition_ASE=tuple(rng.dirichlet(np.full(S, 0.5), (A, S))),
        ends_ASE=None,
        observation_AEO=tuple(rng.dirichlet(np.full(O, 0.5), (A, S))),
        reward_SA=rng.random((S, A)),
        discount=DISCOUNT,
        states=tuple(map(str, range(S))),
        actions=tuple(map(str, range(A))),
        observations=tuple(map(str, range(O))),
    )
    start_SZ = np.zeros((S, Z))
    start_SZ[:, 0] = model.start_S
    return AgentStates(model, start_SZ, rng.integers(Z, size=(Z, A, O)), rng.dirichlet(np.ones(A), Z))


def decodable(case: AgentStates) -> AgentStates:
    """The same, where the observation is the state and the agent state the observation."""
    S, _, A = case.sizes
    model = replace(case.model, observation_AEO=(np.eye(S),) * A, observations=case.model.states)
    policy_SA = np.random.default_rng(0).dirichlet(np.ones(A), S)
    return AgentStates(model, np.diag(model.start_S), np.broadcast_to(np.arange(S), (S, A, S)), policy_SA)


def _fixed_points(cases: list[AgentStates]) -> Iterator[list[str]]:
    for steps in (1, 2, 4, 8):
        errors = np.array([case.alias_error(steps) for case in cases])
        bounds = np.array([case.alias_bound(steps) for case in cases])
        exact = np.mean([case.norm(case.true_W - case.mean_WY @ case.values_Y) for case in cases])
        yield ["error of the fixed point", f"TD of {steps} steps", f"{errors.mean():.4f}", f"{exact:.4f}"]
        yield ["alias term, its bound", f"TD of {steps} steps", f"{bounds.mean():.4f}", "0"]
        share = (errors / bounds).max()
        yield ["greatest error over bound", f"TD of {steps} steps", f"{share:.3f}", "–"]
    most = max(decodable(case).alias_error() for case in cases)
    yield ["error of the fixed point", "z tells the state", f"{most:.0e}", "0"]


def walk(length: int) -> AgentStates:
    """The T-Maze, seen through a window."""
    return window_states(t_maze_model(LENGTH, 0.0, DISCOUNT), length, np.array(WALK))


def _windows() -> Iterator[list[str]]:
    for length in range(1, 5):
        case = walk(length)
        yield [
            "error of the fixed point",
            f"window of {length}, {case.sizes[1]} agent states",
            f"{case.alias_error():.4f}",
            "0",
        ]


def _sampled(case: AgentStates) -> Iterator[list[str]]:
    aliased = case.alias_error()
    for count in SAMPLES:
        symmetric, asymmetric = (np.mean(errors) for errors in (td(case, count, False), td(case, count, True)))
        of = f"{count:,} samples; in the end {aliased:.3f} and 0"
        yield ["error of averaged TD(0)", of, f"{symmetric:.3f}", f"{asymmetric:.3f}"]


def td(case: AgentStates, count: int, sees_state: bool, seed: int = 0) -> list[float]:
    """Errors of the mean iterate after so many samples, of runs side by side."""
    rng, step = np.random.default_rng(seed), 1 / np.sqrt(count)
    entry_Y = np.arange(len(case.reward_Y)) if sees_state else case.lift_YW.argmax(axis=1)
    value, runs = np.zeros((TOGETHER, entry_Y.max() + 1)), np.arange(TOGETHER)
    total: Floats = np.zeros_like(value)
    visits_Y, chain_YY = case.visits_Y.cumsum(), case.chain_YY.cumsum(axis=1)
    for _ in range(count):
        now = np.minimum(np.searchsorted(visits_Y, rng.random(TOGETHER)), len(visits_Y) - 1)
        after = (chain_YY[now] < rng.random((TOGETHER, 1))).sum(axis=1)
        goes_on, after = after < len(visits_Y), np.minimum(after, len(visits_Y) - 1)  # what is left over is the end
        target = case.reward_Y[now] + DISCOUNT * goes_on * value[runs, entry_Y[after]]
        value[runs, entry_Y[now]] += step * (target - value[runs, entry_Y[now]])
        total = total + value
    means = total / count
    of_agent = means @ case.mean_WY.T if sees_state else means
    return [case.norm(case.true_W - one) for one in of_agent]


def _features(cases: list[AgentStates]) -> Iterator[list[str]]:
    for count in (*FEATURES, STATES * AGENT_STATES * ACTIONS):
        found = np.array([linear(case, count, seed) for seed, case in enumerate(cases)])
        of = f"{min(count, AGENT_STATES * ACTIONS)} of {AGENT_STATES * ACTIONS}, {count} of {len(cases[0].reward_Y)}"
        yield ["error with random features", of, *(f"{error:.3f}" for error in found.mean(axis=0))]


def linear(case: AgentStates, count: int, seed: int) -> tuple[float, float]:
    """Errors of the fixed points of TD(0) with so many Gaussian features, of (z, a) and of (s, z, a)."""
    rng, few = np.random.default_rng(seed), min(count, case.lift_YW.shape[1])
    feature_YF = rng.normal(size=(len(case.reward_Y), count))
    fixed = [
        _projected(case, features)
        for features in (case.lift_YW @ rng.normal(size=(case.lift_YW.shape[1], few)), feature_YF)
    ]
    return tuple(case.norm(case.true_W - case.mean_WY @ value_Y) for value_Y in fixed)  # type: ignore[return-value]


def _projected(case: AgentStates, feature_YF: Floats) -> Floats:
    weighted_FY = feature_YF.T * case.visits_Y
    onward_YF = feature_YF - case.model.discount * case.chain_YY @ feature_YF
    return np.asarray(feature_YF @ np.linalg.lstsq(weighted_FY @ onward_YF, weighted_FY @ case.reward_Y, rcond=None)[0])


def _returns(cases: list[AgentStates]) -> Iterator[list[str]]:
    curves = np.array([[learned(case, sees_state) for sees_state in (False, True)] for case in cases])
    for iteration in (0, 1, 5, 10, ITERATIONS):
        mean = curves[:, :, iteration].mean(axis=0)
        yield ["return, natural actor-critic", f"after {iteration} iterations", *(f"{value:.3f}" for value in mean)]
    better = (curves[:, 1, -1] > curves[:, 0, -1] + 1e-6).sum(), (curves[:, 0, -1] > curves[:, 1, -1] + 1e-6).sum()
    yield ["the greater return at the end", f"of {len(cases)} POMDPs", *(str(count) for count in reversed(better))]


def learned(case: AgentStates, sees_state: bool) -> list[float]:
    """Returns from the start over iterations, by exact critics."""
    found = [case.start_value()]
    for _ in range(ITERATIONS):
        case = case.improved(case.true_W if sees_state else case.fixed_point_W(), RATE)
        found.append(case.start_value())
    return found
