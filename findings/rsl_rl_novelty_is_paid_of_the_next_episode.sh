#!/usr/bin/env bash
# rsl-rl-lib 5.5.1: what random network distillation pays for the step that ends an episode is the novelty of the next
# episode's first observation. A good guess is that of the place it ended at: a goal that ends the episode is what such
# a bonus is to find. An env here resets by itself, so that `PPO.process_env_step` is given the observation after the
# reset and no other; what is learned from are the observations acted on, so that the goal's is never seen either.
#
# Seen: in a corridor of 0, 1, 2 and the goal 3, which ends it, each last step is paid what being at 0 is worth, about
# 0.37; 3 would be worth about 0.49. Of the 60 observations that are learned from none is the goal's.
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
from rsl_rl.env import VecEnv
from rsl_rl.runners import OnPolicyRunner
from tensordict import TensorDict

GOAL = 3


class Corridor(VecEnv):
    """One step to the right each time; at the goal the episode ends and the next one begins, as envs do here."""

    def __init__(self):
        self.num_envs, self.num_actions, self.max_episode_length, self.device, self.cfg = 4, 1, 10, "cpu", {}
        self.place = torch.zeros(self.num_envs, dtype=torch.long)
        self.episode_length_buf = torch.zeros(self.num_envs, dtype=torch.long)
        self.unwrapped, self.step_dt = self, 1.0

    def get_observations(self):
        return TensorDict({"place": torch.eye(GOAL + 1)[self.place]}, [self.num_envs])

    def step(self, actions):
        self.place = self.place + 1
        ended = self.place == GOAL
        self.place = torch.where(ended, 0, self.place)
        time_outs = torch.zeros(self.num_envs)
        return self.get_observations(), torch.zeros(self.num_envs), ended.float(), {"time_outs": time_outs}


model = {"class_name": "MLPModel", "hidden_dims": [8]}
config = {
    "num_steps_per_env": 15,
    "save_interval": 1000,
    "obs_groups": {"actor": ["place"], "critic": ["place"], "rnd_state": ["place"]},
    "actor": {**model, "distribution_cfg": {"class_name": "GaussianDistribution"}},
    "critic": dict(model),
    "algorithm": {
        "class_name": "PPO",
        "rnd_cfg": {"weight": 1.0, "num_outputs": 4, "predictor_hidden_dims": [8], "target_hidden_dims": [8]},
    },
}
paid, learned_from = [], []
step_as_it_is, update_as_it_is = PPO.process_env_step, PPO.update


def process_env_step(self, obs, rewards, dones, extras):
    before = self.transition.observations["place"].argmax(1)
    step_as_it_is(self, obs, rewards, dones, extras)
    novelty = self.rnd.get_intrinsic_reward(TensorDict({"place": torch.eye(GOAL + 1)}, [GOAL + 1]))
    paid.append((before.clone(), self.intrinsic_rewards.clone(), novelty.clone()))


def update(self):
    learned_from.extend(self.storage.observations["place"].argmax(-1).flatten().tolist())
    return update_as_it_is(self)


PPO.process_env_step, PPO.update = process_env_step, update
torch.manual_seed(0)
runner = OnPolicyRunner(Corridor(), config, log_dir=None, device="cpu")
runner.learn(1)

last = [(by[before == GOAL - 1], novelty) for before, by, novelty in paid if (before == GOAL - 1).any()]
print("rsl-rl-lib", version("rsl-rl-lib"), "paid into the goal:", [round(float(by[0]), 4) for by, _ in last])
start, goal = ([round(float(novelty[place]), 4) for _, novelty in last] for place in (0, GOAL))
print("novelty of the start:", start, "of the goal:", goal)
print("learned from, of", len(learned_from), ":", {place: learned_from.count(place) for place in range(GOAL + 1)})
assert len(last) == 5 and all(torch.allclose(by, novelty[0].expand_as(by)) for by, novelty in last)
assert all(abs(float(novelty[GOAL] - novelty[0])) > 0.01 for _, novelty in last)
assert learned_from.count(GOAL) == 0 and len(learned_from) == 60
PYTHON
