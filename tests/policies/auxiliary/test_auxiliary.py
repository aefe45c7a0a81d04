"""Auxiliary losses: their errors by hand, and what their gradients reach."""

import json
import math
from dataclasses import replace

import pytest
import torch

from policies.auxiliary.behaviour_cloning import BehaviourCloning
from policies.auxiliary.self_prediction import SelfPrediction
from policies.auxiliary.state_prediction import StatePrediction
from policies.build import build_agent
from policies.intrinsic.information_gain import InformationGain
from policies.losses import prediction_error
from policies.models.on_disk import load_moments, save_encoder
from policies.models.sources import Sources
from tests.helpers.agents import CONTINUOUS, CPU, SPEC, make_agent, make_batch, make_config
from torchkit.actions import Categorical, TanhGaussian
from torchkit.moments import Moments
from torchkit.networks import Encoder, EncoderConfig
from torchkit.sequence import GRU, Markov
from utils.errors import UserError


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
    loss = BehaviourCloning(TanhGaussian(), 1.0, "likelihood").loss({"policy": output}, batch)
    torch.testing.assert_close(loss[t, b], TanhGaussian().surprise(output[t, b], batch.action[t, b]))
    with pytest.raises(UserError, match=r"fit: .* choose from distance, likelihood"):
        make_agent("sac:embed", spec=CONTINUOUS, auxiliary__behaviour_cloning__fit="closeness")


CLONING = ("behaviour_cloning", "observation_cloning", "action_chunk")


@pytest.mark.parametrize("spec", [SPEC, CONTINUOUS])
def test_without_expert_episodes_there_is_nothing_to_clone(spec):
    batch = make_batch(spec=spec)
    agent = make_agent("sac:embed", spec=spec, auxiliary__use_actor=CLONING)
    found = agent.update(batch)
    assert all(found[f"loss/actor_{name}"] > 0 for name in CLONING)
    batch.expert[:] = 0.0
    found = agent.update(batch)
    assert all(found[f"loss/actor_{name}"].item() == 0.0 for name in CLONING)


@pytest.mark.parametrize("spec", [SPEC, CONTINUOUS])
def test_a_chunk_of_actions_by_hand(spec):
    """Three actions are foreseen; of an episode of seven steps the last rows have two and one of them."""
    batch, actions = make_batch(spec=spec), Categorical() if spec.discrete else TanhGaussian()
    agent = make_agent(
        "offline:bc", spec=spec, auxiliary__use_actor=("action_chunk",), auxiliary__action_chunk__steps=3
    )
    part = agent.actor_extensions.auxiliary["action_chunk"]
    output = torch.randn(*batch.row_mask.shape, 3 * 4)
    loss = part.loss({"action_chunk": output}, batch)
    assert loss.shape == batch.row_mask.shape and torch.equal(part.mask(batch)[:-1], batch.mask * batch.expert)
    for t, b, left in ((0, 0, 3), (1, 0, 2), (2, 0, 1), (4, 3, 3), (6, 3, 1), (11, 1, 1), (0, 2, 1)):
        errors = [
            actions.distance(output[t, b, 4 * k : 4 * k + 4][None], batch.action[t + k, b][None]) for k in range(left)
        ]
        torch.testing.assert_close(loss[t, b], torch.cat(errors).mean())
    part.steps = 40  # more than there are rows
    wide = torch.randn(*batch.row_mask.shape, 40 * 4)
    errors = [actions.distance(wide[0, 0, 4 * k : 4 * k + 4][None], batch.action[k, 0][None]) for k in range(3)]
    torch.testing.assert_close(part.loss({"action_chunk": wide}, batch)[0, 0], torch.cat(errors).mean())


def test_a_mixture_is_refused_beside_a_bonus_of_what_the_policy_does():
    bonus = {"intrinsic__use": ("future_visitation",), "mixture": 3}
    with pytest.raises(UserError, match=r"--config_rl\.mixture=3: .*one Gaussian"):
        make_agent("offline:awr", spec=CONTINUOUS, **bonus)
    make_agent("offline:awr", spec=CONTINUOUS, **bonus | {"mixture": 0})


def test_a_head_on_the_observation_alone_clones_by_itself():
    batch = make_batch(spec=CONTINUOUS)
    agent = make_agent("offline:bc", spec=CONTINUOUS, auxiliary__use_actor=("observation_cloning",))
    part = agent.actor_extensions.auxiliary["observation_cloning"]
    views = agent.policy.public(batch)
    other = agent.policy.public(replace(batch, prev_action=batch.prev_action + 1))
    assert not torch.equal(views["history"], other["history"])
    for given in (views, other):
        part.extend(given, batch)
    assert torch.equal(views["policy_of_observation"], other["policy_of_observation"])
    t, b = 2, 1
    expected = (views["policy_of_observation"][t, b, :2].tanh() - batch.action[t, b]).square().sum()
    torch.testing.assert_close(part.loss(views, batch)[t, b], expected)
    part.loss(views, batch).sum().backward()
    reached = {name for name, p in agent.policy.named_parameters() if p.grad is not None and p.grad.any()}
    assert reached and all(name.startswith("public.shortcuts.observation") for name in reached)


def states(seed=0):
    """A batch, and histories and embeddings of its rows that have three numbers each."""
    batch, rng = make_batch(), torch.Generator().manual_seed(seed)
    shape = (*batch.row_mask.shape, 3)
    return batch, {"history": torch.randn(*shape, generator=rng), "z_state": torch.randn(*shape, generator=rng)}


def rotation():
    return torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(5)))[0]


def measured(views, batch, error):
    torch.manual_seed(0)
    part = StatePrediction(3, "z_state", 3, (8,), 0.5, error)
    part.measure({"z_state": Moments.of(views["z_state"].flatten(0, 1), batch.row_mask.flatten())})
    return part


def test_a_share_knows_neither_scale_nor_offset_nor_rotation():
    """7 R z + c in the place of z: the same losses, gradients and bonuses of a predictor that turns along."""
    batch, views = states()
    turn, found = rotation(), []
    for moved in (False, True):
        given = views | {"history": views["history"].clone().requires_grad_()}
        if moved:
            given["z_state"] = 7 * given["z_state"] @ turn.T + torch.tensor([3.0, -20.0, 100.0])
        part = measured(given, batch, "share")
        if moved:
            with torch.no_grad():
                part.net[-1].weight.copy_(turn @ part.net[-1].weight)
                part.net[-1].bias.copy_(turn @ part.net[-1].bias)
        part.extend(given, batch)
        loss = part.loss(given, batch)
        (loss * batch.row_mask).sum().backward()
        bonuses = [InformationGain(part.errors, t, 0.9).reward(given, batch) for t in ("common", "own_step")]
        found.append([loss.detach(), given["history"].grad, *bonuses])
    for plain, turned in zip(*found, strict=True):
        torch.testing.assert_close(turned, plain, rtol=1e-4, atol=1e-5)


def test_nats_are_told_of_the_same_target_whatever_scale_offset_and_rotation():
    """A principal axis may point either way, which a predictor does not mind."""
    batch, views = states()
    moved = {"z_state": 7 * views["z_state"] @ rotation().T + torch.tensor([3.0, -20.0, 100.0])}
    plain, turned = (measured(v, batch, "nats").unit(v["z_state"]) for v in (views, moved))
    sign = (plain * turned).sum((0, 1)).sign()
    torch.testing.assert_close(turned * sign, plain, rtol=1e-3, atol=1e-4)


def test_knowing_nothing_costs_one_share_and_knowing_all_is_paid_one():
    batch, views = states()
    part = StatePrediction(3, "z_state", 3, (8,), 0.5, "share")
    part.measure({"z_state": Moments.of(views["z_state"].flatten(0, 1), batch.row_mask.flatten())})
    part.extend(views, batch)
    target = views["state_target"]
    nothing = part.errors(torch.zeros_like(target), target)
    assert ((nothing * batch.row_mask).sum() / batch.row_mask.sum()).item() == pytest.approx(1.0, abs=1e-5)
    told = torch.zeros_like(target)
    told[2:] = target[2:]  # from the third row on all is known
    bonus = InformationGain(part.errors, "own_step", 0.9).reward(views | {"predicted_state": told}, batch)
    torch.testing.assert_close(bonus.sum(0), nothing[0])


def test_nats_by_hand():
    """log σ + ½ ((z - μ) / σ)², σ = 0.1 + log 2 where the network says 0."""
    target, prediction = torch.tensor([1.5, 0.0]), torch.tensor([0.5, 0.0, 0.0, 0.0])
    std = 0.1 + math.log(2)
    assert prediction_error(prediction, target, "nats").item() == pytest.approx(2 * math.log(std) + 0.5 / std**2)
    certain = prediction_error(torch.tensor([1.5, 0.0, -50.0, -50.0]), target, "nats").item()
    assert certain == pytest.approx(2 * math.log(0.1))  # no more can be known than to within the blur


def test_moments_that_no_file_tells_are_taken_once_and_stay():
    agent = build_agent(Sources(SPEC, make_config("mi", z_obs="scratch", z_state="random")), 0, CPU)
    unit = agent.parts.auxiliary["state_prediction"].unit
    assert agent.unmeasured and unit.unknown
    agent.update(make_batch())  # nobody has measured before: by its first batch
    assert not agent.unmeasured
    scale = unit.scale_Z.clone()
    assert torch.isfinite(scale).all()
    agent.update(make_batch(seed=1))
    assert torch.equal(unit.scale_Z, scale)
    other = build_agent(Sources(SPEC, make_config("mi", z_obs="scratch", z_state="random")), 0, CPU)
    other.load_checkpoint(agent.checkpoint())
    assert not other.unmeasured and torch.equal(other.parts.auxiliary["state_prediction"].unit.scale_Z, scale)


def test_moments_of_the_encoders_file_are_the_unit(tmp_path):
    moments = Moments.of(torch.randn(30, 6) * 5 + 2, torch.ones(30))
    for name, in_dim in (("s_encoder", SPEC.state_dim), ("o_encoder", SPEC.obs_dim)):
        save_encoder(tmp_path, name, Encoder(EncoderConfig(in_dim, 6, (9,))), {"env_id": SPEC.env_id}, moments)
    agent = build_agent(Sources(SPEC, make_config("mi"), str(tmp_path), str(tmp_path)), 0, CPU)
    unit = agent.parts.auxiliary["state_prediction"].unit
    assert not agent.unmeasured
    torch.testing.assert_close(unit.centre_Z, moments.mean_Z)
    torch.testing.assert_close(unit.scale_Z, torch.full((6,), moments.rms))


def test_without_a_unit_nothing_is_measured():
    config = make_config("mi", z_obs="scratch", z_state="random", auxiliary__state_prediction__error="cosine")
    agent = build_agent(Sources(SPEC, config), 0, CPU)
    assert not agent.unmeasured
    assert not any(".unit." in name for name in agent.state_dict())


def test_damaged_moments_are_one_line(tmp_path):
    save_encoder(tmp_path, "s_encoder", Encoder(EncoderConfig(3, 6)), {}, Moments.of(torch.randn(9, 6), torch.ones(9)))
    described = tmp_path / "s_encoder.json"
    assert load_moments(tmp_path, "s_encoder", 6, "--flag") is not None
    with pytest.raises(UserError, match=r"--flag: the moments in .* are of 6 numbers, not 7"):
        load_moments(tmp_path, "s_encoder", 7, "--flag")
    about = json.loads(described.read_text())
    row = about["moments"]["covariance"][0]
    for name, odd in (
        ("spread", -1.0),
        ("covariance", [[None] * 6] * 6),
        ("covariance", [{}, row]),
        ("mean", [{}] * 6),
    ):
        described.write_text(json.dumps(about | {"moments": about["moments"] | {name: odd}}))
        with pytest.raises(UserError, match=r"--flag: the moments in .*s_encoder.json are damaged"):
            load_moments(tmp_path, "s_encoder", 6, "--flag")
