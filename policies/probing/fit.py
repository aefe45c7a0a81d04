"""What fitted readers make of features: logistic regressions and small networks, on rows with weights.

Dimension key: R rows, F features.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from policies.probing.rows import moments
from torchkit.fast.adam import Adam

Array = NDArray[Any]

WIDE, WIDE_ROWS = 4_000, 1_500  # a view of more features than this is an image; of it so many rows are probed a half
LEARNING_RATE = 4e-3
BATCH_SIZE = 256


def linear_probe(
    train_RF: Array, train_label: Array, train_weight: Array, test_RF: Array, test_label: Array, test_weight: Array
) -> float:
    """Accuracy (weighted) on the test rows of a logistic regression on standardised features.

    Of images, as they are, `WIDE_ROWS` rows at most are fitted on and measured on, spread evenly.
    """
    from sklearn.linear_model import LogisticRegression

    if train_RF.shape[1] > WIDE:
        (train_RF, train_label, train_weight), (test_RF, test_label, test_weight) = (
            [column[np.linspace(0, len(x) - 1, min(len(x), WIDE_ROWS)).astype(int)] for column in (x, label, weight)]
            for x, label, weight in ((train_RF, train_label, train_weight), (test_RF, test_label, test_weight))
        )
    classes = np.unique(train_label)
    if len(classes) == 1:
        return float((test_label == classes[0]) @ test_weight / test_weight.sum())
    mean, std = moments(train_RF, train_weight)
    scale = np.where(std > 1e-6, std, 1.0)
    train_RF, test_RF = (train_RF - mean) / scale, (test_RF - mean) / scale
    if len(train_RF) < train_RF.shape[1]:
        train_RF, test_RF = _in_span(train_RF, test_RF)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fit that stops at max_iter is still a lower bound on what can be read
        probe = LogisticRegression(C=1.0, max_iter=500)
        probe.fit(train_RF, train_label, sample_weight=train_weight * _pseudo_rows(train_weight))
    right = probe.predict(test_RF) == test_label
    return float(right @ test_weight / test_weight.sum())


def _in_span(train_RF: Array, test_RF: Array) -> tuple[Array, Array]:
    """Both in an orthonormal basis of what the fewer training rows span: all that a regularised fit can make use of."""
    value, vector = np.linalg.eigh(np.asarray(train_RF @ train_RF.T, np.float64))
    kept = value > 1e-6 * value[-1]
    root = np.sqrt(value[kept])
    return vector[:, kept] * root, (test_RF @ train_RF.T) @ (vector[:, kept] / root)


def _pseudo_rows(weight: Array) -> float:
    """Shares to counts, as of 10,000 rows: the strength of the default regularisation depends on it."""
    return float(10_000 / weight.sum())


def fit(net: nn.Module, steps: int, weight: Array, loss: Callable[[Tensor], Tensor], seed: int) -> None:
    """Adam with a learning rate that falls to zero, on batches of row numbers drawn by weight."""
    rng = np.random.default_rng(seed)
    draws = rng.choice(len(weight), (steps, BATCH_SIZE), p=weight / weight.sum())
    optimiser = Adam(net.parameters(), LEARNING_RATE)
    for step, index in enumerate(torch.from_numpy(draws)):
        optimiser.lr = LEARNING_RATE * (1 - step / steps)
        optimiser.zero_grad()
        loss(index).backward()
        optimiser.step()


def fit_mlp(
    x: Array, out_dim: int, weight: Array, seed: int, steps: int, loss: Callable[[Tensor, Tensor], Tensor]
) -> Callable[[Array], Array]:
    """A two-layer MLP fitted to `loss(output, row numbers)`; returns it as a function of arrays."""
    features = torch.from_numpy(x)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [nn.Linear(x.shape[1], 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, out_dim)]
    net = nn.Sequential(*layers)
    fit(net, steps, weight, lambda index: loss(net(features[index]), index), seed)

    @torch.no_grad()
    def predict(inputs: Array) -> Array:
        return np.asarray(net(torch.from_numpy(inputs)).numpy())

    return predict
