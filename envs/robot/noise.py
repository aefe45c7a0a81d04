"""Perlin noise (Perlin, 2002), as a camera's depth may be off by."""

import numpy as np
from numpy.typing import NDArray

CELLS = (1, 2, 4, 6)  # along an axis, drawn for each frame


def perlin(rng: np.random.Generator, pixels: int) -> NDArray[np.float64]:
    """One frame (pixels, pixels) with values in about [-1, 1]; each axis has its own number of cells."""
    rows, columns = rng.choice(CELLS, 2)
    angle = rng.uniform(0.0, 2.0 * np.pi, (rows + 1, columns + 1))
    row, column = np.arange(pixels) * rows / pixels, np.arange(pixels) * columns / pixels
    i, j = row.astype(int), column.astype(int)
    u, v = (row - i)[:, None], (column - j)[None]

    def corner(a: int, b: int) -> NDArray[np.float64]:
        theta = angle[np.ix_(i + a, j + b)]
        product: NDArray[np.float64] = np.cos(theta) * (u - a) + np.sin(theta) * (v - b)
        return product

    s, t = _fade(u), _fade(v)
    near = corner(0, 0) * (1 - s) + corner(1, 0) * s
    far = corner(0, 1) * (1 - s) + corner(1, 1) * s
    noise: NDArray[np.float64] = np.sqrt(2.0) * (near * (1 - t) + far * t)
    return noise


def _fade(t: NDArray[np.float64]) -> NDArray[np.float64]:
    return t**3 * (6 * t**2 - 15 * t + 10)
