#!/usr/bin/env bash
# markovonnx 1.0.1: a hidden Markov model that is exported begins a step late. A good guess is that the file does what
# the model does: that the belief after the first observation is the start's odds times those of the observation, as in
# `HiddenMarkovModel.viterbi` and in its training, which counts the first state as the start. But the file has the one
# step "move, then observe", and `HMMONNXRuntime.decode` gives it the start itself as what was believed before: every
# sequence is taken to have moved once before it is first observed. In `onnx_export.py`, export_hmm_onnx, where `pi` is
# written and read by nothing, and `onnx_runtime.py`, decode.
#
# Seen: of a model that starts in a, moves on to the other state in 9 of 10 steps and is observed rightly in 7 of 10,
# trained on 2000 sequences with their states, the first state is told as b where a alone is possible, with 0.79 for b
# at x and 0.95 at y; over 500 sequences a right filter names 0.87 of the states at the first five steps, the file 0.40.
# Given the belief from which the start follows in one step, the same file is right.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'markovonnx==1.0.1' 'onnx==1.23.2' 'onnxruntime==1.32.0' 'numpy==2.4.6' || exit 2
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import numpy as np
from markovonnx.hmm import HiddenMarkovModel
from markovonnx.onnx_export import export_hmm_onnx
from markovonnx.onnx_runtime import HMMONNXRuntime
from markovonnx.vocabulary import Vocabulary

random = np.random.default_rng(0)
OTHER, RIGHT = {"a": "b", "b": "a"}, {"a": "x", "b": "y"}


def draw(steps=5):
    states = ["a"]
    while len(states) < steps:
        states.append(OTHER[states[-1]] if random.random() < 0.9 else states[-1])
    seen = [RIGHT[state] if random.random() < 0.7 else RIGHT[OTHER[state]] for state in states]
    return seen, states


def vocabulary(*names):
    made = Vocabulary()
    made.build_from_sequences([list(names)])
    return made


def beliefs(model, seen, start):
    """After each observation, by Bayes' rule, from the odds of the first state."""
    belief, told = np.asarray(start, float), []
    for step, one in enumerate(model.obs_vocab.encode(seen)):
        if step:
            belief = belief @ model.A
        belief = belief * model.B[:, one]
        belief = belief / belief.sum()
        told.append(belief)
    return np.array(told)


def names(model, told):
    return model.state_vocab.decode(told.argmax(1).tolist())


print("markovonnx", version("markovonnx"))
data = [draw() for _ in range(2000)]
model = HiddenMarkovModel(2, vocabulary("x", "y"), vocabulary("a", "b"))
model.fit_supervised([seen for seen, _ in data], [states for _, states in data])
a, b = model.state_vocab.encode(["a", "b"])
assert model.pi[a] > 0.999 and abs(model.A[a, b] - 0.9) < 0.03 and abs(model.B[a, 1] - 0.7) < 0.03
export_hmm_onnx(model, "model.onnx")
file = HMMONNXRuntime("model.onnx", model)

for first in ("x", "y"):
    (one,) = file.decode([first])
    before = model.pi.astype(np.float32)
    given = {"obs_id": np.array(model.obs_vocab.encode([first])), "alpha_in": before}
    told = file.sess.run(["alpha_out"], given)[0]
    right = beliefs(model, [first], model.pi)[0]
    print(f"first {first}: told {one}, b with {told[b]:.2f}; right {model.viterbi([first])[0]}, b with {right[b]:.2f}")
    assert one == "b" and told[b] > 0.7 and model.viterbi([first]) == ["a"] and right[a] > 0.999
    np.testing.assert_allclose(told, beliefs(model, [first], model.pi @ model.A)[0], atol=1e-6)

score = {"file": [], "right": [], "viterbi": []}
for _ in range(500):
    seen, states = draw()
    told = file.decode(seen)
    assert told == names(model, beliefs(model, seen, model.pi @ model.A))
    score["file"].append(np.mean([x == y for x, y in zip(told, states)]))
    right = names(model, beliefs(model, seen, model.pi))
    score["right"].append(np.mean([x == y for x, y in zip(right, states)]))
    score["viterbi"].append(np.mean([x == y for x, y in zip(model.viterbi(seen), states)]))
score = {name: float(np.mean(shares)) for name, shares in score.items()}
print("share of states that are named:", {name: round(share, 2) for name, share in score.items()})
assert score["file"] < 0.5 and score["right"] > 0.8 and score["viterbi"] > 0.8

# The start that a step leads to: solved for, not a distribution itself, and of the model's own numbers.
start = np.linalg.lstsq(model.A.T.astype(float), model.pi.astype(float), rcond=None)[0]
alpha = start.astype(np.float32)
alphas = []
for one in model.obs_vocab.encode(["x", "y", "y"]):
    alpha = file.sess.run(["alpha_out"], {"obs_id": np.array([one]), "alpha_in": alpha})[0]
    alphas.append(alpha)
np.testing.assert_allclose(alphas, beliefs(model, ["x", "y", "y"], model.pi), atol=1e-4)
PYTHON
