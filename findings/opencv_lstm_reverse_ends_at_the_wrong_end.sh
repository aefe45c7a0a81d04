#!/usr/bin/env bash
# opencv-python-headless 5.0.0.93: of an LSTM of an ONNX file with `direction="reverse"` the output Y is right, and Y_h,
# the memory when it has read all, is not: it is Y of the last step in time, which is the first that was read. A good
# guess is that both come from one pass, as with `bidirectional`, whose Y_h is right in both directions. A policy or a
# smoother that reads Y_h alone gets what one step tells, of the right shape and without a word.
#
# Seen: over 1, 2, 3 with weights and biases of 0.3, Y is right to 1e-5, Y_h should be Y at the first step and is Y at
# the last.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'opencv-python-headless==5.0.0.93' 'onnx==1.23.2' 'onnxruntime==1.32.0' 'numpy==2.4.6' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import cv2
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

X = np.array([1, 2, 3], dtype=np.float32).reshape(3, 1, 1)


def both(direction):
    """Y and Y_h by onnxruntime and by OpenCV."""
    ways = 2 if direction == "bidirectional" else 1
    shapes = {"W": (ways, 4, 1), "R": (ways, 4, 1), "B": (ways, 8)}
    weights = [numpy_helper.from_array(np.full(s, 0.3, np.float32), name) for name, s in shapes.items()]
    node = helper.make_node("LSTM", ["x", "W", "R", "B"], ["y", "y_h"], hidden_size=1, direction=direction)
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", [3, 1, 1]), ("y", [3, ways, 1, 1]), ("y_h", [ways, 1, 1]))
    ]
    graph = helper.make_graph([node], "one", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "one.onnx")
    right = onnxruntime.InferenceSession("one.onnx", providers=["CPUExecutionProvider"]).run(None, {"x": X})
    net = cv2.dnn.readNetFromONNX("one.onnx")
    net.setInput(X, "x")
    seen = net.forward(["y", "y_h"])
    return right, [np.asarray(value).reshape(of.shape) for value, of in zip(seen, right)]


print("opencv", cv2.__version__)
for direction in ("forward", "bidirectional", "reverse"):
    (y, y_h), (seen, seen_h) = both(direction)
    print(direction, "Y", seen.ravel().round(3), "Y_h", seen_h.ravel().round(3), "right", y_h.ravel().round(3))
    assert np.allclose(seen, y, atol=1e-5)
    assert np.allclose(seen_h, y_h, atol=1e-5) == (direction != "reverse")
assert np.allclose(y_h[0], y[0, 0]) and np.allclose(seen_h[0], y[-1, 0]) and abs(y[0] - y[-1]).max() > 0.05
PYTHON
