#!/usr/bin/env bash
# pomdp-py 1.3.5.1: ValueIteration discounts what lies t steps ahead by discount^(t(t+1)/2), not discount^t: each level of
# its policy trees takes discount^depth off values that are already discounted. From the third step on plans are too
# short-sighted. Its own function `value` discounts as the textbooks do, so the two disagree about one problem.
#
# Seen: 0.8 at once, or 1 at the third step, at a discount of 0.9: worth 0.8 and 0.81. `value` says 0.81, and ValueIteration
# takes the 0.8. (1 at the third step counts 0.729 to it: it still takes it instead of 0.72, no longer instead of 0.74.)
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'pomdp-py==1.3.5.1' 'numpy==2.4.6' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

import pomdp_py
from pomdp_py.algorithms.value_function import value


class Named:
    def __init__(self, name):
        self.name = name

    def __hash__(self):
        return hash(self.name)

    def __eq__(self, other):
        return self.name == other.name


class State(Named, pomdp_py.State): ...
class Action(Named, pomdp_py.Action): ...
class Observation(Named, pomdp_py.Observation): ...


START, FIRST, SECOND, END = states = [State(name) for name in ("start", "first", "second", "end")]
NOW, LATER = actions = [Action("now"), Action("later")]
SEEN = Observation("seen")


def following(state, action):
    if state == START:
        return FIRST if action == LATER else END
    return SECOND if state == FIRST else END


class Transition(pomdp_py.TransitionModel):
    def probability(self, next_state, state, action):
        return float(next_state == following(state, action))

    def sample(self, state, action):
        return following(state, action)

    def get_all_states(self):
        return states


class Observing(pomdp_py.ObservationModel):
    def probability(self, observation, next_state, action):
        return 1.0

    def sample(self, next_state, action):
        return SEEN

    def get_all_observations(self):
        return [SEEN]


class Reward(pomdp_py.RewardModel):
    def __init__(self, at_once):
        self.at_once = at_once

    def sample(self, state, action, next_state):
        return self.at_once if state == START and action == NOW else float(state == SECOND)


class Policy(pomdp_py.RolloutPolicy):
    def get_all_actions(self, state=None, history=None):
        return actions

    def sample(self, state):
        return NOW


def planned(at_once):
    belief = pomdp_py.Histogram({state: float(state == START) for state in states})
    models = (Transition(), Observing(), Reward(at_once))
    agent = pomdp_py.Agent(belief, Policy(), *models)
    true = value(belief, states, actions, [SEEN], *models, 0.9, horizon=3)
    plan = pomdp_py.ValueIteration(horizon=3, discount_factor=0.9).plan(agent)
    return plan.name, round(true, 6)


seen = {at_once: planned(at_once) for at_once in (0.72, 0.74, 0.8, 0.82)}
print("pomdp-py", version("pomdp-py"), seen)
assert seen == {0.72: ("later", 0.81), 0.74: ("now", 0.81), 0.8: ("now", 0.81), 0.82: ("now", 0.82)}
PYTHON
