"""Envs that show embeddings: their numbers are those of the encoders on the domain's own views."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ml_collections import ConfigDict

from policies.acting.embedded_envs import EmbeddedObservations, env_maker
from tests.helpers.agents import SPEC, make_config, write_embedders
from tests.helpers.configs import config_named
from utils.errors import UserError


class Scaled(torch.nn.Module):
    """The first numbers of a view, times a factor."""

    def __init__(self, width, factor):
        super().__init__()
        self.width, self.factor = width, factor

    def forward(self, x):
        return self.factor * x[..., : self.width]


def heaven_hell(num_envs, **options):
    config = ConfigDict({"env": config_named("envs", "heaven_hell"), "rl": {"observe": ()}})
    return env_maker(config, None, None)[0](num_envs, **options)


@pytest.mark.parametrize("order", [("z_obs", "z_state"), ("z_state", "z_obs"), ("z_state",)])
def test_rows_of_reset_and_step_are_embeddings_in_their_order(order):
    encoders = {"z_obs": Scaled(2, 2.0), "z_state": Scaled(3, -1.0)}
    embedded = EmbeddedObservations(heaven_hell(5, seed=0), {name: encoders[name] for name in order})
    plain = heaven_hell(5, seed=0)
    assert embedded.spec_sizes.obs_dim == sum(encoders[name].width for name in order)
    assert embedded.spec_sizes.state_dim == plain.spec_sizes.state_dim
    rng = np.random.default_rng(0)
    (seen, _), (views, _) = embedded.reset(seed=3), plain.reset(seed=3)
    for _ in range(60):
        of = {"z_obs": 2.0 * views["obs"][:, :2], "z_state": -views["state"][:, :3]}
        np.testing.assert_array_equal(seen["obs"], np.concatenate([of[name] for name in order], axis=1))
        np.testing.assert_array_equal(seen["state"], views["state"])
        action = rng.integers(4, size=5)
        (seen, *_), (views, _, ended, cut, _) = embedded.step(action), plain.step(action)
        if (ended | cut).any():
            begun = {"options": {"reset_mask": ended | cut}}
            (seen, _), (views, _) = embedded.reset(**begun), plain.reset(**begun)


def test_what_acts_on_an_embedding_takes_it_from_its_file(tmp_path):
    folder = write_embedders(tmp_path, replace(SPEC, env_id="HeavenHell-v0"))
    config = make_config("zero_off")
    config = ConfigDict({"env": config_named("envs", "heaven_hell"), "rl": config.rl, "repr": config.repr})
    for name, value in (("z_state", "raw"), ("z_state", "random"), ("z_obs", "scratch")):
        with config.rl.unlocked():
            before, config.rl[name] = config.rl[name], value
        with pytest.raises(UserError, match=f"--config_rl.{name}={value}: .*takes it from a file"):
            env_maker(config, folder, folder)
        with config.rl.unlocked():
            config.rl[name] = before
