"""The continuous Car-Flags a second time: one env, one number at a time, in float32. Nothing here comes from `envs`."""

from dataclasses import dataclass

import numpy as np

f32 = np.float32


@dataclass(frozen=True)
class Outcome:
    state: tuple
    obs: tuple
    reward: float
    ends: bool


def bounded(value, limit):
    if value > f32(limit):
        return f32(limit)
    if value < -f32(limit):
        return -f32(limit)
    return value


def see_1d(x, v, side):
    return (x, v, side if f32(0.3) <= x <= f32(0.7) else f32(0))


def step_1d(state, action):
    x, v, side = map(f32, state)
    v = bounded(v + f32(0.0015) * bounded(f32(action[0]), 1), 0.07)
    x = bounded(x + v, 1.1)
    right, left = x >= f32(1), x <= f32(-1)
    reward = 0.0
    if right or left:
        reward = 1.0 if (side > 0) == right else -1.0
    return Outcome((x, v, side), see_1d(x, v, side), reward, bool(right or left))


def see_2d(x, y, flag_x, flag_y):
    middle = -f32(0.3) <= x <= f32(0.3) and -f32(0.3) <= y <= f32(0.3)
    return (x, y, flag_x, flag_y) if middle else (x, y, f32(0), f32(0))


def step_2d(state, action):
    x, y, flag_x, flag_y = map(f32, state)
    x = bounded(x + f32(0.2) * bounded(f32(action[0]), 1), 1)
    y = bounded(y + f32(0.2) * bounded(f32(action[1]), 1), 1)
    there = bool(abs(flag_x - x) <= f32(0.1) and abs(flag_y - y) <= f32(0.1))
    return Outcome((x, y, flag_x, flag_y), see_2d(x, y, flag_x, flag_y), float(there), there)


def full_force(x, v, side):
    """Steps to the flag on `side` by full force from each (x, v); infinite where the other flag comes first."""
    x, v, steps = x.copy(), v.copy(), np.zeros(x.shape)
    going = np.ones(x.shape, bool)
    while going.any():
        v = np.where(going, np.clip(v + 0.0015 * side, -0.07, 0.07), v)
        x = np.where(going, x + v, x)
        steps += going
        steps[going & (side * x <= -1)] = np.inf
        going &= (side * x < 1 - 1e-9) & (steps < np.inf)
    return steps


def fewest_steps_1d(start, forces=3, unit=5e-4):
    """The least mean number of steps over both sides from rest at `start`, by dynamic programming.

    With forces that are multiples of 1 / `forces`, positions and velocities stay on a lattice of `unit` = 0.0015 /
    `forces`, so that the values are exact for these forces. What is searched is the way to the information; from there
    on full force is best, since of two cars with the same past the one that pushes more is never behind.
    """
    first = int(np.ceil((0.3 - start) / unit - 1e-9))  # the first lattice point with information
    back, slow, fast = int(0.05 / unit), int(0.01 / unit), int(0.05 / unit)
    velocity = np.arange(-slow, fast + 1)
    lattice = np.arange(-back, first + fast + 1)
    x, v = np.meshgrid(start + lattice[back + first :] * unit, velocity * unit, indexing="ij")
    value = np.full((len(lattice), len(velocity)), np.inf)
    value[back + first :] = (full_force(x, v, 1) + full_force(x, v, -1)) / 2
    moves = []
    for force in range(-forces, forces + 1):
        after = velocity + force
        inside = (after >= -slow) & (after <= fast)
        to = np.arange(back + first)[:, None] + after
        inside = inside & (to >= 0)
        moves.append((np.clip(to, 0, len(lattice) - 1), np.clip(after, -slow, fast) + slow, inside))
    while True:
        best = value[: back + first].copy()
        for to, after, inside in moves:
            best = np.minimum(best, np.where(inside, 1 + value[to, after], np.inf))
        if np.array_equal(best, value[: back + first]):
            return float(value[back, slow])
        value[: back + first] = best
