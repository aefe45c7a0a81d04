"""Linear recurrences compiled by Numba, of real and of complex numbers; see `torchkit.sequence.scan`.

They call nothing of `torchkit.fast.kernels`, so that Numba keeps them however that changes.

Dimension key: T steps, B batch, R = T B rows, row t B + b that of episode b at step t, H width.
"""

from typing import Any

import numpy as np

from torchkit.fast.kernels import compiled


@compiled
def scan_forward(decay_RH: Any, inputs_RH: Any, before_BH: Any, states_RH: Any, start_R: Any) -> None:
    """Writes the states h_t = a_t h_{t-1} + u_t.

    Args:
        decay_RH, inputs_RH: a and u; a one row where it is always the same.
        before_BH: the states before.
        states_RH: written.
        start_R: whether an episode starts, so that nothing of before is read; empty where none does.
    """
    B, R = len(before_BH), len(inputs_RH)
    for r in range(R):
        a, u, after = decay_RH[r if len(decay_RH) == R else 0], inputs_RH[r], states_RH[r]
        before = before_BH[r] if r < B else states_RH[r - B]
        if len(start_R) and start_R[r]:
            after[:] = u
        else:
            for j in range(len(u)):
                after[j] = a[j] * before[j] + u[j]


@compiled
def scan_backward(
    gradient_RH: Any,
    decay_RH: Any,
    before_BH: Any,
    states_RH: Any,
    d_inputs_RH: Any,
    d_decay_RH: Any,
    d_before_BH: Any,
    start_R: Any,
    sums_H: Any,
) -> None:
    """From the gradient of what `scan_forward` wrote to those of what it read, by conjugates, as torch has them.

    Args:
        gradient_RH: of the states by what reads them.
        decay_RH, before_BH, states_RH, start_R: as there.
        d_inputs_RH: written.
        d_decay_RH: 0, one row where decay is; written.
        d_before_BH: 0; written.
        sums_H: 0, of double precision; that of the decay where it is one row.
    """
    B, (R, H) = len(before_BH), gradient_RH.shape
    many = len(decay_RH) == R
    for t in range(R // max(1, B) - 1, -1, -1):
        for b in range(B):
            r = t * B + b
            given, whole = gradient_RH[r], d_inputs_RH[r]
            if r + B < R and not (len(start_R) and start_R[r + B]):
                a, later = decay_RH[r + B if many else 0], d_inputs_RH[r + B]
                for j in range(H):
                    whole[j] = given[j] + np.conj(a[j]) * later[j]
            else:
                for j in range(H):
                    whole[j] = given[j]
            if len(start_R) and start_R[r]:
                continue
            before = states_RH[r - B] if t > 0 else before_BH[b]
            if many:
                d_a = d_decay_RH[r]
                for j in range(H):
                    d_a[j] = whole[j] * np.conj(before[j])
            else:
                for j in range(H):
                    sums_H[j] += whole[j] * np.conj(before[j])
            if t == 0:
                a, d_before = decay_RH[r if many else 0], d_before_BH[b]
                for j in range(H):
                    d_before[j] = np.conj(a[j]) * whole[j]
    if not many:
        d_decay_RH[0] = sums_H
