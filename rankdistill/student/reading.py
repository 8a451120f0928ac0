"""What of a build training reads: row groups of its ranked lists, decoded into `Lists`.

The files come from the data set's `builds`, never from a listing of a folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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
    """One row group of a part; num_rows: by its footer. between: of it, the requests of times
    [first, last), microseconds; None: all."""

    file: str
    group: int
    num_rows: int
    dt: str
    between: tuple[int, int] | None = None

    @property
    def whole(self) -> Piece:
        return replace(self, between=None)


@dataclass(frozen=True)
class Span:
    """num: requests; first, last: their times, microseconds; None where none has one."""

    num: int
    first: int | None
    last: int | None


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
        rows = self._held(piece, self.columns)
        return rows.append_column("dt", pa.repeat(piece.dt, rows.num_rows))

    def _held(self, piece: Piece, columns: Sequence[str]) -> pa.RecordBatch:
        """Of a piece the rows that are asked for; split and request_time among the columns."""
        rows = read_piece(piece, columns)
        if self.splits:
            rows = rows.filter(pc.is_in(rows.column("split"), pa.array(sorted(self.splits))))
        if piece.between is not None:
            first, last = piece.between
            time = rows.column("request_time").cast(pa.int64())
            rows = rows.filter(pc.and_(pc.greater_equal(time, first), pc.less(time, last)))
        return rows

    def times(self, piece: Piece) -> np.ma.MaskedArray:
        """The times of a piece's requests, microseconds, masked where there is none."""
        time = self._held(piece, ["split", "request_time"]).column("request_time").cast(pa.int64())
        values = time.fill_null(0).to_numpy(zero_copy_only=False)
        return np.ma.MaskedArray(values, time.is_null().to_numpy(zero_copy_only=False))

    def span(self) -> Span:
        """How many requests there are, and from when to when."""
        every = [self.times(piece) for piece in self.pieces]
        known = np.concatenate([np.zeros(0, np.int64), *(each.compressed() for each in every)])
        num = sum(len(each) for each in every)
        return Span(num, *((int(known.min()), int(known.max())) if len(known) else (None, None)))


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
    data_set: DataSet,
    build: Build,
    table: str,
    dts: Sequence[str],
    splits: Sequence[str] = (),
    between: tuple[int, int] | None = None,
) -> list[Piece]:
    """The row groups of a table that may have rows of the splits (none: all) and of times
    [first, last) in microseconds, by dt and part. PlaceError E0204, E0206."""
    pieces = []
    for part in (part for dt in dts for part in data_set.parts(table, build, dt)):
        file = str(data_set.root / table / part.path)
        with opened(file) as parquet:
            for group in range(parquet.num_row_groups):
                told = parquet.metadata.row_group(group)
                is_wanted = not splits or may_hold(told, "split", splits)
                if is_wanted and (between is None or may_be_between(told, between)):
                    pieces.append(Piece(file, group, told.num_rows, part.dt, between))
    return pieces


def lists_source(
    data_set: DataSet,
    build: Build,
    *,
    dts: Sequence[str] | None = None,
    splits: Sequence[str] = (),
    columns: Sequence[str] = (),
    between: tuple[int, int] | None = None,
) -> ListsSource:
    """The ranked lists of a build, or of some of its days, splits or times (microseconds, [first,
    last)), with further columns.

    Raises PlaceError E0206 where the build has no lists, day or column of that name, E0204
    where a part is lost, InputError E0319 where days were built under different mappings.
    """
    days = sorted(dts) if dts is not None else sorted(build.days)
    pieces = pieces_of(data_set, build, LISTS, days, splits, between)
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
    bounds = _bounds(group, column)
    return bounds is None or any(bounds.min <= value <= bounds.max for value in values)


def may_be_between(group: pq.RowGroupMetaData, between: tuple[int, int]) -> bool:
    """The same of request times [first, last), microseconds."""
    bounds = _bounds(group, "request_time")
    if bounds is None:
        return True
    least, most = pa.array([bounds.min, bounds.max]).cast(pa.timestamp("us")).cast(pa.int64())
    return least.as_py() < between[1] and most.as_py() >= between[0]


def _bounds(group: pq.RowGroupMetaData, column: str) -> pq.Statistics | None:
    places = (group.column(at) for at in range(group.num_columns))
    bounds = next(place.statistics for place in places if place.path_in_schema == column)
    return None if bounds is None or not bounds.has_min_max else bounds


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
