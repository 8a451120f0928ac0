"""Numbers of the training lists added up: exact sums, and counts on a fixed grid of floats.

Both are additive and exact, so neither batches nor their order change a mean or an edge.
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from math import sqrt

import numpy as np
import pyarrow as pa

from rankdistill.student.fields.coders import Edges, Standard, finite

_HALF = 26  # a float64 is an integer of 53 bits times a power of 2; added in two halves
_GRID = 12  # bits of a float32 that the grid leaves out: 11 of the mantissa stay


class ExactSum:
    """The sum of float64 numbers, without rounding: an integer for each power of 2."""

    def __init__(self) -> None:
        self._of_power: Counter[int] = Counter()

    def add(self, values: np.ndarray, times: np.ndarray) -> None:
        """values: float64 [n], finite; times: int64 [n], how often each counts."""
        assert times.sum() < 1 << 26, "sums of halves of 27 bits would pass 53 bits"
        mantissa, power = np.frexp(values)
        whole = np.ldexp(mantissa, 53).astype(np.int64)
        powers, place = np.unique(power, return_inverse=True)
        for part, shift in ((whole >> _HALF, _HALF), (whole & ((1 << _HALF) - 1), 0)):
            totals = np.bincount(place, part * times, len(powers))
            for at, total in zip(powers.tolist(), totals.tolist(), strict=True):
                self._of_power[at] += int(total) << shift

    def exact(self) -> Fraction:
        found = (Fraction(n) * Fraction(2) ** (at - 53) for at, n in self._of_power.items())
        return sum(found, Fraction(0))


class Moments:
    """Mean and deviation. Numbers are taken as float32, whose squares float64 holds exactly."""

    def __init__(self) -> None:
        self._num, self._sum, self._squares = 0, ExactSum(), ExactSum()

    def add(self, values: pa.Array, times: np.ndarray) -> None:
        found = finite(values)
        held = ~np.isnan(found)
        self._num += int(times[held].sum())
        self._sum.add(found[held], times[held])
        self._squares.add(np.square(found[held]), times[held])

    def standard(self) -> Standard:
        """The mean and the deviation of all of them; (0, 0) of none."""
        num = max(self._num, 1)
        mean = self._sum.exact() / num
        return Standard(float(mean), sqrt(self._squares.exact() / num - mean**2))


class Grid:
    """Counts of numbers by the highest 20 bits of their float32: 2^-11 of a number apart, and
    integers up to 4,096 by themselves."""

    def __init__(self) -> None:
        self._count = np.zeros(1 << (32 - _GRID), dtype=np.int64)

    def add(self, values: pa.Array, times: np.ndarray) -> None:
        found = finite(values)
        held = ~np.isnan(found)
        cell = _ordered(found[held]) >> _GRID
        self._count += np.bincount(cell, times[held], len(self._count)).astype(np.int64)

    def edges(self, num: int) -> Edges:
        """Those that cut the numbers into at most `num` buckets of about equal counts: each is
        the least number of its cell."""
        total = np.cumsum(self._count)
        wanted = [-(-int(total[-1]) * part // num) for part in range(1, num)]
        # The cell above that with the wanted rank begins a bucket, if anything stands below it.
        cells = np.unique(np.searchsorted(total, wanted, side="left")) + 1
        cells = cells[(cells < len(total)) & (total[cells - 1] < total[-1])]
        cells = np.searchsorted(total, total[cells - 1], side="right")
        return Edges(_number(np.unique(cells) << _GRID))


def _ordered(values: np.ndarray) -> np.ndarray:
    """float32 numbers as integers [0, 2^32) in their order, int64; -0 as 0."""
    bits = (values + 0.0).astype(np.float32).view(np.int32).astype(np.int64)
    return np.where(bits < 0, -bits - 1, bits + 2**31) if len(bits) else bits


def _number(ordered: np.ndarray) -> np.ndarray:
    """The inverse, float64."""
    bits = np.where(ordered < 2**31, -ordered - 1, ordered - 2**31)
    return bits.astype(np.int32).view(np.float32).astype(np.float64)
