"""Robots are slow to make: one of each kind serves a file's tests."""

import gymnasium as gym
import pytest


@pytest.fixture(scope="module")
def robots():
    """One env of each kind, made when first asked for; an env is what its last reset says."""
    made = {}

    def robot(env_id, **kwargs):
        key = (env_id, *kwargs.items())
        if key not in made:
            made[key] = gym.make(env_id, disable_env_checker=True, **kwargs).unwrapped
        return made[key]

    yield robot
    for env in made.values():
        env.close()
