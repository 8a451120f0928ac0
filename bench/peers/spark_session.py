"""What the Spark peers share: their session, two local cores as ours, and their command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from pyspark.sql import DataFrame, SparkSession

from bench.peers.command_line import chosen

# The columns of a lists log, a row per candidate or an array of structs per request.
ZIPPED = "arrays_zip(rank, item_id, teacher_score, click)"


def rows_sql(layout: str, log: str) -> str:
    """A row per candidate, whether a click was seen on it as a boolean."""
    if layout == "rows":
        given = f"SELECT * FROM parquet.`{log}`"
    else:
        given = f"SELECT request_id, user_id, request_time, inline({ZIPPED}) FROM parquet.`{log}`"
    return (
        "SELECT request_id, user_id, request_time, rank, item_id, teacher_score, "
        f"coalesce(click, 0) = 0 AS unclicked FROM ({given})"
    )


def session() -> SparkSession:
    os.environ["PYSPARK_PYTHON"] = sys.executable
    return (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.memory", "4g")
        .config("spark.sql.shuffle.partitions", "4")
        .config("spark.sql.execution.bypassPartialAggregation", "true")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.parquet.compression.codec", "zstd")
        .getOrCreate()
    )


def run(pairs: Callable[[SparkSession, str, str], DataFrame]) -> None:
    """Write what `pairs` makes of the layout and the log of the command line."""
    given = chosen()
    spark = session()
    pairs(spark, given.layout, given.log).write.parquet(given.out)
    spark.stop()
