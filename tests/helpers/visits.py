"""Episodes of a finite model as batches, and a measure of visits that learns from them."""

import numpy as np
import torch
from ml_collections import ConfigDict

from buffers.batch import EpisodeBatch, Rows
from policies.intrinsic.cells import Cells, Codebook
from policies.intrinsic.visitation import FutureVisitation


def played(model, policy_SA, num, steps, seed=0):
    """`num` episodes of a deterministic model, each from a state that is drawn, of one-hot states."""
    rng, num_actions = np.random.default_rng(seed), len(model.actions)
    next_AS = np.stack([matrix.argmax(1) for matrix in model.transition_ASE])
    ends_AS = np.stack([matrix.any(1) for matrix in model.ends_ASE])
    state = np.zeros((steps + 1, num), np.int64)
    action, mask, discount = np.zeros((steps, num), np.int64), np.zeros((steps, num)), np.ones((steps, num))
    state[0], going = rng.integers(len(model.states), size=num), np.ones(num, bool)
    for t in range(steps):
        draw = rng.random(num)[:, None]
        action[t] = (draw > policy_SA.cumsum(1)[state[t]]).sum(1).clip(max=num_actions - 1)
        state[t + 1], ends, mask[t] = next_AS[action[t], state[t]], ends_AS[action[t], state[t]], going
        discount[t] = np.where(going & ends, 0.0, 1.0)
        going &= ~ends
    rows = Rows(torch.eye(len(model.states)), torch.from_numpy(state))
    arrays = [torch.from_numpy(x).float() for x in (np.zeros_like(mask), discount, mask)]
    return EpisodeBatch.from_transitions(rows, rows, torch.from_numpy(action), *arrays, num_actions)


def future(num_states, num_actions, gamma, cells=None, **other):
    """A measure of the visits of one-hot states, linear in them, with as many cells as states."""
    settings = {"condition": "state", "correction": "none", "estimate": "exact", "steps": 1, "tau": 0.1, "lr": 1e-2}
    torch.manual_seed(0)
    if cells is None:
        cells = Cells("state", None, Codebook(num_states, num_states, 1e-3), num_states)
        cells.code.take_in(torch.eye(num_states))
    config = ConfigDict(settings | {"hidden_dims": ()} | other)
    return FutureVisitation(cells, num_states, num_actions, True, gamma, config)


def learned(one):
    """q(z | s, a) of every one-hot state (S, A, K)."""
    with torch.no_grad():
        logits = one.model(torch.eye(one.model[0].in_features)).unflatten(-1, (one.num_actions, one.cells.num))
        return one.cells.log_softmax(logits).exp().double().numpy()
