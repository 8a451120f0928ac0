"""The columns of a JSON-lines file, from its first lines; one reading for every engine."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import islice
from typing import Any

import pyarrow as pa

from rankdistill.errors import InputError

NUM_LINES = 10_000


def infer_json_schema(lines: Iterable[str], path: str) -> pa.Schema:
    """Integers, floats, booleans, strings, lists and objects as they are written; text that
    looks like a time stays text. InputError E0310 for a line that is no object, E0304 for a
    column that mixes types. A line beyond the first that breaks the schema is the engine's to
    refuse (E0310)."""
    fields: dict[str, pa.DataType] = {}
    seen = False
    for number, line in enumerate(islice(lines, NUM_LINES), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as fault:
            raise _broken(f"{path}:{number} is no JSON", fault.msg) from fault
        if not isinstance(row, dict):
            raise _broken(f"{path}:{number} is no JSON object", line.strip()[:80])
        seen = True
        for name, value in row.items():
            at = f'{path}:{number}, column "{name}"'
            fields[name] = merged(fields.get(name, pa.null()), _kind(value, at), at)
    if not seen:
        raise _broken(f"{path} cannot be read as jsonl", "it is empty")
    return pa.schema([(n, pa.string() if pa.types.is_null(k) else k) for n, k in fields.items()])


def _broken(message: str, found: str) -> InputError:
    return InputError("E0310", message, found=found, help="write one JSON object per line")


def _kind(value: Any, at: str) -> pa.DataType:
    if value is None:
        return pa.null()
    if isinstance(value, dict):
        return pa.struct([(name, _kind(inner, at)) for name, inner in value.items()])
    if isinstance(value, list):
        kind = pa.null()
        for inner in value:
            kind = merged(kind, _kind(inner, at), at)
        return pa.list_(kind)
    simple = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
    return simple[type(value)]


def merged(a: pa.DataType, b: pa.DataType, at: str) -> pa.DataType:
    if a == b or pa.types.is_null(b):
        return a
    if pa.types.is_null(a):
        return b
    if {a, b} == {pa.int64(), pa.float64()}:
        return pa.float64()
    if pa.types.is_list(a) and pa.types.is_list(b):
        return pa.list_(merged(a.value_type, b.value_type, at))
    if pa.types.is_struct(a) and pa.types.is_struct(b):
        fields = {field.name: field.type for field in a}
        for field in b:
            fields[field.name] = merged(fields.get(field.name, pa.null()), field.type, at)
        return pa.struct(list(fields.items()))
    raise InputError(
        "E0304",
        f"{at}: values of several types",
        found=f"{a} and {b}",
        help="write one type per column",
    )
