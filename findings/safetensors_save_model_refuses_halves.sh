#!/usr/bin/env bash
# safetensors 0.8.0: save_model refuses a module whose parameters are separate parts of one tensor, such as its halves,
# though they do not overlap; save_file writes the same state_dict without a word.
#
# Seen: RuntimeError 'none is covering the entire storage' from save_model; save_file writes both halves.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'torch==2.13.0' 'safetensors==0.8.0' 'numpy==2.4.6' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import safetensors
import torch
from safetensors.torch import load_file, save_file, save_model


class Halves(torch.nn.Module):
    def __init__(self):
        super().__init__()
        whole = torch.arange(8.0)
        self.first, self.second = torch.nn.Parameter(whole[:4]), torch.nn.Parameter(whole[4:])


module = Halves()
try:
    save_model(module, "model.safetensors")
    refused = ""
except RuntimeError as error:
    refused = str(error)
save_file(module.state_dict(), "file.safetensors")
print("safetensors", safetensors.__version__, "|", refused[:160])
assert "covering the entire storage" in refused
assert load_file("file.safetensors")["second"].tolist() == [4.0, 5.0, 6.0, 7.0]
PYTHON
