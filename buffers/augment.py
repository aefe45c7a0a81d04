"""Turned and mirrored copies of episodes, made when they are read: images and actions alike.

A turn by θ takes the point p of an image, in (row, column), to R(θ)(p - c) + c with the pivot c = ((size - 1)/2,
(size - 1)/2), the image's centre, and the action's (x, y) to R(θ)(x, y): rows of an image grow with x, columns with y.
Values between pixels are interpolated linearly, those from outside are the border's. That is
`scipy.ndimage.affine_transform(image, M⁻¹, order=1, mode="nearest")` with M = Tr(c) R(θ) Tr(-c) on every channel. An
angle of 0 means: as it was. One from 2π on means: mirrored first, then turned. The mirror leaves x as it is; it
reverses an image's columns, and the signs of the action's y and yaw. By quarters of a turn nothing is interpolated.

Dimension key: N images, R rows, F features of a row, C channels, B episodes or transitions, A actions.
"""

import numpy as np
import torch
from ml_collections import ConfigDict
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample

from buffers.images import ImageRows, PlainRows
from envs.base import EnvSpec
from utils.errors import UserError, choose_name

# no copies; turned ones; of which half are mirrored before; the square's symmetries: quarter turns, and their mirrors
KINDS = ("", "se2", "e2", "d4")
PLANES = {4: slice(0, 2), 5: slice(1, 3)}  # where x and y stand: (x, y, z, yaw), and with the gripper before them
MIRROR, QUARTER = 2 * np.pi, np.pi / 2  # the former is added to the angle of what is mirrored before it is turned
CHUNK = 64  # images turned at a time, so that their sampling grids stay in the cache


def check_turnable(spec: EnvSpec, flag: str) -> None:
    """Makes sure that episodes of a domain can be turned.

    Raises:
        UserError: a view is no square image, or the action has no known plane.
    """
    for name, shape in (("observation", spec.obs_image_shape), ("state", spec.state_image_shape)):
        if shape is None or shape[1] != shape[2]:
            raise UserError(f"{flag}: the {name} of {spec.env_id} is no square image that could be turned")
    if spec.discrete or spec.action_dim not in PLANES:
        kind = "discrete" if spec.discrete else f"of width {spec.action_dim}"
        raise UserError(f"{flag}: x and y are known of actions of width 4 or 5; those of {spec.env_id} are {kind}")


def choose_kind(kind: str) -> str:
    """Returns a kind of copies, `config_env.augment`, if there is one of that name, else raises a `UserError`."""
    return choose_name(KINDS, kind, "--config_env.augment")


def copies_asked_for(config_env: ConfigDict, spec: EnvSpec, aug: bool, n_aug: int | None) -> int:
    """How many turned copies --aug and --n_aug ask for of each of the expert's episodes; 0 for none.

    Raises:
        UserError: the domain has no images that can be turned, or --n_aug stands alone.
    """
    if n_aug is not None and not aug:
        raise UserError("--n_aug counts the copies that --aug makes; give both or neither")
    if not aug:
        return 0
    if not choose_kind(config_env.augment):
        raise UserError(f"--aug: {config_env.id} has no images that can be turned (its augment is ''); leave out --aug")
    check_turnable(spec, "--aug")
    return int(n_aug or max(1, config_env.n_aug))


def turned_share(kind: str, n_aug: int, spec: EnvSpec) -> float:
    """The share of drawn episodes that are to be turned, so that `n_aug` copies come on each as it was.

    Args:
        kind: `config_env.augment`, one of `KINDS`.

    Raises:
        UserError: an unknown kind, a negative number, or a domain that cannot be turned.
    """
    choose_kind(kind)
    if n_aug < 0:
        raise UserError(f"--config_env.n_aug={n_aug}: it cannot be below 0")
    if not kind or not n_aug:
        return 0.0
    check_turnable(spec, f"--config_env.augment={kind}")
    return n_aug / (n_aug + 1)


def draw_angles(rng: np.random.Generator, count: int, share: float, kind: str = "se2") -> NDArray[np.float64]:
    """Angles (count,) of copies with probability `share`, else 0: uniform in [0, 2π), by e2 half of them + 2π.

    By d4 they are those of the square's seven symmetries besides that which leaves it as it is: multiples of π/2.
    """
    copied, turn = rng.random(count) < share, rng.random(count)
    if kind == "d4":
        return np.where(copied, (1 + np.floor(7 * turn)) * QUARTER, 0.0)
    angle = np.where(copied, 2 * np.pi * turn, 0.0)
    if kind == "e2":
        angle[(rng.random(count) < 0.5) & (angle != 0)] += MIRROR
    return angle


def turn_images(image_NCHW: Tensor, angle_N: Tensor) -> Tensor:
    """Square images, each turned about its centre by its own angle, and mirrored before where that says so."""
    size = image_NCHW.shape[-1]
    assert image_NCHW.shape[-2] == size, "a turned image must be square"
    quarters_N = angle_N.double() / QUARTER
    if bool(((quarters_N - quarters_N.round()).abs() < 1e-9).all()):
        return _by_quarters(image_NCHW, quarters_N.round().long())
    cos_N, sin_N, side_N = angle_N.double().cos(), angle_N.double().sin(), _side(angle_N.double())
    # grid_sample counts (column, row) from -1 to 1 about the pivot
    column, row = torch.stack([side_N * cos_N, -side_N * sin_N], dim=-1), torch.stack([sin_N, cos_N], dim=-1)
    theta_N22 = torch.stack([column, row], dim=1).to(image_NCHW)
    at = torch.linspace(-1, 1, size).to(image_NCHW)
    parts = [
        grid_sample(part, _grid(theta, at), padding_mode="border", align_corners=True)
        for part, theta in zip(image_NCHW.split(CHUNK), theta_N22.split(CHUNK))
    ]
    return torch.cat(parts)


def _by_quarters(image_NCHW: Tensor, quarters_N: Tensor) -> Tensor:
    """Images turned by so many quarters, and mirrored before from four on: exactly."""
    turned = torch.empty_like(image_NCHW)
    for quarters in quarters_N.unique().tolist():
        which = quarters_N.to(image_NCHW.device) == quarters
        part = image_NCHW[which]
        turned[which] = torch.rot90(part.flip(3) if quarters >= 4 else part, quarters % 4, (2, 3))
    return turned


def _side(angle: Tensor) -> Tensor:
    """What columns are multiplied with before the turn: -1 in the mirror, else 1."""
    return torch.where(angle >= MIRROR, -1.0, 1.0).to(angle)


def _grid(theta_N22: Tensor, at: Tensor) -> Tensor:
    """Where grid_sample looks, (N, size, size, 2): `affine_grid` without its products of three by two matrices."""
    a, b = (theta_N22[:, :, i, None, None] for i in range(2))
    grid = torch.empty(len(theta_N22), len(at), len(at), 2, device=at.device, dtype=at.dtype)
    for i in range(2):
        torch.add(a[:, i] * at, b[:, i] * at[:, None], out=grid[..., i])
    return grid


def turn_rows(rows_RF: Tensor, storage: PlainRows | ImageRows, angle: Tensor, chosen: Tensor | None = None) -> None:
    """Turns flat images in place, by one angle (1,) or each by its own; constant channels stay as they are.

    Args:
        chosen: which of the rows; None for all.
    """
    assert storage.image_shape is not None, "only images can be turned"
    if not len(rows_RF) or (chosen is not None and not len(chosen)):
        return
    image_RCHW = rows_RF.view(-1, *storage.image_shape)
    varying = torch.tensor(storage.varying, device=rows_RF.device)
    which = (slice(None) if chosen is None else chosen[:, None], varying)
    part = image_RCHW[which]
    together = part.reshape(len(angle), -1, *part.shape[2:])  # of one angle, all of them are the channels of one image
    image_RCHW[which] = turn_images(together, angle).view_as(part)


def copy_angles(step_B: Tensor, first_copy: int, rng: torch.Generator, kind: str = "se2") -> Tensor:
    """Angles (B,), as of `draw_angles`, for what is a copy, from number `first_copy` on, and 0 for what is not."""
    turn_B = torch.rand(len(step_B), generator=rng, dtype=torch.float64)
    angle_B = (1 + (7 * turn_B).floor()) * QUARTER if kind == "d4" else 2 * torch.pi * turn_B
    if kind == "e2":
        angle_B += MIRROR * (torch.rand(len(step_B), generator=rng) < 0.5)
    return torch.where(step_B < first_copy, 0.0, angle_B)


def turn_actions(action: Tensor, angle: Tensor) -> Tensor:
    """Actions (…, A) as they are in the turned scene, by angles (…); x and y are clipped to [-1, 1].

    Raises:
        KeyError: it is not known where x and y stand.
    """
    plane = PLANES[action.shape[-1]]
    x, y = action[..., plane].unbind(-1)
    cos, sin, side = angle.cos().to(action), angle.sin().to(action), _side(angle).to(action)
    y, turned = side * y, action.clone()
    turned[..., -1] *= side
    turned[..., plane] = torch.stack([cos * x - sin * y, sin * x + cos * y], dim=-1).clamp(-1, 1)
    return torch.where(angle.to(action.device)[..., None] == 0, action, turned)
