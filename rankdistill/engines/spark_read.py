"""A source as a Spark DataFrame under its logical column names; names are always quoted here.

Files that `log.files` has listed are read with an explicit schema, so Spark infers nothing;
catalogue tables and remote places (scheme://) are Spark's own to list.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from rankdistill.engines.delivered import delivered
from rankdistill.engines.spark_files import (
    BY_LINE,
    BY_PYTHON,
    FILE,
    LINE,
    file_batches,
    line_batches,
)
from rankdistill.engines.spark_types import spark_schema
from rankdistill.errors import ConfigError
from rankdistill.log.files import TREC_NAMES, LogFile, Opened

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, DataFrameReader, SparkSession

NANOS_PER_MICRO = 1000
# For remote files; local ones are read by `spark_files`, as Spark's reader replaces what is no
# UTF-8 and changes line ends inside quotes.
CSV = {"quote": '"', "escape": '"', "nullValue": "", "multiLine": "true", "mode": "FAILFAST"}
BLANKS = " \t\r"


def quoted(identifier: str) -> str:
    """A name that means itself, whatever it holds."""
    return "`" + identifier.replace("`", "``") + "`"


def column(identifier: str) -> Column:
    """The top-level column of that very name."""
    from pyspark.sql import functions as F  # noqa: N812

    return F.col(quoted(identifier))


def read(spark: SparkSession, source: Opened, names: Iterable[str]) -> DataFrame:
    """At least the columns `names` of `source`."""
    if source.by_engine:
        return by_engine(spark, source.options)
    wanted = list(dict.fromkeys(names))
    if source.options.format in BY_PYTHON:
        return _by_python(spark, source, wanted)
    parts = [_files(spark, source, base, files, wanted) for base, files in _by_base(source)]
    return reduce(lambda a, b: a.unionByName(b), parts)


def by_engine(spark: SparkSession, options: Any) -> DataFrame:
    """A catalogue table, or remote files with the columns that Spark finds in them."""
    if options.table is not None:
        return spark.table(options.table)
    paths = [options.path] if isinstance(options.path, str) else list(options.path)
    kind = options.format
    if kind in ("parquet", "orc"):
        return spark.read.format(kind).load(paths)
    if kind == "jsonl":
        return spark.read.option("mode", "FAILFAST").json(paths)
    if kind in ("csv", "tsv"):
        frame = spark.read.options(**_csv_options(options)).csv(paths)
        return frame.toDF(*options.names) if options.names else frame
    if kind == "trec":
        return _trec(spark, paths, options.names or TREC_NAMES)
    raise ConfigError(
        "E0105",
        f"the spark engine reads {kind} from local paths alone",
        found=", ".join(paths[:3]),
        help="write Parquet there, or mount the place",
    )


def _by_base(source: Opened) -> Iterator[tuple[str, list[LogFile]]]:
    """Files by the folder above their partition folders, of which Spark takes one at a time, and
    by the types they write."""
    groups: dict[tuple[str, str], list[LogFile]] = {}
    for file in source.files:
        groups.setdefault((_base(file), str(file.narrow)), []).append(file)
    for (base, _), files in groups.items():
        yield base, files


def _base(file: LogFile) -> str:
    folder, name = file.path.rsplit("/", 1) if "/" in file.path else (".", file.path)
    if name.startswith(("_", ".")):
        raise ConfigError(
            "E0105",
            f"Spark does not see files whose names start with _ or .: {file.path}",
            help="rename it, or use --engine duckdb",
        )
    if not file.partition:
        return folder
    parts = folder.split("/")
    first = len(parts)
    for _ in file.partition:
        first = max(i for i in range(first) if "=" in parts[i])
    return "/".join(parts[:first]) or "/"


def uri(path: str) -> str:
    """A local path as Spark takes it: no glob, and never on the cluster's own file system."""
    return "file://" + re.sub(r"([\[\]{}*?\\])", r"\\\1", os.path.abspath(path))


def _files(
    spark: SparkSession, source: Opened, base: str, files: list[LogFile], names: list[str]
) -> DataFrame:
    kind, own = source.options.format, source.partition_names
    paths = [uri(file.path) for file in files]
    data = [field for field in source.schema if field.name not in own]
    reader = spark.read
    if own:
        reader = reader.option("basePath", "file://" + os.path.abspath(base))
    partitions = [pa.field(name, pa.string()) for name in own]
    if kind in BY_LINE:
        fields = [field for field in data if field.name in names]
        return _by_line(reader, kind, paths, data if fields and kind == "trec" else fields, own)
    int96 = _int96_columns(files[0].path) if kind == "parquet" else frozenset()
    narrow = dict(files[0].narrow)
    wanted = [f for f in data if f.name in names and not pa.types.is_null(f.type)]
    own_types = [f.with_type(narrow.get(f.name, f.type)) for f in wanted]
    fields = [f for f in own_types if not pa.types.is_null(f.type)]
    schema = spark_schema([*fields, *partitions], kind == "parquet", int96)
    frame = reader.schema(schema).format(kind).load(paths)
    frame = _widened(frame, [f for f in wanted if f.name in narrow], set(frame.columns))
    return _with_times(frame, [f.name for f in fields if _is_nanos(f.type)], int96, kind)


def _widened(frame: DataFrame, fields: list[pa.Field], present: set[str]) -> DataFrame:
    """Columns that these files write in another type than the source has, in the source's."""
    from pyspark.sql import functions as F  # noqa: N812

    for field in fields:
        (target,) = spark_schema([field]).fields
        value = column(field.name) if field.name in present else F.lit(None)
        frame = frame.withColumn(field.name, value.cast(target.dataType))
    return frame


def _csv_options(options: Any) -> dict[str, str]:
    delimiter = options.delimiter or ("\t" if options.format == "tsv" else ",")
    # Without pruning every row is checked for its number of fields.
    return {
        **CSV,
        "sep": delimiter,
        "header": str(options.header).lower(),
        "columnPruning": "false",
    }


def _is_nanos(kind: pa.DataType) -> bool:
    return pa.types.is_timestamp(kind) and kind.unit == "ns"


def _with_times(frame: DataFrame, names: list[str], int96: frozenset[str], kind: str) -> DataFrame:
    """Nanoseconds that Parquet has and Spark reads as numbers, as timestamps again."""
    from pyspark.sql import functions as F  # noqa: N812

    numbers = [name for name in names if name not in int96] if kind == "parquet" else []
    if not numbers:
        return frame
    micros = {
        name: F.timestamp_micros(F.call_function("div", column(name), F.lit(NANOS_PER_MICRO)))
        for name in numbers
    }
    return frame.select(*[micros[n].alias(n) if n in micros else column(n) for n in frame.columns])


def _int96_columns(path: str) -> frozenset[str]:
    """Timestamps of the old kind, which Spark reads as such and not as numbers."""
    with pq.ParquetFile(path) as file:
        columns = [file.schema.column(i) for i in range(len(file.schema))]
    return frozenset(c.path.split(".")[0] for c in columns if c.physical_type == "INT96")


def _trec(spark: SparkSession, paths: list[str], names: list[str]) -> DataFrame:
    """Fields are parted by any run of blanks; empty lines do not count."""
    from pyspark.sql import functions as F  # noqa: N812

    lines = spark.read.option("lineSep", "\n").text(paths)
    line = F.btrim(F.col("value"), F.lit(BLANKS))
    fields = F.split(line, "[ \t]+")
    return lines.where(line != "").select(
        *[F.get(fields, F.lit(i)).alias(name) for i, name in enumerate(names)]
    )


def _by_line(
    reader: DataFrameReader, kind: str, paths: list[str], fields: list[pa.Field], own: Sequence[str]
) -> DataFrame:
    """Lines split among the tasks by Spark, understood by its Python workers."""
    from pyspark.sql import functions as F  # noqa: N812

    wanted = pa.schema(fields)
    sent = pa.schema([*fields, *((name, pa.string()) for name in own)])

    def batches(found: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in found:
            if batch.num_rows:
                yield from line_batches(batch, kind, wanted, sent)

    lines = reader.option("lineSep", "\n").text(paths)
    lines = lines.where(F.btrim(F.col("value"), F.lit(BLANKS)) != "")
    file = F.col("_metadata.file_path").alias(FILE)
    lines = lines.select(F.col("value").alias(LINE), file, *map(column, own))
    if not fields:
        return lines
    return lines.mapInArrow(batches, spark_schema(sent))


def _by_python(spark: SparkSession, source: Opened, names: list[str]) -> DataFrame:
    """Each file read by one Python worker."""
    fields = [f for f in source.schema if f.name in names] or list(source.schema)[:1]
    schema = pa.schema([(field.name, _sent(delivered(field.type))) for field in fields])
    partitions, options = {file.path: dict(file.partition) for file in source.files}, source.options
    own = [name for name in source.schema.names if name not in source.partition_names]

    def batches(found: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in found:
            for path in batch.column("path").to_pylist():
                yield from file_batches(path, options, own, partitions[path], schema)

    paths = spark.createDataFrame([(path,) for path in partitions], "path string")
    return paths.mapInArrow(batches, spark_schema(schema))


def _sent(kind: pa.DataType) -> pa.DataType:
    """What a Python worker may give to Spark for `kind`: unsigned 64 bits as a decimal."""
    return pa.decimal128(20, 0) if pa.types.is_uint64(kind) else kind
