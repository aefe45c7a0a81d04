"""What convolutions read of an image, before anything is learned: made smaller, less its own median, brought to scale.

Dimension key: N images, C channels, M channels of medians, H and W pixels.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Reading:
    """Images (N, C, H, W) as the first convolution reads them: (N, C + M, H / shrink, W / shrink).

    First every square of `shrink` pixels a side becomes one, their mean, or in the channels `largest` their greatest
    value. From the channels `median` each frame's own median is taken off; these follow as further channels, each the
    same all over the frame. What comes of it is (x - centre) / spread, a number of each channel, kept within `clip`.

    Attributes:
        image_shape: (C, H, W); H and W are multiples of `shrink`.
        shrink: pixels.
        largest, median: numbers of channels.
        centre, spread: C + M numbers each, or none for x as it is.
        clip: (least, most), or () for no bounds.
    """

    image_shape: tuple[int, ...]
    shrink: int = 1
    largest: tuple[int, ...] = ()
    median: tuple[int, ...] = ()
    centre: tuple[float, ...] = ()
    spread: tuple[float, ...] = ()
    clip: tuple[float, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of what is read of one image."""
        channels, height, width = self.image_shape
        return channels + len(self.median), height // self.shrink, width // self.shrink

    def __call__(self, image_NCHW: Tensor) -> Tensor:
        image = image_NCHW if self.shrink == 1 else self._smaller(image_NCHW)
        if self.median:
            median_NM = torch.stack([_median(image[:, channel].flatten(1)) for channel in self.median], dim=1)
            less_NC = median_NM.new_zeros(image.shape[:2])
            less_NC[:, list(self.median)] = median_NM
            wide = median_NM[:, :, None, None].expand(-1, -1, *image.shape[2:])
            image = torch.cat([image - less_NC[:, :, None, None], wide], dim=1)
        if self.centre:
            centre, spread = (image.new_tensor(row)[:, None, None] for row in (self.centre, self.spread))
            image = (image - centre) / spread
        return image.clamp(*self.clip) if self.clip else image

    def _smaller(self, image: Tensor) -> Tensor:
        small = F.avg_pool2d(image, self.shrink)
        for channel in self.largest:
            one = image[:, channel : channel + 1]  # four axes, as ONNX wants them
            small[:, channel] = F.max_pool2d(one, self.shrink)[:, 0]
        return small


def _median(x_NP: Tensor) -> Tensor:
    """The lower median of each row: (N, P) -> (N,)."""
    if torch.onnx.is_in_onnx_export():  # which has no median
        return x_NP.topk((x_NP.shape[1] + 1) // 2, largest=False).values.amax(dim=1)
    return x_NP.median(dim=1).values
