"""What of a build training reads: row groups of its ranked lists, decoded into `Lists`.

The files come from the data set's `builds`, never from a listing of a folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rankdistill.errors import InputError, PlaceError
from rankdistill.lists.batch import ORDER_COLUMNS, Lists
from rankdistill.store.dataset import Build, DataSet
from rankdistill.store.reading import damaged, opened

LISTS = "lists"
ALWAYS = ("request_id", "user_id", "request_time", "split", "item_id", "stage", "teacher_score")


@dataclass(frozen=True)
class Piece:
    """One row group of a part; num_rows: by its footer."""

    file: str
    group: int
    num_rows: int
    dt: str


@dataclass(frozen=True)
class ListsSource:
    """The ranked lists of some days of a build, as training reads them.

    pieces: by dt, part and row group; columns: to read; splits: of these the requests (none:
    all); teacher_order, feedback, response, has_score: as the build knew its log.
    """

    pieces: tuple[Piece, ...]
    columns: tuple[str, ...]
    teacher_order: str
    splits: frozenset[str] = frozenset()
    feedback: tuple[str, ...] = ()
    response: Mapping[str, float] = field(default_factory=dict)
    score_kind: str | None = None

    @property
    def num_rows(self) -> np.ndarray:
        """Rows of each piece, int64 [P]."""
        return np.array([piece.num_rows for piece in self.pieces], dtype=np.int64)

    def read(self, pieces: Sequence[Piece]) -> Lists:
        """The lists of some pieces, one after the other. PlaceError E0204 where one is damaged."""
        return Lists.from_rows(
            pa.concat_batches([self._rows(piece) for piece in pieces]),
            self.teacher_order,
            self.feedback,
            self.response,
        )

    def _rows(self, piece: Piece) -> pa.RecordBatch:
        rows = read_piece(piece, self.columns)
        if self.splits:
            rows = rows.filter(pc.is_in(rows.column("split"), pa.array(sorted(self.splits))))
        return rows.append_column("dt", pa.repeat(piece.dt, rows.num_rows))


def read_piece(piece: Piece, columns: Sequence[str]) -> pa.RecordBatch:
    """Columns of one row group. PlaceError E0204 where it is damaged."""
    with opened(piece.file) as parquet:
        table = parquet.read_row_group(piece.group, list(columns), use_threads=False)
        if table.num_rows != piece.num_rows:
            raise damaged(piece.file, f"{table.num_rows} rows instead of {piece.num_rows}")
    none = [pa.RecordBatch.from_pylist([], schema=table.schema)]
    (batch,) = table.combine_chunks().to_batches() or none
    return batch


def pieces_of(
    data_set: DataSet, build: Build, table: str, dts: Sequence[str], splits: Sequence[str] = ()
) -> list[Piece]:
    """The row groups of a table that may have rows of the splits (none: all), by dt and part.
    PlaceError E0204, E0206."""
    pieces = []
    for part in (part for dt in dts for part in data_set.parts(table, build, dt)):
        file = str(data_set.root / table / part.path)
        with opened(file) as parquet:
            for group in range(parquet.num_row_groups):
                told = parquet.metadata.row_group(group)
                if not splits or may_hold(told, "split", splits):
                    pieces.append(Piece(file, group, told.num_rows, part.dt))
    return pieces


def lists_source(
    data_set: DataSet,
    build: Build,
    *,
    dts: Sequence[str] | None = None,
    splits: Sequence[str] = (),
    columns: Sequence[str] = (),
) -> ListsSource:
    """The ranked lists of a build, or of some of its days or splits, with further columns.

    Raises PlaceError E0206 where the build has no lists, day or column of that name, E0204
    where a part is lost, InputError E0319 where days were built under different mappings.
    """
    days = sorted(dts) if dts is not None else sorted(build.days)
    pieces = pieces_of(data_set, build, LISTS, days, splits)
    known = _log_of(build, days)
    order = known["teacher_order"]
    feedback = tuple(known["feedback"])
    wanted = [*ALWAYS, *([ORDER_COLUMNS[order]] if order in ORDER_COLUMNS else []), *feedback]
    names = list(dict.fromkeys([*wanted, *columns]))
    there = data_set.schema(LISTS).names
    if unknown := sorted(set(names) - set(there)):
        raise PlaceError(
            "E0206",
            f"table {LISTS} has no column {', '.join(unknown)}",
            found=", ".join(there),
            help="name columns that it has, or map them (log.columns.request, log.columns.item) "
            "and build again",
        )
    return ListsSource(
        tuple(pieces),
        tuple(names),
        order,
        frozenset(splits),
        feedback,
        dict(known["response"]),
        known["score_kind"],
    )


def may_hold(group: pq.RowGroupMetaData, column: str, values: Sequence[str]) -> bool:
    """Whether a row group can have one of the values there, by the bounds in its footer."""
    places = (group.column(at) for at in range(group.num_columns))
    bounds = next(place.statistics for place in places if place.path_in_schema == column)
    if bounds is None or not bounds.has_min_max:
        return True
    return any(bounds.min <= value <= bounds.max for value in values)


def _log_of(build: Build, days: Sequence[str]) -> Mapping[str, Any]:
    """What the build knew of its log; the same on all days."""
    logs = [build.days[dt].counts["log"] for dt in days]
    names = ("teacher_order", "feedback", "response", "score_kind")
    for dt, log in zip(days, logs, strict=True):
        for name in names:
            if log[name] != logs[0][name]:
                raise InputError(
                    "E0319",
                    f"days {days[0]} and {dt} were built with another {name}",
                    found=f"{logs[0][name]} and {log[name]}",
                    help="build them again with one config, or train on days of one",
                )
    return {name: logs[0][name] for name in names}
