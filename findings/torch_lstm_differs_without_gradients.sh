#!/usr/bin/env bash
# torch 2.13.0: nn.LSTM on a CPU gives other bits under no_grad than with gradients, for a batch of one sequence.
# The same weights, input and thread: without gradients oneDNN computes it, with gradients torch does.
# An action chosen by the greatest of two near values may differ between acting and learning.
#
# Seen: equal False, furthest 1e-7; equal where torch.backends.mkldnn is off; nn.GRU equal.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'torch==2.13.0' 'numpy==2.4.6' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import torch

torch.set_num_threads(1)


def same_with_and_without_gradients(kind, one_dnn=True):
    torch.manual_seed(0)
    memory, x = kind(16, 64), torch.randn(20, 1, 16)
    with torch.backends.mkldnn.flags(enabled=one_dnn):
        with torch.no_grad():
            without = memory(x)[0]
        learned = memory(x)[0].detach()
    print(kind.__name__, "oneDNN" if one_dnn else "torch alone", float((learned - without).abs().max()))
    return torch.equal(learned, without)


print("torch", torch.__version__, torch.backends.cpu.get_cpu_capability())
assert not same_with_and_without_gradients(torch.nn.LSTM)
assert same_with_and_without_gradients(torch.nn.LSTM, one_dnn=False)
assert same_with_and_without_gradients(torch.nn.GRU)
PYTHON
