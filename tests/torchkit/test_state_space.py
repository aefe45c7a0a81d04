"""The recurrent state-space model against torch's own cell, and what its codes are."""

import pytest
import torch
from torch import nn

from torchkit.state_space import UNIFORM, StateSpace, StateSpaceSizes
from utils.errors import UserError

SIZES = StateSpaceSizes(deterministic=6, groups=3, classes=4, hidden=7)
T, B, OBS, A = 5, 3, 2, 2


def make(training=False):
    torch.manual_seed(0)
    model = StateSpace(OBS, A, SIZES).train(training)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.7)
    return model


def unrolled(model, action, obs, before=None):
    before = model.initial(action.shape[1]) if before is None else before
    return model.unroll(model.of_action(action), model.seen_obs(obs), before)


def test_a_step_is_that_of_a_gru_of_codes_and_action():
    model, action, obs = make(), torch.randn(T, B, A), torch.randn(T, B, OBS)
    cell = nn.GRUCell(SIZES.codes + A, SIZES.deterministic)
    with torch.no_grad():
        cell.weight_ih.copy_(torch.cat([model.of_codes.weight, model.of_action.weight], dim=1))
        cell.bias_ih.copy_(model.of_action.bias)
        cell.weight_hh.copy_(model.of_state.weight)
        cell.bias_hh.copy_(model.of_state.bias)
        found = unrolled(model, action, obs)
        h, e = model.initial(B)
        for t in range(T):
            h = cell(torch.cat([e, action[t]], dim=-1), h)
            logits = model.posterior_out(torch.relu(model.seen_state(h) + model.seen_obs(obs[t])))
            share = (1 - UNIFORM) * logits.view(B, 3, 4).softmax(-1) + UNIFORM / 4
            prior = (1 - UNIFORM) * model.prior_net(h).view(B, 3, 4).softmax(-1) + UNIFORM / 4
            e = nn.functional.one_hot(share.argmax(-1), 4).float().flatten(1)
            torch.testing.assert_close(found.latent[t], torch.cat([h, e], dim=-1))
            torch.testing.assert_close(found.posterior[t], share.log())
            torch.testing.assert_close(found.prior[t], prior.log())


@pytest.mark.parametrize("at", [1, 3])
def test_a_sequence_that_is_split_comes_out_as_the_whole(at):
    model, action, obs = make(), torch.randn(T, B, A), torch.randn(T, B, OBS)
    whole = unrolled(model, action, obs)
    first = unrolled(model, action[:at], obs[:at])
    carry = first.latent[-1].split([SIZES.deterministic, SIZES.codes], dim=-1)
    rest = unrolled(model, action[at:], obs[at:], carry)
    for one, two, all_of_it in zip(first, rest, whole, strict=True):
        torch.testing.assert_close(torch.cat([one, two]), all_of_it)


def test_codes_are_drawn_by_their_probabilities_from_posterior_and_prior_alike():
    model, N = make(training=True), 20_000
    found = unrolled(model, torch.zeros(1, N, A), torch.ones(1, N, OBS))
    codes = found.latent[0, :, SIZES.deterministic :].view(N, 3, 4)
    assert (codes.sum(-1) == 1).all()
    torch.testing.assert_close(codes.mean(0), found.posterior[0, 0].exp(), atol=0.015, rtol=0)
    start, action = found.latent[0, :1].detach().expand(N, -1), torch.ones(N, A)
    dreamed = model.imagine(start, action)
    assert (dreamed[:, : SIZES.deterministic] == dreamed[0, : SIZES.deterministic]).all()
    prior = model._shares(model.prior_net(dreamed[0, : SIZES.deterministic]))
    drawn = dreamed[:, SIZES.deterministic :].view(N, 3, 4)
    torch.testing.assert_close(drawn.mean(0), prior, atol=0.015, rtol=0)


def test_a_dream_goes_on_as_the_unrolling_would():
    model, action, obs = make(), torch.randn(2, B, A), torch.randn(2, B, OBS)
    found = unrolled(model, action, obs)
    dreamed = model.imagine(found.latent[0], action[1])
    torch.testing.assert_close(dreamed[:, : SIZES.deterministic], found.latent[1, :, : SIZES.deterministic])


def test_the_gradient_of_drawn_codes_is_that_of_their_probabilities():
    model, weight = make(training=True), torch.randn(12)
    share = torch.rand(B, 3, 4).softmax(-1).requires_grad_()
    codes = model._codes(share)
    assert set(codes.detach().round(decimals=5).flatten().tolist()) == {0.0, 1.0}
    (codes @ weight).sum().backward()
    torch.testing.assert_close(share.grad, weight.view(3, 4).expand(B, 3, 4))


def test_sizes_that_cannot_be_are_one_line():
    with pytest.raises(UserError, match=r"^groups=0: at least 1 is needed$"):
        StateSpace(OBS, A, StateSpaceSizes(4, 0, 4, 4))
