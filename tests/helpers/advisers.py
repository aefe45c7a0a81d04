"""Teachers that a user might write: functions of states and observations."""

import os

import numpy as np

CALLS = [0]


def up(state_NS, obs_NO):
    """Always the same way."""
    return np.ones(len(obs_NO), np.int64)


def failing(state_NS, obs_NO):
    """Knows nothing."""
    raise ValueError("dark")


def failing_later(state_NS, obs_NO):
    """Knows something for a while, as long as the environment says."""
    CALLS[0] += 1
    if CALLS[0] > int(os.environ.get("FAIL_AFTER", "1000000")):
        raise RuntimeError("the light went out")
    return np.where(state_NS[:, 2] > 0, 0, 2)
