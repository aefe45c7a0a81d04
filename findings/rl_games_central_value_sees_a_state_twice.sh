#!/usr/bin/env bash
# rl-games 1.6.5: a central value with a memory, its asymmetric critic, is given the last state of each rollout twice:
# for the value that the rollout is bootstrapped from, and as the next rollout's first step; its memory takes both. A
# good guess is that asking for a value changes nothing, as it is with an agent that has no central value:
# get_values of `common/a2c_common.py` leaves the agent's own memory alone, get_value of `algos_torch/central_value.py`
# keeps its new one.
#
# Seen: of steps 0 to 12 in rollouts of 4, the critic's memory is given 0 1 2 3 4 4 5 6 7 8 8 9 10 11 12, and the second
# rollout is stored, and learned from, to begin with the memory of 0 to 4 where that of 0 to 3 is right.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'torch==2.13.0' 'rl-games==1.6.5' 'gymnasium==1.4.0' 'numpy==2.4.6' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import copy
from importlib.metadata import version

import gymnasium as gym
import torch
from rl_games.common import env_configurations, vecenv
from rl_games.common.ivecenv import IVecEnv
from rl_games.torch_runner import Runner

ROLLOUT, ENVS = 4, 2


class Counter(IVecEnv):
    """One long episode whose state, and observation, is the number of the step."""

    def __init__(self, name, num, **settings):
        self.num, self.time = num, 0

    def seen(self):
        count = torch.full((self.num, 1), float(self.time))
        return {"obs": count, "states": count.clone()}

    def reset(self):
        self.time = 0
        return self.seen()

    def step(self, actions):
        self.time += 1
        return self.seen(), torch.ones(self.num), torch.zeros(self.num, dtype=torch.bool), {}

    def get_number_of_agents(self):
        return 1

    def get_env_info(self):
        box = gym.spaces.Box(-1e6, 1e6, (1,))
        spaces = {"observation_space": box, "state_space": box, "action_space": gym.spaces.Box(-1, 1, (1,))}
        return {**spaces, "use_global_observations": True, "agents": 1, "value_size": 1}

    def set_train_info(self, *arguments, **settings):
        pass

    def get_env_state(self):
        return None

    def set_env_state(self, state):
        pass


vecenv.register("counter", Counter)
env_configurations.register("counter", {"vecenv_type": "counter", "env_creator": lambda **settings: None})
start = {"name": "default"}
net = {
    "name": "actor_critic",
    "mlp": {"units": [8], "activation": "elu", "initializer": start, "regularizer": {"name": "None"}},
    "rnn": {"name": "gru", "units": 4, "layers": 1},
}
no_change = {"name": "const_initializer", "val": 0}
actions = {"mu_activation": "None", "sigma_activation": "None", "mu_init": start, "sigma_init": no_change}
learning = {"minibatch_size": ROLLOUT * ENVS, "mini_epochs": 1, "learning_rate": 1e-3, "clip_value": True}
learning |= {"normalize_input": False, "truncate_grads": True, "seq_length": ROLLOUT}
config = {
    **{"name": "run", "env_name": "counter", "device": "cpu", "device_name": "cpu", "num_actors": ENVS, "ppo": True},
    **{"horizon_length": ROLLOUT, "max_epochs": 3, "save_frequency": 0, "save_best_after": 1000, "score_to_win": 1e9},
    **{"gamma": 0.99, "tau": 0.95, "e_clip": 0.2, "critic_coef": 1, "entropy_coef": 0.0, "bounds_loss_coef": 0.0},
    **{"lr_schedule": None, "normalize_advantage": True, "normalize_value": False, "value_bootstrap": True},
    **{"reward_shaper": {"scale_value": 1.0}, "grad_norm": 1.0, "print_stats": False, "mixed_precision": False},
    **learning,
    "central_value_config": {**learning, "network": {**net, "central_value": True}},
}
policy = {**net, "separate": False, "space": {"continuous": {**actions, "fixed_sigma": True}}}
params = {"seed": 0, "algo": {"name": "a2c_continuous"}, "model": {"name": "continuous_a2c_logstd"}, "network": policy}
runner = Runner()
runner.load({"params": {**params, "config": config}})
agent = runner.algo_factory.create(runner.algo_name, base_name="run", params=runner.params)
critic = agent.central_value_net
as_it_was, given, stored = copy.deepcopy(critic.model), {"critic": [], "agent": []}, []


def listened_to(model, to):
    forward = model.forward

    def listening(inputs):
        if not inputs.get("is_train", True):
            given[to].append(int(inputs["obs"][0, 0]))
        return forward(inputs)

    model.forward = listening


listened_to(critic.model, "critic")
listened_to(agent.model, "agent")
update, calls = critic.update_dataset, []


def update_dataset(batch):
    stored.append(critic.mb_rnn_states[0][0].clone())  # what the rollout began with
    return update(batch)


critic.update_dataset = update_dataset
agent.train()


def memory_of(steps):
    states = as_it_was.get_default_rnn_state()
    with torch.no_grad():
        for step in range(steps):
            obs = torch.full((ENVS, 1), float(step))
            states = as_it_was({"is_train": False, "obs": obs, "actions": None, "rnn_states": states})["rnn_states"]
    return states[0]


print("rl-games", version("rl-games"), "the critic is given", given["critic"], "the agent", given["agent"])
off = [float((stored[1] - memory_of(steps)).abs().max()) for steps in (ROLLOUT, ROLLOUT + 1)]
print("the second rollout's memory: off that of 0 to 3 by", round(off[0], 4), "of 0 to 4 by", off[1])
assert given["critic"] == [0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 8, 9, 10, 11, 12]
assert given["agent"] == list(range(12))
assert off[0] > 1e-3 and off[1] < 1e-6
PYTHON
