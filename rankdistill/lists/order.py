"""The teacher's order inside each request: checked first, sorted only where it does not hold.

Engines deliver rows roughly in order, as a hint; what the order is, is decided here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rankdistill.lists.batch import spans

LAST = np.inf


@dataclass(frozen=True)
class Order:
    """The keys of an order, most significant first; ties are broken by item_id.

    keys: int32 or float64 arrays [N], ascending, inf last (integers up to 2^53 are exact).
    """

    keys: tuple[np.ndarray, ...]
    item_id: pa.Array

    def misplaced(self, offsets: np.ndarray) -> np.ndarray:
        """Requests that are not in order, int64; offsets: int64 [R + 1], their first rows."""
        tied = np.ones(int(offsets[-1]), dtype=bool)
        tied[offsets[:-1][offsets[:-1] < offsets[1:]]] = False
        tied = tied[1:]
        after = np.zeros(len(tied), dtype=bool)
        for key in self.keys:
            after |= tied & (key[1:] < key[:-1])
            tied = tied & (key[1:] == key[:-1])
        places = np.flatnonzero(tied)
        if len(places):
            items = self.item_id
            later = pc.less(items.take(pa.array(places + 1)), items.take(pa.array(places)))
            after[places] |= later.to_numpy(zero_copy_only=False)
        return np.unique(np.searchsorted(offsets, np.flatnonzero(after) + 1, side="right") - 1)

    def permutation(self, offsets: np.ndarray) -> np.ndarray | None:
        """Row indices that put every request in order, None where all are already."""
        wrong = self.misplaced(offsets)
        if not len(wrong):
            return None
        lengths = np.diff(offsets)[wrong]
        rows = spans(offsets[wrong], lengths)
        keys = [key[rows] for key in reversed(self.keys)]
        request = np.repeat(wrong, lengths)
        order = np.lexsort([text_order(self.item_id.take(pa.array(rows))), *keys, request])
        permutation = np.arange(offsets[-1])
        permutation[rows] = rows[order]
        return permutation


def text_order(column: pa.Array) -> np.ndarray:
    """Integers that sort as the column does: int64 itself, strings by their bytes."""
    if pa.types.is_integer(column.type):
        return column.to_numpy(zero_copy_only=False)
    ranks = pc.rank(column, sort_keys="ascending", tiebreaker="dense")
    return ranks.to_numpy(zero_copy_only=False).astype(np.int64)
