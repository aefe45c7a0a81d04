"""Auxiliary losses: their errors by hand, and what their gradients reach."""

import pytest
import torch

from policies.auxiliary.behaviour_cloning import BehaviourCloning
from policies.auxiliary.self_prediction import SelfPrediction
from policies.auxiliary.state_prediction import StatePrediction
from tests.helpers.agents import CONTINUOUS, make_agent, make_batch
from torchkit.actions import Categorical, TanhGaussian
from torchkit.sequence import GRU, Markov


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


def test_self_prediction_by_hand():
    """f(h_t, a_t) against the slow memory's next history, on transitions; the episode's last row has no loss."""
    torch.manual_seed(0)
    batch, memory = make_batch(), GRU(5, out_dim=3)
    part = SelfPrediction(memory, 4, (6,), weight=2.0)
    with torch.no_grad():
        for p in memory.parameters():
            p.add_(0.3)  # the memory has moved on
    rows = torch.randn(*batch.row_mask.shape, 5, requires_grad=True)
    views = {"memory_input": rows, "history": memory.encode(rows)}
    part.extend(views, batch)
    loss = part.loss(views, batch)
    slow = part.slow.encode(rows.detach())
    assert not torch.allclose(slow, views["history"])
    t, b = 1, 3
    action = torch.nn.functional.one_hot(batch.action[t, b], 4).float()
    guess = part.net(torch.cat([views["history"][t, b], action]))
    torch.testing.assert_close(loss[t, b], ((guess - slow[t + 1, b]) ** 2).sum())
    mask = part.mask(batch)
    assert mask.shape == loss.shape
    assert torch.equal(mask[:-1], batch.mask)
    assert mask[-1].sum() == 0
    (loss * mask).sum().backward()
    assert rows.grad.abs().sum() > 0  # through the history that predicts
    assert all(p.grad is None for p in part.slow.parameters())
    assert part.loss_weight == 2.0


def test_the_slow_memory_follows_and_is_not_trained():
    memory = GRU(5, out_dim=3)
    part = SelfPrediction(memory, 4, (6,), weight=1.0)
    before = [p.clone() for p in part.slow.parameters()]
    with torch.no_grad():
        for p in memory.parameters():
            p.add_(1.0)
    part.after_step(0.25)
    for old, new in zip(before, part.slow.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.25)
    trained = {name for name, p in part.named_parameters() if p.requires_grad}
    assert trained == {name for name, _ in part.named_parameters() if name.startswith("net")}
    assert part.after_step(0.5) is None
    SelfPrediction(Markov(5), 4, (6,), 1.0).after_step(0.5)  # nothing that could follow


def test_behaviour_cloning_by_hand():
    batch = make_batch()
    batch.expert[:] = torch.tensor([0.0, 1.0, 0.0, 1.0])
    part, output = BehaviourCloning(Categorical(), weight=1.0), torch.randn(*batch.row_mask.shape, 4)
    loss, mask = part.loss({"policy": output}, batch), part.mask(batch)
    t, b = 4, 3
    torch.testing.assert_close(loss[t, b], -output[t, b].log_softmax(-1)[batch.action[t, b]])
    assert torch.equal(mask[:-1], batch.mask * torch.tensor([0.0, 1.0, 0.0, 1.0]))
    assert mask[-1].sum() == 0

    batch = make_batch(spec=CONTINUOUS)
    part, output = BehaviourCloning(TanhGaussian(), weight=1.0), torch.randn(*batch.row_mask.shape, 4)
    loss = part.loss({"policy": output}, batch)
    torch.testing.assert_close(loss[t, b], ((output[t, b, :2].tanh() - batch.action[t, b]) ** 2).sum())


def test_without_expert_episodes_there_is_nothing_to_clone():
    batch = make_batch()
    batch.expert[:] = 0.0
    agent = make_agent("sac:embed")
    assert agent.update(batch)["loss/actor_behaviour_cloning"].item() == 0.0
