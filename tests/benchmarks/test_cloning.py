"""The benchmark of cloning: its distance is the loss that agents learn by, and a row runs from expert to success."""

import pytest
import torch

from benchmarks import cloning
from configs.envs.robot import PUBLISHED
from tests.helpers.agents import CONTINUOUS, make_agent, make_batch


def test_the_distance_is_behaviour_cloning_on_demonstrations_alone():
    agent = make_agent("sac:embed", "markov", CONTINUOUS)
    batch = make_batch(spec=CONTINUOUS)
    batch.expert[:] = 1.0
    metrics: dict[str, torch.Tensor] = {}
    agent.losses(batch, metrics)
    expected = metrics["loss/actor_behaviour_cloning"]
    torch.testing.assert_close(cloning.distance(agent.policy, batch), expected)


def test_a_row_learns_what_it_was_shown(monkeypatch):
    pytest.importorskip("pybullet")
    for name, few in {"HELD_OUT": 1, "EVALUATED": 2, "BATCH": 2}.items():
        monkeypatch.setattr(cloning, name, few)
    row = cloning.Row({"first": "nearest"}, PUBLISHED, demonstrations=2)
    first, _, _ = cloning.copied(row, "drawer_opening", 1, 0)
    later, held_out, success = cloning.copied(row, "drawer_opening", 25, 0)
    assert later < 0.8 * first
    assert held_out > 0.0 and success in (0.0, 0.5, 1.0)
