"""Weights of items as whole numbers that are the same bits on every machine.

What `law` lays out on its axis. Shapes: C items.
"""

from __future__ import annotations

import numpy as np

TICKS_BITS = 44
TICKS = 2**TICKS_BITS  # the whole axis


def power(base: np.ndarray, exponent: float) -> np.ndarray:
    """base^exponent (float64 [C]; base, exponent >= 0; 0^0 = 1), to about 2^-46 of it.

    By products and square roots alone: IEEE 754 rounds them alike on all machines, which
    cannot be said of pow.
    """
    whole, rest = divmod(exponent, 1)
    result = np.ones(len(base))
    for _ in range(int(whole)):
        result *= base
    root = base
    while rest:
        root, rest = np.sqrt(root), rest * 2
        if rest >= 1:
            result *= root
            rest -= 1
    return result


def in_ticks(weight: np.ndarray) -> np.ndarray:
    """Weights (float64 [C] >= 0) as whole ticks, int64 [C], whose sum is a little below TICKS.

    A weight above 0 gets at least one tick. Sums are of integers: those of floats depend on
    how a machine adds them up.
    """
    largest = weight.max(initial=0.0)
    if largest == 0:
        return np.zeros(len(weight), dtype=np.int64)
    share = weight / largest
    total = np.ceil(share * 2**31).astype(np.int64).sum() / 2**31  # at least the true one
    ticks = np.floor(share * ((TICKS - 2 * len(weight)) / total)).astype(np.int64)
    return np.maximum(ticks, weight > 0)
