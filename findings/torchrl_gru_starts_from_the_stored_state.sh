#!/usr/bin/env bash
# torchrl 0.14.1: GRUModule in recurrent mode begins an episode with the hidden state that was stored at its first
# step, although `is_init` is set there. A step at a time, `is_init` does clear it.
#
# Seen: outputs of the same episode differ by 0.44 between a stored state of ones and of zeros; equal step by step.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'torch==2.13.0' 'torchrl==0.14.1' 'tensordict==0.14.3' 'numpy==2.4.6' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import torch
import torchrl
from tensordict import TensorDict
from torchrl.modules import GRUModule, set_recurrent_mode

torch.manual_seed(0)
module = GRUModule(input_size=2, hidden_size=3, in_keys=["x", "h"], out_keys=["y", ("next", "h")])
x = torch.randn(1, 4, 2)


def of_an_episode(stored):
    is_init = torch.zeros(1, 4, 1, dtype=torch.bool)
    is_init[:, 0] = True
    kept = torch.zeros(1, 4, 1, 3)
    kept[:, 0] = stored
    with set_recurrent_mode(True):
        return module(TensorDict({"x": x, "h": kept, "is_init": is_init}, [1, 4]))["y"].detach()


def of_a_step(stored):
    is_init = torch.ones(1, 1, dtype=torch.bool)
    return module(TensorDict({"x": x[:, 0], "h": torch.full((1, 1, 3), stored), "is_init": is_init}, [1]))["y"].detach()


apart = float((of_an_episode(1.0) - of_an_episode(0.0)).abs().max())
print("torchrl", torchrl.__version__, "apart:", apart)
assert apart > 0.1
assert torch.equal(of_a_step(1.0), of_a_step(0.0))
PYTHON
