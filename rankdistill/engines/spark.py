"""Apache Spark 4: the scale-out engine. One grouping, then the same work in its Python workers.

DataFrame API alone (no RDD, no JVM objects, no SQL text), so that it also runs over Connect.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from rankdistill.engines.delivered import delivered_schema
from rankdistill.engines.query import Progress, Query, Row, UnitWork, Work
from rankdistill.engines.spark_errors import told
from rankdistill.engines.spark_open import is_engines_own, open_by_engine
from rankdistill.engines.spark_options import SparkOptions
from rankdistill.engines.spark_query import condition, projection
from rankdistill.engines.spark_read import column, read
from rankdistill.engines.spark_session import Session
from rankdistill.engines.spark_work import ERROR, RESULT, ROWS, on_units, on_worker, raise_told
from rankdistill.engines.spark_workers import check_workers
from rankdistill.lists.group import IS_FEEDBACK
from rankdistill.log.files import Opened, open_files
from rankdistill.log.source import TableSource

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

# Rows without a request key: each is a request of its own, so any parting of them will do.
NULL_GROUPS = 10_000
SALT, LIST, ORDER = "salt", "rows", "order"


class Spark:
    """An `Engine` over the active Spark session, or one of its own."""

    name = "spark"

    def __init__(self, options: SparkOptions) -> None:
        self._options = options
        self._session = Session(options)
        self._spark = self._session.spark
        try:
            check_workers(self._spark)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop Spark if it was started here."""
        self._session.close()

    def open(self, options: TableSource) -> Opened:
        """Local files as every engine lists them; tables and remote places as Spark does."""
        if is_engines_own(options):
            with told():
                return open_by_engine(self._spark, options)
        return open_files(options)

    def count(self, query: Query) -> tuple[int, int]:
        with told():
            log = query.log.num_rows
            if log is None or query.where:
                log = self._log(query, {}).count()
            if query.feedback is None:
                return log, 0
            feedback = query.feedback.num_rows
            if feedback is None:
                feedback = read(self._spark, query.feedback, ()).count()
            return log, feedback

    def repeated(self, query: Query, keys: tuple[str, ...], limit: int) -> pa.Table:
        from pyspark.sql import functions as F  # noqa: N812

        with told():
            ids = self._log(query, {key: query.paths[key] for key in keys})
            counted = ids.groupBy(*keys).agg(F.count(F.lit(1)).alias("times"))
            return counted.where(F.col("times") > 1).select(*keys).limit(int(limit)).toArrow()

    def explain(self, query: Query) -> str:
        with told(), contextlib.redirect_stdout(io.StringIO()) as text:
            self._mapped(query, lambda batches, task: iter(())).explain()
        return text.getvalue()

    def run(self, query: Query, work: Work, progress: Progress) -> Iterator[Row]:
        with told():
            rows = self._mapped(query, work).collect()
        yield from _results(rows, progress)

    def each(self, units: Sequence[str], work: UnitWork, progress: Progress) -> Iterator[Row]:
        if units:
            # A task for each: no exchange, and a failed one is all that is done again.
            numbers = self._spark.range(0, len(units), 1, len(units))
            with told():
                rows = numbers.mapInArrow(on_units(work, tuple(units)), RESULT).collect()
            yield from _results(rows, progress)

    def _mapped(self, query: Query, work: Work) -> DataFrame:
        schema = delivered_schema(query)
        frame = self._unioned(query) if query.feedback else self._log(query, query.paths)
        frame = self._grouped(frame, query) if query.group else frame.select(*schema.names)
        task = on_worker(work, schema, query.group, self._options.batch_rows)
        return frame.mapInArrow(task, RESULT)

    def _log(self, query: Query, paths: dict[str, Any]) -> DataFrame:
        """The log's rows that pass `where`, `paths` under their aliases."""
        schema = query.log.schema
        roots = [path[0] for path in paths.values()]
        roots += [
            c.column if c.column in schema.names else c.column.split(".")[0] for c in query.where
        ]
        frame = read(self._spark, query.log, roots)
        for part in query.where:
            frame = frame.where(condition(part, schema))
        return frame.select(*projection(paths, schema, query.ids))

    def _unioned(self, query: Query) -> DataFrame:
        """Log and feedback rows under one key, told apart by IS_FEEDBACK."""
        from pyspark.sql import functions as F  # noqa: N812

        assert query.feedback is not None
        assert query.feedback_paths is not None
        assert query.feedback_key is not None
        (key,) = query.group
        own, paths = query.feedback.schema, query.feedback_paths
        second = read(self._spark, query.feedback, [path[0] for path in paths.values()]).select(
            *projection(paths, own, query.ids)
        )
        second = second.withColumns({key: column(query.feedback_key), IS_FEEDBACK: F.lit(True)})
        log = self._log(query, query.paths).withColumn(IS_FEEDBACK, F.lit(False))
        return log.unionByName(second, allowMissingColumns=True)

    def _grouped(self, frame: DataFrame, query: Query) -> DataFrame:
        """One row per request: the list of its rows, each a struct.

        A row whose key is null is a request of its own, and many of them may not collect
        into one. Setting them apart reads the source twice, but for row groups without nulls;
        a salt does not, but as a second key it costs a quarter of the whole build.
        """
        from pyspark.sql import functions as F  # noqa: N812

        keys = [F.col(alias) for alias in query.group]
        is_null = reduce(lambda a, b: a | b, [key.isNull() for key in keys])
        row = F.struct(*_in_order(frame.columns, query))
        rows = F.sort_array(F.collect_list(row)) if query.order else F.collect_list(row)
        if _is_columnar(query):
            grouped = frame.where(~is_null).groupBy(*keys).agg(rows.alias(LIST)).select(LIST)
            return grouped.union(frame.where(is_null).select(F.array(row).alias(LIST)))
        others = [F.col(name) for name in frame.columns if name not in query.group]
        lot = F.pmod(F.xxhash64(*(others or keys)), F.lit(NULL_GROUPS))
        salt = F.when(is_null, lot).alias(SALT)
        return frame.groupBy(*keys, salt).agg(rows.alias(LIST)).select(LIST)


def _results(rows: list[Any], progress: Progress) -> Iterator[Row]:
    """What the tasks yielded; the error that one told of is raised."""
    for row in rows:
        if row["kind"] == ERROR:
            raise_told(row["value"])
    for row in rows:
        if row["kind"] == ROWS:
            progress(int(row["value"]))
        else:
            yield row.asDict()


def _is_columnar(query: Query) -> bool:
    """Whether all sources tell from statistics where they hold nulls."""
    sources = [query.log, *([query.feedback] if query.feedback else [])]
    return all(source.options.format in ("parquet", "orc") for source in sources)


def _in_order(names: list[str], query: Query) -> list[Column]:
    """The fields of a row, those first by which it is sorted within its request.

    A hint alone, but it pays: rows that come sorted are not moved again behind the engine.
    """
    from pyspark.sql import functions as F  # noqa: N812

    if not query.order:
        return [F.col(name) for name in names]
    (first, is_descending), *ties = query.order
    number = F.col(first).try_cast("double")
    number = -number if is_descending else number
    key = F.coalesce(number, F.lit(float("inf"))).alias(ORDER)
    ahead = [alias for alias, _ in ties]
    return [key, *map(F.col, [*ahead, *(name for name in names if name not in ahead)])]
