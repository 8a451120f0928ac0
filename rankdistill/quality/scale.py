"""Fixed bins that several measures share: eight to an octave, and of ranks.

Fixed edges, so that histograms of batches, days and builds add. Shapes: T values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

# First ranks of the bins; bin 0 is "no rank", the last one is open.
RANKS = (0, 1, 2, 3, 4, 6, 11, 21, 51, 101, 201, 501)
RANK_LABELS = (
    *("none", "1", "2", "3", "4-5", "6-10", "11-20", "21-50", "51-100", "101-200", "201-500"),
    "501+",
)
_RANK_BIN = np.searchsorted(RANKS, np.arange(RANKS[-1] + 1), side="right") - 1


def rank_bins(rank: np.ndarray) -> np.ndarray:
    """The bin (0 .. len(RANKS) - 1) of 1-based ranks, 0 for none; int64 [T]."""
    return _RANK_BIN[np.minimum(rank, RANKS[-1])]


@dataclass(frozen=True)
class Octaves:
    """Bins of [2^low, 2^high), eight to an octave, so that a value is known to an eighth; bin 0
    holds what is below (0, too), the last one what is above. Whole numbers up to 16 have a bin
    each."""

    low: int
    high: int

    @property
    def size(self) -> int:
        return 8 * (self.high - self.low) + 2

    def bins(self, values: np.ndarray) -> np.ndarray:
        """The bin of each value (float64 [T], no NaN), int64 [T]."""
        # The exponent and the three highest bits of the fraction, as an integer.
        code = np.ascontiguousarray(values, dtype=np.float64).view(np.int64) >> 49
        code -= ((1023 + self.low) << 3) - 1
        return np.clip(code, 0, self.size - 1, out=code)

    def edge(self, code: int) -> float:
        """The least value of a bin; 0 of the first."""
        octave, eighth = divmod(code - 1, 8)
        return 2.0 ** (self.low + octave) * (1 + eighth / 8) if code else 0.0

    def quantile(self, counts: Sequence[int], share: float) -> float | None:
        """The edge of the bin that holds the value at `share` (0 .. 1) of all; None of none."""
        if not sum(counts):
            return None
        running = np.cumsum(np.array(counts, dtype=object))
        place = min(int(share * running[-1]), running[-1] - 1)
        return self.edge(int(np.argmax(running > place)))

    def by_octave(self, counts: Sequence[int]) -> tuple[list[str], list[int]]:
        """(labels, counts) of whole octaves from the first to the last that is not empty."""
        whole = [counts[0], *(sum(counts[i : i + 8]) for i in range(1, self.size - 1, 8))]
        whole.append(counts[-1])
        labels = self._labels()
        filled = [i for i, n in enumerate(whole) if n]
        first, last = (filled[0], filled[-1] + 1) if filled else (0, 0)
        return labels[first:last], whole[first:last]

    def _labels(self) -> list[str]:
        """Of the octaves: "0", "1", "2-3", "4-7" of whole numbers, "0.25 to 0.5" of others."""
        edges = [2.0**n for n in range(self.low, self.high + 1)]
        if self.low < 0:
            between = [f"{low:.2g} to {high:.2g}" for low, high in pairwise(edges)]
            return [f"< {edges[0]:.2g}", *between, f">= {edges[-1]:,.0f}"]
        between = [f"{low:,.0f}-{high - 1:,.0f}" for low, high in pairwise(edges)]
        return ["0", "1", *between[1:], f">= {edges[-1]:,.0f}"]
