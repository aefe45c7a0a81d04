"""Seeds: streams that are apart, the same everywhere, and that go on where they were put down."""

import random

import numpy as np
import pytest
import torch

from utils.checkpoint import load_checkpoint, save_checkpoint
from utils.seeding import generator, rng_state, seed_everything, set_rng_state


def draw():
    return random.random(), np.random.rand(), torch.rand(()).item(), random.gauss(0, 1), np.random.randn()


def test_same_seed_same_draws():
    seed_everything(5)
    first = draw()
    seed_everything(5)
    assert draw() == first
    seed_everything(6)
    assert draw() != first


def test_streams_are_named_and_apart():
    names = [(), ("envs",), ("envs", 0), ("envs", 1), ("envs", "1"), ("envs1",), ("agent",)]
    draws = {generator(seed, *name).integers(2**63) for seed in (0, 1, 2**40) for name in names}
    assert len(draws) == 3 * len(names)


def test_a_stream_is_the_same_in_every_process():
    assert generator(0, "envs", 1).integers(2**32, size=3).tolist() == [1378812159, 2111310387, 1277967039]


@pytest.mark.parametrize("draws_before", [0, 1, 700])
def test_states_go_through_a_checkpoint(tmp_path, draws_before):
    seed_everything(1)
    rng = generator(1, "replay")
    for _ in range(draws_before):
        draw()
        rng.integers(5)
        rng.random(dtype=np.float32)
    save_checkpoint(tmp_path, {"global": rng_state(), "replay": rng.bit_generator.state})
    after = [draw() for _ in range(3)], rng.integers(100, size=4).tolist()
    seed_everything(9)
    state = load_checkpoint(tmp_path)
    set_rng_state(state["global"])
    other = generator(0)
    other.bit_generator.state = state["replay"]
    assert ([draw() for _ in range(3)], other.integers(100, size=4).tolist()) == after
