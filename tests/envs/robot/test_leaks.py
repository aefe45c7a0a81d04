"""A thousand episodes leave nothing behind."""

import ctypes
import gc
import os
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from tests.helpers.robots import FULL, IDS


@pytest.mark.parametrize("env_id", IDS)
def test_episodes_leave_nothing_behind(env_id):
    """Neither bodies nor saved states nor shapes: memory in use, from one window of episodes to the next."""
    warm_up, window, steps = (200, 400, 10) if FULL else (30, 25, 3)
    env = gym.make(env_id, disable_env_checker=True).unwrapped
    num_bodies, levels = env._bullet.getNumBodies(), np.zeros((warm_up + 2 * window, 2))
    for seed in range(len(levels)):
        env.reset(seed=seed)
        for _ in range(steps):
            env.step(env.expert_action())
        if (seed - warm_up) % window == 0:
            gc.collect()
        levels[seed] = in_use()
    assert env._bullet.getNumBodies() == num_bodies
    first, second = levels[warm_up:].reshape(2, window, 2).mean(axis=1)
    growth, blocks = (second - first) / window
    assert growth < 2e3  # bytes an episode; a collision shape takes 2.7 kB, a saved state 350 kB
    assert blocks < 5  # of Python's small objects
    env.close()
    env.close()


class Mallinfo(ctypes.Structure):
    """What glibc's `mallinfo2` returns."""

    _fields_ = (
        ("arena_ordblks_smblks_hblks", ctypes.c_size_t * 4),
        ("hblkhd", ctypes.c_size_t),  # bytes in maps of their own
        ("usmblks_fsmblks", ctypes.c_size_t * 2),
        ("uordblks", ctypes.c_size_t),  # bytes of the heap
        ("fordblks_keepcost", ctypes.c_size_t * 2),
    )


def in_use():
    """Bytes that were allocated and not freed (where the C library cannot tell: resident ones), and Python's blocks."""
    mallinfo = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo is None:
        resident = int(Path("/proc/self/statm").read_text().split()[1])
        return resident * os.sysconf("SC_PAGE_SIZE"), sys.getallocatedblocks()
    mallinfo.restype = Mallinfo
    info = mallinfo()
    return info.hblkhd + info.uordblks, sys.getallocatedblocks()


def test_closed_simulations_give_their_places_back():
    places = set()
    for _ in range(3):
        env = gym.make(IDS[0], disable_env_checker=True).unwrapped
        places.add(env._bullet._client)
        env.close()
    assert len(places) == 1
