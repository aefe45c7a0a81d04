#!/usr/bin/env bash
# causal-learn 0.1.4.8: the kernel test of independence without a condition (`CIT(data, "kci", est_width="median")`, by
# HSIC) takes the kernel's width from the data as they are, and then the kernel from the data standardised. A good guess
# is that both are of the same: so it is with a condition, and with `empirical`. As it is, the answer hangs on the
# units: where these make numbers small all kernels see only themselves, where large all see the same, and what depends
# passes for independent.
#
# Seen: of y = x² + noise, 150 points, p is 0.0000 at numbers of about 1, 0.24 at a ten thousandth and 0.31 at ten
# thousand times of them; with `empirical` 0.0000 at each, and with a condition the same at each.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'causal-learn==0.1.4.8' 'numpy==2.4.6' 'scipy==1.17.1' 'scikit-learn==1.9.1' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import warnings
from importlib.metadata import version

import numpy as np
from causallearn.utils.cit import CIT

warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
x = rng.normal(size=150)
y, other = x**2 + 0.3 * rng.normal(size=150), rng.normal(size=150)
scales = (1e-4, 1.0, 1e4)
data = np.stack([x, y, other], axis=1)
found = {
    (width, given): [float(CIT(scale * data, "kci", est_width=width)(0, 1, given)) for scale in scales]
    for width in ("median", "empirical")
    for given in ((), (2,))
}
print("causal-learn", version("causal-learn"), "units", scales)
for (width, given), p in found.items():
    print(width, "given another" if given else "alone", [round(one, 4) for one in p])
small, right, large = found["median", ()]
assert right < 0.001 and small > 0.1 and large > 0.1
assert max(found["empirical", ()]) < 0.001
assert np.ptp(found["median", (2,)]) < 1e-6 and np.ptp(found["empirical", (2,)]) < 1e-6
PYTHON
