#!/usr/bin/env bash
# shimmy 2.0.1 with dm-control 1.0.34: of the multi-agent envs (soccer), a goal comes as a truncation and a time limit
# as a termination. A good guess is the reverse, as `discount` tells, and as shimmy has it for envs of one agent, where
# it was mended. A learner of games that end by a goal takes on a value from beyond the goal, and none after a time
# limit. In `dm_control_multiagent_compatibility.py`, _unravel_ma_timestep truncates where the last discount is 0.
#
# Seen: a goal has a discount of 0 and is truncated, not terminated; a time limit has 1 and is terminated, not
# truncated. A time limit of cartpole, by shimmy's wrapper for one agent, is truncated.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'shimmy==2.0.1' 'dm-control==1.0.34' 'mujoco==3.3.7' 'pettingzoo==1.27.0' 'gymnasium==1.4.0' 'imageio==2.37.0' 'packaging==25.0' 'numpy==2.4.6' || exit 2
cd "$folder"
MUJOCO_GL=disable "$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import warnings

warnings.simplefilter("ignore")
from dm_control import suite
from shimmy import DmControlCompatibilityV0, DmControlMultiAgentCompatibilityV0


def end_of_a_game(by_a_goal):
    env = DmControlMultiAgentCompatibilityV0(team_size=1, time_limit=9.0 if by_a_goal else 0.1, terminate_on_goal=True)
    env.reset()
    if by_a_goal:
        game = env.unwrapped._env
        x, y, _ = game.task.arena.away_goal.mid
        game.task.ball.set_pose(game.physics, [x, y, 0.5])
    for _ in range(20):
        nothing = {one: 0 * env.action_space(one).sample() for one in env.agents}
        _, rewards, terminated, truncated, infos = env.step(nothing)
        (ending,) = set(zip(terminated.values(), truncated.values()))  # the same for both players
        if any(ending):
            return {
                "rewards": [float(reward) for reward in rewards.values()],
                "discount": float(infos["player_0"]["timestep.discount"]),
                "terminated": ending[0],
                "truncated": ending[1],
            }


def end_of_cartpole():
    env = DmControlCompatibilityV0(suite.load("cartpole", "balance", task_kwargs={"time_limit": 0.1}))
    env.reset(seed=0)
    while True:
        _, _, terminated, truncated, info = env.step(0 * env.action_space.sample())
        if terminated or truncated:
            return {"discount": float(info["timestep.discount"]), "terminated": terminated, "truncated": truncated}


goal, late, alone = end_of_a_game(True), end_of_a_game(False), end_of_cartpole()
print("shimmy", importlib.metadata.version("shimmy"), "goal:", goal, "time limit:", late, "of cartpole:", alone)
assert goal == {"rewards": [1.0, -1.0], "discount": 0.0, "terminated": False, "truncated": True}
assert late == {"rewards": [0.0, 0.0], "discount": 1.0, "terminated": True, "truncated": False}
assert alone == {"discount": 1.0, "terminated": False, "truncated": True}
PYTHON
