#!/usr/bin/env bash
# pomdp-py 1.3.5.1: to_pomdp_file asks a reward model for one sample of each entry and writes that as R. Where rewards are
# drawn, the file holds a draw in place of the expectation, without a word, and two files of one problem differ.
#
# Seen: a slot machine that pays 10 in one of four plays, worth 2.5: of 40 files some say R = 0 and some R = 10, none 2.5.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'pomdp-py==1.3.5.1' 'numpy==2.4.6' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import random
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import pomdp_py


class Named:
    def __str__(self):
        return type(self).__name__.lower()

    def __hash__(self):
        return hash(str(self))

    def __eq__(self, other):
        return type(self) is type(other)


class Machine(Named, pomdp_py.State): ...
class Play(Named, pomdp_py.Action): ...
class Nothing(Named, pomdp_py.Observation): ...


class Stays(pomdp_py.TransitionModel):
    def probability(self, next_state, state, action):
        return 1.0

    def get_all_states(self):
        return [Machine()]


class Dark(pomdp_py.ObservationModel):
    def probability(self, observation, next_state, action):
        return 1.0

    def get_all_observations(self):
        return [Nothing()]


class Pays(pomdp_py.RewardModel):
    def sample(self, state, action, next_state):
        return random.choice((0, 0, 0, 10))

    def probability(self, reward, state, action, next_state):
        return {0: 0.75, 10: 0.25}.get(reward, 0.0)


class Plays(pomdp_py.PolicyModel):
    def get_all_actions(self, state=None, history=None):
        return [Play()]


random.seed(0)
agent = pomdp_py.Agent(pomdp_py.Histogram({Machine(): 1.0}), Plays(), Stays(), Dark(), Pays())
written = Counter()
for _ in range(40):
    pomdp_py.to_pomdp_file(agent, "machine.pomdp", discount_factor=0.9)
    (reward,) = [line for line in Path("machine.pomdp").read_text().splitlines() if line.startswith("R")]
    written[float(reward.split()[-1])] += 1
print("pomdp-py", version("pomdp-py"), dict(written))
assert set(written) == {0.0, 10.0}
PYTHON
