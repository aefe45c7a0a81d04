"""From a value of any space to the row of a view: flat float32, one-hot where it is categorical, images by channels.

Dimension key: N envs, F features of a row.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import batch_space, iterate
from numpy.typing import NDArray
from PIL import Image as Picture

from envs.base import Categories, Storage
from utils.errors import UserError, choose_name, first_line

Floats = NDArray[np.float32]

LAYOUTS = ("", "hwc", "chw")
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue (ITU-R BT.601)
BYTE = np.float32(1 / 255)
BYTES = (0.0, 1.0, 8)  # how a channel of an image of bytes is stored, as `EnvSpec.obs_storage` says it
WHOLE_BYTES = (0.0, 255.0, 8)  # and other bytes, which stay the numbers that they are


@dataclass(frozen=True)
class ImageOptions:
    """How an image of the env becomes one for a network.

    Attributes:
        layout: `hwc` for (height, width, channels), `chw` for (channels, height, width); "" for what the env declares.
        resize: (height, width) that it is brought to, by averages over areas, of whole pixels; () for as it is.
        gray: red, green and blue become their luma.
    """

    layout: str = ""
    resize: tuple[int, ...] = ()
    gray: bool = False

    def __post_init__(self) -> None:
        choose_name(LAYOUTS, self.layout, "config_env.obs_image")
        if self.resize and (len(self.resize) != 2 or min(self.resize) < 1):
            raise UserError(f"config_env.resize={self.resize}: (height, width) is needed, or () for as it is")
        if (self.resize or self.gray) and not self.layout:
            raise UserError("config_env.obs_image: resize and gray are for images; say hwc or chw")


class ImageRows:
    """Images (N, …) of one space as rows (N, C·H·W) of channels, and what they are then.

    Bytes become numbers from 0 to 1, of which replay and data sets keep the bytes.

    Args:
        space: of one image.
        options: how its axes lie, and what is to be done with it.
        what: how the user knows it, for errors.

    Raises:
        UserError: the space is no such image.
    """

    def __init__(self, space: spaces.Space[Any], options: ImageOptions, what: str):
        if not isinstance(space, spaces.Box) or len(space.shape) not in (2, 3):
            raise UserError(
                f"config_env.obs_image: {what} are no image ({_short(space)}); of a dict name the one key in obs_keys"
            )
        other = {"hwc": "chw", "chw": "hwc"}.get(options.layout)
        if other is not None and other == layout_by_sizes(space.shape):
            raise UserError(f"config_env.obs_image: {what} have shape {space.shape}, which is {other}; say {other}")
        self.options, self.bytes, self._shape = options, space.dtype == np.uint8, space.shape
        self._flat_gray = len(space.shape) == 2
        height, width, channels = self._as_hwc(np.empty((1, *space.shape), bool)).shape[1:]
        if options.gray:
            if channels != 3:
                raise UserError(f"config_env.gray: {what} have {channels} channels, not red, green and blue")
            channels = 1
        if options.resize:
            height, width = options.resize
        self.image_shape = (channels, height, width)
        self.storage: Storage = (BYTES,) * channels if self.bytes else ()

    def _as_hwc(self, images: NDArray[Any]) -> NDArray[Any]:
        if self._flat_gray:
            return images[..., None]
        return np.moveaxis(images, 1, -1) if self.options.layout == "chw" else images

    def __call__(self, images: NDArray[Any]) -> Floats:
        """Images (N, …) as rows (N, C·H·W)."""
        x = self._as_hwc(images.reshape(-1, *self._shape))
        if self.options.gray:
            x = (x @ LUMA)[..., None]
        if self.options.resize and x.shape[1:3] != self.options.resize:
            x = np.stack([resized(image, self.options.resize) for image in x])
        if self.bytes:
            x = np.rint(x) * BYTE if x.dtype != np.uint8 else x * BYTE
        return np.ascontiguousarray(np.moveaxis(x, -1, 1), np.float32).reshape(len(x), -1)

    def bounds(self, space: spaces.Box) -> spaces.Box:
        """The space of a row."""
        if self.bytes:
            return spaces.Box(0.0, 1.0, (math.prod(self.image_shape),), np.float32)
        low, high = float(space.low.min()), float(space.high.max())
        return spaces.Box(np.float32(low), np.float32(high), (math.prod(self.image_shape),), np.float32)


def layout_by_sizes(shape: tuple[int, ...], side: int = 16) -> str | None:
    """How the axes of a picture lie, where its sizes leave no doubt: up to four channels, sides of `side` or more."""
    if len(shape) != 3:
        return None
    sides = {"hwc": shape[:2], "chw": shape[1:]}
    channels = {"hwc": shape[2], "chw": shape[0]}
    return next((layout for layout in sides if channels[layout] <= 4 and min(sides[layout]) >= side), None)


def resized(image: NDArray[Any], size: Sequence[int]) -> Floats:
    """An image (H, W, C) in another (height, width), by averages over areas.

    By Pillow's box filter: a pixel counts in whole where its middle lies in the area, also if the ratio is no integer.
    """
    planes = [Picture.fromarray(np.ascontiguousarray(plane, np.float32)) for plane in np.moveaxis(image, -1, 0)]
    height, width = size
    return np.stack(
        [np.asarray(p.resize((width, height), Picture.Resampling.BOX), np.float32) for p in planes], axis=-1
    )


class View:
    """How the rows of a view are made of values of a space.

    Attributes:
        space: bounds of a row (F,), flat float32.
        image_shape: (channels, height, width) of a row, None for a vector.
        storage: of bytes, as in `EnvSpec`; else ().
        categories: of its space, as in `EnvSpec`.

    Args:
        space: what the env publishes.
        keys: of a dict, in the order of the row; `a.b` for b within a; () for all that there is.
        image: where it is an image, and how its axes lie.
        field: the config's field that names the keys, for errors.
        what: what is viewed and of which env, as `the observations of Pong-v5`.

    Raises:
        UserError: the space has no such keys, or what is left of it cannot be flattened.
    """

    def __init__(
        self,
        space: spaces.Space[Any],
        keys: Sequence[str] | str = (),
        image: ImageOptions | None = None,
        field: str = "config_env.obs_keys",
        what: str = "observations",
    ):
        self.keys, self._what = names_of(keys), what
        self._chosen = _chosen(space, self.keys, field, what)
        self.image_shape: tuple[int, ...] | None = None
        self.storage: Storage = ()
        self.categories: Categories = ()
        self._image: ImageRows | None = None
        if image is not None and image.layout:
            only = _only(self._chosen)
            self._image = ImageRows(only, image, what)
            self.image_shape, self.storage = self._image.image_shape, self._image.storage
            assert isinstance(only, spaces.Box)
            self.space = self._image.bounds(only)
            return
        if not flattenable(self._chosen):
            raise UserError(f"{field}: {what} cannot be flattened to a vector ({_short(space)}){_remedy(space, field)}")
        self.space = float32_box(spaces.flatten_space(self._chosen))
        self.categories = categories_of(self._chosen)
        if isinstance(only := _only(self._chosen), spaces.Box) and only.dtype == np.uint8:
            self.storage = (WHOLE_BYTES,)

    def __call__(self, value: Any) -> Floats:
        """The row (F,) of one value.

        Raises:
            UserError: it is not of its space.
        """
        return self._checked(self._row, value, 1)[0]

    def rows(self, values: Any, num: int) -> Floats:
        """The rows (N, F) of N values that are batched as gymnasium's vector envs do.

        Raises:
            UserError: they are not of their space, or not N.
        """
        return self._checked(self._rows, values, num)

    def _row(self, value: Any, num: int) -> Floats:
        chosen = _taken(value, self.keys) if self.keys else value
        if self._image is not None:
            return self._image(np.asarray(_only(chosen))[None])
        return np.asarray(_flat(self._chosen, chosen), np.float32)[None]

    def _rows(self, values: Any, num: int) -> Floats:
        chosen = _taken(values, self.keys) if self.keys else values
        if self._image is not None:
            return self._image(np.asarray(_only(chosen)))
        if isinstance(self._chosen, spaces.Box):
            return np.asarray(chosen, np.float32).reshape(num, -1)
        if isinstance(self._chosen, spaces.Dict) and all(isinstance(s, spaces.Box) for s in self._chosen.values()):
            parts = [np.asarray(chosen[key], np.float32).reshape(num, -1) for key in self._chosen]
            return np.concatenate(parts, axis=1)
        flat = [_flat(self._chosen, one) for one in iterate(batch_space(self._chosen, num), chosen)]
        return np.asarray(flat, np.float32)

    def _checked(self, make: Callable[[Any, int], Floats], values: Any, num: int) -> Floats:
        """The rows (N, F) that are made of values."""
        try:
            rows_NF = make(values, num)
        except (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError) as error:
            raise UserError(
                f"config_env.id: {self._what} are not of their space, {_short(self._chosen)}: {first_line(error)}"
            ) from error
        if len(rows_NF) != num:
            raise UserError(f"config_env.id: {self._what} are {len(rows_NF)} rows, not {num}")
        if rows_NF.shape[1:] != self.space.shape:
            raise UserError(
                f"config_env.id: {self._what} are {rows_NF.shape[1]} numbers, but their space says "
                f"{self.space.shape[0]}"
            )
        return rows_NF


def names_of(names: Sequence[str] | str) -> tuple[str, ...]:
    """Names that were given as such, or as text such as `image,direction`."""
    if isinstance(names, str):
        return tuple(name.strip() for name in names.strip("() ").split(",") if name.strip())
    return tuple(names)


def flattenable(space: spaces.Space[Any]) -> bool:
    """Whether a space can be flattened; some that cannot raise when they are asked."""
    try:
        return bool(space.is_np_flattenable)
    except NotImplementedError:
        return False


def float32_box(flat: Any) -> spaces.Box:
    """A flat box as float32; a bound that float32 cannot hold is none."""
    with np.errstate(over="ignore"):
        low, high = flat.low.astype(np.float32), flat.high.astype(np.float32)
    return spaces.Box(low, high, dtype=np.float32)


def visible_entries(flat: spaces.Box, hidden: Sequence[int], name: str) -> NDArray[np.intp]:
    """The indices (O,) of what is left without the `hidden` entries."""
    size = flat.shape[0]
    wrong = [index for index in hidden if not 0 <= index < size]
    if wrong:
        raise UserError(f"config_env.hidden: no entry {wrong[0]} among the {size} of {name} (0 is the first)")
    visible = np.setdiff1d(np.arange(size), np.array(hidden, np.intp))
    if not len(visible):
        raise UserError(f"config_env.hidden: nothing is left of the {size} entries of {name}")
    return visible


def _flat(space: spaces.Space[Any], value: Any) -> NDArray[Any]:
    """`spaces.flatten`, but a Box keeps what it is given: a value of another type or size is not forced into it."""
    if isinstance(space, spaces.Box):
        return np.asarray(value, np.float64 if space.dtype == np.float64 else np.float32).reshape(-1)
    if isinstance(space, spaces.Dict):
        return np.concatenate([_flat(inner, value[key]) for key, inner in space.items()])
    if isinstance(space, spaces.Tuple):
        return np.concatenate([_flat(inner, part) for inner, part in zip(space.spaces, value, strict=True)])
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):  # gymnasium's would count -1 from the end
        place = np.asarray(value) - space.start
        if (place < 0).any() or (place >= (space.n if isinstance(space, spaces.Discrete) else space.nvec)).any():
            raise ValueError(f"{value} is none of it")
    return np.asarray(spaces.flatten(space, value))


def _chosen(space: spaces.Space[Any], keys: Sequence[str], field: str, what: str) -> spaces.Space[Any]:
    """The part of a dict space that the keys name, in their order."""
    if not keys:
        return space
    found: OrderedDict[str, spaces.Space[Any]] = OrderedDict()
    for key in keys:
        part: Any = space
        for name in [key] if isinstance(space, spaces.Dict) and key in space.spaces else key.split("."):
            if not isinstance(part, spaces.Dict):
                raise UserError(f"{field}: {what} have no keys ({_short(part)}); leave the field empty")
            if name not in part.spaces:
                raise UserError(f"{field}: {what} have no key {key!r}; choose from {', '.join(part.spaces)}")
            part = part[name]
        found[key] = part
    return spaces.Dict(found)


def categories_of(space: spaces.Space[Any], first: int = 0) -> Categories:
    """Where a flattened space is one-hot: (first, number) of each category, from the entry `first` on."""
    if isinstance(space, spaces.Discrete):
        return ((first, int(space.n)),)
    if isinstance(space, spaces.MultiDiscrete):
        numbers = [int(number) for number in np.ravel(space.nvec)]
        return tuple((first + sum(numbers[:i]), number) for i, number in enumerate(numbers))
    found: Categories = ()
    if isinstance(space, spaces.Dict | spaces.Tuple):
        for inner in space.values() if isinstance(space, spaces.Dict) else space.spaces:
            found += categories_of(inner, first)
            first += int(spaces.flatdim(inner))
    return found


def _taken(value: Mapping[str, Any], keys: Sequence[str]) -> OrderedDict[str, Any]:
    """What stands under the keys of a dict, in their order."""
    return OrderedDict((key, taken_path(value, [key] if key in value else key.split("."))) for key in keys)


def taken_path(value: Any, path: Sequence[str]) -> Any:
    """What stands in a dict of dicts at the end of a path."""
    for name in path:
        value = value[name]
    return value


def _only(chosen: Any) -> Any:
    """The one entry of a dict, or space of one, that has no other."""
    inner = chosen.spaces if isinstance(chosen, spaces.Dict) else chosen
    return next(iter(inner.values())) if isinstance(inner, Mapping) and len(inner) == 1 else chosen


def _remedy(space: spaces.Space[Any], field: str) -> str:
    """Which keys of a dict space can be used, where some can."""
    if not isinstance(space, spaces.Dict):
        return ""
    good = [key for key, inner in space.items() if flattenable(inner)]
    return f"; name those that can, as in --{field}={','.join(good)}" if good else ""


def _short(space: Any) -> str:
    """A space in at most 200 letters of one line."""
    text = " ".join(str(space).split())
    return text if len(text) <= 200 else text[:199] + "…"
