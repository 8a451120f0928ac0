"""What each user responded to before a request: the build's table `responses`, by user and time.

It answers as a feature table does (`features.table.Features`), with a list for each request.
Shapes: H responses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rankdistill.catalogue.guide import Guide
from rankdistill.features.table import ALWAYS, Features, key_of_rows, micros
from rankdistill.hashing import U64, xxh64
from rankdistill.lists.batch import spans
from rankdistill.student.vocabulary import plain

NAME = "responses"  # of the table, and of the column that fields read
COLUMNS = ("user_id", "request_time", "item_id")
MOST = 200  # newest items of a list; a field keeps its `last` of them


def keys_held(columns: Sequence[pa.ListArray]) -> tuple[np.ndarray, np.ndarray]:
    """Of lists of item ids for each of R requests: (request, int64 [H] ascending; key of an item,
    uint64 [H]) of every item of every list."""
    requests, keys = [np.zeros(0, np.int64)], [np.zeros(0, U64)]
    for column in columns:
        items = column.flatten()
        is_there = items.is_valid().to_numpy(zero_copy_only=False)
        requests.append(pc.list_parent_indices(column).to_numpy()[is_there])
        keys.append(xxh64(plain(items))[is_there])
    request, key = np.concatenate(requests), np.concatenate(keys)
    order = np.argsort(request, kind="stable")
    return request[order], key[order]


@dataclass(frozen=True)
class Histories:
    """rows: H responses by user, then time, then a hash of the item, with the item as column."""

    rows: Features

    def find(self, key: np.ndarray, time: np.ndarray) -> np.ndarray:
        """The place of the last response of each user [n] before the time [n], -1 where there is
        none (int64): one of the request itself, or of its instant, is not known yet."""
        return self.rows.find(key, np.where(time == ALWAYS, ALWAYS, time - (time != ALWAYS)))

    def take(self, row: np.ndarray) -> list[pa.Array]:
        """The items up to the places that `find` found, oldest first, the newest MOST of them."""
        start = self.rows.start
        first = start[np.maximum(np.searchsorted(start, row, side="right") - 1, 0)]
        begin = np.maximum(first, row + 1 - MOST)
        lengths = np.where(row < 0, 0, row + 1 - begin)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        items = self.rows.columns[0].take(pa.array(spans(begin, lengths)))
        return [pa.ListArray.from_arrays(pa.array(offsets), items)]

    @classmethod
    def of(cls, responses: pa.Table) -> Histories:
        """responses: COLUMNS of every response; those without a user or a time are left out."""
        held = responses.select(list(COLUMNS)).combine_chunks().drop_null()
        user, time, item = (each.combine_chunks() for each in held.columns)
        key, when = key_of_rows([user])[0], micros(time)
        order = np.lexsort((xxh64(item), when, key))
        key, when = key[order], when[order]
        first = np.flatnonzero(np.append(True, key[1:] != key[:-1])[: len(key)])
        start = np.append(first, len(key))
        place = np.arange(len(key))
        column = item.take(pa.array(order))
        return cls(Features(Guide.over(key[first], 64), start, when, place, (column,)))

    @classmethod
    def load(cls, files: Sequence[str]) -> Histories:
        """Those in the files that `put` wrote."""
        return cls.of(pa.concat_tables([pq.read_table(file) for file in files]))
