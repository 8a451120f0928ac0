"""Searches in a long ascending array, in a step or two each instead of twenty.

A guide table (Chen and Asau 1974) cuts the range of the values into as many buckets as there
are values and keeps where each begins. Shapes: C values, T searched for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_MAX_STEPS = 4  # buckets of many values are rare, or else seldom met: those are bisected
_BLOCK = 2**15  # searched for at once: they stay in cache


@dataclass(frozen=True)
class Guide:
    """values: uint64 [C] ascending; first: int32 [B + 1], how many values are below bucket b,
    whose values v have v >> shift == b."""

    values: np.ndarray
    first: np.ndarray
    shift: np.uint64

    @classmethod
    def over(cls, values: np.ndarray, num_bits: int) -> Guide:
        """values: uint64 or int64 [C] ascending in [0, 2^num_bits]; C < 2^31."""
        assert len(values) < 2**31, len(values)
        values = values.view(np.uint64)
        bits = min(max(len(values).bit_length(), 1), num_bits)
        shift = np.uint64(num_bits - bits)
        held = np.bincount((values >> shift).view(np.int64), minlength=1 << bits)
        first = np.zeros((1 << bits) + 1, dtype=np.int32)
        np.cumsum(held[: 1 << bits], out=first[1:])
        return cls(values, first, shift)

    def num_up_to(self, found: np.ndarray) -> np.ndarray:
        """How many values are <= each of `found` (int64 or uint64 [T] in [0, 2^num_bits)).

        int64 [T]; as np.searchsorted(values, found, "right").
        """
        found, count = found.view(np.uint64), np.zeros(len(found), dtype=np.int64)
        if not len(self.values):
            return count
        for start in range(0, len(found), _BLOCK):
            block = slice(start, start + _BLOCK)
            self._count(found[block], count[block])
        return count

    def _count(self, found: np.ndarray, count: np.ndarray) -> None:
        np.copyto(count, self.first.take((found >> self.shift).view(np.int64)))
        for _ in range(2):  # over all of them: cheaper than to pick out who needs it
            is_more = self.values.take(count, mode="clip") <= found
            count += is_more
        # Clipped, a count beyond the end stays among the rest and is bisected.
        rest = np.flatnonzero(is_more)
        for _ in range(_MAX_STEPS):
            rest = rest[self.values.take(count[rest], mode="clip") <= found[rest]]
            if not len(rest):
                return
            count[rest] += 1
        count[rest] = np.searchsorted(self.values, found[rest], side="right")
