#!/usr/bin/env bash
# dec-pomdp-diagnostics 0.1.0: of continuous actions it finds no dependence where there is one, unless two signals are
# equal in all rows. A good guess is that what it says of actions and memory, I(H; A | O), is that of ranks, as it says:
# ranks leave information as it is. But it sorts once: where the rank of a value should be stands the number of the row
# whose value has this rank, which has to do with no other column where rows come in no order. So the same rows in
# another order have another information, and a policy that acts by its memory is told to make no use of it. Discrete
# actions are not sorted. All of its diagnostics but OAR go that way. In `estimators.py`, _cmi_continuous_actions:
# `array.argsort(axis=1)`, where ranks are `.argsort(axis=1).argsort(axis=1)`.
#
# Seen: an action that is the memory with a noise of 0.3 or 0.5, or observation and memory with a noise of 0.3, has 1.8,
# 1.2 and 1.8 bits with the memory beside the observation. Told are 0.00 to 0.01, and `history_dependence` is False; of
# true ranks its own estimator says 1.65, 1.11 and 1.44. Of the first it says 1.65 as well where rows come in the order
# of the memory; of the memory itself, without noise, 3.16, and of its negative 0.02. Of the sign of the first action,
# which is discrete, it says 0.61, and True.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'dec-pomdp-diagnostics==0.1.0' 'numpy==2.4.6' 'scipy==1.17.1' 'scikit-learn==1.9.1' 'pandas==3.1.1' 'joblib==1.6.0' || exit 2
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import logging

import dec_pomdp_diagnostics as dpd
import numpy as np
from dec_pomdp_diagnostics.estimators import _cmi_frenzel_pompe
from scipy.stats import rankdata

logging.disable(logging.CRITICAL)
ROWS, STEPS, NEAREST = 2000, 20, 25
random = np.random.default_rng(0)
seen, memory, noise = random.normal(size=(3, ROWS, 1))


def told(action, order=slice(None)):
    """Bits between memory and action, given what is seen, and what is concluded."""
    of = {name: {"agent": rows[order]} for name, rows in (("seen", seen), ("memory", memory), ("action", action))}
    bits, _ = dpd.compute_har_hidden(of["seen"], of["memory"], of["action"], k=NEAREST)
    step, episode = np.arange(ROWS) % STEPS, np.arange(ROWS) // STEPS
    result = dpd.compute_diagnostics(
        dpd.UserData(
            observations=of["seen"],
            hidden_states=of["memory"],
            actions=of["action"],
            timesteps={"agent": step},
            episode_ids={"agent": episode},
            alg_name="RNN",
        ),
        metrics=("har",),
    )
    return bits["agent"], result.flags["history_dependence"]


def of_ranks(action):
    ranks = [rankdata(one, axis=0) for one in (memory, action, seen)]
    return _cmi_frenzel_pompe(*ranks, NEAREST)[0] / np.log(2)


print("dec-pomdp-diagnostics", dpd.__version__)
noisy = memory + 0.3 * noise
for name, action, size in (
    ("memory and noise of 0.3", noisy, 0.3),
    ("memory and noise of 0.5", memory + 0.5 * noise, 0.5),
    ("seen, memory and noise of 0.3", seen + noisy, 0.3),
):
    (bits, flag), ranked, right = told(action), of_ranks(action), np.log2(1 + size**-2) / 2
    print(f"{name}: {bits:.2f} bits are told, {flag}; {ranked:.2f} of true ranks; {right:.2f} are right")
    assert abs(bits) < 0.05 and not flag
    assert abs(ranked - right) < 0.4
sorted_bits, _ = told(noisy, memory[:, 0].argsort())
same, _ = told(memory.copy())
negative, _ = told(-memory)
print(f"memory and noise of 0.3, rows in the order of the memory: {sorted_bits:.2f}")
print(f"memory: {same:.2f}; its negative: {negative:.2f}; true ranks of both: {of_ranks(memory.copy()):.2f}")
assert sorted_bits > 0.5 and same > 2 and abs(negative) < 0.05
discrete, flag = told((noisy[:, 0] > 0).astype(np.int64))
print(f"the sign of the first: {discrete:.2f}, {flag}")
assert discrete > 0.3 and flag
PYTHON
