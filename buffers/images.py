"""Images in few bits: the rows of a view as float32, and as the bytes that replay and data sets keep of them.

An env declares how each channel of an image is stored (`EnvSpec.obs_storage`, `EnvSpec.state_storage`) by its lowest
value, its highest and the bits of a pixel: 8 for a graded channel; 1 for a mask, which has these two values only; 0 for
a channel that is always the lowest value, of which nothing is stored. A graded value comes back within
(high - low) / 510 of what it was, both ends and all that is stored exactly as they are.

Dimension key: R rows, F features of a row (channels · height · width), C channels, P pixels, K stored bytes of a row.
"""

import itertools
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding

from envs.base import EnvSpec

LEVELS = 255
BITS = torch.from_numpy(np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1))  # of each byte (256, 8)
EXCESS = 1 / 16  # of the range: what lies outside by less is noise and is cut off, by more a wrong declaration


class PlainRows:
    """A view that is stored as it is."""

    in_bytes = False

    def __init__(self, dim: int, image_shape: tuple[int, ...] | None = None):
        self.width, self.image_shape = dim, image_shape
        self.dtype: type[np.generic] = np.float32
        self.varying = list(range(image_shape[0])) if image_shape else []  # channels that differ from row to row

    def encode(self, rows_RF: NDArray[Any]) -> NDArray[Any]:
        """The rows themselves."""
        return rows_RF

    def decode(self, stored_RK: Tensor) -> Tensor:
        """The rows themselves, as float32."""
        return stored_RK.float()


class ImageRows:
    """An image, or a vector as one channel, that is stored in the bits that `storage` gives each of its channels.

    Raises:
        ValueError: the storage does not fit the image, or is none.
    """

    in_bytes = True

    def __init__(self, image_shape: tuple[int, ...], storage: tuple[tuple[float, float, int], ...], name: str = "view"):
        self.image_shape, self.storage, self.name = image_shape, storage, name
        self.channels, self.pixels = image_shape[0], math.prod(image_shape[1:])
        self.varying = [c for c, (*_, bits) in enumerate(storage) if bits]
        if len(storage) != self.channels:
            raise ValueError(f"{name}: {len(storage)} entries of storage for {self.channels} channels")
        for low, high, bits in storage:
            if bits not in (0, 1, 8) or not (high > low or bits == 0):
                raise ValueError(
                    f"{name}: a channel is stored as (low, high, bits of 0, 1 or 8), not {low, high, bits}"
                )
        sizes = [{0: 0, 1: -(-self.pixels // 8), 8: self.pixels}[bits] for *_, bits in storage]
        self._parts = [slice(end - size, end) for size, end in zip(sizes, itertools.accumulate(sizes))]
        self.width = sum(sizes)
        self.dtype: type[np.generic] = np.uint8

    def encode(self, rows_RF: NDArray[Any]) -> NDArray[np.uint8]:
        """Rows (R, F) as bytes (R, K); what is bytes already is returned as it is.

        Raises:
            ValueError: a value is not what was declared.
        """
        if rows_RF.dtype == np.uint8:
            return rows_RF
        image_RCP = rows_RF.reshape(len(rows_RF), self.channels, self.pixels)
        stored_RK = np.empty((len(rows_RF), self.width), np.uint8)
        for c, ((low, high, bits), part) in enumerate(zip(self.storage, self._parts)):
            x_RP = image_RCP[:, c]
            if bits == 8:
                code_RP = (x_RP - np.float32(low)) * np.float32(LEVELS / (high - low))
                fits = code_RP.min() >= -EXCESS * LEVELS and code_RP.max() <= (1 + EXCESS) * LEVELS
                stored_RK[:, part] = np.rint(code_RP).clip(0, LEVELS) if fits else 0
            else:
                is_high_RP = x_RP == np.float32(high)
                fits = bool(((x_RP == np.float32(low)) | (is_high_RP if bits else False)).all())
                stored_RK[:, part] = np.packbits(is_high_RP, axis=1) if bits else 0
            if not fits:
                found = f"holds values from {x_RP.min()} to {x_RP.max()}"
                raise ValueError(
                    f"{self.name}: channel {c} is declared as (low, high, bits) {low, high, bits}, but {found}"
                )
        return stored_RK

    def decode(self, stored_RK: Tensor) -> Tensor:
        """Bytes (R, K) as float32 rows (R, F), on the device where they are."""
        rows, device = len(stored_RK), stored_RK.device
        image_RCP = torch.empty(rows, self.channels, self.pixels, device=device)
        c = 0
        for (low, high, bits), alike in itertools.groupby(self.storage):  # channels next to each other at once
            first, c = c, c + len(list(alike))
            codes, into = stored_RK[:, self._parts[first].start : self._parts[c - 1].stop], image_RCP[:, first:c]
            if bits == 0:
                into.fill_(low)
            elif bits == 8:
                into.copy_(codes.view(into.shape)).mul_((high - low) / LEVELS).add_(low)
            else:
                table = torch.where(BITS.to(device) == 1, high, low)
                into.copy_(embedding(codes.int(), table).view(rows, c - first, -1)[..., : self.pixels])
        return image_RCP.flatten(1)


def row_storages(spec: EnvSpec) -> dict[str, PlainRows | ImageRows]:
    """How the rows of the views `obs` and `state` are stored."""
    return {
        name: ImageRows(shape or (1, dim), storage, f"{name}_storage of {spec.env_id}")  # a vector is one channel
        if storage
        else PlainRows(dim, shape)
        for name, dim, shape, storage in (
            ("obs", spec.obs_dim, spec.obs_image_shape, spec.obs_storage),
            ("state", spec.state_dim, spec.state_image_shape, spec.state_storage),
        )
    }
