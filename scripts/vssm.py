"""A small study of generation: scikit-learn's digits as sequences, by a VSSM and by models that go a step at a time.

Trains a model in <save_dir>/vssm/<model>_s<seed> and tells what it comes to; the same command goes on where it was
stopped, and with more --epochs longer. The table of all: scripts/results.py --computed=vssm.

Example: python scripts/vssm.py --model=vssm_causal --seed=1
"""

import sys
from pathlib import Path

from absl import flags

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # the root, not scripts/

from utils.app import define_seed, run
from utils.errors import choose

_MODEL = flags.DEFINE_string(
    "model",
    "vssm",
    "vssm, whose encoder reads whole images, or vssm_causal, which can go on from a prefix; or gru, lru, gpt",
)
_SEED = define_seed(0, "fixes everything on the CPU")
_EPOCHS = flags.DEFINE_integer("epochs", 40, "passes over the images", lower_bound=1)
_SAVE_DIR = flags.DEFINE_string("save_dir", "logs", "folder of all runs")


def main() -> None:
    """Trains, and tells."""
    from scripts.generative import MODELS, study

    choose(MODELS, _MODEL.value, "--model")
    for name, value in study(_SAVE_DIR.value, _MODEL.value, _SEED.value, _EPOCHS.value).items():
        if value is not None:
            print(f"{name.replace('_', ' ')}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}")


if __name__ == "__main__":
    run(main)
