"""DuckDB: the embedded engine. Sorts by request, streams Arrow batches to worker threads."""

from __future__ import annotations

import os
import queue
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import pyarrow as pa

from rankdistill.engines.delivered import conform, delivered_schema
from rankdistill.engines.duckdb_faults import FAULTS, OURS, first_line, told
from rankdistill.engines.duckdb_options import DuckDbOptions
from rankdistill.engines.embedded import connect
from rankdistill.engines.feather import feather_table
from rankdistill.engines.query import Progress, Query, Row, UnitWork, Work
from rankdistill.engines.sql import conditions, feather_view, name, projection, relation
from rankdistill.errors import ConfigError, InputError, UserError
from rankdistill.lists.group import IS_FEEDBACK, Grouped, bounded, ungrouped, whole_requests
from rankdistill.log.files import Opened, open_files
from rankdistill.log.source import TableSource

# Rows that DuckDB hands over at once, of a rows log and of one with lists.
MAX_ROWS, LIST_ROWS = 1_000_000, 8192

T = TypeVar("T")
POLL_SECONDS = 0.2  # how soon a worker, or the thread that feeds them, sees that the other is gone


class DuckDb:
    """An `Engine` over one in-process DuckDB database."""

    name = "duckdb"

    def __init__(self, options: DuckDbOptions) -> None:
        _plain_memory()
        self._options = options
        self._threads = options.threads or len(os.sched_getaffinity(0))
        self._spill = tempfile.TemporaryDirectory(
            prefix="rankdistill-spill-", dir=options.temp_directory
        )
        settings: dict[str, Any] = {
            "threads": self._threads,
            "temp_directory": self._spill.name,
        }
        if options.memory_limit:
            settings["memory_limit"] = options.memory_limit
        self._connection = connect(**settings)

    def close(self) -> None:
        self._connection.close()
        self._spill.cleanup()

    def open(self, options: TableSource) -> Opened:
        """Files only."""
        if options.table is not None:
            raise ConfigError(
                "E0105",
                f"the duckdb engine has no catalogue with a table {options.table}",
                help="use --engine spark, or give path",
            )
        return open_files(options)

    def count(self, query: Query) -> tuple[int, int]:
        self._register(query)
        where, values = conditions(query.where, query.log.schema)
        if query.log.num_rows is not None and not query.where:
            log = query.log.num_rows
        else:
            sql = f"SELECT count(*) FROM {relation(query.log)}{where}"
            log = self._one(query, sql, values)
        if query.feedback is None:
            return log, 0
        return log, self._one(query, f"SELECT count(*) FROM {relation(query.feedback)}", [])

    def repeated(self, query: Query, keys: tuple[str, ...], limit: int) -> pa.Table:
        self._register(query)
        columns = projection({key: query.paths[key] for key in keys}, query.log.schema, query.ids)
        where, values = conditions(query.where, query.log.schema)
        names = ", ".join(name(key) for key in keys)
        sql = (
            f"SELECT {names} FROM (SELECT {columns} FROM {relation(query.log)}{where}) "
            f"GROUP BY {names} HAVING count(*) > 1 LIMIT {int(limit)}"
        )
        return self._told(query, lambda: self._connection.sql(sql, params=values).to_arrow_table())

    def explain(self, query: Query) -> str:
        self._register(query)
        sql, values = self._sql(query)
        rows = self._connection.execute(f"EXPLAIN {sql}", values).fetchall()
        return "\n".join(text for _, text in rows)

    def run(self, query: Query, work: Work, progress: Progress) -> Iterator[Row]:
        self._register(query)
        sql, values = self._sql(query)
        size, schema = self._options.batch_rows, delivered_schema(query)
        at_once = LIST_ROWS if any(map(pa.types.is_list, schema.types)) else MAX_ROWS
        found = self._told(query, lambda: self._connection.sql(sql, params=values))
        reader = self._told(query, lambda: found.to_arrow_reader(min(size, at_once)))
        batches = (conform(batch, schema) for batch in self._batches(query, reader))
        found = whole_requests(batches, query.group) if query.group else map(ungrouped, batches)
        grouped = _reported(bounded(found, size), progress)
        yield from _in_threads(grouped, work, self._threads)

    def each(self, units: Sequence[str], work: UnitWork, progress: Progress) -> Iterator[Row]:
        if units:
            num_threads = min(self._threads, len(units))
            yield from _in_threads(_told_of(units, progress), work, num_threads)

    def _batches(self, query: Query, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        while True:
            batch = self._told(query, lambda: next(reader, None))
            if batch is None:
                return
            yield batch

    def _one(self, query: Query, sql: str, values: list[Any]) -> int:
        ((number,),) = self._told(query, lambda: self._connection.execute(sql, values).fetchall())
        return int(number)

    def _register(self, query: Query) -> None:
        """Views of what feather files hold of the query's columns; they are read into memory."""
        conditions = [condition.column for condition in query.where]
        sources = [(query.log, query.paths), (query.feedback, query.feedback_paths or {})]
        for source, paths in sources:
            if source is None or source.options.format != "feather":
                continue
            wanted = {path[0] for path in paths.values()}
            wanted |= {c if c in source.schema.names else c.split(".")[0] for c in conditions}
            names = [name for name in source.schema.names if name in wanted]
            table = self._told(query, partial(feather_table, source, names))
            self._connection.register(feather_view(source), table)

    def _sql(self, query: Query) -> tuple[str, list[Any]]:
        where, values = conditions(query.where, query.log.schema)
        columns = projection(query.paths, query.log.schema, query.ids)
        sql = f"SELECT {columns} FROM {relation(query.log)}{where}"
        if query.feedback is not None:
            assert query.feedback_paths is not None
            assert query.feedback_key is not None
            second = projection(query.feedback_paths, query.feedback.schema, query.ids)
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

    def _told(self, query: Query, call: Callable[[], Any]) -> Any:
        """`call()`, with DuckDB's faults as ours."""
        try:
            return call()
        except (*OURS, UserError, MemoryError):  # Arrow's own, which is no fault of the file
            raise
        except FAULTS as fault:
            raise told(fault) or self._unreadable(query, fault) from fault

    def _unreadable(self, query: Query, fault: BaseException) -> InputError:
        where = self._damaged(query, str(fault))
        return InputError(
            "E0310",
            f"{where or 'the log'} cannot be read to its end",
            found=first_line(fault),
            help="write the file again, or give the log without it",
        )

    def _damaged(self, query: Query, text: str) -> str | None:
        """The file that a fault is about: the one it names, else the first that has one."""
        sources = [(query.log, query.paths), (query.feedback, query.feedback_paths or {})]
        files = [(s, p, file) for s, p in sources if s is not None for file in s.files]
        for _, _, file in files:
            if file.path in text:
                return file.path
        for source, paths, file in files:
            if source.options.format == "feather":
                continue
            alone = relation(replace(source, files=(file,)))
            try:
                columns = projection(paths, source.schema)
                # A fault may have ended the database: then it finds fault with every file.
                with connect() as connection:
                    for _ in connection.sql(f"SELECT {columns} FROM {alone}").to_arrow_reader():
                        pass
            except FAULTS:
                return file.path
        return None


def _plain_memory() -> None:
    """Arrow's own allocator asks for huge pages, which are zeroed anew for every batch: a sixth
    of a build's CPU time. The choice of a user who made one stands."""
    if "ARROW_DEFAULT_MEMORY_POOL" not in os.environ:
        pa.set_memory_pool(pa.system_memory_pool())


def _reported(batches: Iterator[Grouped], progress: Progress) -> Iterator[Grouped]:
    for batch in batches:
        yield batch
        progress(batch.rows.num_rows)


def _told_of(units: Sequence[str], progress: Progress) -> Iterator[str]:
    for unit in units:
        yield unit
        progress(1)


def _in_threads(
    batches: Iterator[T], work: Callable[[Iterator[T], str], Iterator[Row]], num_threads: int
) -> Iterator[Row]:
    """Feed batches to `num_threads` workers, each one call of `work`; the first fault stops all."""
    waiting: queue.Queue[T | None] = queue.Queue(maxsize=num_threads)
    tasks: list[Future] = []
    stopped = False

    def fed() -> Iterator[T]:
        # A fault, or a signal, may strike the feeding thread anywhere: never wait for it blindly.
        while not stopped:
            try:
                batch = waiting.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            if batch is None:
                return
            yield batch

    def task(number: int) -> list[Row]:
        return list(work(fed(), f"t{number}"))

    with ThreadPoolExecutor(num_threads) as pool:
        try:
            tasks += [pool.submit(task, number) for number in range(num_threads)]
            for batch in batches:
                _put(waiting, batch, tasks)
            for _ in tasks:
                _put(waiting, None, tasks)
            yield from (row for task in tasks for row in task.result())
        except BaseException:
            stopped = True
            raise


def _put(waiting: queue.Queue[T | None], batch: T | None, tasks: list[Future]) -> None:
    """Put `batch`, unless a task has failed: then raise its fault."""
    while True:
        for task in tasks:
            if task.done() and task.exception():
                task.result()
        try:
            return waiting.put(batch, timeout=POLL_SECONDS)
        except queue.Full:
            continue
