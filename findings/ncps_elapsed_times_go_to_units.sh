#!/usr/bin/env bash
# ncps 1.0.1: in a batch, CfC and LTC give the times between observations (`timespans`) to the units, not to the
# sequences. A good guess is that each sequence has its own. Where there are as many sequences as units nothing is said:
# unit j of every sequence lives by the times of sequence j, and what a sequence becomes hangs on the others. With any
# other number of sequences than 1 it is an error of shapes, and one sequence alone is right. In `torch/cfc.py` and
# `torch/ltc.py`, forward squeezes the times of a step to (batch,), which meets (batch, units) on the wrong side.
#
# Seen: of 4 sequences and 4 units the first changes by 0.08 (CfC) and 0.27 (LTC) when the times of the other three are
# tripled, and differs from itself alone by 0.03 and 0.15; with 5 units it is a RuntimeError. Without `timespans` a
# sequence is the same alone and among others.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'torch==2.13.0' 'ncps==1.0.1' 'numpy==2.4.6' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

import torch
from ncps.torch import LTC, CfC


def differences(kind, units):
    """Of the first of four sequences: when the others' times change, from it alone, and the same without times."""
    torch.manual_seed(0)
    memory, x, times = kind(2, units), torch.randn(4, 6, 2), torch.rand(4, 6) + 0.1
    later = torch.cat([times[:1], 3 * times[1:]])
    with torch.no_grad():
        whole = memory(x, timespans=times)[0][0]
        other = memory(x, timespans=later)[0][0]
        alone = memory(x[:1], timespans=times[:1])[0][0]
        plain = memory(x)[0][0] - memory(x[:1])[0][0]
    return [round(float(by.abs().max()), 4) for by in (other - whole, alone - whole, plain)]


for kind in (CfC, LTC):
    seen = differences(kind, 4)
    try:
        refused = str(differences(kind, 5))
    except RuntimeError as error:
        refused = f"RuntimeError: {error}"
    print("ncps", version("ncps"), kind.__name__, seen, refused)
    assert seen[0] > 0.02 and seen[1] > 0.02 and seen[2] < 1e-5
    assert refused.startswith("RuntimeError")
PYTHON
