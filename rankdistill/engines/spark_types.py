"""Arrow's types as Spark's: the explicit schema under which Spark reads our files."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from rankdistill.errors import InputError

if TYPE_CHECKING:
    from pyspark.sql.types import StructType


def spark_schema(
    fields: Iterable[pa.Field], nanos_are_numbers: bool = False, int96: Collection[str] = ()
) -> StructType:
    """Spark's schema for Arrow fields; int96: names whose timestamps are stored the old way."""
    from pyspark.sql import types as T  # noqa: N812

    found = []
    for field in fields:
        nanos = nanos_are_numbers and field.name not in int96
        kind = T.TimestampType() if field.name in int96 else _type(field.type, nanos, field.name)
        found.append(T.StructField(field.name, kind))
    return T.StructType(found)


def _type(kind: pa.DataType, nanos_are_numbers: bool, name: str) -> Any:
    from pyspark.sql import types as T  # noqa: N812

    def inner(found: pa.DataType) -> Any:
        return _type(found, nanos_are_numbers, name)

    if pa.types.is_dictionary(kind):
        return inner(kind.value_type)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_list_view(kind):
        return T.ArrayType(inner(kind.value_type))
    if pa.types.is_struct(kind):
        return T.StructType([T.StructField(f.name, inner(f.type)) for f in kind])
    if pa.types.is_timestamp(kind):
        if kind.unit == "ns" and nanos_are_numbers:
            return T.LongType()
        return T.TimestampNTZType() if kind.tz is None else T.TimestampType()
    if pa.types.is_decimal(kind) and kind.precision <= 38:
        return T.DecimalType(kind.precision, kind.scale)
    for found, spark in _simple().items():
        if kind == found:
            return spark
    raise InputError(
        "E0304",
        f'column "{name}" is {kind}, which the spark engine does not read',
        help="convert it in the log, or use --engine duckdb",
    )


def _simple() -> dict[pa.DataType, Any]:
    from pyspark.sql import types as T  # noqa: N812

    return {
        pa.bool_(): T.BooleanType(),
        pa.int8(): T.ByteType(),
        pa.int16(): T.ShortType(),
        pa.int32(): T.IntegerType(),
        pa.int64(): T.LongType(),
        pa.uint8(): T.LongType(),
        pa.uint16(): T.LongType(),
        pa.uint32(): T.LongType(),
        pa.uint64(): T.DecimalType(20, 0),
        pa.float32(): T.FloatType(),
        pa.float64(): T.DoubleType(),
        pa.string(): T.StringType(),
        pa.large_string(): T.StringType(),
        pa.string_view(): T.StringType(),
        pa.binary(): T.BinaryType(),
        pa.large_binary(): T.BinaryType(),
        pa.date32(): T.DateType(),
        pa.date64(): T.DateType(),
        pa.null(): T.StringType(),
    }
