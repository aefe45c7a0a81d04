"""Networks: sizes and starting weights as published."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from torchkit.moments import Moments
from torchkit.networks import Encoder, EncoderConfig, mlp

CONVOLUTIONS = {  # image, kernels, strides, pools, channels -> flat size (specification of the published encoders)
    "CarFlag-2D": ((2, 11, 11), (2, 2, 2), (1, 1, 1), (2, 2, 1), (64, 128, 256), 256),
    "Sphinx": ((2, 6, 6), (2, 2, 2), (1, 1, 1), (1, 2, 1), (64, 128, 256), 256),
    "robots": ((2, 84, 84), (8, 4, 3), (4, 4, 1), (1, 1, 1), (32, 64, 64), 576),
}


def image_encoder(name):
    shape, kernels, strides, pools, channels, flat = CONVOLUTIONS[name]
    size = shape[0] * shape[1] * shape[2]
    return Encoder(EncoderConfig(size, 32, (), shape, channels, kernels, strides, pools)), size, flat


def shapes(module):
    return [tuple(p.shape) for p in module.parameters() if p.ndim > 1]


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_image_encoders_have_the_published_sizes(name):
    encoder, size, flat = image_encoder(name)
    channels, kernels = encoder.config.channels, encoder.config.kernels
    convs = [(o, i, k, k) for o, i, k in zip(channels, (2, *channels), kernels)]
    assert shapes(encoder) == [*convs, (32, flat)]
    assert encoder(torch.rand(3, 2, size)).shape == (3, 2, 32)


def test_vector_encoder_has_the_published_sizes_and_starting_weights():
    torch.manual_seed(0)
    encoder = Encoder(EncoderConfig(3, 32, (128, 128)))
    assert shapes(encoder) == [(128, 3), (128, 128), (32, 128)]
    for layer in (m for m in encoder.modules() if isinstance(m, nn.Linear)):
        bound = layer.out_features**-0.5
        assert 0.9 * bound < layer.weight.abs().max() <= bound
        assert (layer.bias == 0.1).all()


def test_convolutions_start_without_bias():
    encoder, _, _ = image_encoder("Sphinx")
    assert all((m.bias == 0).all() for m in encoder.modules() if isinstance(m, nn.Conv2d))


@pytest.mark.parametrize("config", [EncoderConfig(3, 32, (16, 16)), image_encoder("Sphinx")[0].config])
def test_a_second_tail_reads_the_first_block_and_has_its_own_weights(config):
    encoder = Encoder(config)
    tail, x = encoder.make_rest(), torch.rand(5, config.in_dim)
    torch.testing.assert_close(encoder.rest(encoder.local(x)), encoder(x))
    assert tail(encoder.local(x)).shape == (5, 32)
    assert shapes(tail) == shapes(encoder.rest)
    assert not {id(p) for p in tail.parameters()} & {id(p) for p in encoder.parameters()}


@pytest.mark.parametrize("config", [EncoderConfig(3, 8, (4,)), image_encoder("CarFlag-2D")[0].config])
def test_encoder_config_survives_json(config):
    import json

    assert EncoderConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_mlp_output_starts_small():
    net = mlp(3, (8,), 2)
    assert net[-1].weight.abs().max() <= 3e-3
    assert net(torch.zeros(4, 5, 3)).shape == (4, 5, 2)


def test_a_standardised_image_is_what_the_first_convolution_reads():
    """The same as an encoder without, of an image that was standardised beforehand; so are the gradients."""
    plain = image_encoder("Sphinx")[0]
    centre, spread = (0.2, 0.5), (0.05, 2.0)
    scaled = Encoder(replace(plain.config, centre=centre, spread=spread))
    scaled.load_state_dict(plain.state_dict())  # no weights of its own
    x = 0.2 + 0.1 * torch.randn(7, 2, 36)
    beforehand = torch.stack([(x[:, c] - centre[c]) / spread[c] for c in (0, 1)], 1)
    outputs = [encoder(given.reshape(7, 72)) for encoder, given in ((plain, beforehand), (scaled, x))]
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)
    for output in outputs:
        output.square().sum().backward()
    for a, b in zip(plain.parameters(), scaled.parameters(), strict=True):
        torch.testing.assert_close(b.grad, a.grad, rtol=1e-3, atol=1e-3 * float(a.grad.abs().max()))
    assert EncoderConfig.from_json(json.loads(json.dumps(scaled.config.to_json()))) == scaled.config
    assert (
        scaled.standardised(Moments.of(outputs[1].detach(), torch.ones(7)))(x.reshape(7, 72)).mean(0).abs() < 1e-4
    ).all()
