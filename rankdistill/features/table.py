"""A feature table in memory, and its look-up by key and time: the newest row at or before it.

Loaded once per process. Shapes: F rows of the table, K keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rankdistill.catalogue.guide import Guide
from rankdistill.errors import InputError
from rankdistill.features.bind import TIME
from rankdistill.hashing import U64, hash_rows, mix, xxh64
from rankdistill.lists.batch import not_null

ALWAYS = np.iinfo(np.int64).min  # before every time: since when a row without a time holds


@dataclass(frozen=True)
class Features:
    """F rows by key, then time; of rows of one key and time the last by their hash.

    key: uint64 [K] distinct ascending; those of key k stand at start[k] : start[k + 1] (int64
    [K + 1]); time: int64 [F'] ascending within a key, microseconds; row: int64 [F'], where it
    stands in `columns`.
    """

    key: Guide
    start: np.ndarray
    time: np.ndarray
    row: np.ndarray
    columns: tuple[pa.Array, ...]

    def find(self, key: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Where in `columns` the row of each key [n] stands that is the newest at or before the
        time [n]; -1 where there is none (int64). Time ALWAYS: none is known."""
        if not len(self.row):
            return np.full(len(key), -1)
        index = np.maximum(self.key.num_up_to(key) - 1, 0)
        known = self.key.values[index] == key
        first = self.start[index]
        end = np.where(known, self.start[index + 1], first)
        newest = self._num_up_to(first, end, time) - 1
        return np.where(newest >= first, self.row[newest], -1)

    def _num_up_to(self, low: np.ndarray, high: np.ndarray, time: np.ndarray) -> np.ndarray:
        """The first place in low : high (each [n]) whose row is newer than `time`, else high."""
        low, high = low.copy(), high.copy()
        left = np.flatnonzero(low < high)
        while len(left):
            middle = (low[left] + high[left]) // 2
            is_older = self.time[middle] <= time[left]
            low[left] = np.where(is_older, middle + 1, low[left])
            high[left] = np.where(is_older, high[left], middle)
            left = left[low[left] < high[left]]
        return low

    def take(self, row: np.ndarray) -> list[pa.Array]:
        """Each feature of the rows that `find` found, null where there was none."""
        index = pa.array(row, mask=row < 0)
        return [_small(column.take(index)) for column in self.columns]


def key_of_rows(columns: Sequence[pa.Array]) -> tuple[np.ndarray, np.ndarray]:
    """(uint64 [n] one key of the values of a row, bool [n] whether none of them is null)."""
    hashed = [xxh64(column) for column in columns]
    known = [not_null(column) for column in columns]
    return (hashed[0] if len(hashed) == 1 else mix(*hashed)), np.logical_and.reduce(known)


def micros(times: pa.Array) -> np.ndarray:
    """Times as `find` takes them, int64; ALWAYS where there is none."""
    return times.cast(pa.int64()).fill_null(int(ALWAYS)).to_numpy(zero_copy_only=False)


def read_features(
    files: Sequence[str], num_keys: int, num_columns: int, *, timed: bool, place: str
) -> Features:
    """The rows that the canonical parts in `files` hold (`BoundTable.rows`).

    place: of the table in the configuration. InputError E0317: rows of one key without a time.
    """
    keys, times = [np.zeros(0, U64)], [np.zeros(0, np.int64)]
    for batch in _batches(files, [*(f"k{i}" for i in range(num_keys)), *([TIME] * timed)]):
        keys.append(key_of_rows([batch.column(f"k{i}") for i in range(num_keys)])[0])
        times.append(micros(batch.column(TIME)) if timed else np.full(batch.num_rows, ALWAYS))
    key, time = np.concatenate(keys), np.concatenate(times)
    # One after the other: a column is in memory twice while its pieces are put together.
    columns = tuple(_column(files, f"c{i}") for i in range(num_columns))
    found = make_features(key, time, columns)
    if not timed and len(found.row) < len(key):
        raise _doubles(key, files, num_keys, place)
    return found


def make_features(key: np.ndarray, time: np.ndarray, columns: tuple[pa.Array, ...]) -> Features:
    """The table of rows with `key`, `time` and `columns` [F each], in any order."""
    order = np.lexsort((time, key))
    key, time = key[order], time[order]
    is_new = np.ones(len(key), dtype=bool)
    is_new[1:] = (key[1:] != key[:-1]) | (time[1:] != time[:-1])
    if not is_new.all():
        order = _by_hash(order, is_new, columns)
    # Of rows of one key and time the last: the next is new.
    last = np.append(is_new[1:], True)[: len(key)]
    key, time, order = key[last], time[last], order[last]
    first = np.flatnonzero(np.append(True, key[1:] != key[:-1])[: len(key)])
    start = np.append(first, len(key))
    return Features(Guide.over(key[first], 64), start, time, order, columns)


def _by_hash(order: np.ndarray, is_new: np.ndarray, columns: tuple[pa.Array, ...]) -> np.ndarray:
    """`order`, the rows of one key and time among themselves by a hash of their features."""
    group = np.cumsum(is_new)
    tied = ~is_new
    tied[:-1] |= ~is_new[1:]
    index = pa.array(order[tied])
    rows = {f"c{i}": _small(column.take(index)) for i, column in enumerate(columns)}
    lot = hash_rows(pa.RecordBatch.from_pydict(rows))
    order = order.copy()
    order[tied] = order[tied][np.lexsort((lot, group[tied]))]
    return order


def _doubles(key: np.ndarray, files: Sequence[str], num_keys: int, place: str) -> InputError:
    ordered = np.sort(key)
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    num_rows = int(np.isin(key, twice).sum())
    return InputError(
        "E0317",
        f"{place}: {num_rows:,} rows of the feature table share {len(twice):,} keys, and no time "
        "tells which holds",
        found=f"for example key {_example(int(twice[0]), files, num_keys)}",
        help=f"give its time ({place}.time), or write one row per key",
    )


def _example(wanted: int, files: Sequence[str], num_keys: int) -> str:
    for batch in _batches(files, [f"k{i}" for i in range(num_keys)]):
        at = np.flatnonzero(key_of_rows(batch.columns)[0] == U64(wanted))
        if len(at):
            return ", ".join(str(column[int(at[0])]) for column in batch.columns)
    raise AssertionError(wanted)


def _batches(files: Sequence[str], names: list[str]) -> Iterator[pa.RecordBatch]:
    for file in files:
        with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
            yield from parquet.iter_batches(columns=names)


def _column(files: Sequence[str], name: str) -> pa.Array:
    chunks = [_large(batch.column(0)) for batch in _batches(files, [name])]
    return pa.concat_arrays(chunks) if chunks else pa.nulls(0)


def _large(column: pa.Array) -> pa.Array:
    """Text with offsets that hold more than 2 GB of it."""
    return column.cast(pa.large_string()) if pa.types.is_string(column.type) else column


def _small(column: pa.Array) -> pa.Array:
    return column.cast(pa.string()) if pa.types.is_large_string(column.type) else column
