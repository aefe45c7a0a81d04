"""What torch is slow at on the CPU, compiled by Numba: layers of MLPs and cells, gates, GELU, CLUB's gradient.

Of a layer, or of that likelihood, they are many calls, each a pass through memory of its own; where rows are few the
calls cost more than the work, and torch's tanh takes eight times as long as the one here. One thread, float32.
Shapes are the caller's to check. Importing this takes 0.3 s, compiling the functions that are called from outside some
seconds once; Numba keeps the result until this file changes, so that what they call must stand in it as well.

Dimension key: T steps, S kept steps, B batch, N distinct rows of inputs, H width, G gates side by side, of a GRU 3H in
torch's order: reset, update, new; D distinct transitions, X what CLUB reads, F its hidden layer, Y what it tells. Of
products: M rows, K what is summed over, N columns, P = ⌈N / W⌉ panels of W columns each.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

ONE, TWO, THREE, FOUR = np.float32(1), np.float32(2), np.float32(3), np.float32(4)
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
summing = njit(error_model="numpy", fastmath={"contract", "reassoc"})  # likewise; sums in the order that is fastest


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


def _tile_of(lanes: int, rows: int, vectors: int) -> Callable[..., Any]:
    """Machine code for a tile of a product: `rows` rows of `vectors` vectors of `lanes` columns, kept in registers.

    LLVM does not find this by itself. The code writes c = max(floor, d + a b), where b is (inner, vectors · lanes);
    entry (i, k) of a stands `at + i row + k step` numbers into its array, row i of c or d `at + i row`.
    """
    number, index = ir.FloatType(), ir.IntType(32)
    vector = ir.VectorType(number, lanes)
    unknown, first = ir.Constant(vector, ir.Undefined), ir.Constant(ir.VectorType(index, lanes), [0] * lanes)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _a, a_at, a_row, a_step, _b, b_at, _d, d_at, d_row, _c, c_at, c_row, inner, floor = arguments

        def whole(n: int) -> Any:
            return ir.Constant(inner.type, n)

        def start(which: int, at: Any) -> Any:
            array = context.make_array(signature.args[which])(context, builder, arguments[which])
            return builder.gep(array.data, [at])

        def place(at: Any) -> Any:
            return builder.bitcast(at, vector.as_pointer())

        def everywhere(value: Any) -> Any:
            return builder.shuffle_vector(builder.insert_element(unknown, value, index(0)), unknown, first)

        def read(at: Any) -> Any:
            value = builder.load(place(at))
            value.align = 4
            return value

        def row(start: Any, step: Any, i: int) -> Any:
            return builder.gep(start, [builder.mul(step, whole(i))])

        tile = [(i, j) for i in range(rows) for j in range(vectors)]
        sums = {at: cgutils.alloca_once(builder, vector) for at in tile}
        start_d, start_c, start_b = start(6, d_at), start(9, c_at), start(4, b_at)
        rows_a = [row(start(0, a_at), a_row, i) for i in range(rows)]
        for i, j in tile:
            builder.store(read(builder.gep(row(start_d, d_row, i), [whole(j * lanes)])), sums[i, j])
        fma = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.v{lanes}f32"
        )
        with cgutils.for_range(builder, inner) as loop:
            row_b = builder.gep(start_b, [builder.mul(loop.index, whole(vectors * lanes))])
            read_b = [read(builder.gep(row_b, [whole(j * lanes)])) for j in range(vectors)]
            step = builder.mul(loop.index, a_step)
            for i in range(rows):
                factor = everywhere(builder.load(builder.gep(rows_a[i], [step])))
                for j in range(vectors):
                    value = builder.call(fma, [factor, read_b[j], builder.load(sums[i, j])])
                    builder.store(value, sums[i, j])
        least = everywhere(floor)
        for i, j in tile:
            value = builder.load(sums[i, j])
            value = builder.select(builder.fcmp_ordered("<", value, least), least, value)  # a NaN stays one
            builder.store(value, place(builder.gep(row(start_c, c_row, i), [whole(j * lanes)]))).align = 4
        return context.get_dummy_value()

    def tile(
        typing: Any,
        a: Any,
        a_at: Any,
        a_row: Any,
        a_step: Any,
        b: Any,
        b_at: Any,
        d: Any,
        d_at: Any,
        d_row: Any,
        c: Any,
        c_at: Any,
        c_row: Any,
        inner: Any,
        floor: Any,
    ) -> Any:
        n = types.intp
        return types.void(a, n, n, n, b, n, d, n, n, c, n, n, n, types.float32), generate

    return cast("Callable[..., Any]", intrinsic(tile))


def _tile_shape() -> tuple[int, int]:
    """Lanes of a vector here, and rows of a tile of two vectors: as many as registers hold beside what they read."""
    here = get_host_cpu_features()
    if here.get("avx512f"):
        return 16, 8
    return (8, 4) if here.get("avx") else (4, 4)


LANES, TALL = _tile_shape()
WIDE = 2 * LANES
BLOCK = 64  # rows between which a core's own cache holds what several products read
NARROW = 8  # columns of a product up to which it is sums of its own, not tiles
NONE, ZERO = np.float32(-np.inf), np.float32(0)  # floors of a product's values: ZERO is ReLU
tall_tile, low_tile = _tile_of(LANES, TALL, 2), _tile_of(LANES, 1, 2)


@inner
def pack(w_KN: Any, first: int, rows: int, panels_PKW: Any) -> None:
    """Writes `rows` rows of a matrix, from the first on, as the panels that `multiply` reads: zeros past column N."""
    N = w_KN.shape[1]
    for p in range(N // WIDE):
        for k in range(rows):
            row, panel = w_KN[first + k, p * WIDE : (p + 1) * WIDE], panels_PKW[p, k]
            for j in range(WIDE):
                panel[j] = row[j]
    if N % WIDE:
        for k in range(rows):
            row, panel = w_KN[first + k, N - N % WIDE :], panels_PKW[N // WIDE, k]
            for j in range(WIDE):
                panel[j] = row[j] if j < len(row) else ZERO


@inner
def pack_turned(w_NK: Any, panels_PKW: Any) -> None:
    """Writes the same panels of a matrix that is given by its columns, as torch keeps a layer's weight."""
    N, K = w_NK.shape
    for p in range(panels_PKW.shape[0]):
        panel = panels_PKW[p]
        for j in range(WIDE):
            if p * WIDE + j < N:
                column = w_NK[p * WIDE + j]
                for k in range(K):
                    panel[k, j] = column[k]
            else:
                for k in range(K):
                    panel[k, j] = ZERO


@inner
def empty_panels(inner: int, columns: int) -> Any:
    """Room for the panels (P, K, W) of a matrix (inner, columns)."""
    return np.empty((-(-columns // WIDE), inner, WIDE), np.float32)


@inner
def multiply(
    a: Any,
    a_at: int,
    a_row: int,
    a_step: int,
    rows: int,
    inner: int,
    panels_PKW: Any,
    d: Any,
    d_at: int,
    d_row: int,
    c: Any,
    c_at: int,
    c_row: int,
    columns: int,
    floor: Any,
) -> None:
    """Writes c = max(floor, d + a b) of a (rows, inner) and b (inner, columns), which `panels_PKW` holds.

    Entry (i, k) of a stands `a_at + i a_row + k a_step` numbers into its array, row i of c or d `at + i row`; a row
    step of 0 adds the same to each row. Where the last panel is not full, what stands behind is neither read nor
    written.
    """
    edge = np.empty(TALL * WIDE, np.float32)
    high = rows - rows % TALL
    for p in range(-(-columns // WIDE)):
        b_at, n, width = p * panels_PKW.shape[1] * WIDE, p * WIDE, min(WIDE, columns - p * WIDE)
        i = 0
        while i < rows:
            of_a, of_d, of_c = a_at + i * a_row, d_at + i * d_row + n, c_at + i * c_row + n
            step = TALL if i < high else 1
            if width == WIDE and step == TALL:
                tall_tile(a, of_a, a_row, a_step, panels_PKW, b_at, d, of_d, d_row, c, of_c, c_row, inner, floor)
            elif width == WIDE:
                low_tile(a, of_a, a_row, a_step, panels_PKW, b_at, d, of_d, d_row, c, of_c, c_row, inner, floor)
            else:
                for r in range(step):
                    for j in range(width):
                        edge[r * WIDE + j] = d.flat[of_d + r * d_row + j]
                if step == TALL:
                    tall_tile(a, of_a, a_row, a_step, panels_PKW, b_at, edge, 0, WIDE, edge, 0, WIDE, inner, floor)
                else:
                    low_tile(a, of_a, a_row, a_step, panels_PKW, b_at, edge, 0, WIDE, edge, 0, WIDE, inner, floor)
                for r in range(step):
                    for j in range(width):
                        c.flat[of_c + r * c_row + j] = edge[r * WIDE + j]
            i += step


@summing
def dot(a_K: Any, b_K: Any) -> Any:
    """Σ a b."""
    total = ZERO
    for k in range(len(a_K)):
        total += a_K[k] * b_K[k]
    return total


@compiled
def dense_forward(x_MK: Any, weight_NK: Any, bias_N: Any, rectified: bool, out_MN: Any) -> None:
    """Writes the outputs of a linear layer, through ReLU where `rectified`; all arrays contiguous."""
    (M, K), N = x_MK.shape, len(bias_N)
    floor = ZERO if rectified else NONE
    if N <= NARROW:  # of a tile most columns would be empty
        for m in range(M):
            for n in range(N):
                value = bias_N[n] + dot(x_MK[m], weight_NK[n])
                out_MN[m, n] = floor if value < floor else value
        return
    panels_PKW = empty_panels(K, N)
    pack_turned(weight_NK, panels_PKW)
    for m in range(0, M, BLOCK):  # x's rows stay at hand for each panel
        rows = min(BLOCK, M - m)
        multiply(x_MK, m * K, K, 1, rows, K, panels_PKW, bias_N, 0, 0, out_MN, m * N, N, N, floor)


@compiled
def dense_backward(
    x_MK: Any,
    weight_NK: Any,
    out_MN: Any,
    rectified: bool,
    d_out_MN: Any,
    d_x_MK: Any,
    d_weight_NK: Any,
    d_bias_N: Any,
) -> None:
    """From the gradient of what `dense_forward` wrote to those of what it read; all arrays contiguous.

    Args:
        x_MK, weight_NK, out_MN, rectified: as there.
        d_out_MN: the gradient of the outputs; read.
        d_x_MK: written, where it has rows.
        d_weight_NK, d_bias_N: written.
    """
    (M, K), N = x_MK.shape, len(d_bias_N)
    panels_PNW = empty_panels(N, K)
    if len(d_x_MK):
        pack(weight_NK, 0, N, panels_PNW)
    stride = N + LANES  # rows that are powers of 2 apart would share few lines of the cache
    d_sum, panels_of_x, zeros_K = np.empty((BLOCK, stride), np.float32), empty_panels(BLOCK, K), np.zeros(K, np.float32)
    d_weight_NK[:] = 0
    d_bias_N[:] = 0
    for m in range(0, M, BLOCK):
        rows = min(BLOCK, M - m)
        for i in range(rows):
            d_out, out, d = d_out_MN[m + i], out_MN[m + i], d_sum[i]
            if rectified:
                for n in range(N):
                    d[n] = d_out[n] if out[n] > 0 else ZERO
            else:
                for n in range(N):
                    d[n] = d_out[n]
            for n in range(N):
                d_bias_N[n] += d[n]
        pack(x_MK, m, rows, panels_of_x)
        multiply(d_sum, 0, 1, stride, N, rows, panels_of_x, d_weight_NK, 0, K, d_weight_NK, 0, K, K, NONE)
        if len(d_x_MK):
            multiply(d_sum, 0, stride, 1, rows, N, panels_PNW, zeros_K, 0, 0, d_x_MK, m * K, K, K, NONE)


@compiled
def rows_forward(
    x_RK: Any, rows_M: Any, shared_UN: Any, place_R: Any, weight_NF: Any, rectified: bool, out_MN: Any
) -> None:
    """Writes the outputs of a linear layer on some rows, of which `shared_UN` holds a part: the bias, or more.

    Args:
        x_RK, rows_M: rows, and the numbers of those that are wanted.
        shared_UN, place_R: what is added to the product, and which of it to each of all rows; another one is an
            IndexError.
        weight_NF: its first K columns count.
        rectified: whether the outputs go through ReLU.
        out_MN: written.
    """
    K, (M, N) = x_RK.shape[1], out_MN.shape
    panels_PKW, block = empty_panels(K, N), np.empty((BLOCK, K), np.float32)
    pack_turned(weight_NF[:, :K], panels_PKW)
    floor = ZERO if rectified else NONE
    for m in range(0, M, BLOCK):
        rows = min(BLOCK, M - m)
        for i in range(rows):
            row = rows_M[m + i]
            if not (0 <= row < len(x_RK) and 0 <= place_R[row] < len(shared_UN)):
                raise IndexError("rows_M, place_R: no such row")
            block[i] = x_RK[row]
            out_MN[m + i] = shared_UN[place_R[row]]
        multiply(block, 0, K, 1, rows, K, panels_PKW, out_MN, m * N, N, out_MN, m * N, N, N, floor)


@compiled
def rows_backward(
    x_RK: Any,
    rows_M: Any,
    place_R: Any,
    weight_NF: Any,
    out_MN: Any,
    rectified: bool,
    d_out_MN: Any,
    d_x_RK: Any,
    d_shared_UN: Any,
    d_weight_NF: Any,
) -> None:
    """From the gradient of what `rows_forward` wrote to those of what it read.

    Args:
        x_RK, rows_M, place_R, weight_NF, out_MN, rectified: as there.
        d_out_MN: the gradient of the outputs; read.
        d_x_RK: 0; the wanted rows are written, where it has any.
        d_shared_UN: written.
        d_weight_NF: its first K columns are written.
    """
    K, (M, N), F = x_RK.shape[1], out_MN.shape, weight_NF.shape[1]
    panels_PNW, panels_of_x = empty_panels(N, K), empty_panels(BLOCK, K)
    pack(weight_NF[:, :K], 0, N, panels_PNW)
    stride = N + LANES  # see `dense_backward`
    d_sum, block = np.empty((BLOCK, stride), np.float32), np.empty((BLOCK, K), np.float32)
    zeros_K = np.zeros(K, np.float32)
    d_shared_UN[:] = 0
    d_weight_NF[:, :K] = 0
    for m in range(0, M, BLOCK):
        rows = min(BLOCK, M - m)
        for i in range(rows):
            row = rows_M[m + i]
            d_out, out, d, d_shared = d_out_MN[m + i], out_MN[m + i], d_sum[i], d_shared_UN[place_R[row]]
            for n in range(N):
                d[n] = d_out[n] if out[n] > 0 or not rectified else ZERO
            for n in range(N):
                d_shared[n] += d[n]
            block[i] = x_RK[row]
        pack(block, 0, rows, panels_of_x)
        multiply(d_sum, 0, 1, stride, N, rows, panels_of_x, d_weight_NF, 0, F, d_weight_NF, 0, F, K, NONE)
        if len(d_x_RK):
            multiply(d_sum, 0, stride, 1, rows, N, panels_PNW, zeros_K, 0, 0, block, 0, K, K, NONE)
            for i in range(rows):
                d_x_RK[rows_M[m + i]] = block[i]


@compiled
def linear_gradients(x_MK: Any, d_out_MN: Any, d_weight_NK: Any, d_bias_N: Any) -> None:
    """Writes the gradients of a linear layer's weight and bias; all arrays contiguous."""
    (M, K), N = x_MK.shape, len(d_bias_N)
    panels_of_x = empty_panels(BLOCK, K)
    d_weight_NK[:] = 0
    d_bias_N[:] = 0
    for m in range(0, M, BLOCK):
        rows = min(BLOCK, M - m)
        for i in range(rows):
            d_bias_N += d_out_MN[m + i]
        pack(x_MK, m, rows, panels_of_x)
        multiply(d_out_MN, m * N, 1, N, N, rows, panels_of_x, d_weight_NK, 0, K, d_weight_NK, 0, K, K, NONE)


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
    weight_GH: Any,
    bias_G: Any,
    hidden: Any,
    gates: Any,
    new: Any,
) -> None:
    """Runs the layer over B episodes; what `gru_backward` needs is kept where S is T, and not where it is 1.

    Args:
        inputs_NG, place_TB: distinct rows of projected inputs, and which stands where; another one is an IndexError.
        weight_GH, bias_G: recurrent.
        hidden: (T+1, B, H); its first row is read, the others are written.
        gates: (S, B, G); become reset, update, and the recurrent part of the new value.
        new: (S, B, H); become the new values.
    """
    T, B = place_TB.shape
    G, H = weight_GH.shape
    panels_PHW = empty_panels(H, G)
    pack_turned(weight_GH, panels_PHW)
    for t in range(T):
        s = t if len(gates) == T else 0
        multiply(hidden, t * B * H, H, 1, B, H, panels_PHW, bias_G, 0, 0, gates, s * B * G, G, G, NONE)
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
    G = 3 * H
    panels_PGW = empty_panels(G, H)
    pack(weight_GH, 0, G, panels_PGW)
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
        multiply(d_product, t * B * G, G, 1, B, G, panels_PGW, carried_BH, 0, H, carried_BH, 0, H, H, NONE)


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


@inner
def state_before(states: Any, carry_BH: Any, starts_TB: Any, t: int, before_BH: Any) -> None:
    """Writes the states that step t reads: what was carried in at the first step, 0 where an episode starts."""
    for b in range(len(before_BH)):
        if len(starts_TB) and starts_TB[t, b]:
            before_BH[b] = ZERO
        else:
            before_BH[b] = states[t - 1, b] if t else carry_BH[b]


@inner
def keep_apart(starts_TB: Any, t: int, carried_BH: Any) -> None:
    """Takes away the gradient of the states before step t where an episode starts."""
    if len(starts_TB):
        for b in range(len(carried_BH)):
            if starts_TB[t, b]:
                carried_BH[b] = ZERO


@compiled
def brc_forward(read: Any, starts_TB: Any, weight_GH: Any, carry_BH: Any, states: Any, before: Any, gates: Any) -> None:
    """Runs a bistable cell over B episodes; what `brc_backward` needs is kept where S is T, and not where it is 1.

    Args:
        read: (T, B, 3H), what steps read of their rows: for c, a and the new value.
        starts_TB: whether an episode starts; of no rows where none does.
        weight_GH: of the state, for c and a: (2, H) of a unit's own, (2H, H) of all.
        carry_BH: the states before.
        states: (T, B, H); written.
        before: (S, B, H); becomes the states that steps read.
        gates: (S, B, 3H); become c, a - 1 and the new values.
    """
    T, B, H = states.shape
    own = len(weight_GH) == 2
    of_keep, of_feedback = weight_GH[0], weight_GH[1]
    panels_PHW = empty_panels(H, 2 * H)
    if not own:
        pack_turned(weight_GH, panels_PHW)
    for t in range(T):
        s = t if len(before) == T else 0
        state_before(states, carry_BH, starts_TB, t, before[s])
        if not own:
            at = s * B * 3 * H
            multiply(
                *(before, s * B * H, H, 1, B, H, panels_PHW),
                *(read, t * B * 3 * H, 3 * H, gates, at, 3 * H, 2 * H, NONE),
            )
        for b in range(B):
            r, g, h, after = read[t, b], gates[s, b], before[s, b], states[t, b]
            if own:
                for j in range(H):
                    g[j] = r[j] + of_keep[j] * h[j]
                for j in range(H):
                    g[H + j] = r[H + j] + of_feedback[j] * h[j]
            for j in range(H):
                g[j] = sigmoid(g[j])
            for j in range(H):
                g[H + j] = tanh(g[H + j])
            for j in range(H):
                g[2 * H + j] = tanh(r[2 * H + j] + (ONE + g[H + j]) * h[j])
            for j in range(H):
                after[j] = g[2 * H + j] + g[j] * (h[j] - g[2 * H + j])


@compiled
def brc_backward(
    gradient: Any, starts_TB: Any, weight_GH: Any, before: Any, gates: Any, carried_BH: Any, d_read: Any
) -> None:
    """From the gradient of what `brc_forward` wrote to those of what it read.

    Args:
        gradient: (T, B, H), of the states by what reads them.
        starts_TB, weight_GH, before, gates: as there.
        carried_BH: 0; becomes the gradient of the states before.
        d_read: (T, B, 3H); written.
    """
    T, B, H = before.shape
    own = len(weight_GH) == 2
    of_keep, of_feedback = weight_GH[0], weight_GH[1]
    panels_PGW = empty_panels(2 * H, H)
    if not own:
        pack(weight_GH, 0, 2 * H, panels_PGW)
    for t in range(T - 1, -1, -1):
        for b in range(B):
            g, h, whole, d, given = gates[t, b], before[t, b], carried_BH[b], d_read[t, b], gradient[t, b]
            for j in range(H):
                whole[j] += given[j]
            for j in range(H):  # of what tanh is taken of
                d[2 * H + j] = whole[j] * (ONE - g[j]) * (ONE - g[2 * H + j] * g[2 * H + j])
            for j in range(H):
                d[H + j] = d[2 * H + j] * h[j] * (ONE - g[H + j] * g[H + j])
            for j in range(H):
                d[j] = whole[j] * (h[j] - g[2 * H + j]) * g[j] * (ONE - g[j])
            for j in range(H):
                whole[j] = whole[j] * g[j] + d[2 * H + j] * (ONE + g[H + j])
            if own:
                for j in range(H):
                    whole[j] += d[j] * of_keep[j] + d[H + j] * of_feedback[j]
        if not own:
            at = t * B * 3 * H
            multiply(d_read, at, 3 * H, 1, B, 2 * H, panels_PGW, carried_BH, 0, H, carried_BH, 0, H, H, NONE)
        keep_apart(starts_TB, t, carried_BH)


@compiled
def mgu_forward(read: Any, starts_TB: Any, weight_GH: Any, carry_BH: Any, states: Any, before: Any, gates: Any) -> None:
    """Runs a minimal gated unit over B episodes; arguments as of `brc_forward`, but for two parts, f and the new value.

    Args:
        read: (T, B, 2H).
        weight_GH: (2H, H), of the state for f, and of what f keeps of it for the new value.
        gates: (S, B, 2H); become f and the new values.
    """
    T, B, H = states.shape
    G = 2 * H
    of_gate, of_new = empty_panels(H, H), empty_panels(H, H)
    pack_turned(weight_GH[:H], of_gate)
    pack_turned(weight_GH[H:], of_new)
    gated_BH = np.empty((B, H), np.float32)
    for t in range(T):
        s = t if len(before) == T else 0
        row, kept = t * B * G, s * B * G
        state_before(states, carry_BH, starts_TB, t, before[s])
        multiply(before, s * B * H, H, 1, B, H, of_gate, read, row, G, gates, kept, G, H, NONE)
        for b in range(B):
            g, h, gated = gates[s, b], before[s, b], gated_BH[b]
            for j in range(H):
                g[j] = sigmoid(g[j])
            for j in range(H):
                gated[j] = g[j] * h[j]
        multiply(gated_BH, 0, H, 1, B, H, of_new, read, row + H, G, gates, kept + H, G, H, NONE)
        for b in range(B):
            g, h, after = gates[s, b], before[s, b], states[t, b]
            for j in range(H):
                g[H + j] = tanh(g[H + j])
            for j in range(H):
                after[j] = h[j] + g[j] * (g[H + j] - h[j])


@compiled
def mgu_backward(
    gradient: Any, starts_TB: Any, weight_GH: Any, before: Any, gates: Any, carried_BH: Any, d_read: Any
) -> None:
    """From the gradient of what `mgu_forward` wrote to those of what it read; arguments as of `brc_backward`."""
    T, B, H = before.shape
    G = 2 * H
    of_gate, of_new = empty_panels(H, H), empty_panels(H, H)
    pack(weight_GH, 0, H, of_gate)
    pack(weight_GH, H, H, of_new)
    d_gated_BH, nothing_H = np.empty((B, H), np.float32), np.zeros(H, np.float32)
    for t in range(T - 1, -1, -1):
        row = t * B * G
        for b in range(B):
            g, whole, d, given = gates[t, b], carried_BH[b], d_read[t, b], gradient[t, b]
            for j in range(H):
                whole[j] += given[j]
            for j in range(H):
                d[H + j] = whole[j] * g[j] * (ONE - g[H + j] * g[H + j])
        multiply(d_read, row + H, G, 1, B, H, of_new, nothing_H, 0, 0, d_gated_BH, 0, H, H, NONE)
        for b in range(B):
            g, h, whole, d, d_gated = gates[t, b], before[t, b], carried_BH[b], d_read[t, b], d_gated_BH[b]
            for j in range(H):
                d[j] = (whole[j] * (g[H + j] - h[j]) + d_gated[j] * h[j]) * g[j] * (ONE - g[j])
            for j in range(H):
                whole[j] = whole[j] * (ONE - g[j]) + d_gated[j] * g[j]
        multiply(d_read, row, G, 1, B, H, of_gate, carried_BH, 0, H, carried_BH, 0, H, H, NONE)
        keep_apart(starts_TB, t, carried_BH)


@compiled
def glu_forward(wide_RK: Any, out_RH: Any) -> None:
    """Writes v σ(g) of rows of v and g side by side."""
    for r in range(len(out_RH)):
        wide, out = wide_RK[r], out_RH[r]
        H = len(out)
        for j in range(H):
            out[j] = wide[j] * sigmoid(wide[H + j])


@compiled
def glu_backward(wide_RK: Any, gradient_RH: Any, d_wide_RK: Any) -> None:
    """Writes the gradient by what `glu_forward` read, from that by what it wrote."""
    H = gradient_RH.shape[1]
    share_H = np.empty(H, np.float32)
    for r in range(len(gradient_RH)):
        given, value, gate = gradient_RH[r], wide_RK[r, :H], wide_RK[r, H:]
        d_value, d_gate = d_wide_RK[r, :H], d_wide_RK[r, H:]
        for j in range(H):
            share_H[j] = sigmoid(gate[j])
        for j in range(H):
            d_value[j] = given[j] * share_H[j]
        for j in range(H):
            d_gate[j] = d_value[j] * value[j] * (ONE - share_H[j])


@compiled
def mingru_forward(wide_RK: Any, keep_RH: Any, inputs_RH: Any) -> None:
    """Writes 1 - z and z g of rows of gate and v side by side: z = σ(gate), g = v + 1/2 from 0 on, else σ(v)."""
    for r in range(len(keep_RH)):
        wide, keep, inputs = wide_RK[r], keep_RH[r], inputs_RH[r]
        H = len(keep)
        for j in range(H):
            gate, v = sigmoid(wide[j]), wide[H + j]
            low = sigmoid(v)
            keep[j] = ONE - gate
            inputs[j] = gate * (low if v < 0 else v + HALF)


@compiled
def mingru_backward(wide_RK: Any, d_keep_RH: Any, d_inputs_RH: Any, d_wide_RK: Any) -> None:
    """Writes the gradient by what `mingru_forward` read, from those by what it wrote."""
    H = d_keep_RH.shape[1]
    gate_H, low_H = np.empty(H, np.float32), np.empty(H, np.float32)
    for r in range(len(d_keep_RH)):
        d_keep, d_inputs, gate, candidate = d_keep_RH[r], d_inputs_RH[r], wide_RK[r, :H], wide_RK[r, H:]
        d_gate, d_candidate = d_wide_RK[r, :H], d_wide_RK[r, H:]
        for j in range(H):
            gate_H[j] = sigmoid(gate[j])
        for j in range(H):
            low_H[j] = sigmoid(candidate[j])
        for j in range(H):
            new = low_H[j] if candidate[j] < 0 else candidate[j] + HALF
            d_gate[j] = (d_inputs[j] * new - d_keep[j]) * gate_H[j] * (ONE - gate_H[j])
        for j in range(H):
            slope = low_H[j] * (ONE - low_H[j]) if candidate[j] < 0 else ONE
            d_candidate[j] = d_inputs[j] * gate_H[j] * slope


@compiled
def bmru_forward(candidate_RH: Any, threshold_H: Any, size_H: Any, keep_RH: Any, inputs_RH: Any) -> None:
    """Of candidates c: 0 where |c| > |threshold|, else 1; and size sign(c) there, else 0. A NaN stays one."""
    for r in range(len(keep_RH)):
        candidate, keep, inputs = candidate_RH[r], keep_RH[r], inputs_RH[r]
        for j in range(len(keep)):
            c = candidate[j]
            writes = abs(c) > abs(threshold_H[j])
            broken = c if c != c else ZERO
            keep[j] = (ZERO if writes else ONE) + broken
            inputs[j] = (size_H[j] * (ONE if c > 0 else -ONE) if writes else ZERO) + broken


@compiled
def bmru_backward(
    candidate_RH: Any,
    threshold_H: Any,
    size_H: Any,
    d_keep_RH: Any,
    d_inputs_RH: Any,
    d_candidate_RH: Any,
    d_threshold_H: Any,
    d_size_H: Any,
) -> None:
    """Writes the surrogate gradients by what `bmru_forward` read, from those by what it wrote.

    Args:
        candidate_RH, threshold_H, size_H: as there.
        d_keep_RH, d_inputs_RH: read.
        d_candidate_RH: written.
        d_threshold_H, d_size_H: 0; written.
    """
    H = len(size_H)
    thresholds_H, sizes_H = np.zeros(H, np.float64), np.zeros(H, np.float64)
    slope_H, side_H, given_H = np.empty(H, np.float32), np.empty(H, np.float32), np.empty(H, np.float32)
    for r in range(len(d_keep_RH)):
        candidate, d_keep, d_inputs, d_candidate = candidate_RH[r], d_keep_RH[r], d_inputs_RH[r], d_candidate_RH[r]
        for j in range(H):
            side_H[j] = ONE if candidate[j] > 0 else (-ONE if candidate[j] < 0 else ZERO)
        for j in range(H):
            soft = sigmoid(FOUR * (abs(candidate[j]) - abs(threshold_H[j])))
            slope_H[j] = FOUR * soft * (ONE - soft)
        for j in range(H):
            slope_H[j] *= d_inputs[j] * size_H[j] * side_H[j] - d_keep[j]
        for j in range(H):
            given_H[j] = d_inputs[j] if abs(candidate[j]) > abs(threshold_H[j]) else ZERO
        for j in range(H):
            bent = tanh(candidate[j])
            d_candidate[j] = given_H[j] * size_H[j] * (ONE - bent * bent)
        for j in range(H):
            d_candidate[j] += slope_H[j] * side_H[j]
        for j in range(H):
            thresholds_H[j] -= slope_H[j]
        for j in range(H):
            sizes_H[j] += given_H[j] * side_H[j]
    for j in range(H):
        side = ONE if threshold_H[j] > 0 else (-ONE if threshold_H[j] < 0 else ZERO)
        d_threshold_H[j] = thresholds_H[j] * side
        d_size_H[j] = sizes_H[j]


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
