#!/usr/bin/env bash
# memorax 1.0.1: two memories that its agents train on sequences and play with step by step are others when they play.
# A good guess is that a memory that goes on from its carry gives what the whole sequence does, as its GRU, LRU, S5,
# Mamba, minGRU, LSTMs and linear attention do. But `FFMCell` counts the steps of every call from 0, and its carry holds
# the count of the call before: a step that is played alone lies 0 steps after the last, and nothing fades or turns at
# all. `SelfAttention` keeps its keys as `RoPE` has turned them, and turns them again in each call that follows. And
# `ALiBi`, by which attention is to fall with distance, adds its slope times the distance in place of taking it off: the
# oldest step counts most, in a whole sequence too. In `sequence_models/ffm.py`, `sequence_models/self_attention.py` and
# `positional_embeddings/alibi.py`.
#
# Seen: of a fact of the first step FFM of four rates has 0.02, 0.06, 0.20 and 0.75 left 63 steps on, as by hand; in
# pieces of 16 it has 0.37 to 0.93, step by step 1.00 of each, and outputs differ by up to 0.7. Without positions
# attention is that by hand, in any pieces; with RoPE as a whole alone, and off by 0.9 to 1.0 in pieces; with ALiBi off
# by 0.15 everywhere: of six equal keys it takes 0.19 of the first and 0.14 of the last.
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
from memorax.networks import ALiBi, FFMCell, Memoroid, RoPE, SelfAttention

KEY = jax.random.key(0)
WIDTH = 8


def build(model, inputs):
    mask = jnp.zeros(inputs.shape[:2], bool).at[:, 0].set(True)  # an episode begins at the first step
    start = model.initialize_carry(KEY, (len(inputs), WIDTH))
    params = model.init(KEY, inputs, mask, start)

    def play(size):
        """All outputs, and what is carried after each piece of so many steps."""
        carry, carried, told = start, [], []
        for first in range(0, inputs.shape[1], size):
            piece = slice(first, first + size)
            carry, out = model.apply(params, inputs[:, piece], mask[:, piece], carry)
            carried.append(carry)
            told.append(out)
        return np.concatenate(told, 1), carried

    return params["params"], play


print("memorax", version("memorax"))

STEPS = 64
fact = jnp.zeros((1, STEPS, WIDTH)).at[:, 0].set(jax.random.normal(jax.random.key(1), (WIDTH,)))
params, play = build(Memoroid(FFMCell(features=WIDTH, memory_size=4, context_size=4)), fact)
cell = jax.tree.map(np.asarray, params["cell"])
first = np.asarray(fact)[0, 0]
gate = 1 / (1 + np.exp(-(first @ cell["input_gate"]["kernel"] + cell["input_gate"]["bias"])))
stored = gate * (first @ cell["pre"]["kernel"] + cell["pre"]["bias"])
rates = cell["a"][:, None] + 1j * cell["b"][None]
right = stored[:, None] * np.exp(rates * (STEPS - 1))
print(f"FFM, a fact of step 1 at step {STEPS}, of what was stored: right {np.exp(cell['a'] * (STEPS - 1)).round(2)}")
whole, carried = play(STEPS)
np.testing.assert_allclose(np.asarray(carried[-1][0])[0, 0], right, atol=1e-3 * np.abs(stored).max())
for size in (STEPS, 16, 1):
    out, carried = play(size)
    state = np.asarray(carried[-1][0])[0, 0]
    kept = np.abs(state).mean(-1) / np.abs(stored)
    print(f"  told in pieces of {size:2}: {kept.round(2)}, outputs differ by {np.abs(out - whole).max():.2f}")
    if size < STEPS:
        np.testing.assert_allclose(kept, np.exp(cell["a"] * (size - 1)), atol=0.02)  # as at the first piece's end
        assert np.abs(out - whole).max() > 0.3
assert np.exp(cell["a"] * (STEPS - 1)).min() < 0.05

LENGTH, HEADS = 12, 2
inputs = jax.random.normal(jax.random.key(2), (1, LENGTH, WIDTH))


def by_hand(params, place):
    """Causal attention of all steps at once; `place` turns queries and keys, or adds to the scores."""
    rows = np.asarray(inputs)[0]
    query, key, value = (np.einsum("td,dhk->htk", rows, params[name]["kernel"]) for name in ("query", "key", "value"))
    if place == "rope":
        half = query.shape[-1] // 2
        angle = np.arange(LENGTH)[:, None] / 10000 ** (np.arange(half) / half)
        turn = np.exp(1j * angle)
        turned = [(x[..., :half] + 1j * x[..., half:]) * turn for x in (query, key)]
        scores = np.einsum("hik,hjk->hij", turned[0], turned[1].conj()).real
    else:
        scores = np.einsum("hik,hjk->hij", query, key)
    scores = scores / np.sqrt(query.shape[-1])
    back = np.arange(LENGTH)[:, None] - np.arange(LENGTH)
    if place == "alibi":
        scores = scores - 2.0 ** (-8 / HEADS * np.arange(1, HEADS + 1))[:, None, None] * back
    weights = np.exp(np.where(back >= 0, scores, -np.inf))
    mixed = np.einsum("hij,hjk->ihk", weights / weights.sum(-1, keepdims=True), value)
    return np.einsum("ihk,hkd->id", mixed, params["out"]["kernel"])


for name, embedding in (("none", None), ("rope", RoPE()), ("alibi", ALiBi(num_heads=HEADS))):
    model = SelfAttention(
        features=WIDTH,
        num_heads=HEADS,
        context_length=LENGTH,
        dtype=jnp.float32,
        param_dtype=jnp.float32,
        kernel_init=nn.initializers.lecun_normal(),
        bias_init=nn.initializers.zeros_init(),
        **({"positional_embedding": embedding} if embedding else {}),
    )
    params, play = build(model, inputs)
    truth = by_hand(jax.tree.map(np.asarray, params), name)
    off = {size: np.abs(play(size)[0][0] - truth).max() for size in (LENGTH, 4, 1)}
    print(f"attention, {name:5}: off by", {size: round(float(value), 2) for size, value in off.items()}, "in pieces of")
    assert (off[LENGTH] < 1e-4) == (name != "alibi")
    if name == "none":
        assert max(off.values()) < 1e-4
    else:
        assert min(off[4], off[1]) > 0.05

query = key = jnp.zeros((1, 6, HEADS, 4))
place = jnp.arange(6)[None]
bias = np.asarray(ALiBi(num_heads=HEADS)(query, key, place, place)[2])[0, :, -1]
weights = np.exp(bias[0]) / np.exp(bias[0]).sum()
print("ALiBi, equal keys, what the sixth step looks at, oldest first:", weights.round(2), "slope", 2.0 ** (-8 / HEADS))
assert (np.diff(weights) < 0).all()
PYTHON
