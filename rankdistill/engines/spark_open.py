"""Sources that only Spark can list: catalogue tables and remote places."""

from __future__ import annotations

import hashlib
import re
import time
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pyarrow as pa

from rankdistill.engines.spark_read import by_engine
from rankdistill.errors import InputError
from rankdistill.log.files import NULL_PARTITION, LogFile, Opened
from rankdistill.log.source import TableSource

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def is_engines_own(options: TableSource) -> bool:
    """Whether `options` names a catalogue table or a remote place."""
    paths = [options.path] if isinstance(options.path, str) else options.path or []
    return options.table is not None or any(_REMOTE.match(path) for path in paths)


def open_by_engine(spark: SparkSession, options: TableSource) -> Opened:
    """The source's columns, and its files as far as they can be known.

    Raises InputError E0311 where there is no such table or place.
    """
    from pyspark.errors import AnalysisException

    try:
        frame = by_engine(spark, options)
        schema = frame.limit(0).toArrow().schema.remove_metadata()
    except AnalysisException as fault:
        raise InputError(
            "E0311",
            f"Spark cannot open {options.table or options.path}",
            found=str(fault).splitlines()[0],
        ) from fault
    files = _listed(frame, options, schema)
    partitions = [name for name, _ in files[0].partition]
    kinds = [f if f.name not in partitions else pa.field(f.name, pa.string()) for f in schema]
    ordered = sorted(kinds, key=lambda field: field.name in partitions)
    return Opened(options, files, pa.schema(ordered), by_engine=True)


def _listed(frame: DataFrame, options: TableSource, schema: pa.Schema) -> tuple[LogFile, ...]:
    """Files with their numbers of rows. Of a table one entry per partition: its files come and
    go without its rows changing hands. Where Spark does not tell, one that never looks alike."""
    from pyspark.errors import AnalysisException
    from pyspark.sql import functions as F  # noqa: N812

    place = options.table or ", ".join(
        [options.path] if isinstance(options.path, str) else options.path or []
    )
    parts = ("file_path", "file_size", "file_modification_time")
    try:
        columns = [F.col(f"_metadata.{part}").alias(part) for part in parts]
        found = frame.select(*columns).groupBy(*parts).count().collect()
    except AnalysisException:
        return (LogFile(place, 0, time.time_ns(), (), frame.count()),)
    if not found:
        raise InputError("E0311", f"{place} holds no rows")
    files = [
        LogFile(
            row["file_path"],
            row["file_size"],
            int(row["file_modification_time"].timestamp() * 1_000_000) * 1000,
            _partition(row["file_path"], schema.names),
            row["count"],
        )
        for row in sorted(found, key=lambda row: row["file_path"])
    ]
    return _by_partition(place, files) if options.table else tuple(files)


def _partition(path: str, names: list[str]) -> tuple[tuple[str, str | None], ...]:
    """Partition folders key=value of a file's URI."""
    folders = [unquote(folder) for folder in path.split("/")[:-1]]
    pairs = [folder.split("=", 1) for folder in folders if "=" in folder]
    return tuple(
        (key, None if value == NULL_PARTITION else unquote(value))
        for key, value in pairs
        if key in names
    )


def _by_partition(table: str, files: list[LogFile]) -> tuple[LogFile, ...]:
    groups: dict[tuple[tuple[str, str | None], ...], list[LogFile]] = {}
    for file in files:
        groups.setdefault(file.partition, []).append(file)
    found = []
    for partition, members in groups.items():
        lines = "\n".join(sorted(file.fingerprint() for file in members))
        digest = int.from_bytes(hashlib.sha256(lines.encode()).digest()[:7], "big")
        folders = "".join(f"/{key}={value}" for key, value in partition)
        size = sum(file.size for file in members)
        rows = sum(file.num_rows or 0 for file in members)
        found.append(LogFile(f"{table}{folders}", size, digest, partition, rows))
    return tuple(found)
