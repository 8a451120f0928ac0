"""What runs on Spark's Python workers: Arrow batches in, `work` on bounded ones, small rows out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa

from rankdistill.engines.delivered import conform
from rankdistill.engines.query import Row, UnitWork, Work
from rankdistill.errors import (
    ConfigError,
    InputError,
    PlaceError,
    ResourceError,
    UserError,
    UserErrors,
)
from rankdistill.lists.group import Grouped, bounded, request_starts, ungrouped

ROWS, ERROR = "rows", "error"  # kinds of rows that are for the engine itself
RESULT = "kind string, value string"
_RESULT = pa.schema([("kind", pa.string()), ("value", pa.string())])
ERRORS = {kind.__name__: kind for kind in (ConfigError, InputError, PlaceError, ResourceError)}

Batches = Iterable[pa.RecordBatch]


def on_worker(
    work: Work, schema: pa.Schema, group: tuple[str, ...], max_rows: int
) -> Callable[[Batches], Iterator[pa.RecordBatch]]:
    """The function for `mapInArrow`.

    With `group` a batch has one column, list<struct>: a request's rows; without, it has the
    columns of `schema` and every row is a request. A UserError ends the task and becomes its
    last row: it is final, so Spark shall not try again.
    """

    def task(batches: Batches) -> Iterator[pa.RecordBatch]:
        num_rows = 0

        def fed() -> Iterator[Grouped]:
            nonlocal num_rows
            for grouped in bounded(_checked(_batches(batches, schema, group)), max_rows):
                num_rows += grouped.rows.num_rows
                yield grouped

        yield from _ending_well(lambda: work(fed(), _task_name()))
        yield _result({"kind": ROWS, "value": str(num_rows)})

    return task


def on_units(
    work: UnitWork, units: tuple[str, ...]
) -> Callable[[Batches], Iterator[pa.RecordBatch]]:
    """The same over numbers of `units`, in the column `id`."""

    def task(batches: Batches) -> Iterator[pa.RecordBatch]:
        num_units = 0

        def fed() -> Iterator[str]:
            nonlocal num_units
            for batch in batches:
                for number in batch.column("id").to_pylist():
                    num_units += 1
                    yield units[number]

        yield from _ending_well(lambda: work(fed(), _task_name()))
        yield _result({"kind": ROWS, "value": str(num_units)})

    return task


def _ending_well(run: Callable[[], Iterator[Row]]) -> Iterator[pa.RecordBatch]:
    """The rows of `run`; a UserError is the last of them."""
    try:
        yield from map(_result, run())
    except (UserError, UserErrors) as fault:
        yield _result({"kind": ERROR, "value": _told(fault)})


def _task_name() -> str:
    """Unique per attempt, so that no attempt touches the parts of another."""
    from pyspark import TaskContext

    context = TaskContext.get()
    assert context is not None
    stage, partition = context.stageId(), context.partitionId()
    return f"s{stage}p{partition}a{context.taskAttemptId()}"


def _batches(batches: Batches, schema: pa.Schema, group: tuple[str, ...]) -> Iterator[Grouped]:
    for batch in batches:
        if not batch.num_rows:
            continue
        if not group:
            yield ungrouped(conform(batch, schema))
            continue
        (lists,) = batch.columns
        structs = lists.flatten()
        rows = pa.RecordBatch.from_arrays(structs.flatten(), names=structs.type.names)
        rows = conform(rows, schema)
        offsets = lists.offsets.to_numpy().astype(np.int64)
        if any(rows.column(key).null_count for key in group):
            # Rows without a key lie in common groups; each is a request of its own.
            offsets = np.append(request_starts(rows, group), rows.num_rows)
        yield Grouped(rows, offsets - offsets[0])


def _checked(batches: Iterator[Grouped]) -> Iterator[Grouped]:
    """Spark hands over bytes that are no UTF-8 as they are; nothing behind may see them."""
    for grouped in batches:
        for column in grouped.rows.columns:
            try:
                column.validate(full=not pa.types.is_primitive(column.type))
            except pa.ArrowInvalid as fault:
                raise InputError(
                    "E0310",
                    "the log cannot be read to its end",
                    found=str(fault).splitlines()[0],
                    help="write the file again as UTF-8; where it is of a local folder, "
                    "rankdistill validate --engine duckdb names it",
                ) from fault
        yield grouped


def _result(row: Row) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([row], schema=_RESULT)


def _told(fault: UserError | UserErrors) -> str:
    errors = fault.errors if isinstance(fault, UserErrors) else (fault,)
    return json.dumps([[type(e).__name__, e.code, e.message, e.found, e.help] for e in errors])


def raise_told(value: str) -> None:
    """The error that a worker told of, raised again."""
    errors = [
        ERRORS[kind](code, message, found=found, help=help)
        for kind, code, message, found, help in json.loads(value)
    ]
    raise errors[0] if len(errors) == 1 else UserErrors(errors)
