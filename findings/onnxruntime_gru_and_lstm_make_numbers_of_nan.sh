#!/usr/bin/env bash
# onnxruntime 1.31.1: a GRU or LSTM that has a bias makes an ordinary number of a NaN; without one, as an RNN does, it
# gives NaN. A policy that was fed a broken observation goes on as if nothing had been, and a check for NaN finds none.
#
# Seen: of x = NaN and biases of 0 the hidden state is 0 (GRU) and tanh(1) = 0.76 (LSTM); without biases it is NaN.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'onnxruntime==1.31.1' 'onnx==1.23.2' 'numpy==2.4.6' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper

H, I = 4, 3


def hidden(op, gates, bias):
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(size=(1, gates * H, I)), "r": rng.normal(size=(1, gates * H, H))}
    if bias:
        weights["b"] = np.zeros((1, 2 * gates * H))
    constants = [
        helper.make_tensor(name, TensorProto.FLOAT, value.shape, value.astype(np.float32).ravel())
        for name, value in weights.items()
    ]
    node = helper.make_node(op, ["x", *weights], ["y"], hidden_size=H)
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", [1, 1, I]), ("y", None)))
    graph = helper.make_graph([node], "one layer", [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.array([[[np.nan, 0, 0]]], np.float32)})[0].ravel()


seen = {(op, bias): hidden(op, gates, bias) for op, gates in (("RNN", 1), ("GRU", 3), ("LSTM", 4)) for bias in (0, 1)}
print("onnxruntime", onnxruntime.__version__, seen)
for op, expected in (("RNN", np.nan), ("GRU", 0.0), ("LSTM", np.tanh(1.0))):
    assert np.isnan(seen[op, 0]).all()
    np.testing.assert_allclose(seen[op, 1], expected, rtol=1e-6)
PYTHON
