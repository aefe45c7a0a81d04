#!/usr/bin/env bash
# mambapy 1.2.0: `pscan`, the parallel scan of h[t] = a[t] h[t-1] + x[t], takes complex numbers as an LRU or S5 has them
# and gives the right states, with the wrong gradients. A good guess is that what runs forwards is differentiated, or
# refused. In `pscan.py` the gradient is written by hand and multiplies by a and h where complex ones need their
# conjugates. Of real numbers it is right.
#
# Seen: states are those of a loop to 1e-12; so are gradients of real numbers; of complex ones those of the decays are
# off by as much as they are long, those of the inputs by half of it.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'torch==2.13.0' 'mambapy==1.2.0' 'numpy==2.4.6' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

import torch
from mambapy.pscan import pscan


def loop(decay, inputs):
    states = [inputs[:, 0]]
    for t in range(1, inputs.shape[1]):
        states.append(decay[:, t] * states[-1] + inputs[:, t])
    return torch.stack(states, dim=1)


def differences(kind):
    """Of the states and of the gradients of decays and inputs, as shares of their size."""
    torch.manual_seed(0)
    shape = (2, 8, 3, 1)
    turn = torch.exp(1j * torch.rand(shape, dtype=torch.float64)) if kind.is_complex else 1.0
    decay = (0.9 * torch.rand(shape, dtype=torch.float64) * turn).to(kind).requires_grad_()
    inputs = torch.randn(shape, dtype=kind).requires_grad_()
    found = []
    for scan in (pscan, loop):
        states = scan(decay, inputs)
        found.append([states.detach(), *torch.autograd.grad((states - 1).abs().square().sum(), (decay, inputs))])
    return [float((a - b).norm() / b.norm()) for a, b in zip(*found)]


seen = {str(kind): differences(kind) for kind in (torch.float64, torch.complex128)}
print("mambapy", version("mambapy"), {name: [f"{by:.1g}" for by in share] for name, share in seen.items()})
assert max(seen["torch.float64"]) < 1e-9 and seen["torch.complex128"][0] < 1e-9
assert min(seen["torch.complex128"][1:]) > 0.1
PYTHON
