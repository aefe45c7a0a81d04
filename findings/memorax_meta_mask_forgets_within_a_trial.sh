#!/usr/bin/env bash
# memorax 1.0.1: `MetaMaskWrapper`, a memory for trials of `steps_per_trial` steps, forgets at each step but the first
# of a trial. A good guess is that it is the memory of meta-learning: it passes over the ends of episodes, goes on
# through a trial, and begins anew with the next. But a mask of True is a reset to all memories there, and the mask it
# makes is True where a step is no first one: within a trial nothing is remembered, and the next trial begins with what
# the last step of this one left. Outputs have the right shapes, and training goes on. In `sequence_models/wrappers.py`.
#
# Seen: over a GRU with trials of 4 steps the first observation of a trial reaches the output of its own step alone,
# where all 4 are right, and the fourth reaches that of the next trial's first, where its own is right. What comes out
# differs by 0.58 from the same GRU reset as each trial begins, and by 0.00 from it reset at all other steps.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
version=0.26.0.dev20261027  # it has no others
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'memorax==1.0.1' 'jax==0.10.2' 'jaxlib==0.10.2' 'flax==0.12.8' 'distrax==0.1.9' "tfp-nightly==$version" 'flashbax==0.1.3' 'gymnax==1.0.1' 'wandb==0.31.0' 'neptune-scale==0.30.0' 'numpy==2.4.6' || exit 2
cd "$folder"
JAX_PLATFORMS=cpu OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from memorax.networks import RNN, MetaMaskWrapper

KEY = jax.random.key(0)
STEPS, TRIAL, WIDTH = 12, 4, 8
inputs = jax.random.normal(jax.random.key(1), (1, STEPS, WIDTH))
done = jnp.zeros((1, STEPS), bool).at[:, ::2].set(True)  # episodes of two steps, two to a trial

gru = RNN(nn.GRUCell(WIDTH))
meta = MetaMaskWrapper(gru, steps_per_trial=TRIAL)
start = meta.initialize_carry(KEY, (1, WIDTH))
params = meta.init(KEY, inputs, done, start)
inner = {"params": params["params"]["sequence_model"]}


def told(seen):
    return np.asarray(meta.apply(params, seen, done, start)[1][0])


def gru_with(resets):
    mask = jnp.asarray(resets)[None]
    return np.asarray(gru.apply(inner, inputs, mask, gru.initialize_carry(KEY, (1, WIDTH)))[1][0])


def reach(outputs):
    """Which later steps a change of each step reaches."""
    table = np.zeros((STEPS, STEPS), bool)
    for step in range(STEPS):
        table[step] = np.abs(outputs(inputs.at[0, step].add(1.0)) - outputs(inputs)).max(-1) > 1e-6
    return table


print("memorax", version("memorax"))
step = np.arange(STEPS)
right = (step[:, None] <= step) & (step[:, None] // TRIAL == step // TRIAL)
found = reach(told)
print("steps that the first observation of each trial reaches:")
for first in range(0, STEPS, TRIAL):
    print(f"  of step {first + 1}: {step[found[first]] + 1}, right {step[right[first]] + 1}")
print("and the last one:")
for last in range(TRIAL - 1, STEPS, TRIAL):
    print(f"  of step {last + 1}: {step[found[last]] + 1}, right {step[right[last]] + 1}")
resets = step % TRIAL == 0
as_asked, reverse = (np.abs(told(inputs) - gru_with(mask)).max() for mask in (resets, ~resets))
print(f"differs by {as_asked:.2f} from the GRU that is reset as each trial begins, by {reverse:.2f} from the reverse")
np.testing.assert_array_equal(
    np.abs(gru_with(resets) - gru_with(np.zeros(STEPS, bool))).max(-1) > 1e-6, step >= TRIAL
)  # of the plain memory a mask of True is a reset
assert reverse < 1e-6 and as_asked > 0.1
inside = (step % TRIAL != 0) & (step % TRIAL != TRIAL - 1)
assert (found[inside].sum(-1) == 1).all()  # seen at its own step alone
assert not found[0, 1:].any() and found[TRIAL - 1, TRIAL] and not right[TRIAL - 1, TRIAL]
PYTHON
