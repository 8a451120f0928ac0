"""Parquet files of a log read against their own page checksums, before an engine reads them.

No engine here verifies them. A checksum covers the bytes of a page, neither its header nor the
footer, so what these say twice is compared as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from rankdistill.errors import InputError
from rankdistill.log.formats import unreadable

MAX_ROWS = 65_536
HEADER_BYTES = 1 << 16  # statistics may stand in a page's header
# Of Thrift's compact protocol: https://github.com/apache/thrift/blob/master/doc/specs
_STRUCT, _KIND, _SIZE, _CRC = 12, 1, 3, 4
_NUMBERS, _BYTES = (4, 5, 6), 8


def verify(path: str, skip_key: str | None = None) -> bool:
    """Whether the pages of a Parquet file carry checksums; all of it has then been read.

    Raises InputError E0310 where a page is not what its checksum says, or the file cannot be
    read or contradicts itself; skip_key: as of `unreadable`.
    """
    try:
        with open(path, "rb") as raw, pq.ParquetFile(path, page_checksum_verification=True) as file:
            # First of all: asked for a column's place in a damaged footer that nobody has read by,
            # pyarrow does not raise but ends the process.
            for batch in file.iter_batches(MAX_ROWS):
                batch.validate(full=True)
            _refuse_contradictions(file)
            marked = {mark for start, size in _chunks(file) for mark in _marks(raw, start, size)}
            if len(marked) > len({kind for kind, _ in marked}):
                raise ValueError("some of its pages have lost their checksums")
    # Of damaged files pyarrow raises much: a size that is absurd is a MemoryError.
    except (pa.ArrowException, OSError, ValueError, IndexError, MemoryError) as fault:
        raise _damaged(path, fault, skip_key) from fault
    return all(has for _, has in marked)


def _damaged(path: str, fault: Exception, skip_key: str | None) -> InputError:
    return unreadable(path, "parquet", str(fault), skip_key)


def _refuse_contradictions(file: pq.ParquetFile) -> None:
    """ValueError where columns are not called alike in the schema and in the row groups."""
    names = [file.schema.column(i).path for i in range(len(file.schema))]
    for number in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(number)
        found = [group.column(i).path_in_schema for i in range(group.num_columns)]
        if found != names:
            raise ValueError(f"row group {number} has other columns than the file's schema")


def _chunks(file: pq.ParquetFile) -> Iterator[tuple[int, int]]:
    """(first byte, bytes) of every column of every row group."""
    for number in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(number)
        for i in range(group.num_columns):
            column = group.column(i)
            # 0 stands for none in files of some writers.
            start = column.dictionary_page_offset or column.data_page_offset
            yield min(start, column.data_page_offset), column.total_compressed_size


def _marks(raw: BinaryIO, start: int, size: int) -> Iterator[tuple[int, bool]]:
    """(kind, whether it carries a checksum) of each page of a column: there are writers that give
    one to dictionaries alone."""
    place, end = start, start + size
    while place < end:
        raw.seek(place)
        header = raw.read(min(HEADER_BYTES, end - place))
        fields, length = _struct(header, 0)
        if fields.get(_SIZE, -1) < 0:
            raise ValueError(f"the page at byte {place} has no size")
        yield fields.get(_KIND, -1), _CRC in fields
        place += length + fields[_SIZE]
    if place != end:
        raise ValueError(f"the pages of the column at byte {start} overrun it")


def _struct(data: bytes, at: int, depth: int = 0) -> tuple[dict[int, int], int]:
    """(numbers by field, where it ends) of a struct; IndexError where the bytes end before it."""
    fields: dict[int, int] = {}
    number = 0
    while data[at]:
        step, kind = data[at] >> 4, data[at] & 15
        at += 1
        if step:
            number += step
        else:
            number, at = _zigzag(data, at)
        if kind in _NUMBERS:
            fields[number], at = _zigzag(data, at)
        else:
            at = _skipped(data, at, kind, depth)
    return fields, at + 1


def _skipped(data: bytes, at: int, kind: int, depth: int) -> int:
    """Where a value that is no number ends."""
    if kind in (1, 2):  # a boolean is its kind
        return at
    if kind == 3:
        return at + 1
    if kind == 7:
        return at + 8
    if kind == _BYTES:
        size, at = _varint(data, at)
        return at + size
    if kind == _STRUCT and depth < 8:
        return _struct(data, at, depth + 1)[1]
    raise ValueError("the header of a page is damaged")  # nor has a page's header lists


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at


def _zigzag(data: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at
