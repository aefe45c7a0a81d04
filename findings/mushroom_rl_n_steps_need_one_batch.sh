#!/usr/bin/env bash
# mushroom-rl 1.10.2: returns over n steps are made of the rows of one fit alone, and whatever has fewer than n - 1 rows
# after it in there, or in its episode, is left out. A good guess is that the memory goes on with what it was given
# before, and that the end of an episode has shorter returns, as in other libraries. But of 4 rows a fit at n = 3 half
# are never stored, and of one row a fit, which is how a DQN is often run, none: Rainbow then plays on and never
# updates, without a word. In `utils/replay_memory.py`, ReplayMemory.add, and SumTree.add for the prioritised one.
#
# Seen: of one episode of 8 steps n = 3 stores 6 rows where it is added at once, 4 of two halves and 0 of single steps;
# of ten episodes of 2 steps 0. In 40 steps of CartPole with a fit at each, Rainbow stores 40 rows and updates 30 times
# at n = 1; at n = 3 it stores 0 and updates 0 times.
# (It asks for torch 2.5.1 and opencv with a screen; neither takes part in this.)
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'torch==2.13.0' 'numpy==1.24.4' 'scipy==1.15.2' 'scikit-learn==1.6.1' 'matplotlib==3.10.1' 'joblib==1.4.2' 'tqdm==4.67.1' 'pygame==2.6.1' 'opencv-python-headless==4.11.0.86' || exit 2
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps 'mushroom-rl==1.10.2' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

import numpy as np
import torch
from mushroom_rl.algorithms.value import Rainbow
from mushroom_rl.core import Core
from mushroom_rl.environments import CartPole
from mushroom_rl.policy import EpsGreedy
from mushroom_rl.utils.parameters import Parameter
from mushroom_rl.utils.replay_memory import ReplayMemory


def episode(length):
    """Rows of (state, action, reward, next state, absorbing, last), each of reward 1."""
    ends = [t == length - 1 for t in range(length)]
    return [(np.array([t]), np.array([0]), 1.0, np.array([t + 1]), end, end) for t, end in enumerate(ends)]


def stored(rows, at_once, n=3):
    memory = ReplayMemory(initial_size=1, max_size=100)
    for first in range(0, len(rows), at_once):
        memory.add(rows[first : first + at_once], n_steps_return=n, gamma=0.5)
    return memory.size


class Features(torch.nn.Module):
    def __init__(self, input_shape, output_shape, n_features, **kwargs):
        super().__init__()
        self.layer = torch.nn.Linear(input_shape[0], n_features)

    def forward(self, state, action=None):
        return torch.relu(self.layer(state.float()))


def learned(n):
    """Rows stored and updates made by Rainbow in 40 steps, with a fit after each."""
    env = CartPole()
    network = {
        "network": Features,
        "optimizer": {"class": torch.optim.Adam, "params": {"lr": 1e-3}},
        "input_shape": env.info.observation_space.shape,
        "output_shape": env.info.action_space.size,
        "n_actions": env.info.action_space.n,
        "n_features": 4,
        "use_cuda": False,
    }
    agent = Rainbow(
        env.info,
        EpsGreedy(Parameter(1.0)),
        approximator_params=network,
        n_atoms=5,
        v_min=-1,
        v_max=1,
        n_steps_return=n,
        alpha_coeff=0.6,
        beta=Parameter(0.4),
        batch_size=4,
        initial_replay_size=10,
        max_replay_size=200,
        target_update_frequency=10,
    )
    Core(agent, env).learn(n_steps=40, n_steps_per_fit=1, quiet=True)
    return agent._replay_memory._tree.size, agent._n_updates


rows = {at_once: stored(episode(8), at_once) for at_once in (8, 4, 1)}
short = stored(10 * episode(2), 20)
rainbow = {n: learned(n) for n in (1, 3)}
print("mushroom-rl", version("mushroom-rl"), rows, short, rainbow)
assert stored(episode(8), 1, n=1) == 8
assert rows == {8: 6, 4: 4, 1: 0} and short == 0
assert rainbow == {1: (40, 30), 3: (0, 0)}
PYTHON
