#!/usr/bin/env bash
# skrl 2.1.1: its recurrent on-policy agents add up rewards across a time limit: those of the next episode count for the
# one before, with `time_limit_bootstrap` as well. A good guess is that they do not, since 2.1.0 mended the time limits
# of on-policy agents; it did so for those without a memory. In `agents/torch/ppo/ppo_rnn.py` and `a2c/a2c_rnn.py`,
# compute_gae is told of `terminated` alone.
#
# Seen: where an episode of rewards 0, 0 is cut off and the next one pays 8, 8, all values are 0 and gamma is 0.5, the
# returns are 0, 0, 12, 8 by PPO and A2C, and 3, 6, 12, 8 by PPO_RNN and A2C_RNN; of a terminated one they agree.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'torch==2.13.0' 'skrl==2.1.1' 'gymnasium==1.4.0' 'numpy==2.4.6' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata

import gymnasium as gym
import torch
from skrl import logger
from skrl.agents.torch.a2c import A2C, A2C_CFG, A2C_RNN
from skrl.agents.torch.ppo import PPO, PPO_CFG, PPO_RNN
from skrl.memories.torch import RandomMemory
from skrl.models.torch import CategoricalMixin, DeterministicMixin, Model

logger.setLevel("ERROR")
SPACES = {"observation_space": gym.spaces.Box(-1, 1, (1,)), "action_space": gym.spaces.Discrete(2), "device": "cpu"}
REWARDS = [0.0, 0.0, 8.0, 8.0]  # the first episode has two steps


class Policy(CategoricalMixin, Model):
    def __init__(self):
        Model.__init__(self, **SPACES)
        CategoricalMixin.__init__(self)
        self.logits = torch.nn.Parameter(torch.zeros(2))

    def compute(self, inputs, role):
        return self.logits.expand(len(inputs["observations"]), 2), {}


class Value(DeterministicMixin, Model):
    def __init__(self):
        Model.__init__(self, **SPACES)
        DeterministicMixin.__init__(self)
        self.value = torch.nn.Parameter(torch.zeros(1))

    def compute(self, inputs, role):
        return self.value.expand(len(inputs["observations"]), 1), {}


@torch.no_grad()
def collect(agent, ends_by):
    nothing = torch.zeros(1, 1)
    for t, reward in enumerate(REWARDS):
        actions, _ = agent.act(nothing, None, timestep=t, timesteps=4)
        agent.record_transition(
            observations=nothing,
            states=None,
            actions=actions,
            rewards=torch.tensor([[reward]]),
            next_observations=nothing,
            next_states=None,
            terminated=torch.tensor([[t == 1 and ends_by == "terminated"]]),
            truncated=torch.tensor([[t == 1 and ends_by == "truncated"]]),
            infos={},
            timestep=t,
            timesteps=4,
        )


def returns(kind, cfg, ends_by):
    cfg = cfg(rollouts=4, mini_batches=1, discount_factor=0.5, gae_lambda=1.0, time_limit_bootstrap=True)
    memory = RandomMemory(memory_size=4, num_envs=1, device="cpu")
    agent = kind(models={"policy": Policy(), "value": Value()}, memory=memory, cfg=cfg, **SPACES)
    agent.init()
    agent.enable_training_mode(True)
    collect(agent, ends_by)
    agent.update(timestep=3, timesteps=4)
    return memory.get_tensor_by_name("returns").flatten().tolist()


apart, added_up = [0.0, 0.0, 12.0, 8.0], [3.0, 6.0, 12.0, 8.0]
for kind, cfg, expected in (
    (PPO, PPO_CFG, apart),
    (A2C, A2C_CFG, apart),
    (PPO_RNN, PPO_CFG, added_up),
    (A2C_RNN, A2C_CFG, added_up),
):
    seen = {ends_by: returns(kind, cfg, ends_by) for ends_by in ("terminated", "truncated")}
    print("skrl", importlib.metadata.version("skrl"), kind.__name__, seen)
    assert seen == {"terminated": apart, "truncated": expected}
PYTHON
