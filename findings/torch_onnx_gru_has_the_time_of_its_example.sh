#!/usr/bin/env bash
# torch 2.13.0: a GRU exported to ONNX by the default (dynamo) exporter runs only on sequences as long as its example,
# though both axes were asked to be dynamic and the file says that they are. The batch axis is free.
#
# Seen: the file's input is [T, B, 3]; 5 steps as in the example run for any batch; 7 steps end in an error of Reshape.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'torch==2.13.0' 'onnx==1.23.2' 'onnxscript==0.7.2' 'onnxruntime==1.31.1' 'numpy==2.4.6' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import logging
import warnings

import numpy as np
import onnxruntime
import torch

warnings.simplefilter("ignore")
logging.disable()
onnxruntime.set_default_logger_severity(4)


class History(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.memory = torch.nn.GRU(3, 4)

    def forward(self, x):
        return self.memory(x)[0]


axes = {"x": {0: "T", 1: "B"}}
written = torch.onnx.export(History().eval(), (torch.zeros(5, 2, 3),), dynamic_shapes=axes, verbose=False).model_proto
declared = [axis.dim_param or axis.dim_value for axis in written.graph.input[0].type.tensor_type.shape.dim]
session = onnxruntime.InferenceSession(written.SerializeToString())


def runs(steps, batch):
    try:
        return session.run(None, {"x": np.zeros((steps, batch, 3), np.float32)})[0].shape == (steps, batch, 4)
    except Exception as error:
        print(str(error).splitlines()[0][-150:])
        return False


seen = {(steps, batch): runs(steps, batch) for steps in (5, 7) for batch in (2, 3)}
print("torch", torch.__version__, declared, seen)
assert declared == ["T", "B", 3]
assert seen == {(5, 2): True, (5, 3): True, (7, 2): False, (7, 3): False}
PYTHON
