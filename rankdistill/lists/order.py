"""The teacher's order inside each request: checked first, sorted only where it does not hold.

Engines deliver rows roughly in order, as a hint; what the order is, is decided here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

LAST = np.inf


@dataclass(frozen=True)
class Order:
    """The keys of an order, most significant first; ties are broken by item_id.

    keys: int32 or float64 arrays [N], ascending, inf last (integers up to 2^53 are exact).
    """

    keys: tuple[np.ndarray, ...]
    item_id: pa.Array

    def misplaced(self, request: np.ndarray) -> np.ndarray:
        """Requests (ids) that are not in order; request: int64 [N], ascending."""
        same = request[1:] == request[:-1]
        after = np.zeros(len(same), dtype=bool)
        tied = same
        for key in self.keys:
            after |= tied & (key[1:] < key[:-1])
            tied = tied & (key[1:] == key[:-1])
        places = np.flatnonzero(tied)
        if len(places):
            items = self.item_id
            later = pc.less(items.take(pa.array(places + 1)), items.take(pa.array(places)))
            after[places] |= later.to_numpy(zero_copy_only=False)
        return np.unique(request[1:][after])

    def permutation(self, request: np.ndarray) -> np.ndarray | None:
        """Row indices that put every request in order, None where all are already."""
        wrong = self.misplaced(request)
        if not len(wrong):
            return None
        is_wrong = np.zeros(int(request[-1]) + 1, dtype=bool)
        is_wrong[wrong] = True
        rows = np.flatnonzero(is_wrong[request])
        keys = [key[rows] for key in reversed(self.keys)]
        order = np.lexsort([text_order(self.item_id.take(pa.array(rows))), *keys, request[rows]])
        permutation = np.arange(len(request))
        permutation[rows] = rows[order]
        return permutation


def text_order(column: pa.Array) -> np.ndarray:
    """Integers that sort as the column does: int64 itself, strings by their bytes."""
    if pa.types.is_integer(column.type):
        return column.to_numpy(zero_copy_only=False)
    ranks = pc.rank(column, sort_keys="ascending", tiebreaker="dense")
    return ranks.to_numpy(zero_copy_only=False).astype(np.int64)
