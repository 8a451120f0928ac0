"""What any build on Spark pays: read, group, hand over as Arrow, write as many bytes as ours.

spark_floor.py LAYOUT LOG OUT --written FILE: as duckdb_floor.py, with Spark's one grouping.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark import TaskContext
from pyspark.sql import functions as F  # noqa: N812

from bench.peers.command_line import chosen
from bench.peers.duckdb_floor import COLUMNS, writer, written
from bench.peers.spark_session import session

DONE = pa.schema([("rows", pa.int64())])


def writing(log: str, file: str, out: str) -> Callable[[Iterable], Iterator[pa.RecordBatch]]:
    """The function for mapInArrow: reads its part of the log, and writes its share of FILE."""
    num_rows = pq.read_metadata(log).num_rows

    def task(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        seen = 0
        for batch in batches:
            is_grouped = batch.num_columns == 1
            seen += len(batch.column(0).flatten()) if is_grouped else batch.num_rows
        rows, number = written(file), TaskContext.get().partitionId()
        share = rows.slice(0, len(rows) * seen // num_rows)
        with writer(Path(out) / f"{number}.parquet", rows.schema) as parts:
            parts.write_table(share)
        yield pa.RecordBatch.from_pydict({"rows": [len(share)]}, DONE)

    return task


def main() -> None:
    given = chosen("--written")
    out = Path(given.out)
    spark = session()
    columns = COLUMNS.split(", ")
    frame = spark.read.parquet(given.log).select(*columns)
    if given.layout == "rows":
        row = F.struct("rank", *(name for name in columns if name != "rank"))
        rows = F.sort_array(F.collect_list(row)).alias("rows")
        frame = frame.groupBy("request_id").agg(rows).select("rows")
    out.mkdir()
    task = writing(given.log, given.written, str(out.resolve()))
    frame.mapInArrow(task, "rows long").collect()
    spark.stop()


if __name__ == "__main__":
    main()
