#!/usr/bin/env bash
# onnx 1.23.2: its ReferenceEvaluator, by which others check their own, takes RNN, GRU and LSTM with `sequence_lens`,
# `clip` and other `activations` of a GRU, and computes as if they were not there. A good guess is that the format's own
# evaluator does what the format says, or raises as it does for other activations of an RNN. But each sequence is read
# to the end of its padding, so that Y_h, the memory at the end of the shorter one, is that of the padding, and Y is
# not 0 behind it. In `onnx/reference/ops/op_gru.py` and its neighbours the arguments are taken and not read.
# (The direction, which it had passed over as well, is right since pull request 7935.)
#
# Seen: a GRU over two sequences, of 4 steps and of 2: the two Y_h differ from onnxruntime's by 0 and by 0.304; with
# clip=0.1 and with Relu for Tanh the result is, to the last bit, that without them.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'onnx==1.23.2' 'onnxruntime==1.32.0' 'numpy==2.4.6' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

T, N, GATES = 4, 2, {"RNN": 1, "GRU": 3, "LSTM": 4}
X = np.random.default_rng(0).normal(size=(T, N, 1)).astype(np.float32)


def both(kind, lengths=None, **attributes):
    """Y and Y_h by onnxruntime and by the reference."""
    weights = [numpy_helper.from_array(np.ones((1, GATES[kind], 1), np.float32), name) for name in ("W", "R")]
    inputs = ["x", "W", "R"]
    if lengths is not None:
        weights.append(numpy_helper.from_array(np.array(lengths, np.int32), "lengths"))
        inputs += ["", "lengths"]
    node = helper.make_node(kind, inputs, ["y", "y_h"], hidden_size=1, **attributes)
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", [T, N, 1]), ("y", [T, 1, N, 1]), ("y_h", [1, N, 1]))
    ]
    graph = helper.make_graph([node], "one", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": X}), ReferenceEvaluator(model).run(None, {"x": X})


print("onnx", onnx.__version__, "onnxruntime", onnxruntime.__version__)
for kind in GATES:
    (y, y_h), (whole, whole_h) = both(kind)
    assert np.allclose(y, whole, atol=1e-6) and np.allclose(y_h, whole_h, atol=1e-6)
    (y, y_h), (seen, seen_h) = both(kind, lengths=[T, 2])
    print(kind, "Y_h is off by", np.abs(seen_h - y_h).ravel().round(3), "Y behind the end", seen[2:, 0, 1, 0].round(3))
    assert np.array_equal(seen, whole) and np.array_equal(seen_h, whole_h)  # as if no length had been given
    assert np.all(y[2:, 0, 1] == 0) and np.allclose(y_h[0, 1], y[1, 0, 1])  # what the format says
    assert np.allclose(seen_h[0, 0], y_h[0, 0], atol=1e-6) and abs(seen_h[0, 1, 0] - y_h[0, 1, 0]) > 0.1
    (y, _), (seen, _) = both(kind, clip=0.1)
    assert np.array_equal(seen, whole) and np.abs(seen - y).max() > 0.05
(y, _), (seen, _) = both("GRU", activations=["Sigmoid", "Relu"])
assert np.array_equal(seen, both("GRU")[1][0]) and np.abs(seen - y).max() > 0.05
PYTHON
