"""Where an export reads: tables of one build, through the data set, batch by batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from rankdistill.export.left_out import LEFT_OUT
from rankdistill.store.dataset import Build, DataSet

Notify = Callable[..., None]


def silent(event: str, **facts: Any) -> None:
    """Progress that nobody listens to."""


@dataclass(frozen=True)
class Source:
    """One build of a data set; `days` of it, ascending.

    left_out: {reason: number of rows} of what was read and is not in the files.
    """

    data: DataSet
    build: Build
    days: tuple[str, ...]
    notify: Notify = silent
    left_out: Counter[str] = field(default_factory=Counter)

    def schema(self, table: str) -> pa.Schema:
        return self.data.schema(table)

    def num_rows(self, table: str) -> int:
        parts = (part for dt in self.days for part in self.data.parts(table, self.build, dt))
        return sum(part.num_rows for part in parts)

    def read(
        self, table: str, columns: Sequence[str], days: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """`columns` of `table`, day by day (all days of the export, or these)."""
        for dt in days if days is not None else self.days:
            yield from self.data.read(table, self.build, dt, columns)

    def follow(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The same, with progress told: for the one table whose rows are the export's."""
        for batch in batches:
            yield batch
            self.notify("progress", rows=batch.num_rows)

    def keep(self, rows: pa.RecordBatch, reason: str, mask: pa.Array) -> pa.RecordBatch:
        """The rows where `mask` is true; the others are counted as `reason`."""
        assert reason in LEFT_OUT, reason
        num_kept = pc.sum(mask).as_py() or 0
        if num_kept == rows.num_rows:
            return rows
        self.left_out[reason] += rows.num_rows - num_kept
        return rows.filter(mask)
