"""What a row of each table weighs: some rows of a look, written as a build would, and gone."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

from rankdistill.store.parts import PartWriter

# Of a table in memory, for each task: more of it would weigh the same by row.
ENOUGH_BYTES = 64_000_000
ALL = "all"  # one file of a table, whatever the days: its footer is no part of a row


class Scale:
    """Use as a context manager. weights: <table>.rows and <table>.bytes of them on disk.

    enough: bytes of a table in memory from which on no more is wanted; 0: nothing is, and nothing
    is written.
    """

    def __init__(self, enough: int = ENOUGH_BYTES) -> None:
        self._enough = enough
        self.weights: Counter[str] = Counter()
        self._seen: Counter[str] = Counter()
        self._open = ExitStack()
        self._writer: PartWriter | None = None

    def __enter__(self) -> Scale:
        return self

    def __exit__(self, *fault: object) -> None:
        self._open.close()

    def wants(self, table: str) -> bool:
        return self._seen[table] < self._enough

    def add(self, table: str, rows: pa.RecordBatch) -> None:
        self._seen[table] += rows.nbytes
        if self._writer is None:
            folder = self._open.enter_context(TemporaryDirectory(prefix="rankdistill-plan-"))
            self._writer = PartWriter(Path(folder), "plan", "weighed")
            self._open.callback(self._writer.abandon)
        self._writer.write(table, ALL, rows)

    def read(self) -> Counter[str]:
        """What was added, weighed."""
        for part in self._writer.close() if self._writer is not None else ():
            self.weights[f"{part.table}.rows"] += part.num_rows
            self.weights[f"{part.table}.bytes"] += part.num_bytes
        return self.weights
