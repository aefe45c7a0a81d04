"""The VSSM by hand and against itself: bounds, one scan against steps, what a prefix tells and what it does not."""

import math

import pytest
import torch

from torchkit.sequence import GPT, GRU, LRU
from torchkit.vssm import VSSM, Autoregressive

F, V, W, Z, T, B = 2, 3, 8, 2, 5, 4
MODELS = {
    "vssm": lambda: VSSM(F, V, W, Z, LRU(W, W), LRU(W, W), LRU(W, W)),
    "causal": lambda: VSSM(F, V, W, Z, LRU(W, W), LRU(W, W), None),
    "gru": lambda: Autoregressive(F, V, W, GRU(W, W)),
    "gpt": lambda: Autoregressive(F, V, W, GPT(W, context=20)),
}


def made(kind, sharp=1.0):
    torch.manual_seed(0)
    model = MODELS[kind]().eval()
    with torch.no_grad():
        model.head[-1].weight.normal_(std=sharp)
    return model


def images(seed=0, count=B):
    return torch.randint(V, (T, count, F), generator=torch.Generator().manual_seed(seed))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_evidence_bound_by_hand():
    model = made("vssm")
    with torch.no_grad():
        for layer in (model.head[-1], model.posterior_head):
            layer.weight.zero_()
            layer.bias.zero_()
        model.posterior_head.bias[0] = 3.0  # the mean of the first of two latents
        model.posterior_head.bias[Z:] = math.log(math.expm1(1.0))  # deviations of 1, and the least beside
    std = 1.0 + 1e-3
    divergence = 0.5 * 3.0**2 + 2 * (0.5 * (std**2 - 1) - math.log(std))
    expected = T * (-F * math.log(V) - divergence)
    assert model.bound(images(), generator()).tolist() == pytest.approx([expected] * B, rel=1e-5)
    with torch.no_grad():
        model.posterior_head.bias[0] = 0.0
    likelihood = -T * F * math.log(V)  # pixels are uniform whatever the latents are
    assert model.bound(images(), generator(), samples=50).tolist() == pytest.approx([likelihood] * B, abs=0.01)


def test_more_samples_bring_the_bound_nearer_to_the_truth():
    model, x = made("causal"), images()
    one, many, more = (
        torch.stack([model.bound(x, generator(s), samples) for s in range(20)]).mean() for samples in (1, 20, 400)
    )
    assert one < many < more + 0.05


def test_one_scan_of_the_decoder_is_as_many_steps():
    model, z = made("causal"), torch.randn(T, B, Z)
    whole, _ = model.decoded(z)
    carry, steps = None, []
    for z_1BZ in z.split(1):
        h, carry = model.decoded(z_1BZ, carry)
        steps.append(h)
    torch.testing.assert_close(torch.cat(steps), whole, rtol=1e-5, atol=1e-5)


def test_a_causal_encoder_sees_nothing_of_what_is_to_come():
    x, other = images(), images()
    other[3:] = (other[3:] + 1) % V
    for kind, blind in (("causal", True), ("vssm", False)):
        model = made(kind)
        same = torch.allclose(model.posterior(x).mean[:3], model.posterior(other).mean[:3], atol=1e-6)
        assert same == blind and model.goes_on == blind


@pytest.mark.parametrize("kind", ["gru", "gpt"])
def test_a_step_at_a_time_the_whole_is_its_prefix_and_the_rest(kind):
    model, x = made(kind), images()
    rest = model.continuation(x, 2, generator())
    torch.testing.assert_close(model.bound(x[:2], generator()) + rest, model.bound(x, generator()))


@pytest.mark.parametrize("kind", ["gru", "gpt"])
def test_what_goes_on_from_a_prefix_is_what_was_begun(kind):
    model, none = made(kind, sharp=1e6), torch.zeros(0, B, F, dtype=torch.long)  # so sure that nothing is drawn
    with torch.no_grad():
        model.embed[-1].weight.mul_(10.0)
    whole = model.sample(none, T, generator())
    assert torch.equal(model.sample(whole[:2], T - 2, generator(1)), whole[2:])
    assert not torch.equal(model.sample((whole[:2] + 1) % V, T - 2, generator(1)), whole[2:])


def test_a_vssm_goes_on_from_the_state_that_a_prefix_leaves():
    model, x = made("causal"), images(count=1).expand(-1, 4000, -1)
    with torch.no_grad():
        for parameter in (*model.decoder.layers[0].gated.parameters(), model.decoder.layers[0].cell.leave[0].weight):
            parameter.mul_(8.0)  # else the state counts for little beside the present latent
        model.posterior_head.bias[:Z] = 3.0  # away from what the prior draws
        later = model.sample(x[:3], 1, generator())[0]
        told = torch.stack([model.continuation(torch.cat([x[:3, :1], row.view(1, 1, F)]), 3, generator(1), 4000)
                            for row in torch.cartesian_prod(torch.arange(V), torch.arange(V))]).exp()  # fmt: skip
    assert float(told.sum()) == pytest.approx(1.0, abs=1e-4)
    found = torch.bincount(later[:, 0] * V + later[:, 1], minlength=V * V) / len(later)
    torch.testing.assert_close(found, told.flatten(), rtol=0, atol=0.04)
    alone = model.sample(x[:0], 1, generator())[0]
    assert (torch.bincount(alone[:, 0] * V + alone[:, 1], minlength=V * V) / 4000 - found).abs().max() > 0.08
