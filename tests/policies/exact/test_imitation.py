"""What imitation of a teacher that knows the state comes to: by hand, exactly, and by a student that has learned it."""

import numpy as np
import pytest
import torch
from ml_collections import ConfigDict

from envs.heaven_hell_n import heaven_hell_model
from envs.make import model_of
from policies.acting.embedded_envs import env_maker
from policies.build import build_agent
from policies.exact.histories import belief_graph, history_tree
from policies.exact.tabular import imitation_limit, solve
from policies.models.policy import to_tensors
from policies.models.sources import Sources
from policies.training.experience import experience_of
from policies.training.experience.base import Origin
from policies.training.settings import Settings
from tests.helpers.agents import CPU, make_config
from tests.helpers.configs import config_named
from tests.helpers.scripts import ROOT

RIGHT, SMALL, GREAT = 0.85, 10.0, -100.0


def tiger(first="listen"):
    """The tiger problem; something has been heard before the first action."""
    config = config_named("envs", "pomdp_file")
    with config.unlocked():
        config.kwargs.path, config.kwargs.first_observation = str(ROOT / "configs/envs/tiger.pomdp"), first
        config.horizon = 4
    return config


def of_doors(likelier):
    """What opening by these chances is worth, of the door that is the likelier one and of the other."""
    return likelier * (RIGHT * SMALL + (1 - RIGHT) * GREAT) + (1 - likelier) * (RIGHT * GREAT + (1 - RIGHT) * SMALL)


def test_the_limit_is_what_it_is_by_hand():
    blind = history_tree(model_of(tiger("")), 4)
    policy_HA, value = imitation_limit(blind)
    np.testing.assert_allclose(policy_HA[0], [0.0, 0.5, 0.5])
    assert value == pytest.approx((SMALL + GREAT) / 2)
    heard = history_tree(model_of(tiger()), 4)
    policy_HA, value = imitation_limit(heard)
    np.testing.assert_allclose(policy_HA[:2], [[0.0, 1 - RIGHT, RIGHT], [0.0, RIGHT, 1 - RIGHT]])
    assert value == pytest.approx(of_doors(RIGHT))
    assert solve(model_of(tiger()), "vi", 4).start_value > 0 > of_doors(1.0) > value  # it pays to listen again
    listens = np.eye(3)[[0, 0]]
    assert imitation_limit(heard, listens)[1] == pytest.approx(-sum(0.95**t for t in range(4)))


def test_who_imitates_the_clairvoyant_in_heaven_hell_is_worth_nothing():
    model = heaven_hell_model(1)
    assert imitation_limit(belief_graph(model))[1] == pytest.approx(0.0, abs=1e-6)
    assert solve(model, "vi").start_value == pytest.approx(0.94148, abs=1e-5)


@pytest.mark.parametrize("row", ["clone", "dagger"])
def test_a_student_comes_to_the_limit(row):
    config = make_config(
        f"distill:{row}", teacher="informed", beta__steps=50, lr=3e-3, batch_size=64, updates_per_step=1.0
    )
    config.env = tiger()
    settings = Settings(0, 64, 16, 0, 0, 4, None, None, 1)
    make_envs, _ = env_maker(config, None, None)
    envs = make_envs(1, seed=0)
    spec = envs.spec_sizes
    agent = build_agent(Sources(spec, config), 0, CPU)
    experience = experience_of(agent, Origin(ConfigDict(config), settings, make_envs, spec))
    while experience.progress < experience.total:
        experience.advance(agent)
        for _ in experience.learn(agent):
            pass
    experience.close()
    seen = np.eye(2, dtype=np.float32)
    now = to_tensors(CPU, seen, np.zeros((2, 3)), np.zeros(2), np.ones(2))
    with torch.no_grad():
        chance_NA = agent.policy.step(now, None)[0].softmax(-1).numpy()
    limit_HA, value = imitation_limit(history_tree(model_of(config.env), 4))
    np.testing.assert_allclose(chance_NA, limit_HA[:2], atol=0.08)
    right_N = chance_NA[[0, 1], [2, 1]] / chance_NA[:, 1:].sum(axis=1)
    assert np.mean([of_doors(chance) for chance in right_N]) == pytest.approx(value, abs=6.0)
