"""What `scripts/vssm.py` makes of digits, as rows of a page: bits a pixel, and seconds a thousand samples."""

from statistics import mean
from typing import Any

from scripts.generative import LR, MODELS, seconds_to_sample, study

TITLE = "Sequences generated in parallel: a VSSM beside models that go a step at a time"
SEEDS, EPOCHS, LENGTHS = (0,), 40, (8, 64, 512)
SLOW = {"gpt": 64}  # its longest sequence here
NOTES = [
    "The 1,797 digits of scikit-learn, 8 rows of 8 pixels from 0 to 16: 1,197 to learn from, 240 to choose the",
    "epoch by, 360 to be measured by; the same for all. All models are 64 wide, with two layers, Adam at",
    f"{LR:g}, batches of 64 and {EPOCHS} epochs: `vssm` and `vssm_causal`",
    "([torchkit/vssm.py](../../torchkit/vssm.py)) with `lru` as encoder and decoder and 8 latents a row, the",
    "others tell each row from those before it.",
    "",
    f"Seeds: {len(SEEDS)}; one is too few to tell models apart that are near to each other.",
    "",
    "*Bits a pixel*: of the 360, of several seeds the mean and in brackets each; of a VSSM the",
    "importance-weighted bound of 100 samples, which is above the truth. *By one sample*: the evidence bound.",
    "*Of rows 5 to 8*: given the four before, which a VSSM whose encoder reads from the end cannot tell; of",
    "`vssm_causal` by 100 samples of what its encoder makes of the prefix. *Training*: seconds of the",
    "processor, one thread. *T = …*: the processor's seconds for a thousand sequences of so many rows, 100 side",
    "by side, the median of three; weights do not matter to it. Other programs ran beside.",
]
COLUMNS = (
    "model", "parameters", "bits a pixel", "by one sample", "of rows 5 to 8", "training, s",
    *(f"T = {length:,}" for length in LENGTHS),
)  # fmt: skip


def rows() -> list[list[str]]:
    """A row a model, in the order of `COLUMNS`; runs in logs/vssm that are not finished are trained first."""
    found = {name: [study("logs", name, seed, EPOCHS) for seed in SEEDS] for name in MODELS}
    return [row(name, runs) for name, runs in found.items()]


def row(name: str, runs: list[dict[str, Any]]) -> list[str]:
    """That of a model."""
    times = [
        f"{seconds_to_sample(name, length):.3g}" if length <= SLOW.get(name, length) else "–" for length in LENGTHS
    ]
    told = [of_seeds([run[key] for run in runs]) for key in ("bits", "bits_by_one_sample", "bits_of_the_rest")]
    return [f"`{name}`", f"{runs[0]['parameters']:,}", *told, f"{mean(run['seconds'] for run in runs):.0f}", *times]


def of_seeds(values: list[float | None]) -> str:
    """The mean and, of several, each; or that there is none."""
    known = [value for value in values if value is not None]
    if len(known) == 1:
        return f"{known[0]:.3f}"
    return f"{mean(known):.3f} ({', '.join(f'{value:.3f}' for value in known)})" if known else "–"
