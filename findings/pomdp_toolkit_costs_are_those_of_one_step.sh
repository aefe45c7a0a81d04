#!/usr/bin/env bash
# pomdp-toolkit 0.0.4: of a POMDP in which every step costs something its solvers by points of belief tell the cost of
# one step as the value of all. A good guess is that the same amount taken off every reward takes as much off every
# value at every step, and changes nothing of what is done, and that what PBVI and HSVI tell is a lower bound. But they
# begin with the vectors of one step, as if all that follows were free, and each backup adds vectors and takes none
# away; where rewards are negative nothing that is backed up comes above the first ones, which stay the answer, however
# long it is solved. Waiting is then best wherever it is cheaper at once. In `solvers/pbvi.py`, solve with
# `append_new_alpha`, its default, which PBVI_RA, PBVI_SSRA, PBVI_SSGA, PBVI_SSEA, PBVI_GER, HSVI and FSVI ask for;
# `Perseus`, which puts new vectors in the place of old ones, is right, and so are the PBVIs given an
# `initial_value_function` below all values (HSVI gives the same one to its bound from above). A file's `values: cost`
# (`parsers.py`) is read and changes nothing, as in SARSOP of 2020: costs are maximised. Its `discount` goes nowhere:
# `gamma` is 0.99 wherever it is not told.
#
# Seen: Tiger at 0.95 is worth 19.37, of which five solvers find 18.0 to 18.4; with 10 off every reward it is worth
# -180.6, and four tell -11.0 after 60 rounds, one after 120 as well; `Perseus`, and a start from below, tell -180.6. Of
# an illness that costs 1 a step until a cure for 5 works, the cure is right at once (-5.74); all four wait for good,
# which costs 20, and tell -1.0. Tiger in costs is told as 861: a tiger that costs 100 is looked for at every step.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'pomdp-toolkit==0.0.4' 'numpy==2.4.6' 'scipy==1.17.1' 'matplotlib==3.11.2' 'tqdm==4.70.1' || exit 2
cd "$folder"
OMP_NUM_THREADS=1 MPLBACKEND=agg "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import contextlib
import io
from importlib.metadata import version

import numpy as np

with contextlib.redirect_stdout(io.StringIO()):  # that it finds no GPU
    from pomdp_toolkit import Belief, POMDPParser, ValueFunction
    from pomdp_toolkit.solvers import HSVI, PBVI_RA, PBVI_SSEA, PBVI_SSGA, PBVI_SSRA, Perseus

GAMMA = 0.95
TIGER = """discount: 0.95
values: {values}
states: left right
actions: listen open-left open-right
observations: hear-left hear-right
start: uniform
T: listen
identity
T: open-left
uniform
T: open-right
uniform
O: listen
0.85 0.15
0.15 0.85
O: open-left
uniform
O: open-right
uniform
R: listen : * : * : * {listen}
R: open-left : left : * : * {tiger}
R: open-left : right : * : * {free}
R: open-right : left : * : * {free}
R: open-right : right : * : * {tiger}
"""
ILL = """discount: 0.95
values: reward
states: ill well
actions: wait cure
observations: fever none
start: 1.0 0.0
T: wait
identity
T: cure
0.1 0.9
0.0 1.0
O: wait
0.8 0.2
0.1 0.9
O: cure
0.8 0.2
0.1 0.9
R: wait : ill : * : * -1
R: wait : well : * : * 0
R: cure : * : * : * -5
"""


def load(text):
    with open("model.pomdp", "w") as file:
        file.write(text)
    return POMDPParser.parse("model.pomdp")


def tiger(shift=0, values="reward"):
    sign = -1 if values == "cost" else 1
    rewards = {"listen": -1, "tiger": -100, "free": 10}
    return load(TIGER.format(values=values, **{name: sign * (number + shift) for name, number in rewards.items()}))


def solve(solver, model, expansions=60, **settings):
    with contextlib.redirect_stdout(io.StringIO()):
        function, _ = solver.solve(
            model, expansions=expansions, gamma=GAMMA, rng=0, print_progress=False, print_stats=False, **settings
        )
    return function.evaluate_at(Belief(model))


def exact(model, grid=4001):
    """Best values over beliefs in the second of two states, by value iteration on a fine grid; and what is best."""
    T, O, R = model.transition_table, model.observation_table, model.expected_reward_table
    second = np.linspace(0, 1, grid)
    beliefs = np.stack([1 - second, second], 1)
    joint = np.einsum("bs,sat,tao->baot", beliefs, T, O)
    chance = joint.sum(-1)
    after = joint[..., 1] / np.maximum(chance, 1e-300)
    value = np.zeros(grid)
    while True:
        of_actions = beliefs @ R + GAMMA * (chance * np.interp(after, second, value)).sum(-1)
        if np.abs(of_actions.max(1) - value).max() < 1e-9:
            at = np.argmin(np.abs(second - model.start_probabilities[1]))
            return of_actions[at].max(), of_actions[at].argmax()
        value = of_actions.max(1)


SOLVERS = PBVI_RA, PBVI_SSRA, PBVI_SSGA, PBVI_SSEA
print("pomdp-toolkit", version("pomdp-toolkit"))

model = tiger()
value, action = exact(model)
assert abs(value - 19.37) < 0.01 and action == 0
told = {solver.__name__: solve(solver, model)[0] for solver in (*SOLVERS, HSVI)}
print(f"Tiger: right {value:.2f}, told", {name: round(one, 1) for name, one in told.items()})
assert all(16 < one < value for one in told.values())

model = tiger(shift=-10)
value, action = exact(model)
assert abs(value - (19.37 - 10 / (1 - GAMMA))) < 0.01 and action == 0
told = {solver.__name__: solve(solver, model)[0] for solver in SOLVERS}
print(f"10 less for everything: right {value:.1f}, told", {name: round(one, 1) for name, one in told.items()})
assert all(one == -11 for one in told.values())
assert solve(PBVI_SSEA, model, 120)[0] == -11
below = ValueFunction(model, np.full((1, 2), -110 / (1 - GAMMA)), np.array([0]))
others = {
    "Perseus": solve(Perseus, model, update_passes=5)[0],
    "from below": solve(PBVI_SSEA, model, update_passes=5, initial_value_function=below)[0],
}
print("  Perseus, and PBVI_SSEA from below:", {name: round(one, 1) for name, one in others.items()})
assert all(value - 3 < one < value + 0.1 for one in others.values())

model = load(ILL)
value, action = exact(model)
assert model.action_labels[action] == "cure" and abs(value + 5.74) < 0.01
told = {solver.__name__: solve(solver, model) for solver in SOLVERS}
print(f"ill: right {value:.2f} by cure, told", {n: (one, model.action_labels[a]) for n, (one, a) in told.items()})
assert all(one == -1 and model.action_labels[action] == "wait" for one, action in told.values())

model = tiger(values="cost")
assert np.array_equal(model.expected_reward_table, -tiger().expected_reward_table)  # as the file has them: costs
told = solve(PBVI_SSEA, model)[0]
print(f"Tiger in costs: told {told:.0f}")
assert told > 800
assert not [name for name in vars(model) if "gamma" in name or "discount" in name]
PYTHON
