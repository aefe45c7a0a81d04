"""Stage 2 on HeavenHell against every row through every network and a loader."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from ml_collections import ConfigDict
from numpy.typing import NDArray
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.measure import Section, Variant, interleaved, middle, ratio, short
from benchmarks.settings import CPU, random_episodes
from benchmarks.straightforward import PlainRepresentation
from buffers.transitions import TransitionData
from policies.models.encoders import encoder_config
from policies.representation.disentangled import RepresentationConfig, RepresentationObjective
from policies.representation.training import RepresentationTrainer, TrainingConfig

TEXT = """
Seconds of the processor on one thread for an epoch of {steps:,} transitions of random episodes, in batches of 500
with five likelihood steps of CLUB each: the median and, in brackets, the least; the two take turns of three epochs in
a row. Plain reads batches by torch's `DataLoader` and embeds each row of them; ours embeds each distinct row once, and
has CLUB's gradient by a compiled kernel. The last column is 1,000 times an epoch, not measured in full.
"""
COLUMNS = ["what", "seconds an epoch", "ratio", "1,000 epochs, minutes"]
EPISODES = 200
NAMES = ("obs", "next_obs", "state", "next_state", "action", "reward", "discount")


def columns() -> list[NDArray[Any]]:
    """The transitions of random episodes, in the order of `NAMES`."""
    spec, episodes = random_episodes(EPISODES)
    parts = [
        (e.obs[:-1], e.obs[1:], e.state[:-1], e.state[1:], spec.encode_action(e.action), e.reward, e.discount)
        for e in episodes
    ]
    return [np.concatenate(column) for column in zip(*parts)]


def objective(config: ConfigDict) -> RepresentationObjective:
    """That of configs/repr/heaven_hell.py."""
    torch.manual_seed(0)
    encoder = encoder_config(config, 3, None)
    return RepresentationObjective(
        RepresentationConfig(
            encoder,
            encoder,
            4,
            reward_weight=config.reward_weight,
            state_dynamics_weight=config.state_dynamics_weight,
            obs_dynamics_weight=config.obs_dynamics_weight,
        )
    )


def make_epoch(plain: bool) -> Callable[[], Any]:
    """An epoch of either."""
    config = import_module("configs.repr.heaven_hell").get_config()
    rows = columns()
    if not plain:
        obs, next_obs, state, next_state, action, reward, discount = rows
        M = len(reward)
        data = TransitionData.from_rows(
            np.concatenate([obs, next_obs]),
            np.concatenate([state, next_state]),
            np.arange(M),
            np.arange(M, 2 * M),
            action,
            reward,
            discount,
        )
        training = TrainingConfig(lr=config.lr, club_lr=config.club_lr, batch_size=500)
        trainer = RepresentationTrainer(objective(config), data, training, 0, CPU)
        return trainer.train_epoch
    learner = PlainRepresentation(objective(config), config.lr, config.club_lr, config.club_steps)
    loader = DataLoader(TensorDataset(*map(torch.from_numpy, rows)), 500, shuffle=True, drop_last=True)

    def epoch() -> None:
        batches = [dict(zip(NAMES, values)) for values in loader]
        for batch in batches:
            learner.step(batch, torch.randperm(500))
            for i in torch.randint(len(batches), (learner.club_steps,)).tolist():
                learner.club_step(batches[i])

    return epoch


def measure(folder: Path, rounds: int = 3) -> Section:
    """Both, side by side."""
    variants = {
        "plain": Variant(partial(make_epoch, True), tuned=False),
        "ours": Variant(partial(make_epoch, False)),
    }
    times = interleaved(variants, rounds, in_a_row=3)
    rows = []
    for name in variants:
        seconds = [1e-3 * ms for ms in times[name].cpu]
        against = ratio(times["plain"].cpu, times[name].cpu)
        rows.append([name, middle(seconds), against, short(1000 * median(seconds) / 60)])
    return Section("Stage 2", TEXT.format(steps=len(columns()[0])), COLUMNS, rows)
