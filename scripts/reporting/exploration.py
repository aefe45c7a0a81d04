"""What Bolland, Lambrechts and Ernst claim of exploration by visits, as rows of a page: theirs beside ours.

Theirs are numbers that others computed from the papers' definitions on a plan of four rooms of their own, or what the
abstracts say. What agents and surfaces came to is read from docs/exploration, where
`scripts/exploration_criteria.py` has left it.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from envs.finite import Floats
from envs.heaven_hell_n import heaven_hell_model
from envs.open_rooms import FOUR_ROOMS, rooms_model
from policies.exact.histories import belief_graph
from policies.exact.visitation import (
    Process,
    divergence,
    entropy,
    future_entropy,
    marginal_surprise,
    soft_policy_iteration,
    total_variation,
)
from scripts.reporting.learned_visits import distances
from utils.errors import UserError, first_line

TITLE = "Exploration by what will be visited"
DRAWN = Path(__file__).resolve().parents[2] / "docs" / "exploration"
NOTES = """\
Measures of what will be visited and of what an episode visits, exactly on finite domains
([policies/exact/visitation.py](../../policies/exact/visitation.py)) and as they are learned
([policies/intrinsic/visitation.py](../../policies/intrinsic/visitation.py)); what exploration terms do to an
objective ([policies/exact/criteria.py](../../policies/exact/criteria.py)), and to agents on tables
([policies/exact/exploring.py](../../policies/exact/exploring.py)). Theirs are of the definitions of Bolland,
Lambrechts & Ernst, worked out by others, those of four rooms on a plan whose doors we do not know: sizes compare,
digits do not. Agents on tables are 15 seeds of 30,000 steps, their interquartile means with 95 % bootstrap intervals;
what their policies visit across episodes is exact, within one the mean of 16 that are drawn.

The papers' claims, one by one:

- *The operator of the future measure contracts, and N steps more than one.* So it does.
- *The sum of its rewards bounds the entropy of the marginal measure from below.* With the constant of the first row
  of the inequalities it does, by far; the mean of H(q(· given s, a)) does not, which many policies violate.
- *The measure can be learned off-policy.* Within 0.02 of the exact one by one-step targets or a tree backup of ten.
  With the importance weights of ten steps dropped, as published, it is another policy's.
- *Rewards by it cover single episodes better than those by the marginal measure.* Not here: where both are exact, and
  on tables in four rooms and in an empty one, the marginal one covers more within an episode; in the crossing intervals
  overlap. *And slightly less across episodes*: so it is, in the empty room by more than slightly.
- *It converges sooner.* On tables its curves settle by 12,000 steps in four rooms and the crossing, and vary less
  between seeds, after a dip that is deeper than the others'; those of the marginal measure still move at 30,000.
- *Control ends at returns like those of other bonuses.* It hangs on what an ending means: see the rows of control.
  Paid H(q), which is -KL as in a state that is never left, or the marginal reward as it is, agents would rather go on
  than be paid once, in all three plans; less log Z, where to end is to be spared a negative reward, they go to the goal
  (held to by a test in a small room). In the empty room's 30,000 steps it is hardly found without a term either.
- *Terms make gradient estimates point the right way where returns are all alike* (Behind the myth). In the maze they
  do, the policy's entropy up to even odds only, beyond which it pulls back, `rnd` not everywhere. The rewards of `rnd`
  and of the future term hang on the policy in a way that no gradient with rewards held fixed takes in: there their
  efficiency falls.
- *Weights that are too great cost coherence.* On the hill they do, the policy's entropy from the smallest on; at the
  fork all but the information gained, all that is paid step by step from the smallest on.

![Objectives, efficiency and attraction in the maze](../exploration/maze.png)

![Surfaces of objectives on the hill](../exploration/hill.png)

![Entropies of visits and returns of agents on tables](../exploration/gridworlds.png)

The papers' agents see the state. Over the exact beliefs of Heaven-Hell-3, who explores alone asks the priest more
often than at random if paid for information, and most often if paid for histories that are rare; the marginal measure
of cells or of observations does not help with it, and paid by the future measure, of whichever, one asks less.

What `mi` is paid for needs something hidden: in the fork a priest, no farther than the fork, knows which side of it is
heaven. Paid for the information that he gives, the best policy is the best by the return at each of three weights: it
is paid once, and sooner is more. (What a guess shows is not paid, as true endings are not by `bonus_target=best`.) Each
other term loses return at some weight: what is paid step by step at 0.1 already, 0.09 to 0.31 of 0.57, since it asks
with detours, or does less of what it is told; `rnd` at 10. To gradient estimates information gives less than visits
do: their mean efficiency is 0.76, 0.77 and 0.83 by weight, 0.76 without a term and 0.86 to 0.90 by the marginal
measure, for who hardly ever asks is hardly ever paid. But near the best policy those by visits raise the return in 0.12
of the cases or fewer, by information in as many as without a term, 0.51: the two do not replace each other. `rnd` is
what SGD leaves of a table's error; with its rewards held fixed, estimates often point away from its own objective.

![Objectives, efficiency and attraction at the fork](../exploration/fork.png)

What networks do is in [exploration_heaven_hell.md](exploration_heaven_hell.md),
[exploration_sphinx.md](exploration_sphinx.md) and [exploration_car_flag_2d.md](exploration_car_flag_2d.md). Not run:
the papers' MiniGrid domains (500,000 updates, 15 seeds), and their switch maze. The pictures are made by
`python scripts/exploration_criteria.py --out=docs/exploration --batches=500`.
""".splitlines()
COLUMNS = ("what", "theirs", "ours")
THEIRS = {  # of soft policy iteration: H(q), E_d H(q(. | s, a)), H within an episode
    "no bonus": ("3.582", "3.683", "2.910"),
    "future visitation": ("3.689", "3.760", "3.045"),
    "marginal visitation": ("4.194", "3.661", "3.358"),
}


def rows() -> list[list[str]]:
    """All rows, in the order of `COLUMNS`; half a minute.

    Raises:
        UserError: `scripts/exploration_criteria.py` has not been run.
    """
    exact = [*_operator(), *_inequalities(), *_policy_iteration(), *_learned(), *heaven_hell(3)]
    return [*exact, *_criteria(), *_agents()]


def small_grid() -> Process:
    """Five by five cells, γ = 0.95, from a corner; each cell a feature."""
    return Process.of(rooms_model(["....."] * 5), np.eye(25), 0.95)


def _operator() -> Iterator[list[str]]:
    process, rng = small_grid(), np.random.default_rng(0)
    policy_SA = rng.dirichlet(np.ones(4), 25)
    exact = process.future(policy_SA)
    for steps, theirs in ((1, "0.39"), (5, "0.11"), (10, "0.06")):
        ratios = []
        for _ in range(20):
            p, q = rng.dirichlet(np.ones(25), (2, 25, 4))
            after = (process.bootstrapped(one, policy_SA, steps) for one in (p, q))
            ratios.append(total_variation(*after).max() / total_variation(p, q).max())
        bound = f"at most γ^N = {0.95**steps:.2f}"
        yield [f"contraction of the operator in TV, N = {steps}, {bound}", theirs, f"{max(ratios):.2f}"]
    q = rng.dirichlet(np.ones(25), (25, 4))
    for _ in range(200):
        q = process.bootstrapped(q, policy_SA)
    yield ["200 iterations: off the linear solve", "2e-7", f"{np.abs(q - exact).max():.0e}"]


def _inequalities(num: int = 300) -> Iterator[list[str]]:
    process, rng, gamma = small_grid(), np.random.default_rng(0), 0.95
    uniform, slack, false, concave = np.full(25, 1 / 25), [], 0, 0
    for _ in range(num):
        policy_SA = rng.dirichlet(np.full(4, 0.3), 25)
        q_SAZ, q_Z, visits_SA = (f(policy_SA) for f in (process.future, process.marginal, process.occupancy))
        paid = -(visits_SA * divergence(q_SAZ, uniform)).sum() / (1 - gamma)
        slack.append(-divergence(q_Z, uniform) - gamma * paid + (1 - gamma) * np.log(25))
        mean = (visits_SA * entropy(q_SAZ)).sum()
        false += mean > entropy(q_Z) + 1e-9
        concave += mean > entropy((visits_SA[..., None] * q_SAZ).sum((0, 1))) + 1e-9
    of = f"of {num} drawn policies"
    what = "γ E Σ γ^t (-KL(q(· given s, a), q*)) - (1-γ) log Z ≤ -KL(q, q*): violated"
    yield [what, "0 of 300", f"{(np.array(slack) < -1e-9).sum()} {of}"]
    yield ["its slack, least and mean, in nats", "5.9, 31", f"{min(slack):.1f}, {np.mean(slack):.0f}"]
    yield ["E H(q(· given s, a)) ≤ H(q), which is false: violated", "94 of 200", f"{false} {of}"]
    yield ["E H(q(· given s, a)) ≤ H(E q(· given s, a)): violated", "0, by theorem", f"{concave} {of}"]


def _policy_iteration() -> Iterator[list[str]]:
    process = Process.of(rooms_model(FOUR_ROOMS), np.eye(68), 0.98)
    rewards = (_nothing, future_entropy, marginal_surprise)
    for (name, theirs), reward in zip(THEIRS.items(), rewards):
        policy_SA = soft_policy_iteration(process, reward, 0.05 / (1 - 0.98))
        mean = (process.occupancy(policy_SA) * entropy(process.future(policy_SA))).sum()
        ours = entropy(process.marginal(policy_SA)), mean, within(process, policy_SA, 400, 200)
        what = f"four rooms, soft policy iteration, {name}: H(q), E H(q(· given s, a)), H within 200 steps"
        yield [what, ", ".join(theirs), ", ".join(f"{x:.3f}" for x in ours)]


def within(process: Process, policy_SA: Floats, episodes: int, steps: int, seed: int = 0) -> float:
    """The mean entropy of the discounted visits of single episodes; transitions are certain and features states."""
    rng, next_AS = np.random.default_rng(seed), process.transition_ASS.argmax(2)
    state_E, every = np.full(episodes, int(process.start_S.argmax())), np.arange(episodes)
    visits_ES = np.zeros((episodes, len(process.start_S)))
    for weight in process.discount ** np.arange(steps):
        visits_ES[every, state_E] += weight
        draw_E1 = rng.random((episodes, 1))
        action_E = np.minimum((draw_E1 > policy_SA.cumsum(1)[state_E]).sum(1), policy_SA.shape[1] - 1)
        state_E = next_AS[action_E, state_E]
    return float(entropy(visits_ES / visits_ES.sum(1, keepdims=True)).mean())


def _learned() -> Iterator[list[str]]:
    model = rooms_model(["...", ".#."])
    wanted = {("none", 1): "-", ("none", 10): "biased", ("tree", 10): "-"}
    for (correction, steps), theirs in wanted.items():
        found = distances(model, correction, steps)
        what = f"the learned measure, uniform stored actions, N = {steps}, `{correction}`: greatest TV, KL to the exact"
        yield [what, theirs, ", ".join(f"{x:.3f}" for x in found)]


def heaven_hell(n: int, rounds: int = 400) -> Iterator[list[str]]:
    """How often who is paid for exploring alone has asked the priest, over exact beliefs, by what counts as visited."""
    graph = belief_graph(heaven_hell_model(n))
    side_H, cell_H = np.divmod(graph.belief_HS.argmax(1), 4 * n + 2)
    seen_H = cell_H + (cell_H == 4 * n + 1) * side_H
    unknown_S = np.tile(entropy(graph.belief_HS), 2)

    def gain(process: Process, policy_SA: Floats) -> Floats:
        found: Floats = unknown_S[:, None] - (process.transition_ASS @ unknown_S).T
        return found

    rewards = {"future visitation": future_entropy, "marginal visitation": marginal_surprise}
    features = {"cells": cell_H, "observations": seen_H, "histories, as beliefs": np.arange(len(graph))}
    cases = {"no bonus": (_nothing, cell_H), "information gain, in nats": (gain, cell_H)} | {
        f"{name} of {of}": (reward, number_H) for name, reward in rewards.items() for of, number_H in features.items()
    }
    for name, (reward, number_H) in cases.items():
        process = Process.of_beliefs(graph, np.eye(number_H.max() + 1)[number_H], 0.98)
        policy_SA = soft_policy_iteration(process, reward, 0.05 / (1 - 0.98), rounds, 0.05)
        now_S = process.start_S
        for _ in range(50):
            now_S = now_S @ process.moved(policy_SA)
        told = f"{now_S[unknown_S == 0].sum():.3f}"
        yield [f"Heaven-Hell-{n}, exploration only, {name}: the priest was asked within 50 steps", "-", told]


def _nothing(process: Process, policy_SA: Floats) -> Floats:
    return np.zeros_like(policy_SA)


def _criteria() -> Iterator[list[str]]:
    for problem in ("maze", "fork"):
        for term, found in drawn(problem).items():
            efficiency = f"{found['efficiency']:g} ({found['efficiency, mean']:g})"
            told = f"{found['coherence']:g}, {found['local maxima']}, {efficiency}, {found['attraction']:g}"
            what = "coherence, local maxima, efficiency (its mean), attraction"
            yield [f"the {problem}, `{term}`: {what}", "-", told]
    for name, found in drawn("hill").items():
        told = f"{found['coherence']:g}, {found['local maxima']}, {found['greatest at']}"
        yield [f"the hill, `{name}`: coherence, local maxima, greatest at", "-", told]


def _agents() -> Iterator[list[str]]:
    for name, found in drawn("gridworlds").items():
        told = f"{found['across']}; {found['within']}; {found['return']}"
        yield [f"{name}: H across, within, return", "-", told]


def drawn(problem: str) -> dict[str, dict[str, float]]:
    """The numbers that `scripts/exploration_criteria.py` has left beside its picture.

    Raises:
        UserError: there are none, or they are damaged.
    """
    file = DRAWN / f"{problem}.json"
    try:
        return dict(json.loads(file.read_text()))
    except (OSError, ValueError, TypeError) as error:
        command = "python scripts/exploration_criteria.py --out=docs/exploration"
        why = f"{file} cannot be read ({first_line(error)}); run {command}"
        raise UserError(f"--computed=exploration: {why}") from error
