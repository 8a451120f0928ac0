"""The content hash of a table: equal for equal rows, whatever their order, files or batches.

Each row has a 64-bit hash over its columns' names and values; the table's is their sum
modulo 2^64, beside the number of rows. A null adds nothing, so a column that holds only nulls
counts like one that is not there (a table may have been widened since).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rankdistill.hashing import U64, mix, name_key, xxh64

NULL_ELEMENT = U64(0x6E756C6C)  # a null inside a list has a place, so it must count


class ContentHash(NamedTuple):
    """Adds up over disjoint sets of rows."""

    hash: int
    rows: int

    def __add__(self, other: tuple) -> ContentHash:
        return ContentHash((self.hash + other[0]) % 2**64, self.rows + other[1])

    def __str__(self) -> str:
        return f"{self.hash:016x}/{self.rows}"


def content_hash(batches: Iterable[pa.RecordBatch]) -> ContentHash:
    """The hash of all rows of `batches`."""
    total = ContentHash(0, 0)
    for batch in batches:
        hashed = row_hashes(batch)
        with np.errstate(over="ignore"):
            total += (int(hashed.sum(dtype=U64)), batch.num_rows)
    return total


def row_hashes(batch: pa.RecordBatch) -> np.ndarray:
    """uint64 [rows]; columns may stand in any order."""
    state = np.zeros(batch.num_rows, dtype=U64)
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        hashed = mix(name_key(name), _values(column))
        if column.null_count:
            hashed[pc.is_null(column).to_numpy(zero_copy_only=False)] = 0
        state += hashed
    return mix(state)


def _values(column: pa.Array) -> np.ndarray:
    """A hash per value, uint64 [rows]; anything where the value is null."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        if not len(column.dictionary):
            return np.zeros(len(column), dtype=U64)
        hashed = _values(column.dictionary)
        return hashed[column.indices.fill_null(0).to_numpy(zero_copy_only=False)]
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _lists(column)
    if pa.types.is_floating(kind):
        return _floats(column)
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    elif pa.types.is_temporal(kind):
        column = column.view(pa.int32() if kind.bit_width == 32 else pa.int64())
    return xxh64(column)


def _floats(column: pa.Array) -> np.ndarray:
    """By their float64 bits; every NaN alike, -0.0 apart from 0.0."""
    values = column.cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False)
    bits = np.where(np.isnan(values), np.nan, values).view(U64)
    return mix(bits)


def _lists(column: pa.Array) -> np.ndarray:
    """By length, and each element with its place; sums wrap, so a running total is exact."""
    elements = column.flatten()
    lengths = pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False)
    ends = np.cumsum(lengths, dtype=np.int64)
    starts = ends - lengths
    hashed = _values(elements)
    if elements.null_count:
        hashed[pc.is_null(elements).to_numpy(zero_copy_only=False)] = NULL_ELEMENT
    place = np.arange(len(elements)) - np.repeat(starts, lengths)
    running = np.concatenate([np.zeros(1, U64), np.cumsum(mix(place, hashed), dtype=U64)])
    return mix(lengths.astype(np.int64), running[ends] - running[starts])
