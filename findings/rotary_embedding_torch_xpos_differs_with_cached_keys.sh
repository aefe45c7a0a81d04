#!/usr/bin/env bash
# rotary-embedding-torch 0.9.1: with `use_xpos` a transformer that acts step by step is another than the one that was
# trained. A good guess is that rotate_queries_with_cached_keys gives the newest query what rotate_queries_and_keys
# gives it among all others. Plain rotations do. Those with a scale count from the middle of what they are given, which
# is the middle of the sequence for its keys and the query itself for one query, so that all products come out smaller,
# and the smaller the longer the sequence: attention is flatter than it was learned. In `rotary_embedding_torch.py`,
# get_scale takes len(t) // 2 off the places of queries and of keys.
#
# Seen: 32 numbers, 1024 steps, all ones: the last query times the last key is 32 among all and 19.9 with cached keys,
# times the first key 5.3 and 4.6; without xpos both ways give the same.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'torch==2.13.0' 'rotary-embedding-torch==0.9.1' 'einops==0.8.2' 'numpy==2.4.6' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

import torch
from rotary_embedding_torch import RotaryEmbedding

ones = torch.ones(1, 1, 1024, 32)


def products(queries, keys):
    """Of the newest query with the newest and the oldest key."""
    return [round(float(queries[0, 0, -1] @ keys[0, 0, row]), 2) for row in (-1, 0)]


scaled, plain = RotaryEmbedding(32, use_xpos=True), RotaryEmbedding(32)
seen = {
    "all": products(*scaled.rotate_queries_and_keys(ones, ones)),
    "cached": products(*scaled.rotate_queries_with_cached_keys(ones[:, :, -1:], ones)),
    "plain, all": products(plain.rotate_queries_or_keys(ones), plain.rotate_queries_or_keys(ones)),
    "plain, cached": products(*plain.rotate_queries_with_cached_keys(ones[:, :, -1:], ones)),
}
print("rotary-embedding-torch", version("rotary-embedding-torch"), seen)
assert seen["plain, all"] == seen["plain, cached"]
assert abs(seen["all"][0] - 32) < 0.1
assert abs(seen["cached"][0] - 32) > 5
PYTHON
