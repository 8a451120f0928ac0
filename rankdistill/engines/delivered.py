"""The Arrow types in which every engine hands over a source's columns.

Engines read one file into types of their own (DuckDB TIMESTAMP_NS, Spark decimal for uint64);
rows are hashed and kept as text further on, so they must leave both engines alike.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from rankdistill.engines.query import Path, Query
from rankdistill.lists.group import IS_FEEDBACK
from rankdistill.log.casts import TIME
from rankdistill.log.mapping import ID_TYPES


def delivered_schema(query: Query) -> pa.Schema:
    """alias: type, of all columns of a query's rows."""
    kinds = _kinds(query.paths, query.log.schema, query.ids)
    if query.feedback is not None:
        assert query.feedback_paths is not None
        assert query.feedback_key is not None
        kinds |= _kinds(query.feedback_paths, query.feedback.schema, query.ids)
        (key,) = query.group
        if kinds[key] != kinds[query.feedback_key] and pa.types.is_integer(kinds[key]):
            kinds[key] = pa.int64()
        kinds[IS_FEEDBACK] = pa.bool_()
    return pa.schema(list(kinds.items()))


def _kinds(
    paths: Mapping[str, Path], schema: pa.Schema, ids: Mapping[str, str]
) -> dict[str, pa.DataType]:
    return {
        alias: ID_TYPES[ids[alias]] if alias in ids else delivered(type_at(path, schema))
        for alias, path in paths.items()
    }


def type_at(path: Path, schema: pa.Schema) -> pa.DataType:
    """The type of the source column at `path`; of a field inside a list of structs, its list."""
    kind, in_list = schema.field(path[0]).type, False
    for part in path[1:]:
        if not pa.types.is_struct(kind):
            kind, in_list = kind.value_type, True
        kind = kind.field(part).type
    return pa.list_(kind) if in_list else kind


def delivered(kind: pa.DataType) -> pa.DataType:
    """What a column of type `kind` is handed over as; no value changes, but for nanoseconds."""
    if pa.types.is_dictionary(kind):
        return delivered(kind.value_type)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_list_view(kind):
        return pa.list_(delivered(kind.value_type))
    if pa.types.is_timestamp(kind):
        return TIME
    if pa.types.is_null(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if kind in (pa.uint8(), pa.uint16(), pa.uint32()):
        return pa.int64()
    return kind


def conform(rows: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """`rows` in the columns, order and types of `schema`: all three count when a row is hashed."""
    if rows.schema.names == schema.names and rows.schema.types == schema.types:
        return rows
    columns = [_cast(rows.column(field.name), field.type) for field in schema]
    return pa.RecordBatch.from_arrays(columns, names=schema.names)


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if column.type == kind:
        return column
    if pa.types.is_list(kind) and pa.types.is_list(column.type):
        values = _cast(column.flatten(), kind.value_type)
        offsets = pc.subtract(column.offsets, column.offsets[0])
        return pa.ListArray.from_arrays(offsets, values, mask=column.is_null())
    if pa.types.is_timestamp(kind) and pa.types.is_integer(column.type):
        column = column.cast(pa.timestamp("ns"))  # Spark's reading of nanoseconds
    # The one loss that is meant: nanoseconds are cut off.
    return column.cast(kind, safe=not pa.types.is_timestamp(column.type))
