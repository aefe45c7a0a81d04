#!/usr/bin/env bash
# rsl-rl-lib 5.5.1: with a recurrent model PPO never learns from the last envs, if their number is no multiple of
# `num_mini_batches`; nothing is said. `storage/rollout_storage.py`, recurrent_mini_batch_generator, takes
# num_envs // num_mini_batches envs a part, from the first on, always in the same order. Without a memory single steps
# are dealt out, of which at most a part's worth less one is left over. (Distillation warns of its own remainder.)
#
# Seen: of 10 envs in 4 parts, 5 epochs, other rewards of one env move the parameters by 0.02 to 0.03 for envs 0 to 7,
# by 0 for 8 and 9; without a memory, 60 steps in 4 parts, by 0.02 and more for each.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'torch==2.13.0' 'rsl-rl-lib==5.5.1' 'tensordict==0.14.3' 'numpy==2.4.6' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

import torch
from rsl_rl.algorithms import PPO
from rsl_rl.models import MLPModel, RNNModel
from rsl_rl.storage import RolloutStorage
from tensordict import TensorDict

ENVS, PARTS, STEPS = 10, 4, 6
GROUPS = {"actor": ["seen"], "critic": ["seen"]}


def seen(values):
    return TensorDict({"seen": values}, [len(values)])


def learned(model, paid_env=None):
    torch.manual_seed(0)
    first = seen(torch.zeros(ENVS, 3))
    memory = {"rnn_type": "gru", "rnn_hidden_dim": 8} if model is RNNModel else {}
    actor = model(first, GROUPS, "actor", 1, (8,), distribution_cfg={"class_name": "GaussianDistribution"}, **memory)
    critic = model(first, GROUPS, "critic", 1, (8,), **memory)
    storage = RolloutStorage("rl", ENVS, STEPS, first, [1])
    # within a part, so that an env's rewards do not reach the others by way of the mean advantage
    ppo = PPO(actor, critic, storage, 5, PARTS, schedule="fixed", normalize_advantage_per_mini_batch=True)
    draws = torch.Generator().manual_seed(1)
    with torch.inference_mode():
        for _ in range(STEPS):
            rows, rewards = seen(torch.randn(ENVS, 3, generator=draws)), torch.zeros(ENVS)
            if paid_env is not None:
                rewards[paid_env] = 5.0
            ppo.act(rows)
            ppo.process_env_step(rows, rewards, torch.zeros(ENVS), {})
        ppo.compute_returns(rows)
    ppo.update()
    return torch.cat([p.detach().flatten() for net in (actor, critic) for p in net.parameters()])


moved = {}
for model in (RNNModel, MLPModel):
    plain = learned(model)
    moved[model] = [float((learned(model, env) - plain).abs().max()) for env in range(ENVS)]
    print("rsl-rl-lib", version("rsl-rl-lib"), model.__name__, [round(by, 4) for by in moved[model]])
assert min(moved[RNNModel][:8]) > 0.005 and moved[RNNModel][8:] == [0.0, 0.0]
assert min(moved[MLPModel]) > 0.005
PYTHON
