#!/usr/bin/env bash
# brax 0.14.2: with `auto_reset=True`, the default of `envs.create`, all episodes of an env begin in the one state that
# `reset` drew: what is drawn per episode, such as the place of a goal, stays for the whole run. A good guess is a new
# draw at each reset, as other vector envs have it. `envs/wrappers/training.py`, AutoResetWrapper, keeps the first state
# and puts it back. With N envs what is drawn takes at most N values.
#
# Seen: of reacher, whose goal is drawn, ten episodes of two envs have two goals, those of the first two; ten calls of
# `reset`, each with a key of its own, have twenty.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'brax==0.14.2' 'jax==0.10.2' 'jaxlib==0.10.2' 'flax==0.12.8' 'mujoco==4.0.0' 'mujoco-mjx==3.17.0' 'numpy==2.4.6' || exit 2
cd "$folder"
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

import jax
import numpy as np
from brax import envs

STEPS, EPISODES, NUM = 3, 10, 2
env = envs.create("reacher", episode_length=STEPS, batch_size=NUM, backend="generalized")
step, reset = jax.jit(env.step), jax.jit(env.reset)


def goals(state):
    return [tuple(np.round(np.asarray(row), 4).tolist()) for row in state.pipeline_state.q[:, 2:]]


state = reset(jax.random.PRNGKey(0))
first, begun = goals(state), [goals(state)]
for t in range(1, STEPS * (EPISODES - 1) + 1):
    state = step(state, jax.numpy.ones((NUM, env.action_size)))
    assert bool(state.done.all()) == (t % STEPS == 0)
    if state.done.all():
        begun.append(goals(state))  # after the reset
drawn = {goal for key in range(EPISODES) for goal in goals(reset(jax.random.PRNGKey(key)))}
seen = {goal for row in begun for goal in row}
print("brax", version("brax"), "goals of", len(begun), "episodes of", NUM, "envs:", len(seen))
print("goals of", EPISODES, "calls of reset:", len(drawn))
assert len(begun) == EPISODES and all(row == first for row in begun)
assert len(drawn) == EPISODES * NUM
PYTHON
