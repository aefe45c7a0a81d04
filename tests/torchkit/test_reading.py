"""What is read of an image: by hand, and as encoders share it."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from ml_collections import ConfigDict

from buffers.batch import Rows
from policies.models.encoders import encoder_config, image_encoder
from torchkit.networks import DropRows, Encoder, EncoderConfig
from torchkit.reading import Reading
from utils.errors import UserError

LAYERS = {"channels": (4, 3), "kernels": (2, 2), "strides": (2, 1)}
READ = {"shrink": 2, "largest": (1,), "median": (0,), "clip": (-2.0, 1.5)}
SCALE = {"centre": (0.0, 0.0, 3.0), "spread": (2.0, 1.0, 10.0)}


def config_of(**fields):
    return EncoderConfig(128, 5, image_shape=(2, 8, 8), pools=(1, 1), **LAYERS, **fields)


def test_a_small_image_by_hand():
    image = torch.zeros(1, 2, 4, 4)
    image[0, 0] = torch.tensor([[0.0, 4, 1, 1], [0, 0, 1, 1], [8, 8, 30, 30], [8, 8, 30, 30]])  # means 1, 1, 8, 30
    image[0, 1, 3, 0] = 1.0
    read = Reading((2, 4, 4), **READ, **SCALE)
    assert read.shape == (3, 2, 2)
    (depth, mask, median) = read(image)[0]
    assert torch.equal(depth, torch.tensor([[0.0, 0.0], [1.5, 1.5]]))  # less the median, the lower of 1 and 8, halved
    assert torch.equal(mask, torch.tensor([[0.0, 0.0], [1.0, 0.0]]))  # one pixel of four
    torch.testing.assert_close(median, torch.full((2, 2), (1.0 - 3.0) / 10.0))


def test_a_shift_of_the_whole_frame_changes_its_median_alone():
    image = torch.rand(3, 2, 8, 8)
    read = Reading((2, 8, 8), 2, median=(0,))
    moved = image.clone()
    moved[:, 0] += 0.25
    before, after = read(image), read(moved)
    torch.testing.assert_close(after[:, :2], before[:, :2])
    torch.testing.assert_close(after[:, 2], before[:, 2] + 0.25)
    np.testing.assert_allclose(before[:, 2, 0, 0], np.sort(read._smaller(image)[:, 0].flatten(1).numpy())[:, 7])


@pytest.mark.parametrize("clip", [(), (-2.0, 1.5)])
def test_an_encoder_reads_it_before_its_layers(clip):
    """The same as a plain encoder of what `Reading` makes of the image, whether scales are in its weights or not."""
    torch.manual_seed(0)
    encoder = Encoder(config_of(**READ | {"clip": clip}, **SCALE, norm=True))
    plain = Encoder(EncoderConfig(48, 5, image_shape=(3, 4, 4), pools=(1, 1), **LAYERS, norm=True))
    plain.load_state_dict(encoder.state_dict())
    x = torch.rand(6, 128)
    read = Reading((2, 8, 8), **READ | {"clip": clip}, **SCALE)(x.view(6, 2, 8, 8))
    torch.testing.assert_close(encoder(x), plain(read.flatten(1)), rtol=1e-4, atol=1e-5)
    assert (encoder(x) >= 0).all() and encoder(x).std() > 0
    torch.testing.assert_close(encoder(encoder.prepare(x)), encoder(x))
    torch.testing.assert_close(encoder(x.view(2, 3, 128)).flatten(0, 1), encoder(x))
    assert EncoderConfig.from_json(json.loads(json.dumps(encoder.config.to_json()))) == encoder.config


def test_encoders_share_an_image_only_where_they_read_the_same_of_it():
    nets = [Encoder(config_of(**fields)) for fields in (READ, READ, {}, {"shrink": 2})]
    x = torch.rand(2, 3, 128)
    rows = Rows.all_different(x)
    rows.known = {}
    for net in nets:
        torch.testing.assert_close(rows.through(net), net(x))
    prepared = [key for key in rows.known if isinstance(key, tuple)]
    assert len(prepared) == 3 and rows.known[prepared[0]].shape == (6, 3, 4, 4)


def test_dropped_rows_are_dropped_whole_and_only_while_it_trains():
    torch.manual_seed(0)
    drop, x = DropRows(0.25), 1 + torch.rand(100, 40, 3)
    found = drop(x)
    kept = found.any(-1)
    assert torch.equal(found[kept], x[kept]) and not found[~kept].any()
    assert abs(float(kept.float().mean()) - 0.75) < 4 * (0.25 * 0.75 / 4000) ** 0.5
    assert torch.equal(drop.eval()(x), x)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"shrink": 3}, "cnn.shrink=3: both sides of an image of"),
        ({"shrink": 0}, "cnn.shrink=0"),
        ({"median": (2,)}, "cnn.median=.*from 0 to 1"),
        ({"largest": (0, 0)}, "cnn.largest=.*each once"),
        ({"clip": (1.0,)}, "cnn.clip="),
        ({"clip": (1.0, 1.0)}, "cnn.clip="),
        ({"median": (0,), "centre": (0.0, 0.0), "spread": (1.0, 1.0)}, "each of the 3 channels"),
        ({"shrink": 8}, "leave nothing"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_field(fields, text):
    with pytest.raises(UserError, match=text):
        image_encoder(ConfigDict(LAYERS | fields), 128, 5, (2, 8, 8), "--config_seq.image.cnn")


def test_stage_2_keeps_its_last_layer_linear():
    config = ConfigDict({"embedding_dim": 5, "encoder": LAYERS | {"norm": True, "hidden_dims": ()}})
    with pytest.raises(UserError, match=r"encoder\.norm"):
        encoder_config(config, 128, (2, 8, 8))
    config.encoder.norm = False
    assert encoder_config(config, 128, (2, 8, 8)) == replace(config_of(), norm=False)
