"""What users responded to, and when: the table `responses`, and its look-up by user and time.

The guards of negative draws ask for the items of a window around each request.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from rankdistill.contract import arrow_schema
from rankdistill.hashing import U64, xxh64
from rankdistill.lists.batch import Lists, spans

COLUMNS = ("request_id", "user_id", "request_time", "dt")


class Keys(NamedTuple):
    """Items of R requests: those of request i at offsets[i] : offsets[i + 1] (int64 [R + 1]).

    key: uint64 [E], the items' xxh64, ascending and distinct within a request.
    """

    offsets: np.ndarray
    key: np.ndarray


def responses_table(lists: Lists) -> pa.RecordBatch:
    """The table `responses` of one batch, key (request_id, item_id): what was responded to."""
    item = np.flatnonzero(lists.responded)
    request = pa.array(lists.request[item])
    columns = {name: lists.requests.column(name).take(request) for name in COLUMNS}
    columns["item_id"] = lists.candidates.column("item_id").take(pa.array(item))
    return pa.RecordBatch.from_pydict(columns)


def responses_schema(lists: Lists) -> pa.Schema:
    """The Arrow schema of `responses`, for the ids of `lists`."""
    ids = {name: lists.requests.schema.field(name).type for name in ("request_id", "user_id")}
    item_id = lists.candidates.schema.field("item_id").type
    return arrow_schema("responses", {**ids, "item_id": item_id})


@dataclass(frozen=True)
class History:
    """E responses, by user, then time.

    user: uint64 [U] distinct ascending; time: int64 [T] distinct ascending, microseconds;
    when: int64 [E] ascending: index of the user x (T + 1) + index of the time; item: uint64 [E].
    """

    user: np.ndarray
    time: np.ndarray
    when: np.ndarray
    item: np.ndarray

    @classmethod
    def make(cls, responses: pa.Table) -> History:
        """From rows of `responses`; those without a user or a time are of nobody."""
        known = responses.select(["user_id", "request_time", "item_id"]).drop_null()
        user, user_code = np.unique(xxh64(known.column("user_id")), return_inverse=True)
        time, time_code = np.unique(micros(known.column("request_time")), return_inverse=True)
        when = user_code * (len(time) + 1) + time_code
        item = xxh64(known.column("item_id"))
        order = np.lexsort((item, when))
        return cls(user, time, when[order], item[order])

    @classmethod
    def none(cls) -> History:
        """Nobody has responded to anything."""
        empty = np.zeros(0, dtype=np.int64)
        return cls(empty.view(U64), empty, empty, empty.view(U64))

    def before(self, lists: Lists, window: timedelta) -> Keys:
        """What the user of each request responded to in [its time - window, its time)."""
        times = micros(lists.requests.column("request_time"))
        return self._between(lists, times - window // MICRO, times)

    def after(self, lists: Lists, window: timedelta) -> Keys:
        """What the user of each request responded to in (its time, its time + window]."""
        times = micros(lists.requests.column("request_time"))
        return self._between(lists, times + 1, times + window // MICRO + 1)

    def entries(
        self, lists: Lists, first: np.ndarray, last: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(start, length) int64 [R] of the entries of each request's user at first <= time <
        last (microseconds), by time; none without user or time."""
        user = xxh64(lists.requests.column("user_id"))
        index = np.minimum(np.searchsorted(self.user, user), max(len(self.user) - 1, 0))
        known = (self.user[index] == user) if len(self.user) else np.zeros(len(user), dtype=bool)
        for name in ("user_id", "request_time"):
            known &= lists.requests.column(name).is_valid().to_numpy(zero_copy_only=False)
        base = index * (len(self.time) + 1)
        start = np.searchsorted(self.when, base + np.searchsorted(self.time, first))
        end = np.searchsorted(self.when, base + np.searchsorted(self.time, last))
        return start, np.where(known, end - start, 0)

    def time_of(self, entry: np.ndarray) -> np.ndarray:
        """When each entry was, int64 microseconds."""
        return self.time[self.when[entry] % (len(self.time) + 1)]

    @property
    def newest(self) -> int | None:
        """When the last response was, None where there is none."""
        return int(self.time[-1]) if len(self.time) else None

    def _between(self, lists: Lists, first: np.ndarray, last: np.ndarray) -> Keys:
        """Of each request's user, the items at first <= time < last; none without user or time."""
        start, length = self.entries(lists, first, last)
        request = np.repeat(np.arange(lists.num_requests), length)
        return _distinct(request, self.item[spans(start, length)], lists.num_requests)


def _distinct(request: np.ndarray, key: np.ndarray, num_requests: int) -> Keys:
    order = np.lexsort((key, request))
    request, key = request[order], key[order]
    first = np.ones(len(key), dtype=bool)
    first[1:] = (key[1:] != key[:-1]) | (request[1:] != request[:-1])
    counts = np.bincount(request[first], minlength=num_requests)
    return Keys(np.concatenate([[0], np.cumsum(counts)]), key[first].astype(U64, copy=False))


MICRO = timedelta(microseconds=1)


def micros(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """int64 microseconds since 1970; 0 where there is none."""
    return column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).fill_null(0).to_numpy()
