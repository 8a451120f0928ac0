"""The tables' contract: schemas/*.json as Arrow schemas. Ground floor."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

import pyarrow as pa

SAMPLE_TABLES = ("pointwise", "pairwise", "listwise", "negatives")
TABLES = ("lists", *SAMPLE_TABLES, "items", "responses", "rejects", "metrics")

TYPES = {
    "string": pa.string(),
    "int8": pa.int8(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}


def resource(folder: str, name: str) -> Traversable:
    """A shipped file, or the folder where name is "": packaged as rankdistill/<folder>, beside
    the package in a checkout."""
    package = resources.files("rankdistill")
    packaged = package / folder / name if name else package / folder
    return packaged if packaged.is_file() or packaged.is_dir() else package / ".." / folder / name


@cache
def table_contract(table: str) -> dict[str, Any]:
    """schemas/<table>.json, parsed."""
    return json.loads(resource("schemas", f"{table}.json").read_text(encoding="utf-8"))


def arrow_schema(table: str, ids: Mapping[str, pa.DataType], **groups: pa.Schema) -> pa.Schema:
    """The Arrow schema of `table` for a data set.

    ids: the type (int64 or string) of request_id, user_id and item_id.
    groups: the mapped columns of each open group the table has (feedback, item, request).
    Raises KeyError-free: a group the contract does not name is an assertion.
    """
    contract = table_contract(table)
    fields = [_field(column, ids) for column in contract["columns"]]
    for group in contract.get("open", ()):
        for column in groups.get(group["group"], ()):
            kind = pa.list_(column.type) if group["list"] else column.type
            fields.append(pa.field(column.name, kind))
    return pa.schema(fields)


def as_batch(columns: Mapping[str, pa.Array], schema: pa.Schema) -> pa.RecordBatch:
    """`columns` in the order and types of `schema`, but for dictionaries, which stay encoded."""
    arrays, fields = [], []
    for field in schema:
        column = columns[field.name]
        if pa.types.is_dictionary(column.type) and column.type.value_type == field.type:
            field = field.with_type(pa.dictionary(pa.int32(), field.type))
        arrays.append(column if column.type == field.type else column.cast(field.type))
        fields.append(field)
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def _field(column: dict[str, Any], ids: Mapping[str, pa.DataType]) -> pa.Field:
    kind = column["type"]
    inner = kind.removeprefix("list<").removesuffix(">")
    if inner == "id":
        name = column["name"].removeprefix("pos_").removeprefix("neg_")
        arrow = ids[name]
    else:
        arrow = TYPES[inner]
    return pa.field(
        column["name"],
        pa.list_(arrow) if kind.startswith("list<") else arrow,
        nullable=column["nullable"],
    )
