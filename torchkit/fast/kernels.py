"""What torch's operations are slow at on the CPU, compiled by Numba: a GRU's layer, GELU, CLUB's likelihood's gradient.

Of a layer's step, or of that likelihood's, they are many calls, each a pass through memory of its own; where rows are
few the calls cost more than the work, and torch's tanh takes eight times as long as the one here. One thread, float32.
Shapes are the caller's to check. Importing this takes 0.3 s, compiling the functions that are called from outside some
seconds once; Numba keeps the result until this file changes, so that what they call must stand in it as well.

Dimension key: T steps, S kept steps, B batch, N distinct rows of inputs, H width, G = 3H gates in torch's order: reset,
update, new; D distinct transitions, X what CLUB reads, F its hidden layer, Y what it tells.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

import numpy as np
from numba import njit

ONE, TWO, THREE = np.float32(1), np.float32(2), np.float32(3)
LOWEST, HIGHEST = np.float32(-87), np.float32(88)  # beyond them float32 has no normal number for exp
LOG2_E, HALF = np.float32(np.log2(np.e)), np.float32(0.5)
LN2_HIGH = np.float32(0.693359375)  # so few bits that whole multiples of it are exact
LN2_LOW = np.float32(np.log(2) - 0.693359375)
C2, C3, C4, C5, C6, C7 = (np.float32(1 / n) for n in (2, 6, 24, 120, 720, 5040))  # of exp's series
GELU_1 = np.float32(2 * np.sqrt(2 / np.pi))  # GELU is x sigmoid(GELU_1 x + GELU_3 x³)
GELU_3 = np.float32(2 * np.sqrt(2 / np.pi) * 0.044715)
T3, T5, SMALL = np.float32(-1 / 3), np.float32(2 / 15), np.float32(0.01)  # tanh's series, and x² up to which it serves
BIAS, MANTISSA = np.int32(127), np.int32(23)  # of float32's exponent, and the bits below it


# sums and products may be fused; no other liberty is taken: a NaN stays one
OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract"}}
inner = njit(**OPTIONS)  # becomes part of what calls it


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Machine code for a function, kept beside this file or in the user's cache, where one of them can be written."""
    try:
        kept = njit(cache=True, **OPTIONS)(function)
    except RuntimeError:  # no folder for it
        return cast("Callable[..., Any]", njit(**OPTIONS)(function))

    @wraps(function)
    def call(*args: Any) -> Any:
        nonlocal kept
        try:
            return kept(*args)
        except OSError:  # the disk is full: nothing of it has run yet
            kept = njit(**OPTIONS)(function)
            return kept(*args)

    return call


@inner
def exp(x: Any) -> Any:
    """e^x within 2e-7 of its size for x in [-87, 88], beyond as at its ends: 2^k e^f with whole k and |f| ≤ ln 2 / 2.

    Written without branches, for vectors.
    """
    x = LOWEST if x < LOWEST else x
    x = HIGHEST if x > HIGHEST else x
    k = np.floor(x * LOG2_E + HALF)
    f = x - k * LN2_HIGH - k * LN2_LOW
    series = ((((((C7 * f + C6) * f + C5) * f + C4) * f + C3) * f + C2) * f + ONE) * f + ONE
    power = np.int32((np.int32(k) + BIAS) << MANTISSA)
    return series * power.view(np.float32)


@inner
def sigmoid(x: Any) -> Any:
    """1 / (1 + e^-x), within 2e-7."""
    return ONE / (ONE + exp(-x))


@inner
def tanh(x: Any) -> Any:
    """The hyperbolic tangent, within 2e-7, and within 3e-6 of its size."""
    square = x * x
    near_0 = x * (ONE + square * (T3 + square * T5))
    return near_0 if square < SMALL else ONE - TWO / (ONE + exp(x + x))


@inner
def add_product(a_BK: Any, w_KN: Any, out_BN: Any) -> None:
    """Adds a @ w to `out`.

    Four rows and four columns of a at a time, so that what is read of w and `out` is used more than once; a library's
    product takes as long to begin as one of a few rows takes here.
    """
    (B, K), N = a_BK.shape, w_KN.shape[1]
    in_fours, of_k = B - B % 4, K - K % 4
    for b in range(0, in_fours, 4):
        a0, a1, a2, a3 = a_BK[b], a_BK[b + 1], a_BK[b + 2], a_BK[b + 3]
        out0, out1, out2, out3 = out_BN[b], out_BN[b + 1], out_BN[b + 2], out_BN[b + 3]
        for k in range(0, of_k, 4):
            a00, a01, a02, a03 = a0[k], a0[k + 1], a0[k + 2], a0[k + 3]
            a10, a11, a12, a13 = a1[k], a1[k + 1], a1[k + 2], a1[k + 3]
            a20, a21, a22, a23 = a2[k], a2[k + 1], a2[k + 2], a2[k + 3]
            a30, a31, a32, a33 = a3[k], a3[k + 1], a3[k + 2], a3[k + 3]
            w0, w1, w2, w3 = w_KN[k], w_KN[k + 1], w_KN[k + 2], w_KN[k + 3]
            for n in range(N):
                x0, x1, x2, x3 = w0[n], w1[n], w2[n], w3[n]
                out0[n] += a00 * x0 + a01 * x1 + a02 * x2 + a03 * x3
                out1[n] += a10 * x0 + a11 * x1 + a12 * x2 + a13 * x3
                out2[n] += a20 * x0 + a21 * x1 + a22 * x2 + a23 * x3
                out3[n] += a30 * x0 + a31 * x1 + a32 * x2 + a33 * x3
        for k in range(of_k, K):
            w = w_KN[k]
            for n in range(N):
                out0[n] += a0[k] * w[n]
                out1[n] += a1[k] * w[n]
                out2[n] += a2[k] * w[n]
                out3[n] += a3[k] * w[n]
    for b in range(in_fours, B):
        a, out = a_BK[b], out_BN[b]
        for k in range(K):
            w = w_KN[k]
            for n in range(N):
                out[n] += a[k] * w[n]


@inner
def layer(x_BK: Any, weight_NK: Any, bias_N: Any) -> Any:
    """A linear layer's output (B, N)."""
    out_BN = np.empty((len(x_BK), len(bias_N)), np.float32)
    for b in range(len(x_BK)):
        out_BN[b] = bias_N
    add_product(x_BK, np.ascontiguousarray(weight_NK.T), out_BN)
    return out_BN


@inner
def layer_gradients(x_BK: Any, d_out_BN: Any, d_weight_NK: Any, d_bias_N: Any) -> None:
    """Writes the gradients of a linear layer's weight and bias."""
    d_weight_NK[:] = 0
    d_bias_N[:] = 0
    add_product(np.ascontiguousarray(d_out_BN.T), x_BK, d_weight_NK)
    for b in range(len(d_out_BN)):
        d_bias_N += d_out_BN[b]


@compiled
def gru_forward(
    inputs_NG: Any,
    place_TB: Any,
    weight_HG: Any,
    bias_G: Any,
    hidden: Any,
    gates: Any,
    new: Any,
) -> None:
    """Runs the layer over B episodes; what `gru_backward` needs is kept where S is T, and not where it is 1.

    Args:
        inputs_NG, place_TB: distinct rows of projected inputs, and which stands where; another one is an IndexError.
        weight_HG, bias_G: recurrent.
        hidden: (T+1, B, H); its first row is read, the others are written.
        gates: (S, B, G); become reset, update, and the recurrent part of the new value.
        new: (S, B, H); become the new values.
    """
    T, B = place_TB.shape
    H = hidden.shape[2]
    for t in range(T):
        s = t if len(gates) == T else 0
        for b in range(B):
            gates[s, b] = bias_G
        add_product(hidden[t], weight_HG, gates[s])
        for b in range(B):
            if not 0 <= place_TB[t, b] < len(inputs_NG):
                raise IndexError("place_TB: no such row of inputs")
            i, g, n = inputs_NG[place_TB[t, b]], gates[s, b], new[s, b]
            before, after = hidden[t, b], hidden[t + 1, b]
            for j in range(2 * H):
                g[j] = sigmoid(i[j] + g[j])
            for j in range(H):
                n[j] = tanh(i[2 * H + j] + g[j] * g[2 * H + j])
            for j in range(H):
                after[j] = n[j] + g[H + j] * (before[j] - n[j])


@compiled
def gru_backward(
    gradient: Any,
    weight_GH: Any,
    hidden: Any,
    gates: Any,
    new: Any,
    carried_BH: Any,
    d_product: Any,
    d_inputs: Any,
) -> None:
    """From the gradient of what `gru_forward` wrote to those of what it read.

    Args:
        gradient: (T, B, H), of the outputs by what reads them.
        weight_GH: recurrent.
        hidden, gates, new: (T+1, B, H), (T, B, G), (T, B, H).
        carried_BH: 0; becomes the gradient of hidden's first row.
        d_product: (T, B, G), of the recurrent products; written.
        d_inputs: (T, B, H), of the projected inputs of the new values; those of the gates are the products'. Written.
    """
    T, B, H = new.shape
    for t in range(T - 1, -1, -1):
        for b in range(B):
            g, n, before, whole = gates[t, b], new[t, b], hidden[t, b], carried_BH[b]
            d_p, d_i, given = d_product[t, b], d_inputs[t, b], gradient[t, b]
            for j in range(H):
                whole[j] += given[j]
            for j in range(H):  # of what tanh is taken of
                d_i[j] = whole[j] * (ONE - g[H + j]) * (ONE - n[j] * n[j])
            for j in range(H):
                d_p[j] = d_i[j] * g[2 * H + j] * g[j] * (ONE - g[j])
            for j in range(H):
                d_p[H + j] = whole[j] * (before[j] - n[j]) * g[H + j] * (ONE - g[H + j])
            for j in range(H):
                d_p[2 * H + j] = d_i[j] * g[j]
            for j in range(H):
                whole[j] *= g[H + j]
        add_product(d_product[t], weight_GH, carried_BH)


@compiled
def gru_input_gradient(place_TB: Any, d_product: Any, d_inputs: Any, d_rows_NG: Any) -> None:
    """Adds the gradient of each place's projected input to that of the row that stands there."""
    T, B, H = d_inputs.shape
    for t in range(T):
        for b in range(B):
            d_row, d_p, d_i = d_rows_NG[place_TB[t, b]], d_product[t, b], d_inputs[t, b]
            for j in range(2 * H):
                d_row[j] += d_p[j]
            for j in range(H):
                d_row[2 * H + j] += d_i[j]


@compiled
def gelu_forward(xs: Any, out: Any) -> None:
    """Writes x Φ(x) of each number, with Φ by tanh."""
    for i in range(len(xs)):
        x = xs[i]
        out[i] = x * sigmoid(x * (GELU_1 + GELU_3 * x * x))


@compiled
def gelu_backward(xs: Any, gradient: Any, d_xs: Any) -> None:
    """Writes the gradient by what `gelu_forward` read, from that by what it wrote, where |x| < 1e10."""
    for i in range(len(xs)):
        x = xs[i]
        square = x * x
        share = sigmoid(x * (GELU_1 + GELU_3 * square))
        slope = x * (GELU_1 + THREE * GELU_3 * square)
        d_xs[i] = gradient[i] * share * (ONE + slope * (ONE - share))


@inner
def elu(x_BF: Any) -> None:
    """Makes e^x - 1 of what is not positive, within 2e-7, in place."""
    for b in range(len(x_BF)):
        x = x_BF[b]
        for f in range(len(x)):
            x[f] = x[f] if x[f] > 0 else exp(x[f]) - ONE


@inner
def through_elu(d_act_BF: Any, act_BF: Any) -> None:
    """A gradient by elu's values becomes that by its arguments, in place."""
    for b in range(len(act_BF)):
        d, act = d_act_BF[b], act_BF[b]
        for f in range(len(act)):
            d[f] *= ONE if act[f] > 0 else act[f] + ONE


@compiled
def club_gradient(
    x_DX: Any,
    y_DY: Any,
    weight_D: Any,
    hidden: Any,
    hidden_bias: Any,
    mu: Any,
    mu_bias: Any,
    logvar: Any,
    logvar_bias: Any,
    d_hidden: Any,
    d_hidden_bias: Any,
    d_mu: Any,
    d_mu_bias: Any,
    d_logvar: Any,
    d_logvar_bias: Any,
) -> float:
    """Writes the gradients of CLUB's negative weighted log-likelihood, and returns the likelihood.

    Args:
        x_DX, y_DY, weight_D: pairs, and how much each counts.
        hidden, hidden_bias: (2F, X), (2F,), the first layers of the networks of μ and logvar.
        mu, mu_bias, logvar, logvar_bias: (Y, F), (Y,), the second ones.
        d_hidden, …: gradients of these.
    """
    F = mu.shape[1]
    for_mu, for_logvar = layer(x_DX, hidden[:F], hidden_bias[:F]), layer(x_DX, hidden[F:], hidden_bias[F:])
    elu(for_mu)
    elu(for_logvar)
    by_mu, by_logvar = layer(for_mu, mu, mu_bias), layer(for_logvar, logvar, logvar_bias)  # become gradients
    likelihood_Y = np.zeros(y_DY.shape[1], np.float32)  # one by one, since a sum of all would not be taken in vectors
    for d in range(len(y_DY)):
        m, v, y, weight = by_mu[d], by_logvar[d], y_DY[d], weight_D[d]
        for k in range(len(y)):
            squashed = tanh(v[k])
            gap, precision = m[k] - y[k], exp(-squashed)
            square = gap * gap * precision
            likelihood_Y[k] -= weight * (square + squashed)
            m[k] = TWO * weight * gap * precision
            v[k] = weight * (ONE - square) * (ONE - squashed * squashed)
    layer_gradients(for_mu, by_mu, d_mu, d_mu_bias)
    layer_gradients(for_logvar, by_logvar, d_logvar, d_logvar_bias)
    by_first, by_second = np.zeros_like(for_mu), np.zeros_like(for_logvar)
    add_product(by_mu, mu, by_first)
    add_product(by_logvar, logvar, by_second)
    through_elu(by_first, for_mu)
    through_elu(by_second, for_logvar)
    layer_gradients(x_DX, by_first, d_hidden[:F], d_hidden_bias[:F])
    layer_gradients(x_DX, by_second, d_hidden[F:], d_hidden_bias[F:])
    return likelihood_Y.sum()
