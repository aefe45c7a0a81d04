"""The encoders, embedders and memories that a config asks for."""

import inspect
import math
from typing import Any

import torch
from ml_collections import ConfigDict
from torch import nn

from torchkit.networks import MLP, EncoderConfig, init_linear
from torchkit.reading import Reading
from torchkit.sequence import MEMORIES, Memory, check_memory
from torchkit.sequence.double import Double
from utils.errors import UserError, check_written, choose


def encoder_config(config_repr: ConfigDict, in_dim: int, image_shape: tuple[int, ...] | None) -> EncoderConfig:
    """The encoder that a config asks for: convolutions where the view is an image, else an MLP.

    Raises:
        UserError: the config has no convolutions for an image, or they do not fit into it.
    """
    encoder = config_repr.encoder
    if image_shape is None:
        return EncoderConfig(in_dim, config_repr.embedding_dim, tuple(encoder.hidden_dims))
    if encoder.get("norm", False):
        raise UserError("--config_repr.encoder.norm: the last layer of stage 2's encoders is linear; choose False")
    return image_encoder(encoder, in_dim, config_repr.embedding_dim, image_shape, "--config_repr.encoder")


def image_encoder(
    layers: ConfigDict, in_dim: int, out_dim: int, image_shape: tuple[int, ...], flag: str
) -> EncoderConfig:
    """Convolutions of an image, an entry of `channels`, `kernels`, `strides` and `pools` each; `pools` may be absent.

    So may be what is read of the image (`torchkit.reading`): `centre` and `spread` have an entry a channel that is
    read, or none.

    Raises:
        UserError: names `flag`; they are not of one number, or do not fit into the image.
    """
    channels = tuple(layers.channels)
    pools = tuple(layers.get("pools", (1,) * len(channels)))
    table: dict[str, Any] = {
        "channels": channels,
        "kernels": tuple(layers.kernels),
        "strides": tuple(layers.strides),
        "pools": pools,
    }
    if not channels or len({len(row) for row in table.values()}) != 1:
        raise UserError(
            f"{flag}: {', '.join(table)} must name the same number of layers, at least one, "
            f"for an image of {image_shape}"
        )
    for name, row in table.items():
        if min(row) < 1:
            raise UserError(f"{flag}.{name}={row}: at least 1 is needed")
    reading = _reading(layers, image_shape, flag)
    side = min(reading.shape[1:])
    for kernel, stride, pool in zip(table["kernels"], table["strides"], pools):
        side = ((side - kernel) // stride + 1) // pool
        if side < 1:
            raise UserError(f"{flag}: the layers of kernels leave nothing of an image of {image_shape}")
    return EncoderConfig(in_dim, out_dim, **table, **vars(reading), norm=bool(layers.get("norm", False)))


def _reading(layers: ConfigDict, image_shape: tuple[int, ...], flag: str) -> Reading:
    """What is to be read of an image.

    Raises:
        UserError: it cannot be; names `flag` and the field.
    """
    shrink, number, sides = layers.get("shrink", 1), image_shape[0], image_shape[1:]
    if not isinstance(shrink, int) or shrink < 1 or any(side % shrink for side in sides):
        raise UserError(f"{flag}.shrink={shrink}: both sides of an image of {image_shape} must be multiples of it")
    largest, median = (tuple(layers.get(name, ())) for name in ("largest", "median"))
    for name, row in (("largest", largest), ("median", median)):
        if len(set(row)) < len(row) or not set(row) <= set(range(number)):
            raise UserError(f"{flag}.{name}={row}: channels of the image are needed, each once, from 0 to {number - 1}")
    centre, spread, clip = (tuple(layers.get(name, ())) for name in ("centre", "spread", "clip"))
    finite = all(isinstance(x, int | float) and math.isfinite(x) for x in (*centre, *spread, *clip))
    read = number + len(median)
    if {len(centre), len(spread)} not in ({0}, {read}) or not finite or min(spread, default=1.0) <= 0:
        raise UserError(
            f"{flag}: centre {centre} and spread {spread} must have a number for each of the {read} channels that are "
            "read of the image, or none, as (), each spread above 0"
        )
    if clip and (len(clip) != 2 or clip[0] >= clip[1]):
        raise UserError(f"{flag}.clip={clip}: the least and the greatest value are needed, or none, as ()")
    return Reading(tuple(image_shape), shrink, largest, median, centre, spread, clip)


def build_memory(config_seq: ConfigDict, width: int, context: int, flag: str = "--config_seq") -> Memory:
    """The memory that a config names, for inputs of `width`; one with a limited reach gets `context` rows.

    `flag` is how the user named the config, for errors.

    Raises:
        UserError: an unknown memory, or settings that it does not take.
    """
    kind = choose(MEMORIES, config_seq.memory, f"{flag}.memory", "torchkit/sequence/__init__.py")
    check_written(kind, Memory, "forward", "initial_carry")
    takes = set(inspect.signature(kind).parameters) - {"in_dim", "context"}
    for name in config_seq.kwargs:
        if name not in takes:
            raise UserError(
                f"{flag}.memory: {config_seq.memory} has no kwargs.{name}, it takes {', '.join(sorted(takes))}; "
                f"configs/seq/{config_seq.memory}.py has its own"
            )
    kwargs = dict(config_seq.kwargs)
    if "context" in inspect.signature(kind).parameters:
        kwargs["context"] = context
    double, warmup = config_seq.get("double", False), config_seq.get("warmup", 0)
    if warmup < 0:
        raise UserError(f"{flag}.warmup={warmup}: a number of steps from 0 on is needed")
    try:
        memory = kind(width, **kwargs)
        if (warmup or double) and not memory.cells(memory.initial_carry(1)):
            raise UserError(
                f"{flag}.{'warmup' if warmup else 'double'}: for memories that are recurrent and nonlinear, as gru, "
                f"lstm, brc, nbrc and mgu, not for {config_seq.memory}"
            )
        if double:
            memory = Double(lambda i, o: kind(i, out_dim=o), width, **kwargs)
    except UserError as error:
        raise error if str(error).startswith(flag) else UserError(f"{flag}.kwargs.{error}") from error
    if torch.get_default_device().type != "meta":  # where a file is read, weights have no numbers yet
        try:
            check_memory(memory, width, steps=1)
        except UserError as error:
            raise UserError(f"{flag}.memory: {error}") from error
    return memory


def vector_embedder(in_dim: int, out_dim: int) -> MLP:
    """Linear-ReLU."""
    return MLP(init_linear(nn.Linear(in_dim, out_dim)), nn.ReLU())
