"""Weights of items as whole numbers that are the same bits on every machine.

What `law` lays out on its axis. Shapes: C items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Scale:
    """What turns C weights into whole ticks whose sum is a little below TICKS.

    largest: of the weights; total: of their shares of the largest, at least the true one.
    """

    largest: float
    total: float
    num: int

    @classmethod
    def of(cls, weights: Callable[[], Iterable[np.ndarray]]) -> Scale:
        """weights: yields them in pieces (float64 >= 0), the same at every call."""
        largest, num, total = 0.0, 0, 0
        for piece in weights():
            largest, num = float(piece.max(initial=largest)), num + len(piece)
        # Sums are of integers: those of floats depend on how a machine adds them up.
        for piece in weights() if largest else ():
            total += int(np.ceil(piece / largest * 2**31).astype(np.int64).sum())
        return cls(largest, total / 2**31, num)

    def ticks(self, weight: np.ndarray) -> np.ndarray:
        """int64 [T] of some of the weights; one above 0 gets at least one tick."""
        if not self.largest:
            return np.zeros(len(weight), dtype=np.int64)
        share = weight / self.largest
        ticks = np.floor(share * ((TICKS - 2 * self.num) / self.total)).astype(np.int64)
        return np.maximum(ticks, weight > 0)
