"""Items by id alone: the newest values of the lists' columns that training saw of each.

It stands for the candidate where there is none: negatives from the catalogue, evaluation over
all items, export. Shapes: I items.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from rankdistill.catalogue.guide import Guide
from rankdistill.features.table import ALWAYS
from rankdistill.hashing import U64, hash_rows, xxh64

SEEN = "_seen"  # since when an item's values are what they are, microseconds


@dataclass(frozen=True)
class Snapshot:
    """rows: item_id and further columns, [I], by the key of item_id."""

    rows: pa.RecordBatch

    @cached_property
    def _guide(self) -> Guide:
        return Guide.over(xxh64(self.rows.column("item_id")), 64)

    def of(self, ids: pa.Array) -> pa.RecordBatch:
        """The columns of these items, null where one was never seen, [n] each."""
        key = xxh64(ids)
        columns = {"item_id": ids}
        if self.rows.num_rows:
            place = np.maximum(self._guide.num_up_to(key) - 1, 0)
            index = pa.array(place, mask=self._guide.values[place] != key)
        else:
            index = pa.nulls(len(ids), pa.int64())
        for name in self.rows.schema.names:
            if name != "item_id":
                columns[name] = self.rows.column(name).take(index)
        return pa.RecordBatch.from_pydict(columns)

    def after(self, before: Snapshot) -> Snapshot:
        """These items, and those that `before` alone has, in the columns of these."""
        if not before.rows.num_rows:
            return self
        if not self.rows.num_rows:
            return before
        ids = before.rows.column("item_id")
        known = xxh64(self.rows.column("item_id"))
        others = pa.array(np.flatnonzero(~np.isin(xxh64(ids), known)))
        rows = before.rows.take(others)
        columns = {
            field.name: (
                rows.column(field.name).cast(field.type)
                if field.name in rows.schema.names
                else pa.nulls(len(others), field.type)
            )
            for field in self.rows.schema
        }
        whole = pa.concat_batches(
            [self.rows, pa.RecordBatch.from_pydict(columns, schema=self.rows.schema)]
        )
        order = np.argsort(xxh64(whole.column("item_id")), kind="stable")
        return Snapshot(whole.take(pa.array(order)))


class Newest:
    """Rows of items with their times, of which the newest of each item stays; of those of one
    time the last by a hash of their values."""

    def __init__(self) -> None:
        self._found: list[pa.RecordBatch] = []

    def add(self, rows: pa.RecordBatch, time: np.ndarray) -> None:
        """rows: item_id and further columns; time: int64 of each, ALWAYS where it is not known."""
        self._found.append(_newest(rows.append_column(SEEN, pa.array(time))))
        if len(self._found) > 16:
            self._found = [_newest(pa.concat_batches(self._found))]

    def snapshot(self) -> Snapshot:
        if not self._found:
            return Snapshot(pa.RecordBatch.from_pydict({"item_id": pa.array([], pa.int64())}))
        return Snapshot(_newest(pa.concat_batches(self._found)).drop_columns([SEEN]))


def _newest(rows: pa.RecordBatch) -> pa.RecordBatch:
    key = xxh64(rows.column("item_id"))
    time = rows.column(SEEN).fill_null(int(ALWAYS)).to_numpy(zero_copy_only=False)
    others = rows.drop_columns([SEEN, "item_id"])
    lot = hash_rows(others) if others.num_columns else np.zeros(len(key), U64)
    order = np.lexsort((lot, time, key))
    ordered = key[order]
    is_last = np.append(ordered[1:] != ordered[:-1], True)[: len(order)]
    return rows.take(pa.array(order[is_last]))
