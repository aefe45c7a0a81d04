"""The learned measure of what will be visited held against the exact one, on a finite model whose states are seen.

Dimension key: T steps, B batch, S states, A actions, K cells.
"""

from typing import Any

import numpy as np
import torch
from ml_collections import ConfigDict

from buffers.batch import EpisodeBatch, Rows
from envs.finite import FinitePOMDP, Floats, dense
from policies.exact.visitation import Process, divergence, total_variation
from policies.intrinsic.cells import Cells, Codebook
from policies.intrinsic.visitation import FutureVisitation


def played(model: FinitePOMDP, policy_SA: Floats, num: int, steps: int, seed: int = 0) -> EpisodeBatch:
    """`num` episodes of a model whose transitions are certain, each from a state that is drawn, of one-hot states."""
    rng, num_actions, num_states = np.random.default_rng(seed), len(model.actions), len(model.states)
    next_AS = np.stack([dense(matrix).argmax(1) for matrix in model.transition_ASE])
    ends_AS = np.stack([dense(model.ending(action)).any(1) for action in range(num_actions)])
    state, action = np.zeros((steps + 1, num), np.int64), np.zeros((steps, num), np.int64)
    mask, discount = np.zeros((steps, num), np.float32), np.ones((steps, num), np.float32)
    state[0], going = rng.integers(num_states, size=num), np.ones(num, bool)
    for t in range(steps):
        draw = rng.random(num)[:, None]
        action[t] = (draw > policy_SA.cumsum(1)[state[t]]).sum(1).clip(max=num_actions - 1)
        state[t + 1], ends, mask[t] = next_AS[action[t], state[t]], ends_AS[action[t], state[t]], going
        discount[t] = np.where(going & ends, 0.0, 1.0)
        going &= ~ends
    rows = Rows(torch.eye(num_states), torch.from_numpy(state))
    reward, until_end, real = (torch.from_numpy(x) for x in (np.zeros_like(mask), discount, mask))
    return EpisodeBatch.from_transitions(rows, rows, torch.from_numpy(action), reward, until_end, real, num_actions)


def measure_of(
    num_states: int, num_actions: int, gamma: float, cells: Cells | None = None, **other: Any
) -> FutureVisitation:
    """A measure of the visits of one-hot states, linear in them, with as many cells as states; `other` are settings."""
    settings = {
        "condition": "state",
        "correction": "none",
        "estimate": "exact",
        "relative": False,
        "steps": 1,
        "tau": 0.1,
        "lr": 1e-2,
    }
    torch.manual_seed(0)
    if cells is None:
        cells = Cells("state", None, Codebook(num_states, num_states, 1e-3), num_states)
        cells.code.take_in(torch.eye(num_states))
    config = ConfigDict(settings | {"hidden_dims": ()} | other)
    return FutureVisitation(cells, num_states, num_actions, True, gamma, config)


def table_of(one: FutureVisitation, num_states: int) -> Floats:
    """q(z | s, a) of every one-hot state (S, A, K)."""
    with torch.no_grad():
        logits = one.model(torch.eye(num_states)).unflatten(-1, (one.num_actions, one.cells.num))
        found: Floats = one.cells.log_softmax(logits).exp().double().numpy()
    return found


def distances(
    model: FinitePOMDP, correction: str, steps: int, gamma: float = 0.9, updates: int = 700
) -> tuple[float, float]:
    """The greatest TV and KL of any state and action between the measure that is learned from uniform actions and the
    exact one of a drawn policy.
    """
    num_states, num_actions = model.reward_SA.shape
    policy_SA = np.random.default_rng(1).dirichlet(np.ones(num_actions), num_states)
    one = measure_of(num_states, num_actions, gamma, correction=correction, steps=steps, lr=2e-2)
    of_policy, uniform = torch.from_numpy(policy_SA).float(), np.full_like(policy_SA, 1 / num_actions)
    batches = [played(model, uniform, 16, 12, seed) for seed in range(20)]
    for update in range(updates):
        batch = batches[update % len(batches)]
        one.reward({"policy_action": of_policy[batch.state.place]}, batch)
        one.learn(batch)
        one.adam.lr = 2e-2 if update < updates // 2 else 2e-3
    process = Process.of(model, np.eye(num_states), gamma)
    twice = np.concatenate([policy_SA] * (len(process.start_S) // num_states))
    exact, learned = process.future(twice)[:num_states], table_of(one, num_states)
    return float(total_variation(learned, exact).max()), float(divergence(exact, learned).max())
