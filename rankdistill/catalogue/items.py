"""All items of a day's catalogue with their counts, by the key that every look-up goes by.

Made from the table `items` of a window of days, and from a table of all items. Arrays alone:
10 million items fit in a worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rankdistill.catalogue.guide import Guide
from rankdistill.errors import InputError
from rankdistill.hashing import xxh64


@dataclass(frozen=True)
class Catalogue:
    """C items, ascending by key; an item's index is its place here.

    item_id: int64 or string [C], distinct; key: uint64 [C], xxh64(item_id), distinct; counts:
    int64 [C] each (exposed, positive, click, ...).
    """

    item_id: pa.Array
    key: np.ndarray
    counts: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.key)

    @classmethod
    def make(
        cls, item_id: pa.Array | pa.ChunkedArray, counts: Mapping[str, np.ndarray]
    ) -> Catalogue:
        """From rows in any order, counts int64 [n] each; those of one item are added.

        item_id holds no nulls. InputError E0314 where two ids have the same key.
        """
        if isinstance(item_id, pa.ChunkedArray):
            item_id = item_id.combine_chunks()
        assert item_id.null_count == 0, item_id.null_count
        assert all(len(count) == len(item_id) for count in counts.values()), list(counts)
        key = xxh64(item_id)
        order = np.argsort(key)
        key, item_id = key[order], item_id.take(pa.array(order))
        counts = {name: np.asarray(count, np.int64)[order] for name, count in counts.items()}
        is_again = key[1:] == key[:-1]
        if not is_again.any():
            return cls(item_id, key, counts)

        _refuse_collisions(item_id, np.flatnonzero(is_again))
        start = np.flatnonzero(np.concatenate([[True], ~is_again]))
        added = {name: np.add.reduceat(count, start) for name, count in counts.items()}
        return cls(item_id.take(pa.array(start)), key[start], added)

    def find(self, key: np.ndarray) -> np.ndarray:
        """The index of each item by its key (uint64 [T]), -1 where it is not here; int64 [T]."""
        at = self._guide.num_up_to(key) - 1
        if not len(self):
            return at
        at[self.key.take(at, mode="clip") != key] = -1
        return at

    @cached_property
    def _guide(self) -> Guide:
        return Guide.over(self.key, 64)


def _refuse_collisions(item_id: pa.Array, again: np.ndarray) -> None:
    """again: int64, indices of items with the key of the next one."""
    one, other = item_id.take(pa.array(again)), item_id.take(pa.array(again + 1))
    differ = pc.not_equal(one, other)
    if pc.any(differ).as_py():
        pair = [column.filter(differ)[0].as_py() for column in (one, other)]
        raise InputError(
            "E0314",
            "two items of the catalogue have the same 64-bit key",
            found=" and ".join(sorted(map(repr, pair))),
            help="give one of the two items another id, in the log and in the item table",
        )
