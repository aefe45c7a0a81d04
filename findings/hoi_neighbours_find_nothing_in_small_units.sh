#!/usr/bin/env bash
# hoi 0.0.7: information by nearest neighbours is gone where variables are in small units. A good guess is that what
# variables share hangs on no unit, and that the entropy of a continuous one may be below 0. But `entropy_knn` raises
# every entropy to 0, and what is made of entropies by `method="knn"` is made of those: where all are below 0 sums and
# differences of them are 0, and where some are they are of the others alone. Docstrings say nothing of it, and nothing
# is warned of. `get_mi("knn")`, which counts neighbours, is right, and so is "gc". In `core/entropies.py`.
#
# Seen: of three numbers with correlations of 0.9, 0.9 and 0.81 in units of their spread the total correlation is 2.39
# bits and the O-information 0.77, where 2.40 and 0.77 are right; in units that make the spread 0.3 both are 0.84, and
# at 0.1 both are 0.00. Transfer entropy that is 1.20 bits is 1.26 at a spread of 1, 0.98 at 0.3 and 0.00 at 0.1, where
# the entropy of one number is 0.00 and -1.27 is right.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'hoi==0.0.7' 'jax==0.10.2' 'jaxlib==0.10.2' 'jax-tqdm==0.4.0' 'numpy==2.4.6' 'scipy==1.17.1' 'scikit-learn==1.9.1' 'pandas==3.1.1' || exit 2
cd "$folder"
JAX_PLATFORMS=cpu OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import numpy as np
from hoi.core import get_entropy, get_mi
from hoi.metrics import TC, Oinfo, TransferEntropy

ROWS = 1000
random = np.random.default_rng(0)
covariance = np.array([[1, 0.9, 0.9], [0.9, 1, 0.81], [0.9, 0.81, 1]])
rows = random.multivariate_normal(np.zeros(3), covariance, size=ROWS)


def bits(*columns):
    """Entropy of these columns of the Gaussian."""
    part = covariance[np.ix_(columns, columns)]
    return 0.5 * np.log2(np.linalg.det(2 * np.pi * np.e * part))


alone = sum(bits(i) for i in range(3))
total = alone - bits(0, 1, 2)
o_information = bits(0, 1, 2) + alone - bits(1, 2) - bits(0, 2) - bits(0, 1)

follower = np.zeros((ROWS, 2))  # the second follows the first, one step late
follower[:, 0] = random.normal(size=ROWS)
follower[1:, 1] = 0.9 * follower[:-1, 0] + np.sqrt(1 - 0.81) * random.normal(size=ROWS - 1)
transfer = -0.5 * np.log2(1 - 0.81)


def tell(metric, data, method):
    arguments = {} if metric is TransferEntropy else {"minsize": 3, "maxsize": 3}
    which = {"multiplets": [(0, 1)]} if metric is TransferEntropy else {}
    return float(np.ravel(metric(data, verbose=False, **which).fit(method=method, **arguments))[0])


print("hoi", version("hoi"))
print(f"right: total correlation {total:.2f} bits, O-information {o_information:.2f}, transfer entropy {transfer:.2f}")
for spread in (1, 0.3, 0.1):
    data = spread * rows
    pair = float(get_mi("knn", k=3)(data[None, :, 0], data[None, :, 1]))
    entropy = float(get_entropy("knn", k=3)(data[None, :, 0]))
    right = bits(0) + np.log2(spread)
    methods = ("knn", "gc") if spread == 0.1 else ("knn",)
    found = {method: (tell(TC, data, method), tell(Oinfo, data, method)) for method in methods}
    moved = {method: tell(TransferEntropy, spread * follower, method) for method in methods}
    print(f"spread {spread}: entropy {entropy:.2f}, right {right:.2f}; pair {pair:.2f}, right {transfer:.2f};", end=" ")
    print(", ".join(f"{method} {a:.2f} and {b:.2f}" for method, (a, b) in found.items()), end="; transfer ")
    print(", ".join(f"{method} {value:.2f}" for method, value in moved.items()))
    assert abs(pair - transfer) < 0.1
    if spread == 1:
        assert abs(found["knn"][0] - total) < 0.1 and abs(found["knn"][1] - o_information) < 0.15
        assert abs(moved["knn"] - transfer) < 0.15 and abs(entropy - right) < 0.15
    elif spread == 0.3:
        assert right > 0 and found["knn"][0] < 1.2 and moved["knn"] < 1.1
    else:
        assert entropy == 0 > right and found["knn"] == (0, 0) and moved["knn"] == 0
        assert abs(found["gc"][0] - total) < 0.2 and abs(found["gc"][1] - o_information) < 0.15
        assert abs(moved["gc"] - transfer) < 0.1
PYTHON
