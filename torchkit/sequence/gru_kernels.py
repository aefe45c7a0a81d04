"""The element-wise work of a GRU's step on the CPU, compiled by Numba: each step passes over its numbers once.

As torch operations it is seven a step, each with a call and a pass through memory of its own, and torch's tanh takes
eight times as long as the one here. float32 throughout.

Dimension key: T steps, S kept steps, B batch, N distinct rows of inputs, H width, G = 3H gates in torch's order: reset,
update, new.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

ONE, TWO = np.float32(1), np.float32(2)
LOWEST, HIGHEST = np.float32(-87), np.float32(88)  # beyond them float32 has no normal number for exp
LOG2_E, HALF = np.float32(np.log2(np.e)), np.float32(0.5)
LN2_HIGH = np.float32(0.693359375)  # so few bits that whole multiples of it are exact
LN2_LOW = np.float32(np.log(2) - 0.693359375)
C2, C3, C4, C5, C6, C7 = (np.float32(1 / n) for n in (2, 6, 24, 120, 720, 5040))  # of exp's series
BIAS, MANTISSA = np.int32(127), np.int32(23)  # of float32's exponent, and the bits below it


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Machine code for a function, kept beside this file or in the user's cache where one of them can be written.

    Sums and products may be fused. No other liberty is taken: a NaN stays one.
    """
    options: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract"}}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # no folder for it
        return njit(**options)(function)


@compiled
def exp(x: Any) -> Any:
    """e^x within 2e-7 of its size: 2^k e^f with whole k and |f| ≤ ln 2 / 2. Written without branches, for vectors."""
    x = LOWEST if x < LOWEST else x
    x = HIGHEST if x > HIGHEST else x
    k = np.floor(x * LOG2_E + HALF)
    f = x - k * LN2_HIGH - k * LN2_LOW
    series = ((((((C7 * f + C6) * f + C5) * f + C4) * f + C3) * f + C2) * f + ONE) * f + ONE
    power = np.int32((np.int32(k) + BIAS) << MANTISSA)
    return series * power.view(np.float32)


@compiled
def sigmoid(x: Any) -> Any:
    """1 / (1 + e^-x), within 2e-7."""
    return ONE / (ONE + exp(-x))


@compiled
def tanh(x: Any) -> Any:
    """The hyperbolic tangent, within 2e-7."""
    return ONE - TWO / (ONE + exp(x + x))


@compiled
def forward_step(
    t: int, s: int, inputs_NG: Any, place_TB: Any, product_BG: Any, bias_G: Any, hidden: Any, gates: Any, new: Any
) -> None:
    """Writes hidden (T+1, B, H) of row t + 1 from that of row t.

    Args:
        t, s: the step, and where its gates are kept.
        inputs_NG, place_TB: distinct rows of projected inputs, and which of them stands where.
        product_BG: hidden of row t times the recurrent weights.
        bias_G: of that product.
        hidden: (T+1, B, H).
        gates: (S, B, G); row s becomes reset, update, and the recurrent part of the new value.
        new: (S, B, H); row s becomes the new value.
    """
    B, H = hidden.shape[1:]
    for b in range(B):
        i, p, g, n = inputs_NG[place_TB[t, b]], product_BG[b], gates[s, b], new[s, b]
        before, after = hidden[t, b], hidden[t + 1, b]
        for j in range(2 * H):
            g[j] = sigmoid(i[j] + p[j] + bias_G[j])
        for j in range(2 * H, 3 * H):
            g[j] = p[j] + bias_G[j]
        for j in range(H):
            n[j] = tanh(i[2 * H + j] + g[j] * g[2 * H + j])
        for j in range(H):
            after[j] = n[j] + g[H + j] * (before[j] - n[j])


@compiled
def backward_step(
    t: int,
    gradient: Any,
    hidden: Any,
    gates: Any,
    new: Any,
    place_TB: Any,
    carried_BH: Any,
    d_product: Any,
    d_inputs_NG: Any,
) -> None:
    """From the gradient of hidden's row t + 1 to those of what made it.

    Args:
        t: the step.
        gradient: (T, B, H), of the outputs by what reads them.
        hidden, gates, new: (T+1, B, H), (T, B, G), (T, B, H), what `forward_step` wrote.
        place_TB: as there.
        carried_BH: of hidden's row t + 1 by the rows after; becomes that of row t but for the product's part.
        d_product: (T, B, G); row t is written.
        d_inputs_NG: added to.
    """
    B, H = hidden.shape[1:]
    for b in range(B):
        g, n, before, whole = gates[t, b], new[t, b], hidden[t, b], carried_BH[b]
        d_p, d_i, given = d_product[t, b], d_inputs_NG[place_TB[t, b]], gradient[t, b]
        for j in range(H):
            whole[j] += given[j]
        for j in range(H):  # of what tanh is taken of
            d_p[2 * H + j] = whole[j] * (ONE - g[H + j]) * (ONE - n[j] * n[j])
        for j in range(2 * H, 3 * H):
            d_i[j] += d_p[j]
        for j in range(H):
            d_p[j] = d_p[2 * H + j] * g[2 * H + j] * g[j] * (ONE - g[j])
        for j in range(H):
            d_p[2 * H + j] *= g[j]
        for j in range(H):
            d_p[H + j] = whole[j] * (before[j] - n[j]) * g[H + j] * (ONE - g[H + j])
        for j in range(2 * H):
            d_i[j] += d_p[j]
        for j in range(H):
            whole[j] *= g[H + j]
