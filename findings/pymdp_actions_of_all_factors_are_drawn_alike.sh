#!/usr/bin/env bash
# inferactively-pymdp 1.0.4: actions that are drawn for several control factors are drawn from one random number. A good
# guess is that each factor is drawn by itself, out of its own posterior: two factors of two equally likely actions give
# four pairs, equally often. But the same key serves them all: they always do the same, and where one is explored the
# other is not on its own. In `control.py`, sample_action hands `rng_key` to jax.random.categorical once a factor.
#
# Seen: of 400 draws with all four policies equally likely: (0, 0) and (1, 1), half of them each; (0, 1) and (1, 0)
# never. That is how an Agent with `sampling_mode="marginal"` draws; with "full", which draws a policy, all four come.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'inferactively-pymdp==1.0.4' 'jax==0.10.2' 'jaxlib==0.10.2' 'numpy==2.4.6' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
from collections import Counter
from importlib.metadata import version

import jax
import jax.numpy as jnp
from pymdp.control import construct_policies, sample_action, sample_policy

policies = construct_policies([2, 2], [2, 2], policy_len=1, control_fac_idx=[0, 1])
equal = jnp.full(len(policies), 1 / len(policies))
keys = jax.random.split(jax.random.PRNGKey(0), 400)


def drawn(act):
    return dict(sorted(Counter(tuple(pair) for pair in jax.vmap(act)(keys).tolist()).items()))


seen = {
    "by factor": drawn(lambda key: sample_action(policies, [2, 2], equal, "stochastic", 1.0, key)),
    "by policy": drawn(lambda key: sample_policy(policies, equal, "stochastic", 1.0, key)),
}
print("inferactively-pymdp", version("inferactively-pymdp"), seen)
assert set(seen["by factor"]) == {(0, 0), (1, 1)}
assert set(seen["by policy"]) == {(0, 0), (0, 1), (1, 0), (1, 1)}
assert min(*seen["by factor"].values(), *seen["by policy"].values()) > 50
PYTHON
