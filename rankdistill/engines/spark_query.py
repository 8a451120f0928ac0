"""A projection's columns and a log's conditions as Spark columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from rankdistill.engines.delivered import type_at
from rankdistill.engines.query import Path
from rankdistill.engines.spark_read import column
from rankdistill.engines.sql import column_type
from rankdistill.log.casts import SHARP, WHOLE
from rankdistill.log.source import Condition

if TYPE_CHECKING:
    from pyspark.sql import Column


def projection(
    paths: Mapping[str, Path], schema: pa.Schema, ids: Mapping[str, str]
) -> list[Column]:
    """Each path under its alias. ids: aliases to be read as int or text, null where that cannot
    be."""
    found = {alias: expression(path, schema) for alias, path in paths.items()}
    for alias in ids.keys() & paths.keys():
        found[alias] = _id(found[alias], type_at(paths[alias], schema), ids[alias])
    return [value.alias(alias) for alias, value in found.items()]


def _id(value: Column, kind: pa.DataType, read_as: str) -> Column:
    """An id as `log.casts` reads it."""
    from pyspark.sql import functions as F  # noqa: N812

    if read_as == "text":
        return value.cast("string")
    number = value.try_cast("bigint")
    if pa.types.is_floating(kind):
        return F.when((value == F.floor(value)) & (F.abs(value) < F.lit(SHARP)), number)
    return number if pa.types.is_integer(kind) else F.when(value.rlike(WHOLE), number)


def expression(path: Path, schema: pa.Schema) -> Column:
    """The value at `path`; a field inside a list of structs is the list of its values."""
    from pyspark.sql import functions as F  # noqa: N812

    kind = type_at(path, schema)
    if pa.types.is_null(kind):
        return F.lit(None).cast("string")
    found = column(path[0])
    for part in path[1:]:
        found = found.getField(part)
    return found


def condition(where: Condition, schema: pa.Schema) -> Column:
    """One condition of `log.where`; null where its column is."""
    from pyspark.sql import functions as F  # noqa: N812

    kind = column_type(where.column, schema)
    named = where.column in schema.names
    found = expression((where.column,) if named else tuple(where.column.split(".")), schema)
    if where.op == "is_null":
        return found.isNull()
    if where.op == "not_null":
        return found.isNotNull()
    values = where.values if where.op == "in" else [where.value]
    assert values is not None
    if pa.types.is_string(kind) and any(isinstance(v, int | float) for v in values):
        found = found.try_cast("double")
    literals = [F.lit(value) for value in values]
    return {
        "=": lambda: found == literals[0],
        "!=": lambda: found != literals[0],
        "<": lambda: found < literals[0],
        "<=": lambda: found <= literals[0],
        ">": lambda: found > literals[0],
        ">=": lambda: found >= literals[0],
        "in": lambda: found.isin(*literals),
    }[where.op]()
