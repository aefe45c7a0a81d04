#!/usr/bin/env bash
# minGRU-pytorch 0.2.1: a minLSTM that is handed the state where it stopped goes on from another one, unless it is given
# a single step. A good guess is that any pieces of a sequence come to what the whole one does, as those of its minGRU
# do. But every number of the state grows by a half, at each border of pieces, and so does a state of zeros, that of an
# episode's begin. What was learned on windows is played, step by step, by another network. In `minLSTM.py`, forward
# applies log_g to prev_hidden, which has been through g already, where minGRU takes its logarithm.
#
# Seen: twelve steps in pieces of 1, 2, 3 and 6 differ from the whole by 5e-7, 0.49, 0.34 and 0.29; minGRU by 6e-7.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'torch==2.13.0' 'minGRU-pytorch==0.2.1' 'einops==0.8.1' 'numpy==2.4.6' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata

import torch
from minGRU_pytorch import minGRU
from minGRU_pytorch.minLSTM import minLSTM

torch.manual_seed(0)
torch.set_grad_enabled(False)


def in_pieces(memory, x, steps):
    state, parts = None, []
    for piece in x.split(steps, dim=1):
        part, state = memory(piece, state, return_next_prev_hidden=True)
        parts.append(part)
    return torch.cat(parts, dim=1)


seen, state_is = {}, {}
for kind in (minGRU, minLSTM):
    memory, x = kind(4), torch.randn(2, 12, 4)
    whole = memory(x)
    seen[kind] = {steps: (in_pieces(memory, x, steps) - whole).abs().max().item() for steps in (1, 2, 3, 6)}
    seen[kind]["from zeros"] = (memory(x, torch.zeros(2, 1, 4)) - whole).abs().max().item()
    print("minGRU-pytorch", importlib.metadata.version("minGRU-pytorch"), kind.__name__, seen[kind])
assert max(seen[minGRU].values()) < 1e-5 and seen[minLSTM][1] < 1e-5
assert min(difference for way, difference in seen[minLSTM].items() if way != 1) > 0.1

first, state = memory(x[:, :6], return_next_prev_hidden=True)
step_by_step = [memory(x[:, 6:7], shifted) for shifted in (state, state + 0.5)]
at_once = memory(x[:, 6:8], state)[:, :1]
assert not torch.allclose(at_once, step_by_step[0], atol=0.05)
torch.testing.assert_close(at_once, step_by_step[1])  # from a half more
PYTHON
