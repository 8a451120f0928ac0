"""DuckDB: the embedded engine. Sorts by request, streams Arrow batches to worker threads."""

from __future__ import annotations

import os
import queue
import tempfile
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.feather

from rankdistill.engines.delivered import conform, delivered_schema
from rankdistill.engines.duckdb_options import DuckDbOptions
from rankdistill.engines.query import Progress, Query, Row, Work
from rankdistill.engines.sql import conditions, feather_view, name, projection, relation
from rankdistill.errors import ConfigError, InputError, ResourceError
from rankdistill.lists.group import IS_FEEDBACK, Grouped, ungrouped, whole_requests
from rankdistill.log.files import Opened, open_files
from rankdistill.log.source import TableSource


class DuckDb:
    """An `Engine` over one in-process DuckDB database."""

    name = "duckdb"

    def __init__(self, options: DuckDbOptions) -> None:
        self._options = options
        self._threads = options.threads or len(os.sched_getaffinity(0))
        self._spill = tempfile.TemporaryDirectory(
            prefix="rankdistill-spill-", dir=options.temp_directory
        )
        settings: dict[str, Any] = {
            "threads": self._threads,
            "temp_directory": self._spill.name,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        if options.memory_limit:
            settings["memory_limit"] = options.memory_limit
        self._connection = duckdb.connect(config=settings)

    def close(self) -> None:
        self._connection.close()
        self._spill.cleanup()

    def open(self, options: TableSource) -> Opened:
        """Files only; feather is read through memory maps registered as views."""
        if options.table is not None:
            raise ConfigError(
                "E0105",
                f"the duckdb engine has no catalogue with a table {options.table}",
                help="use --engine spark, or give path",
            )
        opened = open_files(options)
        if options.format == "feather":
            self._connection.register(feather_view(opened), _feather_table(opened))
        return opened

    def count(self, query: Query) -> tuple[int, int]:
        where, values = conditions(query.where, query.log.schema)
        if query.log.num_rows is not None and not query.where:
            log = query.log.num_rows
        else:
            log = self._one(f"SELECT count(*) FROM {relation(query.log)}{where}", values)
        if query.feedback is None:
            return log, 0
        return log, self._one(f"SELECT count(*) FROM {relation(query.feedback)}", [])

    def repeated(self, query: Query, keys: tuple[str, ...], limit: int) -> pa.Table:
        columns = projection({key: query.paths[key] for key in keys}, query.log.schema)
        where, values = conditions(query.where, query.log.schema)
        names = ", ".join(name(key) for key in keys)
        sql = (
            f"SELECT {names} FROM (SELECT {columns} FROM {relation(query.log)}{where}) "
            f"GROUP BY {names} HAVING count(*) > 1 LIMIT {int(limit)}"
        )
        return self._told(lambda: self._connection.sql(sql, params=values).to_arrow_table())

    def explain(self, query: Query) -> str:
        sql, values = self._sql(query)
        rows = self._connection.execute(f"EXPLAIN {sql}", values).fetchall()
        return "\n".join(text for _, text in rows)

    def run(self, query: Query, work: Work, progress: Progress) -> Iterator[Row]:
        sql, values = self._sql(query)
        size = self._options.batch_rows
        found = self._told(lambda: self._connection.sql(sql, params=values))
        reader = self._told(lambda: found.to_arrow_reader(min(size, DuckDbOptions().batch_rows)))
        schema = delivered_schema(query)
        batches = (conform(batch, schema) for batch in self._batches(reader))
        if query.group:
            grouped = whole_requests(batches, query.group, size)
        else:
            grouped = (ungrouped(piece) for batch in batches for piece in _pieces(batch, size))
        yield from _in_threads(_reported(grouped, progress), work, self._threads)

    def _batches(self, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        while True:
            batch = self._told(lambda: next(reader, None))
            if batch is None:
                return
            yield batch

    def _one(self, sql: str, values: list[Any]) -> int:
        ((number,),) = self._told(lambda: self._connection.execute(sql, values).fetchall())
        return int(number)

    def _sql(self, query: Query) -> tuple[str, list[Any]]:
        where, values = conditions(query.where, query.log.schema)
        columns = projection(query.paths, query.log.schema)
        sql = f"SELECT {columns} FROM {relation(query.log)}{where}"
        if query.feedback is not None:
            assert query.feedback_paths is not None
            assert query.feedback_key is not None
            second = projection(query.feedback_paths, query.feedback.schema)
            (key,) = query.group
            sql = (
                f"SELECT *, false AS {name(IS_FEEDBACK)} FROM ({sql}) UNION ALL BY NAME "
                f"SELECT *, {name(query.feedback_key)} AS {name(key)}, true AS "
                f"{name(IS_FEEDBACK)} FROM (SELECT {second} FROM {relation(query.feedback)})"
            )
        if not query.group:
            return sql, values
        keys = [name(alias) for alias in query.group]
        if query.feedback is not None:
            keys.append(name(IS_FEEDBACK))
        keys += [f"{name(a)} {'DESC' if down else 'ASC'} NULLS LAST" for a, down in query.order]
        return f"SELECT * FROM ({sql}) ORDER BY {', '.join(keys)}", values

    def _told(self, call: Any) -> Any:
        """`call()`, with DuckDB's faults as ours."""
        try:
            return call()
        except duckdb.OutOfMemoryException as fault:
            raise ResourceError(
                "E0403",
                "DuckDB ran out of memory",
                found=_first_line(fault),
                help="raise engine.memory_limit, or free disk for spilling",
            ) from fault
        except (
            duckdb.InvalidInputException,
            duckdb.IOException,
            duckdb.ConversionException,
            duckdb.SerializationException,
            pa.ArrowException,
            OSError,
        ) as fault:
            raise InputError(
                "E0310",
                "the log cannot be read to its end",
                found=_first_line(fault),
                help="write the file again; rankdistill validate names files that are damaged",
            ) from fault


def _reported(batches: Iterator[Grouped], progress: Progress) -> Iterator[Grouped]:
    for batch in batches:
        yield batch
        progress(batch.rows.num_rows)


def _feather_table(opened: Opened) -> pa.Table:
    """The files' columns and their partition values, memory-mapped."""
    tables = []
    for file in opened.files:
        table = pyarrow.feather.read_table(file.path, memory_map=True)
        for key, value in file.partition:
            table = table.append_column(key, pa.repeat(pa.scalar(value, pa.string()), len(table)))
        tables.append(table.select(opened.schema.names).cast(opened.schema))
    return pa.concat_tables(tables)


def _first_line(fault: BaseException) -> str:
    text = str(fault).strip()
    return text.splitlines()[0] if text else type(fault).__name__


def _pieces(batch: pa.RecordBatch, size: int) -> Iterator[pa.RecordBatch]:
    """Slices of a batch of list rows that hold about `size` candidates each."""
    rows = max(1, min(batch.num_rows, 65_536))
    elements = max((len(c.flatten()) for c in batch.columns if pa.types.is_list(c.type)), default=0)
    if elements > size:
        rows = max(1, batch.num_rows * size // elements)
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)


def _in_threads(batches: Iterator[Grouped], work: Work, num_threads: int) -> Iterator[Row]:
    """Feed batches to `num_threads` workers, each one call of `work`; the first fault stops all."""
    waiting: queue.Queue[Grouped | None] = queue.Queue(maxsize=num_threads)
    stopped = False

    def fed() -> Iterator[Grouped]:
        while (batch := waiting.get()) is not None:
            if stopped:
                return
            yield batch

    with ThreadPoolExecutor(num_threads) as pool:
        tasks = [
            pool.submit(lambda number=i: list(work(fed(), f"t{number}")))  # type: ignore[misc]
            for i in range(num_threads)
        ]
        try:
            for batch in batches:
                _put(waiting, batch, tasks)
            for _ in tasks:
                _put(waiting, None, tasks)
        except BaseException:
            stopped = True
            _release(waiting, tasks)
            raise
        for task in tasks:
            yield from task.result()


def _put(waiting: queue.Queue[Grouped | None], batch: Grouped | None, tasks: list[Future]) -> None:
    """Put `batch`, unless a task has failed: then raise its fault."""
    while True:
        for task in tasks:
            if task.done() and task.exception():
                task.result()
        try:
            return waiting.put(batch, timeout=0.2)
        except queue.Full:
            continue


def _release(waiting: queue.Queue[Grouped | None], tasks: list[Future]) -> None:
    """Let every task come to its end."""
    while not all(task.done() for task in tasks):
        try:
            waiting.put(None, timeout=0.05)
        except queue.Full:
            waiting.get()
        wait(tasks, timeout=0.05, return_when=FIRST_COMPLETED)
