"""State prediction: its error by hand, and what its gradient reaches."""

import pytest
import torch

from policies.auxiliary.state_prediction import StatePrediction
from tests.helpers.agents import make_batch


def predictor(weight=0.5, error="cosine"):
    torch.manual_seed(0)
    return StatePrediction(3, "z_state", 2, (4,), weight, error)


def views_of(batch, seed=0):
    rng = torch.Generator().manual_seed(seed)
    history = torch.randn(*batch.row_mask.shape, 3, generator=rng).requires_grad_()
    return {"history": history, "z_state": torch.randn(*batch.row_mask.shape, 2, generator=rng)}


def test_the_prediction_is_the_networks_output_of_the_same_row():
    batch, part = make_batch(), predictor()
    views = views_of(batch)
    part.extend(views, batch)
    real = batch.row_mask > 0
    torch.testing.assert_close(views["predicted_state"][real], part.net(views["history"])[real])


@pytest.mark.parametrize("error", ["cosine", "abs_cosine", "l2"])
def test_the_loss_of_each_row_is_held_against_its_own_state(error):
    batch, part = make_batch(), predictor(error=error)
    views = views_of(batch)
    part.extend(views, batch)
    found = part.loss(views, batch)
    t, b = 2, 3
    k, z = (views[name][t, b].double() for name in ("predicted_state", "z_state"))
    cosine = (k @ z) / (k.norm() * z.norm())
    by_hand = {"cosine": 1 - cosine, "abs_cosine": 1 - cosine.abs(), "l2": ((k - z) ** 2).sum()}[error]
    torch.testing.assert_close(found[t, b].double(), by_hand, rtol=1e-4, atol=1e-5)
    assert found.shape == batch.row_mask.shape


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_the_weight_scales_the_historys_gradient_alone(weight):
    batch, grads = make_batch(), []
    for w in (1.0, weight):
        part, views = predictor(w), views_of(batch)
        part.extend(views, batch)
        (part.loss(views, batch) * batch.row_mask).sum().backward()
        grads.append((views["history"].grad, [p.grad for p in part.parameters()]))
    torch.testing.assert_close(grads[1][0], weight * grads[0][0])
    torch.testing.assert_close(grads[1][1], grads[0][1])
    assert grads[0][0].abs().sum() > 0
