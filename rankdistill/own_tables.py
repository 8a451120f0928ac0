"""Tables that a build makes from tables of its own: what an engine sums up for it.

Their rows are read back from staged parts, so nothing here knows the log.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from rankdistill.catalogue.counts import segment_totals
from rankdistill.engines.query import Engine, Query, Row
from rankdistill.lists.group import Grouped
from rankdistill.log.files import LogFile, Opened
from rankdistill.log.source import TableSource
from rankdistill.store.parts import Part, PartWriter
from rankdistill.store.reading import refuse_damaged


@dataclass(frozen=True)
class Target:
    """Where a task writes: PartWriter's arguments but for the task's name. Plain data."""

    root: str
    build_id: str
    schemas: Mapping[str, pa.Schema]

    def writer(self, task: str) -> PartWriter:
        return PartWriter(self.root, self.build_id, task, schemas=self.schemas)


def part_rows(parts: Iterable[Part]) -> Iterator[Row]:
    """Parts as the rows that a task yields; `parts_of` reads them back."""
    for part in parts:
        yield {"kind": "part", "value": json.dumps(part.as_dict())}


def parts_of(rows: Iterable[Row]) -> list[Part]:
    """The parts of rows that are all of kind `part`."""
    return [Part(**json.loads(row["value"])) for row in rows]


def staged(
    engine: Engine,
    query: Query,
    target: Target,
    table: str,
    dt: str,
    rows: Callable[[Grouped], pa.RecordBatch],
) -> list[Part]:
    """What `rows` makes of each of the query's batches, as parts of `table`."""
    work = functools.partial(_stage, target, table, dt, rows)
    return parts_of(engine.run(query, work, lambda done: None))


def _stage(
    target: Target,
    table: str,
    dt: str,
    rows: Callable[[Grouped], pa.RecordBatch],
    batches: Iterable[Grouped],
    task: str,
) -> Iterator[Row]:
    with target.writer(task) as writer:
        for grouped in batches:
            writer.write(table, dt, rows(grouped))
        yield from part_rows(writer.close())


def own_source(files: Sequence[str], schema: pa.Schema) -> Opened:
    """Parquet files of our own as a source; schema: the columns to read."""
    stats = [(file, Path(file).stat()) for file in files]
    logged = tuple(LogFile(f, s.st_size, s.st_mtime_ns, (), None) for f, s in stats)
    return Opened(TableSource(path=list(files)), logged, schema)


def add_up(
    engine: Engine, target: Target, table: str, dt: str, files: Sequence[str], counts: pa.Schema
) -> list[Part]:
    """`table` of one dt: the counts of `files`, one row per item_id.

    counts: the columns of the files, item_id and integers. Raises PlaceError E0204 where a file
    of an earlier build is damaged.
    """
    for file in files:
        if f"/{target.build_id}/" not in file:
            refuse_damaged(file, counts.names)
    source = own_source(files, counts)
    paths: dict[str, tuple[str, ...]] = {name: (name,) for name in counts.names}
    query = Query(source, paths, ("item_id",), (), ())
    return staged(engine, query, target, table, dt, segment_totals)
