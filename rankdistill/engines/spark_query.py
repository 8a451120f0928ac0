"""A projection's columns and a log's conditions as Spark columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from rankdistill.engines.delivered import type_at
from rankdistill.engines.query import Path
from rankdistill.engines.spark_read import column
from rankdistill.engines.sql import column_type
from rankdistill.log.source import Condition

if TYPE_CHECKING:
    from pyspark.sql import Column


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
