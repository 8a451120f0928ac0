"""Searches in a long ascending array, in a step or two each instead of twenty.

A guide table (Chen and Asau 1974) cuts the range of the values into as many buckets as there
are values and keeps where each begins. Shapes: C values, T searched for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rankdistill import arrays
from rankdistill.hashing import U64

_MAX_STEPS = 4  # buckets of many values are rare, or else seldom met: those are bisected
_BLOCK = 2**15  # searched for at once: they stay in cache
_PIECE = 2**20  # of values and buckets counted at once: they may be more than memory holds


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
        first = np.concatenate(list(_first(values.view(U64), num_bits)))
        return cls(values.view(U64), first, _shift(len(values), num_bits))

    @classmethod
    def load(cls, path: Path, values: np.ndarray, num_bits: int) -> Guide:
        """The same from the file that `put` wrote."""
        return cls(values.view(U64), arrays.mapped(path), _shift(len(values), num_bits))

    @staticmethod
    def put(path: Path, values: np.ndarray, num_bits: int) -> None:
        """A new file of what is to be known beside the values (as of `over`)."""
        arrays.put(path, _first(values.view(U64), num_bits), np.int32)

    def num_up_to(self, found: np.ndarray) -> np.ndarray:
        """How many values are <= each of `found` (int64 or uint64 [T] in [0, 2^num_bits)).

        int64 [T]; as np.searchsorted(values, found, "right").
        """
        found, count = found.view(U64), np.zeros(len(found), dtype=np.int64)
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


def _shift(num_values: int, num_bits: int) -> np.uint64:
    return U64(num_bits - min(max(num_values.bit_length(), 1), num_bits))


def _first(values: np.ndarray, num_bits: int) -> Iterator[np.ndarray]:
    """`Guide.first` in pieces."""
    assert len(values) < 2**31, len(values)
    shift = _shift(len(values), num_bits)
    num_buckets, start = 1 << (num_bits - int(shift)), 0
    yield np.zeros(1, dtype=np.int32)
    for bucket in range(0, num_buckets, _PIECE):
        size = min(_PIECE, num_buckets - bucket)
        limit = (bucket + size) << int(shift)
        end = len(values) if limit >> 64 else int(np.searchsorted(values, U64(limit)))
        held = np.zeros(size, dtype=np.int64)
        for piece in range(start, end, _PIECE):  # many values may crowd in few buckets
            found = (values[piece : min(piece + _PIECE, end)] >> shift).view(np.int64)
            held += np.bincount(found - bucket, minlength=size)
        yield (start + np.cumsum(held)).astype(np.int32)
        start = end


def lower_bound(
    values: np.ndarray, low: np.ndarray, high: np.ndarray, found: np.ndarray
) -> np.ndarray:
    """How far the values below `found` [T] reach in values[low : high] [T], which ascends: the
    first index there whose value is not below it, else `high`; int64 [T]."""
    last = max(len(values) - 1, 0)
    low, end = low.copy(), high
    for _ in range(int((high - low).max(initial=0)).bit_length()):
        middle = (low + end) >> 1
        is_open = low < end
        is_less = is_open & (values.take(np.minimum(middle, last)) < found)
        low = np.where(is_less, middle + 1, low)
        end = np.where(is_open & ~is_less, middle, end)
    return low
