"""What scripts/vssm.py does: scikit-learn's digits as sequences, models of them, training that resumes, measures.

Dimension key: T rows of an image, B images, F pixels of a row.
"""

import json
import math
import sys
import time
from collections.abc import Callable
from contextlib import closing
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchkit.fast.adam import Adam
from torchkit.sequence import MEMORIES, Memory
from torchkit.vssm import VSSM, Autoregressive, SequenceModel
from utils.checkpoint import load_checkpoint, restoring, save_checkpoint, whole
from utils.device import prepare_cpu
from utils.optional import need
from utils.progress import progress
from utils.run import Run
from utils.stopping import StopRequest

SIDE, VALUES = 8, 17  # of an image, and of a pixel
WIDTH, LATENT, LAYERS = 64, 8, 2
BATCH, LR, CHECKPOINT_SECONDS = 64, 3e-3, 20.0
PARTS = (1197, 240, 360)  # images: to learn from, to choose the epoch by, to be measured by
SAMPLES = 100  # of an importance-weighted bound
KNOWN = 4  # rows of a prefix


def memory(name: str, steps: int = SIDE + 1) -> Memory:
    """A memory as wide as its inputs, for sequences of so many steps."""
    if name == "gpt":
        return MEMORIES[name](WIDTH, context=steps, layers=LAYERS)
    return MEMORIES[name](WIDTH, out_dim=WIDTH, layers=LAYERS)


def vssm(both_ways: bool) -> VSSM:
    """One of LRUs, whose encoder reads to the end of a sequence, or to the present row."""
    back = memory("lru") if both_ways else None
    return VSSM(SIDE, VALUES, WIDTH, LATENT, memory("lru"), memory("lru"), back)


MODELS: dict[str, Callable[..., SequenceModel]] = {
    "vssm": lambda steps=SIDE: vssm(both_ways=True),
    "vssm_causal": lambda steps=SIDE: vssm(both_ways=False),
    "gru": lambda steps=SIDE: Autoregressive(SIDE, VALUES, WIDTH, memory("gru")),
    "lru": lambda steps=SIDE: Autoregressive(SIDE, VALUES, WIDTH, memory("lru")),
    "gpt": lambda steps=SIDE: Autoregressive(SIDE, VALUES, WIDTH, memory("gpt", steps + 1)),
}


class Digits(NamedTuple):
    """Images as rows of pixels from 0 to 16, (T, B, F) each: three parts, the same for all seeds."""

    learned: Tensor
    chosen: Tensor
    tested: Tensor


def digits() -> Digits:
    """Those of scikit-learn."""
    need("scripts/vssm.py", "sklearn")
    from sklearn.datasets import load_digits  # when it is needed: it takes a while

    images = torch.from_numpy(load_digits().images).long().transpose(0, 1)
    order = torch.randperm(images.shape[1], generator=torch.Generator().manual_seed(0))
    return Digits(*images[:, order].split(PARTS, dim=1))


class Training:
    """Epochs of Adam on the evidence bound, that can be put down and taken up; the best epoch's weights are kept."""

    def __init__(self, model: SequenceModel, data: Digits, seed: int):
        self.model, self.data, self.generator = model, data, torch.Generator().manual_seed(seed)
        self.optimiser = Adam(list(model.parameters()), LR)
        self.epoch, self.best, self.seconds = 0, math.inf, 0.0
        self.kept = {name: value.clone() for name, value in model.state_dict().items()}

    def train_epoch(self) -> dict[str, float]:
        """One pass over the images; bits a pixel of those that were learned and of those to choose by."""
        began, total, x_TBF = time.process_time(), 0.0, self.data.learned
        for part_B in torch.randperm(x_TBF.shape[1], generator=self.generator).split(BATCH):
            loss = self._bits(x_TBF[:, part_B])
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            total += float(loss.detach()) * len(part_B)
        with torch.no_grad():
            chosen = float(self._bits(self.data.chosen))
        if chosen < self.best:
            self.best = chosen
            self.kept = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.epoch += 1
        self.seconds += time.process_time() - began
        return {"bits": total / x_TBF.shape[1], "bits_to_choose_by": chosen, "bits_least": self.best}

    def _bits(self, x_TBF: Tensor) -> Tensor:
        return bits(self.model.bound(x_TBF, self.generator).mean(), len(x_TBF))

    def state_dict(self) -> dict[str, Any]:
        """All that changes."""
        return {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "kept": self.kept,
            "generator": self.generator.get_state(),
            "counters": {"epoch": self.epoch, "best": self.best, "seconds": self.seconds},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where `state_dict` was taken."""
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.kept = dict(state["kept"])
        self.generator.set_state(state["generator"])
        self.epoch = whole(state["counters"]["epoch"], "epoch")
        self.best, self.seconds = float(state["counters"]["best"]), float(state["counters"]["seconds"])


def bits(nats: Tensor, rows: int) -> Tensor:
    """Bits a pixel of a log-probability of so many rows."""
    return -nats / (math.log(2) * rows * SIDE)


def study(save_dir: str, name: str, seed: int, epochs: int) -> dict[str, Any]:
    """Trains a model, or goes on, in a folder of its own; what it comes to.

    Raises:
        UserError: the folder holds another run.
        KeyboardInterrupt, SystemExit: after a stop signal; what was done is saved.
    """
    prepare_cpu(1)
    data = digits()
    torch.manual_seed(seed)
    training = Training(MODELS[name](), data, seed)
    config = {"run": {"model": name, "seed": seed, "epochs": epochs}}
    run = Run.create(save_dir, f"vssm/{name}_s{seed}", config, sys.argv, may_grow=("run.epochs",))
    with closing(run):
        if not run.finished or run.grown:
            fit(training, run, epochs)
            training.model.load_state_dict(training.kept)
            run.finish(measured(training, name, seed))
        return dict(json.loads(run.summary_path.read_text()))


def fit(training: Training, run: Run, epochs: int) -> None:
    """Trains to the end from the run's checkpoint, if there is one."""
    with restoring(run.checkpoint_dir):
        if (state := load_checkpoint(run.checkpoint_dir)) is not None:
            training.load_state_dict(state)
    run.go_on()
    stop, saved = StopRequest(), time.monotonic()
    with progress(epochs, training.epoch, run.folder.name, "epoch") as bar, stop.listening():
        while training.epoch < epochs:
            metrics = training.train_epoch()
            due = training.epoch == epochs or time.monotonic() - saved > CHECKPOINT_SECONDS
            if due or stop.number is not None:
                save_checkpoint(run.checkpoint_dir, training.state_dict())
                saved = time.monotonic()
            bar.set_postfix(metrics, refresh=False)
            bar.update(1)
            stop.interrupt()


@torch.no_grad()
def measured(training: Training, name: str, seed: int) -> dict[str, Any]:
    """Bits a pixel of images that nothing was learned or chosen by, and the processor's seconds of training."""
    model, x_TBF = training.model.eval(), training.data.tested
    generator, parts = torch.Generator().manual_seed(1000 + seed), x_TBF.split(BATCH, dim=1)

    def mean(of: Callable[[Tensor], Tensor], rows: int) -> float:
        return float(bits(torch.cat([of(part_TBF) for part_TBF in parts]).mean(), rows))

    rest = None
    if model.goes_on:
        rest = mean(lambda x: model.continuation(x, KNOWN, generator, SAMPLES), SIDE - KNOWN)
    return {
        "model": name,
        "seed": seed,
        "epochs": training.epoch,
        "parameters": sum(p.numel() for p in model.parameters()),
        "bits_by_one_sample": mean(lambda x: model.bound(x, generator), SIDE),
        "bits": mean(lambda x: model.bound(x, generator, SAMPLES), SIDE),
        "bits_of_the_rest": rest,
        "seconds": training.seconds,
    }


@torch.no_grad()
def seconds_to_sample(name: str, steps: int, count: int = 100, repeats: int = 3) -> float:
    """Of the processor, for a thousand sequences of so many steps, `count` side by side; weights are as they begin."""
    torch.manual_seed(0)
    model, generator, found = MODELS[name](steps=steps).eval(), torch.Generator().manual_seed(0), []
    nothing = torch.zeros(0, count, SIDE, dtype=torch.long)
    model.sample(nothing, 2, generator)
    for _ in range(repeats):
        began = time.process_time()
        model.sample(nothing, steps, generator)
        found.append((time.process_time() - began) * 1000 / count)
    return median(found)
