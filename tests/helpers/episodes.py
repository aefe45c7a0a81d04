"""Episodes made up for tests."""

import numpy as np

from buffers.batch import Episode


def numbered_episode(spec, number, length, terminated=True):
    """An episode whose every entry tells which episode and which row it is from."""
    rows = np.arange(length + 1, dtype=np.float32)
    obs = np.zeros((length + 1, spec.obs_dim), np.float32)
    obs[:, 0], obs[:, 1] = number, rows
    state = np.zeros((length + 1, spec.state_dim), np.float32)
    state[:, 0], state[:, 1] = -number, -rows
    if spec.discrete:
        action = (np.arange(length) * 7 + number) % spec.action_dim
    else:
        action = np.stack([np.full(length, number), rows[:-1]], axis=1).astype(np.float32)
    discount = np.ones(length, np.float32)
    discount[-1] = 0.0 if terminated else 1.0
    return Episode(obs, state, action, (100 * number + rows[:-1]).astype(np.float32), discount)


def random_episode(spec, length, rng, terminated=True, values=(-1.0, 0.0, 1.0)):
    """An episode of random entries out of a few values, as grids give them."""
    views = [rng.choice(values, size=(length + 1, d)).astype(np.float32) for d in (spec.obs_dim, spec.state_dim)]
    discount = np.ones(length, np.float32)
    discount[-1] = 0.0 if terminated else 1.0
    if spec.discrete:
        action = rng.integers(spec.action_dim, size=length)
    else:
        action = rng.uniform(-1, 1, size=(length, spec.action_dim)).astype(np.float32)
    return Episode(*views, action, rng.normal(size=length).astype(np.float32), discount)
