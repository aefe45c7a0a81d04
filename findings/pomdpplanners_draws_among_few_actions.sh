#!/usr/bin/env bash
# POMDPPlanners 0.6.0: with few actions POMCPOW, PFT-DPW and POMCP-DPW search at random. A good guess is what their paper
# says (Sunberg & Kochenderfer, 2018): while the actions tried at a belief are at most k_a N^alpha_a an action is drawn and
# added to them, and then the one of the best upper bound (UCB1) is taken. But the drawn action itself is taken, also
# where it is no new one. Of a fixed list of actions there are soon fewer than k_a N^alpha_a for good, of three at
# the defaults from 9 visits on: no value is looked at, `exploration_constant` changes nothing, and an action is worth
# what uniformly random play makes of it. In `planners_utils/dpw.py`, action_progressive_widening_arena. The first
# experiment of its page is of this kind, a DiscreteActionSampler with k_a = 1 and alpha_a = 0.5.
#
# Seen: 1 at once, or on to a room where one of three actions pays 10 and the others take 10. In 2,000 simulations each
# action gets a third, the way on is told to be worth -3.5 to -1 (random play: -3.3), and the 1 is taken, for constants of
# 0.1 to 200. The way on is worth 10: POMCP of the same package takes it, and so do the two with k_a = 2, alpha_a = 0,
# which end the drawing once there are three. (Its C++ parts are not compiled; these planners need none.)
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'torch==2.13.0' 'numba==0.61.2' 'llvmlite==0.44.0' 'anytree==2.13.0' 'numpy==2.2.6' 'scipy==1.17.1' 'setuptools==84.2.1' 'pybind11==3.1.0' || exit 2
cd "$folder"
"$folder/venv/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps --no-binary :all: --no-build-isolation 'pomdpplanners==0.6.0' || exit 2
tar xzf pomdpplanners-0.6.0.tar.gz
PYTHONPATH="$folder/pomdpplanners-0.6.0" "$folder/venv/bin/python" - <<'PYTHON'
import logging
import random
from importlib.metadata import version

import numpy as np

logging.disable(logging.CRITICAL)
from POMDPPlanners.core.belief import WeightedParticleBelief
from POMDPPlanners.core.distributions import DiscreteDistribution
from POMDPPlanners.core.environment import DiscreteActionsEnvironment, SpaceInfo, SpaceType
from POMDPPlanners.planners.mcts_planners.pft_dpw import PFT_DPW
from POMDPPlanners.planners.mcts_planners.pomcp import POMCP
from POMDPPlanners.planners.mcts_planners.pomcp_dpw import POMCP_DPW
from POMDPPlanners.planners.mcts_planners.pomcpow import POMCPOW
from POMDPPlanners.utils.action_samplers import DiscreteActionSampler

ACTIONS = ["take", "go", "wander"]


def log_certain(true, asked):
    return np.array([0.0 if one == true else -np.inf for one in asked])


class Fork(DiscreteActionsEnvironment):
    """Pays 1 for `take` at the start; the others lead to a room, where `go` pays 10 and the rest takes 10. Then it ends."""

    def __init__(self):
        space = SpaceInfo(action_space=SpaceType.DISCRETE, observation_space=SpaceType.DISCRETE)
        super().__init__(discount_factor=1.0, name="fork", space_info=space, reward_range=(-10.0, 10.0))

    def sample_next_state(self, state, action, n_samples=1):
        following = "room" if state == "start" and action != "take" else "end"
        return following if n_samples == 1 else [following] * n_samples

    def sample_observation(self, next_state, action, n_samples=1):
        return next_state if n_samples == 1 else [next_state] * n_samples

    def transition_log_probability(self, state, action, next_states):
        return log_certain(self.sample_next_state(state, action), next_states)

    def observation_log_probability(self, next_state, action, observations):
        return log_certain(next_state, observations)

    def reward(self, state, action, next_state=None):
        if state == "room":
            return 10.0 if action == "go" else -10.0
        return float(state == "start" and action == "take")

    def is_terminal(self, state):
        return state == "end"

    def initial_state_dist(self):
        return DiscreteDistribution(values=["start"], probs=np.ones(1))

    initial_observation_dist = initial_state_dist

    def get_actions(self):
        return ACTIONS

    def is_equal_observation(self, observation1, observation2):
        return observation1 == observation2

    def hash_action(self, action):
        return action

    def hash_observation(self, observation):
        return observation


fork = Fork()


def worth(state, action, afterwards):
    """Of an action, with what is made of the values of the actions after it: `max`, or the mean of random play."""
    following = fork.sample_next_state(state, action)
    later = 0.0 if following == "end" else afterwards([worth(following, one, afterwards) for one in ACTIONS])
    return fork.reward(state, action) + later


def planned(kind, constant, **asked):
    """The action taken, how often each was tried, and the value of `go`; the search's own tree tells the latter two."""
    random.seed(0)
    np.random.seed(0)
    planner = kind(fork, 1.0, depth=5, exploration_constant=constant, n_simulations=2000, name="planner", **asked)
    grown = []
    learn = planner._learn_tree
    planner._learn_tree = lambda belief: grown.append(learn(belief)) or grown[-1]
    (action,), _ = planner.action(WeightedParticleBelief(["start"] * 2, np.log(np.full(2, 0.5))))
    tree, root = grown[0]
    tried = {tree.get_action(child): child for child in tree.get_children_ids(root)}
    visits = [tree.get_visit_count(tried[one]) for one in ACTIONS]
    return str(action), visits, round(float(tree.get_q_value(tried["go"])), 2)


right, by_chance = (worth("start", "go", afterwards) for afterwards in (max, np.mean))
assert (right, round(by_chance, 2)) == (10.0, -3.33) and worth("start", "take", max) == 1.0
print("POMDPPlanners", version("POMDPPlanners"), "go is worth", right, "and at random", round(by_chance, 2))
drawn = {"action_sampler": DiscreteActionSampler(ACTIONS), "k_o": 1.0, "alpha_o": 0.5}
for constant in (0.1, 1.0, 20.0, 200.0):
    for kind in (POMCPOW, PFT_DPW, POMCP_DPW):
        action, visits, go = planned(kind, constant, k_a=1.0, alpha_a=0.5, **drawn)
        print(kind.__name__, constant, "takes", action, "tried", visits, "go is told as", go)
        assert action == "take" and min(visits) > 550 and max(visits) < 780 and -5 < go < 0
for name, found in {
    "POMCP": planned(POMCP, 20.0),
    "POMCPOW, k_a=2, alpha_a=0": planned(POMCPOW, 20.0, k_a=2.0, alpha_a=0.0, **drawn),
    "PFT_DPW, k_a=2, alpha_a=0": planned(PFT_DPW, 20.0, k_a=2.0, alpha_a=0.0, **drawn),
}.items():
    print(name, "takes", found[0], "tried", found[1], "go is told as", found[2])
    assert found[0] != "take" and found[1][0] < 300 and found[2] > 5
PYTHON
