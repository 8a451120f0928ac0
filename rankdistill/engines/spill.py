"""A scratch database for what must be grouped or joined: bounded memory, the rest on disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from rankdistill.engines.duckdb_faults import told
from rankdistill.engines.embedded import connect

MEMORY, ROWS = "2GB", 2_048


class Scratch:
    """Tables under names, and what a query gives of them."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self.fault: BaseException | None = None  # of the batches; DuckDB tells its text alone

    def add(self, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
        """A table that is read once, batch by batch, by the query that names it."""
        reader = pa.RecordBatchReader.from_batches(schema, self._watched(batches))
        self._connection.register(name, reader)

    def run(self, sql: str) -> None:
        self._connection.execute(sql)

    def rows(self, sql: str) -> Iterator[pa.RecordBatch]:
        """What a query gives, in batches."""
        yield from self._connection.sql(sql).to_arrow_reader(ROWS)

    def _watched(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        try:
            yield from batches
        except BaseException as fault:
            self.fault = fault
            raise


@contextmanager
def spill(folder: Path) -> Iterator[Scratch]:
    """A database in files of `folder`, which are gone when the block ends.

    Raises what reading a table raised; ResourceError E0402, E0403 where disk or memory run out.
    """
    place = folder / "spill.duckdb"
    connection = connect(place, memory_limit=MEMORY, temp_directory=f"{place}.tmp")
    scratch = Scratch(connection)
    try:
        yield scratch
    except duckdb.Error as fault:
        raise scratch.fault or told(fault) or fault from None
    finally:
        connection.close()
        for left in folder.glob("spill.duckdb*"):
            left.unlink() if left.is_file() else left.rmdir()
