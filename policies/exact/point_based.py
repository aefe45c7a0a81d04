"""Point-based value iteration with heuristic search: lower and upper bound of the optimal value at the start belief.

Trials go down from the start, by the action that the upper bound holds to be best and the observation that leaves most
open (Smith & Simmons, 2005), and back up along their path. They begin in turns at the start and at a corner, from whose
values all others are made. Equal beliefs are one node of a graph, whose upper bounds are also iterated all together, as
values of the corners and points of the sawtooth (Poupart, Kim & Kim, 2011).

Bounds are exact up to the rounding of double precision. With a horizon there is a pair of bounds for each number of
steps that are left, without one there is one pair, which is its own successor.

Dimension key: N nodes, X expanded ones, C edges, A actions, S states, O observations, K alpha vectors, Q some nodes.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from envs.finite import FinitePOMDP, Floats, never
from policies.exact.bounds import (
    AlphaVectors,
    Sawtooth,
    blind_policies,
    fast_informed_bound,
    fast_informed_step,
    hurried_steps,
)
from policies.exact.dynamics import Dynamics
from policies.exact.growing import Growing
from utils.errors import UserError

Ints = npt.NDArray[np.intp]

DIGITS = 13  # beliefs that agree in so many are one
NEXT_GAP = 0.9  # of the gap: what a trial leaves undone below
SWEEP_GROWTH = 1.25  # of the number of expanded nodes, after which the whole graph is backed up
SWEEP_ROUNDS = 40
SWEEP_VECTORS = 300
FEW_NODES = 4_000  # whose values by new vectors are worked out together
NEGLIGIBLE = 1e-3  # of the gap: what a sweep leaves undone
DEEPEST = 5_000
MOST_CORNERS = 500  # states, up to which the corners are nodes of the graph
MOST_NUMBERS = 250_000_000  # of beliefs that are kept; then the graph starts anew
ROUNDING = 1e-12  # relative: a gap that says nothing any more


@dataclass(frozen=True)
class Progress:
    """How far a solver is.

    Attributes:
        lower, upper: bounds of the value at the start.
        trials: paths that were searched.
        nodes: beliefs that bounds were computed of.
        alpha_vectors: of the lower bound.
        points: of the upper bound.
    """

    lower: float
    upper: float
    trials: int
    nodes: int
    alpha_vectors: int
    points: int

    @property
    def gap(self) -> float:
        """What the bounds leave open, which rounding may make less than nothing."""
        return max(0.0, self.upper - self.lower)

    @property
    def closed(self) -> bool:
        """Whether what is open is below the rounding of double precision."""
        return bool(_closed(self.upper, self.gap))


def _closed(upper: float, gap: float) -> bool:
    return gap <= ROUNDING * (1.0 + abs(upper))


class Solver:
    """Tightens bounds of the value of a POMDP, trial by trial.

    Args:
        model: the POMDP; its discount is below 1 unless there is a horizon.
        horizon: the number of steps of an episode; None: it has no other end than its own.
        is_late: whether time is up. Then the first bounds, which may take long, are what can be had at once.
    """

    def __init__(self, model: FinitePOMDP, horizon: int | None = None, is_late: Callable[[], bool] = never):
        if horizon is None and model.discount >= 1:
            raise UserError("--horizon: rewards that are not discounted need one")
        if model.discount <= 0:
            raise UserError("--discount: expected above 0, and at most 1")
        self.dynamics, self.horizon, self.trials = Dynamics(model), horizon, 0
        self.discount, self.top = model.discount, horizon or 0
        self.lowers, self.uppers = _first_bounds(self.dynamics, horizon, is_late)
        self.chance_R, self.first_RS = self.dynamics.first()
        self._pruned = [0] * len(self.lowers)
        self._empty()

    def _empty(self) -> None:
        """A graph of the start alone."""
        num_S, num_A = self.dynamics.num_states, self.dynamics.num_actions
        self.number: dict[tuple[int, bytes], int] = {}
        self.beliefs = Growing((num_S,))
        self.stage, self.best_alpha, self.seen_alphas = (Growing((), np.intp) for _ in range(3))
        self.lower, self.upper, self.share = Growing(), Growing(), Growing()
        self.point, self.seen_points = Growing((), np.intp), Growing((), np.intp)
        self.expanded, self.own_point = Growing((), np.intp), Growing((), np.intp)  # -1: not yet
        self.reward_XA, self.node_X = Growing((num_A,)), Growing((), np.intp)
        self.first_edge_X = Growing((), np.intp)
        self.child, self.chance, self.segment = Growing((), np.intp), Growing(), Growing((), np.intp)
        self.observation = Growing((), np.intp)
        self._swept = 1
        self.roots = self._nodes(self.first_RS, self.top)
        self.refresh_upper(self.roots)
        few = self.horizon is None and num_S <= MOST_CORNERS
        self.corners = self._nodes(np.eye(num_S), 0) if few else np.zeros(0, np.intp)
        for node in self.corners:
            self.expand(int(node))

    # -- nodes -----------------------------------------------------------------------------------------------------

    def after(self, stage: int) -> int:
        """The stage of what follows."""
        return stage if self.horizon is None else stage - 1

    def _nodes(self, belief_QS: Floats, stage: int) -> Ints:
        """The nodes of beliefs, new ones for those that have none."""
        keys = [(stage, row.tobytes()) for row in belief_QS.round(DIGITS) + 0.0]
        new = [q for q, key in enumerate(keys) if self.number.setdefault(key, len(self.number)) >= len(self.beliefs)]
        new = list({self.number[keys[q]]: q for q in new}.values())
        if new:
            self._add(belief_QS[new], stage)
        return np.array([self.number[key] for key in keys], np.intp)

    def _add(self, belief_QS: Floats, stage: int) -> None:
        num, alphas = len(belief_QS), self.lowers[stage]
        lower_Q, best_Q = alphas.best(belief_QS)
        upper_Q = self.uppers[stage].at_corners(belief_QS)
        new = (
            (self.beliefs, belief_QS), (self.stage, stage), (self.lower, lower_Q), (self.best_alpha, best_Q),
            (self.seen_alphas, len(alphas)), (self.upper, upper_Q), (self.point, -1), (self.share, 0.0),
            (self.seen_points, 0), (self.expanded, -1), (self.own_point, -1),
        )  # fmt: skip
        for column, value in new:
            column.add(value if np.ndim(value) else np.full(num, value))

    def expand(self, node: int) -> None:
        """Adds what may follow a node."""
        found = self.dynamics.successors(self.beliefs.rows[node])
        number = len(self.node_X)
        self.expanded.rows[node] = number
        self.first_edge_X.add([len(self.child)])
        self.reward_XA.add((self.beliefs.rows[node] @ self.dynamics.model.reward_SA)[None])
        self.node_X.add([node])
        self.child.add(self._nodes(found.belief_CS, self.after(int(self.stage.rows[node]))))
        self.chance.add(found.chance_C)
        self.observation.add(found.observation_C)
        self.segment.add(number * self.dynamics.num_actions + found.action_C)

    def edges(self, node: int) -> slice:
        """The edges of an expanded node."""
        number = int(self.expanded.rows[node])
        ends = self.first_edge_X.rows[number + 1 : number + 2]
        return slice(int(self.first_edge_X.rows[number]), int(ends[0]) if len(ends) else len(self.child))

    def refresh_lower(self, nodes_Q: Ints) -> None:
        """Has new alpha vectors count at nodes of one stage."""
        if len(nodes_Q):
            alphas = self.lowers[int(self.stage.rows[nodes_Q[0]])]
            self._by_age(nodes_Q, self.seen_alphas, alphas, self._raise)

    def refresh_upper(self, nodes_Q: Ints) -> None:
        """Has new points count at nodes of one stage."""
        if len(nodes_Q):
            sawtooth = self.uppers[int(self.stage.rows[nodes_Q[0]])]
            self._by_age(nodes_Q, self.seen_points, sawtooth, self._lower)

    def _by_age(self, nodes_Q: Ints, seen: Growing, bound: AlphaVectors | Sawtooth, take: Callable[..., None]) -> None:
        """Hands to `take` what the bound gives at nodes by its vectors or points that they have not seen."""
        seen_Q = seen.rows[nodes_Q]
        for first in np.unique(seen_Q[seen_Q < len(bound)]):
            older = nodes_Q[seen_Q == first]
            take(older, *bound.best(self.beliefs.rows[older], int(first)))
        seen.rows[nodes_Q] = len(bound)

    def _raise(self, nodes_Q: Ints, lower_Q: Floats, best_Q: Ints) -> None:
        better = lower_Q > self.lower.rows[nodes_Q]
        self.lower.rows[nodes_Q[better]] = lower_Q[better]
        self.best_alpha.rows[nodes_Q[better]] = best_Q[better]

    def _lower(self, nodes_Q: Ints, upper_Q: Floats, point_Q: Ints, share_Q: Floats) -> None:
        better = upper_Q < self.upper.rows[nodes_Q]
        self.upper.rows[nodes_Q[better]] = upper_Q[better]
        self.point.rows[nodes_Q[better]] = point_Q[better]
        self.share.rows[nodes_Q[better]] = share_Q[better]

    # -- backups ---------------------------------------------------------------------------------------------------

    def values(self, node: int, bound: Growing) -> Floats:
        """One step's look ahead from an expanded node by a bound of its successors (A,)."""
        edges, number = self.edges(node), int(self.expanded.rows[node])
        num_A = self.dynamics.num_actions
        worth_C = self.chance.rows[edges] * bound.rows[self.child.rows[edges]]
        after_A = np.bincount(self.segment.rows[edges] - number * num_A, worth_C, minlength=num_A)
        value_A: Floats = self.reward_XA.rows[number] + self.discount * after_A
        return value_A

    def children(self, node: int, action: int) -> slice:
        """The edges of an action at an expanded node; those of a node stand in order of actions."""
        edges, key = self.edges(node), int(self.expanded.rows[node]) * self.dynamics.num_actions + action
        first, end = np.searchsorted(self.segment.rows[edges], [key, key + 1])
        return slice(edges.start + int(first), edges.start + int(end))

    def upper_values(self, node: int) -> Floats:
        """`values` by the upper bound (A,), of which the greatest is as low as can be now."""
        fresh = set[int]()
        while True:
            value_A = self.values(node, self.upper)
            action = int(value_A.argmax())
            if action in fresh:
                return value_A
            self.refresh_upper(self.child.rows[self.children(node, action)])
            fresh.add(action)

    def back_up(self, node: int) -> None:
        """Both bounds at an expanded node, from those of its successors."""
        upper_A = self.upper_values(node)
        if upper_A.max() < self.upper.rows[node]:
            self.upper.rows[node] = upper_A.max()
            self._keep_point(node)
        self.refresh_lower(np.array([node]))
        for promising in np.flatnonzero(upper_A >= self.lower.rows[node]):  # no other can raise the lower bound
            self.refresh_lower(self.child.rows[self.children(node, int(promising))])
        value_A = self.values(node, self.lower)
        action = int(value_A.argmax())
        if value_A[action] > self.lower.rows[node] + 1e-12 * (1 + abs(value_A[action])):
            self._add_vector(node, action)

    def _keep_point(self, node: int) -> None:
        """Has the upper bound of a node count elsewhere."""
        sawtooth, own = self.uppers[int(self.stage.rows[node])], int(self.own_point.rows[node])
        if own < 0:
            self.own_point.rows[node] = own = len(sawtooth)
            sawtooth.add(self.beliefs.rows[node], float(self.upper.rows[node]))
            self.point.rows[node], self.share.rows[node] = own, 1.0
        sawtooth.values.rows[own] = self.upper.rows[node]

    def _add_vector(self, node: int, action: int) -> None:
        """The vector of an action at a node, followed by the vectors that are best at its successors."""
        edges, stage = self.children(node, action), int(self.stage.rows[node])
        after = self.lowers[self.after(stage)]
        predicted_S = self.beliefs.rows[node] @ self.dynamics.on_ASE[action]
        next_O = np.full(self.dynamics.num_observations, after.best(predicted_S[None])[1][0])
        next_O[self.observation.rows[edges]] = self.best_alpha.rows[self.child.rows[edges]]
        vector_S = self.dynamics.before(action, after.vectors.rows[next_O])
        alphas = self.lowers[stage]
        alphas.add(vector_S, action, next_O)
        self._raise(np.array([node]), np.array([vector_S @ self.beliefs.rows[node]]), np.array([len(alphas) - 1]))

    # -- trials ----------------------------------------------------------------------------------------------------

    def trial(self, node: int | None, open_gap: float) -> None:
        """Searches a path from a node along which more than `open_gap` is left open, and backs up along it."""
        path, allowed = list[int](), open_gap
        while node is not None and len(path) < DEEPEST:
            if self.expanded.rows[node] < 0:
                self.expand(node)
            edges = self.children(node, int(self.upper_values(node).argmax()))
            self.refresh_lower(self.child.rows[edges])
            path.append(node)
            allowed /= self.discount
            node = self._most_open(self.child.rows[edges], self.chance.rows[edges], allowed)
        for one in reversed(path):
            self.back_up(one)
        self.trials += 1

    def _most_open(self, nodes_Q: Ints, chance_Q: Floats, allowed: float) -> int | None:
        """The node that leaves most open beyond what is allowed, by its chance; None where none does."""
        excess_Q = chance_Q * (self.upper.rows[nodes_Q] - self.lower.rows[nodes_Q] - allowed)
        if not len(excess_Q) or excess_Q.max() <= 0:
            return None
        return int(nodes_Q[excess_Q.argmax()])

    def sweep(self, enough: float) -> None:
        """Backs up both bounds all over the graph."""
        self._sweep_upper(enough)
        self._sweep_lower(enough)
        self._prune()
        self._swept = len(self.node_X)

    def _look_ahead(self, bound: Growing) -> Floats:
        """`values` of all expanded nodes (X, A)."""
        shape = (len(self.node_X), self.dynamics.num_actions)
        worth_C = self.chance.rows * bound.rows[self.child.rows]
        after_XA = np.bincount(self.segment.rows, worth_C, minlength=shape[0] * shape[1]).reshape(shape)
        value_XA: Floats = self.reward_XA.rows + self.discount * after_XA
        return value_XA

    def _sweep_upper(self, enough: float) -> None:
        """Iterates the upper bounds until none falls by more than `enough`."""
        for _ in range(SWEEP_ROUNDS):
            before_N, nodes_X = self.upper.rows.copy(), self.node_X.rows
            value_XA = self._look_ahead(self.upper)
            self.upper.rows[nodes_X] = np.minimum(before_N[nodes_X], value_XA.max(axis=1))
            self._spread(value_XA)
            if (before_N - self.upper.rows).max() <= enough:
                break

    def _sweep_lower(self, enough: float) -> None:
        """Adds vectors where they raise the lower bound, until each node is raised by one or by another's."""
        for stage in range(len(self.lowers)):
            nodes = np.flatnonzero(self.stage.rows == stage)
            for few in np.array_split(nodes, 1 + len(nodes) // FEW_NODES):
                self.refresh_lower(few)
        nodes_X = self.node_X.rows
        value_X = self._look_ahead(self.lower).max(axis=1)
        gain_X = value_X - self.lower.rows[nodes_X]
        belief_XS = self.beliefs.rows[nodes_X]
        added = 0
        for number in np.argsort(-gain_X)[: np.count_nonzero(gain_X > enough)]:
            node = int(nodes_X[number])
            if self.lower.rows[node] < value_X[number] - enough and added < SWEEP_VECTORS:
                self._add_vector(node, int(self.values(node, self.lower).argmax()))
                alphas, same = (
                    self.lowers[int(self.stage.rows[node])],
                    self.stage.rows[nodes_X] == self.stage.rows[node],
                )
                value_Q = belief_XS[same] @ alphas.vectors.rows[-1]
                self._raise(nodes_X[same], value_Q, np.full(len(value_Q), len(alphas) - 1))
                added += 1

    def _prune(self) -> None:
        """Drops alpha vectors that others stand for everywhere."""
        for stage, alphas in enumerate(self.lowers):
            number_K, lives_K = alphas.prune(self._pruned[stage])
            nodes, seen_K = self.stage.rows == stage, np.append(0, np.cumsum(lives_K))
            self.best_alpha.rows[nodes] = number_K[self.best_alpha.rows[nodes]]
            self.seen_alphas.rows[nodes] = seen_K[self.seen_alphas.rows[nodes]]
            before = stage if self.horizon is None else stage + 1
            for others in self.lowers[before : before + 1]:
                others.nexts.rows[:] = number_K[others.nexts.rows]
            self._pruned[stage] = len(alphas)

    def _spread(self, value_XA: Floats) -> None:
        """Has the upper bounds of corners and points count where they were found to be best."""
        for stage, sawtooth in enumerate(self.uppers):
            nodes_Q = np.flatnonzero(self.stage.rows == stage)
            own_Q = self.own_point.rows[nodes_Q]
            sawtooth.values.rows[own_Q[own_Q >= 0]] = self.upper.rows[nodes_Q[own_Q >= 0]]
            if len(self.corners):
                value_SA = value_XA[self.expanded.rows[self.corners]]
                np.minimum(sawtooth.corner_SA, value_SA, out=sawtooth.corner_SA)
            belief_QS = self.beliefs.rows[nodes_Q]
            drop_Q = np.append(np.minimum(sawtooth.drops(), 0.0), 0.0)[self.point.rows[nodes_Q]]
            beside_Q = belief_QS @ sawtooth.corner_S + self.share.rows[nodes_Q] * drop_Q
            lowest_Q = np.minimum(sawtooth.at_corners(belief_QS), beside_Q)
            self.upper.rows[nodes_Q] = np.minimum(self.upper.rows[nodes_Q], lowest_Q)

    # -- as a whole ------------------------------------------------------------------------------------------------

    @property
    def progress(self) -> Progress:
        """How far it is."""
        lower, upper = (float(self.chance_R @ bound.rows[self.roots]) for bound in (self.lower, self.upper))
        alphas, points = (sum(map(len, bounds)) for bounds in (self.lowers, self.uppers))
        return Progress(lower, upper, self.trials, len(self.beliefs), alphas, points)

    def run(self) -> Iterator[Progress]:
        """Goes on, a trial at a time, until nothing is left open at the start."""
        for corner in itertools.cycle(self.corners) if len(self.corners) else itertools.repeat(None):
            now = self.progress
            yield now
            if now.closed:
                return
            allowed = NEXT_GAP * now.gap
            self.trial(self._most_open(self.roots, self.chance_R, allowed), allowed)
            if corner is not None:
                upper, lower = float(self.upper.rows[corner]), float(self.lower.rows[corner])
                if not _closed(upper, upper - lower):
                    self.trial(int(corner), NEXT_GAP * (upper - lower))
            if len(self.node_X) >= SWEEP_GROWTH * self._swept:
                self.sweep(NEGLIGIBLE * now.gap)
            if sum(map(len, self.lowers)) > 100 + 1.5 * sum(self._pruned):
                self._prune()
            if self.beliefs.rows.size > MOST_NUMBERS:
                self._empty()


def _first_bounds(
    dynamics: Dynamics, horizon: int | None, is_late: Callable[[], bool]
) -> tuple[list[AlphaVectors], list[Sawtooth]]:
    """Blind policies, and the fast informed bound, for each number of steps that are left."""
    num_S, num_A, num_O = dynamics.num_states, dynamics.num_actions, dynamics.num_observations

    def lower(blind_AS: Floats) -> AlphaVectors:
        alphas = AlphaVectors(num_S, num_O)
        for action, vector_S in enumerate(blind_AS):
            alphas.add(vector_S, action, action)
        return alphas

    if horizon is None:
        return [lower(blind_policies(dynamics))], [Sawtooth(fast_informed_bound(dynamics, is_late))]
    blind_AS, informed_SA = np.zeros((num_A, num_S)), np.zeros((num_S, num_A))
    lowers, uppers = [lower(blind_AS)], [Sawtooth(informed_SA)]
    for _ in range(horizon):
        if is_late():
            blind_AS, informed_SA = hurried_steps(dynamics, blind_AS, informed_SA)
        else:
            blind_AS = blind_policies(dynamics, blind_AS)
            informed_SA = fast_informed_step(dynamics, informed_SA)
        lowers.append(lower(blind_AS))
        uppers.append(Sawtooth(informed_SA))
    return lowers, uppers


class Controller(NamedTuple):
    """Vectors that are followed by one another alone: acting by the greatest earns at least what it says.

    Attributes:
        vector_KS: (K, S).
        action_K: what is done first.
        left_K: for how many steps each is, 0 without a horizon.
    """

    vector_KS: Floats
    action_K: Ints
    left_K: Ints


def controller(solver: Solver) -> Controller:
    """What is needed of the lower bound from the start on."""
    solver.refresh_lower(solver.roots)
    wanted = np.unique(solver.best_alpha.rows[solver.roots])
    if solver.horizon is None:
        alphas, known = solver.lowers[0], np.zeros(0, np.intp)
        while len(wanted) > len(known):
            known, wanted = wanted, np.union1d(wanted, alphas.nexts.rows[wanted])
        return Controller(alphas.vectors.rows[known], alphas.actions.rows[known], np.zeros(len(known), np.intp))
    parts = []
    for left in range(solver.top, 0, -1):
        alphas = solver.lowers[left]
        parts.append((alphas.vectors.rows[wanted], alphas.actions.rows[wanted], np.full(len(wanted), left)))
        wanted = np.unique(alphas.nexts.rows[wanted])
    return Controller(*(np.concatenate(part) for part in zip(*parts, strict=True)))
