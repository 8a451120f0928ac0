"""The engines by name; each is imported only when it is asked for."""

from __future__ import annotations

from rankdistill.engines.duckdb_options import DuckDbOptions
from rankdistill.engines.query import Engine
from rankdistill.engines.spark_options import SparkOptions


def make_engine(options: DuckDbOptions | SparkOptions) -> Engine:
    """The engine of `options.kind`, ready to read."""
    if isinstance(options, SparkOptions):
        from rankdistill.engines.spark import Spark

        return Spark(options)
    from rankdistill.engines.duckdb import DuckDb

    return DuckDb(options)
