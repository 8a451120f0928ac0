"""One task of a recount: lists and samples of a day read back and shown to the build's own Watch.

A build writes lists and samples of a task in the same order, so that the rows of one row group of
lists stand together in each table; where somebody wrote them anew, a day is brought in order.
Shapes: T rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from rankdistill.arrays import put as put_array
from rankdistill.catalogue.history import History
from rankdistill.day_side import DaySide
from rankdistill.engines.query import Row
from rankdistill.hashing import xxh64
from rankdistill.lists.batch import ORDER_COLUMNS, Lists
from rankdistill.lists.group import request_starts
from rankdistill.one_pass import gathered
from rankdistill.own_tables import Target, part_rows
from rankdistill.quality.among import Places
from rankdistill.quality.drawn_again import Foreign, drawn_again
from rankdistill.quality.facts import Facts
from rankdistill.quality.watch import Watch
from rankdistill.samples.catalogue import NOTHING
from rankdistill.samples.side import Side
from rankdistill.store.reading import opened, read_part

BATCH_ROWS = 2**18
MAX_HELD = 16  # arrays of items until they are brought together
LISTS = "lists"


@dataclass(frozen=True)
class Recount:
    """files: table -> dt -> its parts; schemas: of the sample tables; sides: what draws of a day
    looked into; looking: the kinds that did; in_samples: those whose items count as sampled."""

    target: Target
    facts: Facts
    files: Mapping[str, Mapping[str, Sequence[str]]]
    schemas: Mapping[str, pa.Schema]
    sides: Mapping[str, DaySide] = field(default_factory=dict)
    in_samples: tuple[str, ...] = ()
    looking: tuple[str, ...] = ()


def work(recipe: Recount, todo: Iterator[str], task: str) -> Iterator[Row]:
    """Units of some tables on a day; yields staged parts and states."""
    with recipe.target.writer(task) as writer:
        for text in todo:
            unit = json.loads(text)
            for watch in _seen(recipe, unit["tables"], unit["dt"]):
                gathered(watch.across.rest(), writer)
                yield {"kind": "states", "value": watch.states.as_json()}
        yield from part_rows(writer.close())


def _seen(recipe: Recount, tables: Sequence[str], dt: str) -> Iterator[Watch]:
    """The tables side by side; each by itself where they do not stand so."""
    try:
        found = _together(recipe, tables, dt)
    except _Scattered:
        pass
    else:
        yield found
        return
    for table in tables:
        if table == LISTS:
            yield _together(recipe, [LISTS], dt)
            continue
        try:
            yield _alone(recipe, table, dt, _pieces)
        except _Scattered:
            yield _alone(recipe, table, dt, _in_order)


# (row group of lists, rows of it, the request in it of each)
Piece = tuple[int, pa.RecordBatch, np.ndarray]


class _Scattered(Exception):
    """The rows of a row group of lists do not stand together."""


class _Lists:
    """The lists of a day, by row group, and where each request is. is_whole: with the columns
    that only measures of lists look at."""

    def __init__(self, recipe: Recount, dt: str, is_whole: bool) -> None:
        self._recipe, self._dt = recipe, dt
        self.groups: list[tuple[str, int]] = []
        for file in sorted(recipe.files[LISTS][dt], key=_place):
            with opened(file) as parquet:
                self.groups += [(file, group) for group in range(parquet.num_row_groups)]
        self._names = None if is_whole else self._wanted()
        ids = [self._ids(*at) for at in self.groups]
        self._start = np.cumsum([0, *map(len, ids)])
        keys = np.concatenate([np.zeros(0, np.uint64), *ids])
        self._order = np.argsort(keys, kind="stable")
        self._sorted = keys[self._order]

    def _wanted(self) -> list[str] | None:
        """The columns that measures of samples look at."""
        if not self.groups:
            return None
        facts = self._recipe.facts
        order = ORDER_COLUMNS.get(facts.teacher_order)
        kept = {"item_id", "stage", "teacher_score", "position", order, *facts.feedback}
        with opened(self.groups[0][0]) as parquet:
            schema = parquet.schema_arrow
        return [f.name for f in schema if not pa.types.is_list(f.type) or f.name in kept]

    def _ids(self, file: str, group: int) -> np.ndarray:
        with opened(file) as parquet:
            column = parquet.read_row_group(group, columns=["request_id"]).column(0)
            return xxh64(column.combine_chunks())

    def find(self, request_id: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """(row group, row in it) of each request, int64."""
        key = xxh64(request_id)
        place = np.minimum(np.searchsorted(self._sorted, key), max(len(self._sorted) - 1, 0))
        if not len(self._sorted) or (self._sorted[place] != key).any():
            raise Foreign("rows of requests that the table lists lacks")
        row = self._order[place]
        group = np.searchsorted(self._start, row, side="right") - 1
        return group, row - self._start[group]

    def read(self, group: int) -> Lists:
        file, number = self.groups[group]
        facts = self._recipe.facts
        with opened(file) as parquet:
            found = parquet.read_row_group(number, columns=self._names).combine_chunks()
        (rows,) = found.to_batches() or [pa.RecordBatch.from_pylist([], schema=found.schema)]
        rows = rows.append_column("dt", pa.repeat(self._dt, rows.num_rows))
        return Lists.from_rows(rows, facts.teacher_order, facts.feedback, dict(facts.response))


def _together(recipe: Recount, tables: Sequence[str], dt: str) -> Watch:
    """Row group by row group of lists, what was drawn there from every table."""
    watch, day = Watch(recipe.facts), _Lists(recipe, dt, LISTS in tables)
    kinds = [_Samples(recipe, kind, dt, day, watch) for kind in tables if kind != LISTS]
    ahead = [_Ahead(_pieces(samples)) for samples in kinds]
    for group in range(len(day.groups)):
        shown = _Shown(day.read(group))
        if LISTS in tables:
            watch.see(LISTS, dt, shown.lists)
        for samples, pieces in zip(kinds, ahead, strict=True):
            samples.show(shown, pieces.of(group))
    if any(pieces.is_left for pieces in ahead):
        raise _Scattered
    for samples in kinds:
        samples.close()
    return watch


def _alone(
    recipe: Recount, kind: str, dt: str, pieces: Callable[[_Samples], Iterator[Piece]]
) -> Watch:
    """One table in its own order; each row group of lists is read when its rows come."""
    watch, day = Watch(recipe.facts), _Lists(recipe, dt, False)
    samples, rest = _Samples(recipe, kind, dt, day, watch), set(range(len(day.groups)))
    ahead = _Ahead(pieces(samples))
    while ahead.is_left:
        group = ahead.group
        if group not in rest:
            raise _Scattered
        rest.remove(group)
        samples.show(_Shown(day.read(group)), ahead.of(group))
    for group in rest:  # nothing was drawn there
        samples.show(_Shown(day.read(group)), [])
    samples.close()
    return watch


class _Ahead:
    """Pieces with a look at the next one's row group."""

    def __init__(self, pieces: Iterator[Piece]) -> None:
        self._pieces = pieces
        self._next = next(pieces, None)

    @property
    def is_left(self) -> bool:
        return self._next is not None

    @property
    def group(self) -> int:
        assert self._next is not None
        return self._next[0]

    def of(self, group: int) -> list[Piece]:
        """Those of a row group that come next."""
        found = []
        while self._next is not None and self._next[0] == group:
            found.append(self._next)
            self._next = next(self._pieces, None)
        return found


class _Shown:
    """A row group of lists, and where its items stand."""

    def __init__(self, lists: Lists) -> None:
        self.lists = lists
        self.key = xxh64(lists.candidates.column("item_id"))

    @cached_property
    def places(self) -> Places:
        return Places(self.lists.request, self.key)


class _Samples:
    """The rows of a sample kind on a day, beside their lists."""

    def __init__(self, recipe: Recount, kind: str, dt: str, day: _Lists, watch: Watch) -> None:
        self.recipe, self.kind, self.dt, self.day = recipe, kind, dt, day
        self.schema, self._watch = recipe.schemas[kind], watch
        self._items: list[np.ndarray] = []
        side = recipe.sides.get(dt) if kind in recipe.looking else None
        self.side = NOTHING if side is None else Side(catalogue=side.catalogue())
        self.responses: History | None = None if side is None else side.history()

    def show(self, shown: _Shown, pieces: Sequence[Piece]) -> None:
        none = pa.RecordBatch.from_pylist([], schema=self.schema)
        rows = pa.concat_batches([rows for _, rows, _ in pieces] or [none])
        request = np.concatenate([np.zeros(0, np.int64), *(of for _, _, of in pieces)])
        drawn, at = drawn_again(self.kind, shown.places, rows, request)
        if self.kind in self.recipe.in_samples:
            self._items.append(np.unique(shown.key[at]))
            if len(self._items) > MAX_HELD:
                self._items = [np.unique(np.concatenate(self._items))]
        self._watch.see(self.kind, self.dt, shown.lists, drawn, rows, self.side, self.responses)

    def close(self) -> None:
        """Leave the keys of the items, for who counts those of all kinds."""
        if self.kind in self.recipe.in_samples:
            keys = np.unique(np.concatenate([np.zeros(0, np.uint64), *self._items]))
            put_array(item_file(self.recipe, self.kind, self.dt), [keys], np.uint64)

    def batches(self) -> Iterator[pa.RecordBatch]:
        for file in sorted(self.recipe.files[self.kind].get(self.dt, ()), key=_place):
            for rows in read_part(file, self.schema.names, batch_rows=BATCH_ROWS):
                yield rows.cast(self.schema)


def _pieces(samples: _Samples) -> Iterator[Piece]:
    """The rows as they stand, cut where the row group of lists changes."""
    for rows in samples.batches():
        starts = request_starts(rows, ("request_id",))
        group, row = samples.day.find(rows.column("request_id").take(pa.array(starts)))
        request = np.repeat(row, np.diff(np.append(starts, rows.num_rows)))
        cuts = [0, *(np.flatnonzero(group[1:] != group[:-1]) + 1).tolist(), len(group)]
        ends = np.append(starts, rows.num_rows)[cuts].tolist()
        for cut, first, last in zip(cuts, ends, ends[1:], strict=False):
            yield int(group[cut]), rows.slice(first, last - first), request[first:last]


def _in_order(samples: _Samples) -> Iterator[Piece]:
    """The rows of the whole day, brought in the order of lists."""
    found = list(_pieces(samples))
    every = pa.Table.from_batches([rows for _, rows, _ in found], samples.schema)
    group = np.repeat([g for g, _, _ in found], [len(r) for _, _, r in found])
    request = np.concatenate([r for _, _, r in found])
    order = np.lexsort((request, group))
    for number in np.unique(group).tolist():
        own = order[np.searchsorted(group[order], number) :][: int((group == number).sum())]
        (rows,) = every.take(pa.array(own)).combine_chunks().to_batches()
        yield number, rows, request[own]


def item_file(recipe: Recount, kind: str, dt: str) -> Path:
    """Keys of the items that samples of the kind hold on a day."""
    name = xxh64(pa.array([f"{kind} {dt}"]))[0]
    return Path(recipe.target.root) / f"items-{name:016x}.npy"


def _place(file: str) -> tuple[str, int]:
    """Parts of one task in the order in which it wrote them."""
    found = re.fullmatch(r"(.*?)-?(\d*)\.parquet", Path(file).name)
    return (found[1], int(found[2] or 0)) if found else (file, 0)
