"""Thrift's compact protocol, read and written: footers of Parquet that no writer would write.

A struct is {field: (kind, value)}; a list is (kind of its items, items).
"""

from __future__ import annotations

from typing import Any

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BYTES, LIST, SET, _MAP, STRUCT = range(1, 13)
Struct = dict[int, tuple[int, Any]]


def decode(data: bytes, at: int = 0) -> tuple[Struct, int]:
    found: Struct = {}
    field = 0
    while data[at]:
        step, kind = data[at] >> 4, data[at] & 15
        at += 1
        if step:
            field += step
        else:
            field, at = _zigzag(data, at)
        value, at = _value(data, at, kind)
        found[field] = (kind, value)
    return found, at + 1


def _value(data: bytes, at: int, kind: int) -> tuple[Any, int]:
    if kind in (TRUE, FALSE):
        return kind == TRUE, at
    if kind == BYTE:
        return data[at], at + 1
    if kind in (I16, I32, I64):
        return _zigzag(data, at)
    if kind == DOUBLE:
        return data[at : at + 8], at + 8
    if kind == BYTES:
        size, at = _varint(data, at)
        return data[at : at + size], at + size
    if kind in (LIST, SET):
        size, inner = data[at] >> 4, data[at] & 15
        at += 1
        if size == 15:
            size, at = _varint(data, at)
        items = []
        for _ in range(size):
            if inner in (TRUE, FALSE):
                item, at = data[at] == TRUE, at + 1
            else:
                item, at = _value(data, at, inner)
            items.append(item)
        return (inner, items), at
    assert kind == STRUCT, kind
    return decode(data, at)


def encode(struct: Struct) -> bytes:
    made, last = b"", 0
    for field, (kind, value) in sorted(struct.items()):
        if kind in (TRUE, FALSE):
            kind = TRUE if value else FALSE
        step = field - last
        made += bytes([step << 4 | kind]) if step < 16 else bytes([kind]) + _signed(field)
        made += b"" if kind in (TRUE, FALSE) else _encoded(kind, value)
        last = field
    return made + b"\0"


def _encoded(kind: int, value: Any) -> bytes:
    if kind == BYTE:
        return bytes([value])
    if kind in (I16, I32, I64):
        return _signed(value)
    if kind == DOUBLE:
        return bytes(value)
    if kind == BYTES:
        return _unsigned(len(value)) + value
    if kind in (LIST, SET):
        inner, items = value
        size = len(items)
        head = bytes([size << 4 | inner]) if size < 15 else bytes([0xF0 | inner]) + _unsigned(size)
        if inner in (TRUE, FALSE):
            return head + bytes(TRUE if item else FALSE for item in items)
        return head + b"".join(_encoded(inner, item) for item in items)
    return encode(value)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 128:
            return value, at


def _zigzag(data: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def _unsigned(value: int) -> bytes:
    made = b""
    while value > 127:
        made, value = made + bytes([value & 127 | 128]), value >> 7
    return made + bytes([value])


def _signed(value: int) -> bytes:
    return _unsigned((value << 1) ^ (value >> 63))
