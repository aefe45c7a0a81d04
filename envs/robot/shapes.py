"""Height maps of boxes and lying cylinders seen from straight above, from their poses alone.

Dimension key: P pixels along each side of the image. Rows grow with the world's x, columns with its y.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PIXELS = 84
FOOTPRINT = 0.4  # metres along each side
PIXEL = FOOTPRINT / PIXELS  # metres
FLAT = 1e-9  # below this a direction counts as parallel to a face


@dataclass(frozen=True)
class Shape:
    """A box or, with `radius`, a cylinder that lies along its own y axis.

    Attributes:
        position: its centre, in metres, in the frame of the body that it belongs to.
        half: half of its extents along its own axes; of a cylinder (radius, half of the length, radius).
        label: what shows in the map of labels where the shape is on top.
        radius: of a cylinder; 0 for a box.
    """

    position: tuple[float, float, float]
    half: tuple[float, float, float]
    label: int = 0
    radius: float = 0.0


@dataclass(frozen=True)
class Body:
    """Shapes that move together.

    Attributes:
        position: (3,), metres, in the world.
        rotation: (3, 3), from the body's axes to the world's; a body with cylinders is turned about z only.
        shapes: what it is made of.
    """

    position: Floats
    rotation: Floats
    shapes: tuple[Shape, ...]


def pixel_centres(centre: float) -> Floats:
    """The coordinates (P,) of the pixels' centres along an axis of an image around `centre`, in metres."""
    return np.asarray(centre + (np.arange(PIXELS) + 0.5 - PIXELS / 2) * PIXEL, np.float64)


def matrix_z(angle: float) -> Floats:
    """A turn (2, 2) about the vertical."""
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def turned(body: Body, pivot: tuple[float, float], angle: float) -> Body:
    """The body turned about the vertical through a point."""
    whole = np.eye(3)
    whole[:2, :2] = matrix_z(angle)
    away = body.position - np.array([*pivot, 0.0])
    return Body(whole @ away + np.array([*pivot, 0.0]), whole @ body.rotation, body.shapes)


def height_map(bodies: Iterable[Body], x: float, y: float) -> tuple[Floats, NDArray[np.int8]]:
    """The height of what is on top (P, P), in metres, and its label (P, P), in an image around (x, y).

    The floor has height 0 and label 0.
    """
    height = np.zeros((PIXELS, PIXELS))
    label = np.zeros((PIXELS, PIXELS), np.int8)
    row_x, column_y = pixel_centres(x), pixel_centres(y)
    for body in bodies:
        for shape in body.shapes:
            centre = body.position + body.rotation @ np.array(shape.position)
            reach = np.abs(body.rotation) @ np.array(shape.half)
            rows = _window(row_x, centre[0], reach[0])
            columns = _window(column_y, centre[1], reach[1])
            if rows.start >= rows.stop or columns.start >= columns.stop:
                continue
            away_x, away_y = (row_x[rows] - centre[0])[:, None], (column_y[columns] - centre[1])[None]
            top = _top_of_cylinder if shape.radius else _top_of_box
            found = centre[2] + top(shape, body.rotation, away_x, away_y)  # -inf beside the shape
            higher = found > height[rows, columns]
            height[rows, columns][higher] = found[higher]
            label[rows, columns][higher] = shape.label
    return height, label


def _window(centres: Floats, middle: float, reach: float) -> slice:
    """The pixels whose centres are within `reach` of `middle`."""
    first, last = np.searchsorted(centres, (middle - reach, middle + reach))
    return slice(int(first), int(last))


def _top_of_box(shape: Shape, rotation: Floats, away_x: Floats, away_y: Floats) -> Floats:
    """Where vertical lines leave the box, above its centre: the least of where they leave its three slabs."""
    leave, enter = np.inf, -np.inf
    for axis, half in zip(rotation.T, shape.half, strict=True):  # the box's own axes, in the world
        slope = axis[2] if abs(axis[2]) > FLAT else FLAT
        middle = -(axis[0] * away_x + axis[1] * away_y) / slope
        reach = half / abs(slope)
        leave, enter = np.minimum(leave, middle + reach), np.maximum(enter, middle - reach)
    return np.where(enter <= leave, leave, -np.inf)


def _top_of_cylinder(shape: Shape, rotation: Floats, away_x: Floats, away_y: Floats) -> Floats:
    along = np.abs(rotation[0, 1] * away_x + rotation[1, 1] * away_y)
    across = rotation[0, 0] * away_x + rotation[1, 0] * away_y
    inside = (along <= shape.half[1]) & (np.abs(across) <= shape.radius)
    return np.where(inside, np.sqrt(np.maximum(shape.radius**2 - across**2, 0.0)), -np.inf)
