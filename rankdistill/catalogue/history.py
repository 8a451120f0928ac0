"""What users responded to, and when: the table `responses`, and its look-up by user and time.

The guards of negative draws ask for the items of a window around each request.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from rankdistill.arrays import ArrayFile, mapped
from rankdistill.arrays import put as put_array
from rankdistill.buckets import Buckets
from rankdistill.catalogue.guide import lower_bound
from rankdistill.contract import arrow_schema
from rankdistill.hashing import U64, xxh64
from rankdistill.lists.batch import Lists, not_null, spans

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
    """E responses, by user, then time. All arrays are mapped.

    user: uint64 [U] distinct ascending; those of user u stand at offsets[u] : offsets[u + 1]
    (int64 [U + 1]); time: int64 [E], microseconds; item: uint64 [E], key; latest: int64 [1],
    the newest time of all, or [0].
    """

    user: np.ndarray
    offsets: np.ndarray
    time: np.ndarray
    item: np.ndarray
    latest: np.ndarray

    @classmethod
    def load(cls, folder: Path) -> History:
        """What `put_history` put into the folder."""
        return cls(*(mapped(folder / f"history.{field.name}.npy") for field in fields(cls)))

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
        low, length = self.of_users(lists)
        start = lower_bound(self.time, low, low + length, first)
        return start, lower_bound(self.time, start, low + length, last) - start

    def of_users(self, lists: Lists) -> tuple[np.ndarray, np.ndarray]:
        """(start, length) int64 [R] of all entries of each request's user, by time; none without
        user or time."""
        user = xxh64(lists.requests.column("user_id"))
        index = np.searchsorted(self.user, user)
        known = self.user.take(index, mode="clip") == user if len(self.user) else index < 0
        for name in ("user_id", "request_time"):
            known &= not_null(lists.requests.column(name))
        low, high = (self.offsets.take(index + n, mode="clip") for n in (0, 1))
        return low, np.where(known, high - low, 0)

    def time_of(self, entry: np.ndarray) -> np.ndarray:
        """When each entry was, int64 microseconds."""
        return self.time[entry]

    @property
    def newest(self) -> int | None:
        """When the last response was, None where there is none."""
        return int(self.latest[0]) if len(self.latest) else None

    def _between(self, lists: Lists, first: np.ndarray, last: np.ndarray) -> Keys:
        """Of each request's user, the items at first <= time < last; none without user or time."""
        start, length = self.entries(lists, first, last)
        request = np.repeat(np.arange(lists.num_requests), length)
        return _distinct(request, self.item[spans(start, length)], lists.num_requests)


_ROWS = pa.schema([("user", pa.uint64()), ("time", pa.int64()), ("item", pa.uint64())])


def put_history(folder: Path, responses: Iterable[pa.RecordBatch], num_rows: int) -> None:
    """Rows of `responses` (user_id, request_time, item_id), in any order, into new files in
    `folder`, for `History.load`; those without a user or a time are of nobody.

    num_rows: about how many. What one user responded to must fit into memory.
    """
    files = {"user": np.uint64, "offsets": np.int64, "time": np.int64, "item": np.uint64}
    latest: list[int] = []
    with ExitStack() as opened:
        put = {
            name: opened.enter_context(ArrayFile(folder / f"history.{name}.npy", dtype)).append
            for name, dtype in files.items()
        }
        buckets = opened.enter_context(Buckets(folder / "history.rows", _ROWS, num_rows))
        for batch in responses:
            known = batch.select(["user_id", "request_time", "item_id"]).drop_null()
            user, item = (xxh64(known.column(name)) for name in ("user_id", "item_id"))
            buckets.put(user, [user, micros(known.column("request_time")), item])
        num = 0
        put["offsets"](np.zeros(1))
        for bucket in buckets.taken():
            user, time, item = (column.to_numpy() for column in bucket.columns)
            order = np.lexsort((time, user))
            user = user[order]
            start = np.flatnonzero(np.concatenate([[True], user[1:] != user[:-1]]))
            put["user"](user[start])
            put["offsets"](num + np.append(start[1:], len(user)))
            put["time"](time[order])
            put["item"](item[order])
            num += len(user)
            latest = [max([*latest, int(time.max())])]
    put_array(folder / "history.latest.npy", [np.array(latest)], np.int64)


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
