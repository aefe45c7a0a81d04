#!/usr/bin/env bash
# MNN 3.6.1 (its Python package): a GRU of an ONNX file in the format's default form, whose reset gate acts on the memory
# before the product (`linear_before_reset=0`, tanh(W x + R (r h) + b)), is converted without a word and computed as
# tanh(W x + r (R h) + b). A good guess is that what converts is computed as the file says, or is refused. The other form,
# which torch exports, is right; where the memory is 0, as at the first step, the two are the same, so that a trial of
# one step does not show it.
#
# Seen: over four steps Y is off by 0.7, and from that other formula by less than 1e-5.
# The converter's function is called and not its command `mnnconvert`, which besides converting has the first `pip` of
# the path install `aliyun-log-python-sdk`, wherever that is, and sends its maker what was converted and how large it is
# (`MNN/tools/utils/log.py`).
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'MNN==3.6.1' 'onnx==1.23.2' 'onnxruntime==1.32.0' 'numpy==2.4.6' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import subprocess
import sys
from pathlib import Path

import MNN.expr
import MNN.nn
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

STEPS, HIDDEN = 4, 5


def model(linear_before_reset):
    """A GRU of drawn weights, and what it is given."""
    rng = np.random.default_rng(1)
    draw = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    held = {"W": draw(1, 3 * HIDDEN, 3), "R": draw(1, 3 * HIDDEN, HIDDEN), "B": draw(1, 6 * HIDDEN)}
    given = {"x": draw(STEPS, 1, 3), "h": draw(1, 1, HIDDEN)}
    attributes = {"hidden_size": HIDDEN, "linear_before_reset": linear_before_reset}
    node = helper.make_node("GRU", ["x", "W", "R", "B", "", "h"], ["y"], **attributes)
    told = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)  # noqa: E731
    graph = helper.make_graph(
        [node],
        "one",
        [told(name, value.shape) for name, value in given.items()],
        [told("y", [STEPS, 1, 1, HIDDEN])],
        [numpy_helper.from_array(value, name) for name, value in held.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return made, given


def by_onnxruntime(made, given):
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, given)[0]


def by_mnn(made, given):
    Path("one.mnn").unlink(missing_ok=True)
    onnx.save(made, "one.onnx")
    names = ["mnnconvert", "-f", "ONNX", "--modelFile", "one.onnx", "--MNNModel", "one.mnn", "--bizCode", "one"]
    subprocess.run([sys.executable, "-c", f"import _tools; _tools.mnnconvert({names!r})"], stdout=subprocess.DEVNULL, check=True)
    net = MNN.nn.load_module_from_file("one.mnn", list(given), ["y"])
    values = []
    for value in given.values():
        values.append(MNN.expr.placeholder(list(value.shape), MNN.expr.NCHW, MNN.expr.float))
        values[-1].write(value.ravel().tolist())
    return np.array(net.onForward(values)[0].read())


def gated(made, given, before):
    """Y of the GRU by hand, the reset gate before the product with R or after it."""
    held = {value.name: numpy_helper.to_array(value)[0] for value in made.graph.initializer}
    w, r, bias = np.split(held["W"], 3), np.split(held["R"], 3), held["B"].reshape(2, 3, HIDDEN).sum(0)
    h, seen = given["h"][0], []
    for x in given["x"]:
        update, reset = (1 / (1 + np.exp(-(x @ w[i].T + h @ r[i].T + bias[i]))) for i in (0, 1))
        recalled = (reset * h) @ r[2].T if before else reset * (h @ r[2].T)
        h = (1 - update) * np.tanh(x @ w[2].T + recalled + bias[2]) + update * h
        seen.append(h)
    return np.stack(seen)[:, None]


def off(one, other):
    return float(np.abs(one - other).max())


print("MNN", MNN.version())
default, given = model(linear_before_reset=0)
after, _ = model(linear_before_reset=1)
right, seen = by_onnxruntime(default, given), by_mnn(default, given)
by_hand = gated(default, given, before=True), gated(default, given, before=False)
assert off(right, by_hand[0]) < 1e-5 and off(by_mnn(after, given), by_onnxruntime(after, given)) < 1e-5
print("linear_before_reset=0: off by", round(off(seen, right), 3), "and from tanh(W x + r (R h) + b) by", off(seen, by_hand[1]))
assert off(seen, right) > 0.05 and off(seen, by_hand[1]) < 1e-5
PYTHON
