"""TFRecord files of tf.train.Example: a record per row, a feature per column.

Framing: length (uint64), its masked CRC-32C, the message, its masked CRC-32C; all little-endian.
Message: https://www.tensorflow.org/tutorials/load_data/tfrecord. Integers go to int64_list,
floats to float_list (32 bits: the format has no other), strings to bytes_list, times to
int64_list as microseconds since 1970.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rankdistill.errors import ResourceError
from rankdistill.export.asked import Asked
from rankdistill.export.folder import Folder
from rankdistill.export.shapes import by_split
from rankdistill.export.source import Source

BATCH = 8_192
BYTES, FLOATS, INTS = b"\x0a", b"\x12", b"\x1a"  # fields 1, 2, 3 of tf.train.Feature
FIELD_1, FIELD_2 = b"\x0a", b"\x12"  # of any message, with a length before the content


def tfrecord(source: Source, table: str, asked: Asked, folder: Folder) -> None:
    """<split>.tfrecord: every column of the table.

    A null is a feature that is absent. In a list, whose places must stay: NaN, or 0 for a rank.
    """
    checksum = _checksum()
    for batch in source.follow(source.read(table, source.schema(table).names)):
        for start in range(0, batch.num_rows, BATCH):
            for split, rows in by_split(batch.slice(start, BATCH)):
                data = b"".join(framed(record, checksum) for record in examples(rows))
                folder.write(f"{split}.tfrecord", data, rows.num_rows)


def framed(record: bytes, checksum: Callable[[bytes], int]) -> bytes:
    """A record as it lies in the file. checksum: CRC-32C of bytes."""
    length = struct.pack("<Q", len(record))
    return b"".join((length, _masked(checksum(length)), record, _masked(checksum(record))))


def _masked(crc: int) -> bytes:
    """Rotated and shifted, so that a checksum over bytes that hold one still tells."""
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def _checksum() -> Callable[[bytes], int]:
    try:
        from google_crc32c import value
    except ImportError:
        raise ResourceError(
            "E0404",
            "--as tfrecord needs the package google-crc32c, which is not installed",
            help="pip install 'rankdistill[tfrecord]'",
        ) from None
    return value


def examples(rows: pa.RecordBatch) -> list[bytes]:
    """tf.train.Example of each row; features in the order of the columns."""
    columns = [_features(field.name, rows[field.name]) for field in rows.schema]
    return [_message(FIELD_1, b"".join(row)) for row in zip(*columns, strict=True)]


def _features(name: str, column: pa.Array) -> list[bytes]:
    """The entry of one column in the map of features, for each row; empty where it is null."""
    key = _message(FIELD_1, name.encode())

    def entries(kind: bytes, rows: Iterable[bytes]) -> list[bytes]:
        return [_message(FIELD_1, key + _message(FIELD_2, _message(kind, row))) for row in rows]

    if pa.types.is_list(column.type):
        kind, encode, values = _encoded(column.flatten())
        offsets = np.concatenate([[0], np.cumsum(pc.list_value_length(column).fill_null(0))])
        made = entries(kind, (encode(values[a:b]) for a, b in pairwise(offsets)))
        return [
            row if here else b""
            for row, here in zip(made, column.is_valid().to_pylist(), strict=True)
        ]
    # Most columns repeat their values: each is encoded once.
    coded = column.dictionary_encode()
    kind, encode, values = _encoded(coded.dictionary)
    made = [*entries(kind, (encode([value]) for value in values)), b""]
    return [made[i] for i in coded.indices.fill_null(len(values)).to_pylist()]


def _encoded(values: pa.Array) -> tuple[bytes, Callable[[Sequence[Any]], bytes], list[Any]]:
    """The kind of list, how a part of it is encoded, and the values."""
    kind = values.type
    if pa.types.is_floating(kind):
        return FLOATS, _floats, values.fill_null(float("nan")).to_pylist()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return BYTES, _strings, values.fill_null("").to_pylist()
    if pa.types.is_timestamp(kind):
        values = values.cast(pa.timestamp("us", kind.tz))
    values = values.cast(pa.int8()) if pa.types.is_boolean(kind) else values
    return INTS, _ints, values.cast(pa.int64()).fill_null(0).to_pylist()


def _floats(row: Sequence[float]) -> bytes:
    # Beyond 32 bits is an infinity, as TensorFlow's own cast makes it.
    with np.errstate(over="ignore"):
        return _message(FIELD_1, np.asarray(row, dtype="<f4").tobytes())


def _ints(row: Sequence[int]) -> bytes:
    return _message(FIELD_1, b"".join(map(_varint, row)))


def _strings(row: Iterable[str]) -> bytes:
    return b"".join(_message(FIELD_1, value.encode()) for value in row)


def _message(tag: bytes, content: bytes) -> bytes:
    return tag + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Base 128, least significant group first; a negative number as its 64 bits."""
    if 0 <= value < 128:
        return bytes((value,))
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
