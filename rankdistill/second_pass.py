"""The second pass: samples that need more than their own request, drawn from the ranked lists.

Lists of a day in, map only; beside them the catalogue of the days before and what users
responded to around each request. The same code in both engines.
"""

from __future__ import annotations

import functools
import json
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rankdistill.catalogue.history import History
from rankdistill.catalogue.items import Catalogue
from rankdistill.catalogue.law import Law
from rankdistill.day_side import DaySide
from rankdistill.engines.query import Engine, Progress, Row
from rankdistill.features.join import Join
from rankdistill.lists.batch import ORDER_COLUMNS, Lists
from rankdistill.one_pass import Tally, collect, draw_kinds, gathered, sample_table
from rankdistill.own_tables import Target, part_rows
from rankdistill.quality.across import DRAWN
from rankdistill.quality.facts import Facts
from rankdistill.quality.state import States
from rankdistill.quality.watch import Watch
from rankdistill.samples.bounds import not_too_many
from rankdistill.samples.mined import COLUMNS, MinedItems
from rankdistill.samples.side import Side
from rankdistill.store.parts import Part

# Responses of the users of all requests that are worked on at once; about 100 bytes each.
MOST_RESPONSES = 2**20
GROUPS_PER_UNIT = 4  # row groups of lists that a task reads at once; a group has 1 M candidates


@dataclass(frozen=True)
class Redraw:
    """All that a task needs to know. Plain data: it travels to Spark's workers.

    kinds: the resolved options of the kinds drawn here; sides: dt -> what its draws look into;
    mined: files of mined items; joins: feature tables, facts: of measures, as in
    the first pass.
    """

    target: Target
    kinds: Mapping[str, Any]
    seed: int
    teacher_order: str
    feedback: tuple[str, ...]
    response: Mapping[str, float]
    history: timedelta | None = None
    future: timedelta | None = None
    sides: Mapping[str, DaySide] = field(default_factory=dict)
    mined: tuple[str, ...] = ()
    joins: tuple[Join, ...] = ()
    facts: Facts | None = None


def units(lists: Iterable[tuple[str, str]]) -> list[str]:
    """Units of work from (dt, file) of ranked lists, days together."""
    found = []
    for dt, file in sorted(lists):
        num_groups = pq.ParquetFile(file).num_row_groups
        for first in range(0, num_groups, GROUPS_PER_UNIT):
            groups = list(range(first, min(first + GROUPS_PER_UNIT, num_groups)))
            found.append(json.dumps({"dt": dt, "file": file, "groups": groups}))
    return found


def redraw(
    engine: Engine, recipe: Redraw, todo: Sequence[str], progress: Progress
) -> tuple[list[Part], Tally, States]:
    """(parts, counts, states) of the kinds, drawn from the lists of the units."""
    found = collect(engine.each(todo, functools.partial(work, recipe), progress))
    parts, tally, _, states = found
    return parts, tally, states


def work(recipe: Redraw, todo: Iterator[str], task: str) -> Iterator[Row]:
    """Every unit's lists through the kernels into parts; then what was made, as rows."""
    tally, known, watch = Tally(), _Known(recipe), Watch(recipe.facts)
    with recipe.target.writer(task) as writer:
        for text in todo:
            unit = json.loads(text)
            dt, counts = unit["dt"], tally.by_dt.setdefault(unit["dt"], Counter())
            for lists in known.few(dt, read_lists(recipe, unit["file"], unit["groups"], dt)):
                side = known.side(dt, lists)
                for kind, drawn in draw_kinds(recipe.kinds, lists, recipe.seed, counts, side):
                    counts.update(_early(kind, drawn, side))
                    rows = sample_table(kind, lists, drawn, recipe.joins, counts, side)
                    watch.see(kind, dt, lists, drawn, rows, side, known.responses)
                    writer.write(kind, dt, rows)
                gathered(watch.across.rows(), writer, DRAWN)
        gathered(watch.across.rest(), writer, DRAWN)
        parts = writer.close()
    yield from part_rows(parts)
    yield tally.row()
    yield {"kind": "states", "value": watch.states.as_json()}


def _early(kind: str, drawn: Any, side: Side) -> dict[str, int]:
    """What a day wanted and lacked that has nothing yet to draw from: a log must begin somewhere,
    so its mix is not judged (`Q18`)."""
    head = "target."
    if not side.is_empty(k.removeprefix(head) for k in drawn.counts if k.startswith(head)):
        return {}
    told = ("target.", "short.")
    return {f"{kind}.early.{k}": n for k, n in drawn.counts.items() if k.startswith(told)}


def read_lists(recipe: Redraw, file: str, groups: Sequence[int], dt: str) -> Iterator[Lists]:
    """The lists of some row groups of one part."""
    with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
        names = _wanted(recipe, parquet.schema_arrow)
        for group in groups:
            for rows in parquet.iter_batches(row_groups=[group], columns=names):
                rows = rows.append_column("dt", pa.repeat(dt, rows.num_rows))
                yield Lists.from_rows(
                    rows, recipe.teacher_order, recipe.feedback, dict(recipe.response)
                )


def _wanted(recipe: Redraw, schema: pa.Schema) -> list[str]:
    """The columns to read: negatives look at a few of the candidates' alone."""
    if set(recipe.kinds) != {"negatives"}:
        return schema.names
    order = ORDER_COLUMNS.get(recipe.teacher_order)
    wanted = {"item_id", "stage", "teacher_score", order, *recipe.feedback}
    if recipe.facts is not None and "exposed_unclicked" in recipe.kinds["negatives"].sources:
        wanted.add("position")  # Q16 compares the positions of what was shown
    return [f.name for f in schema if not pa.types.is_list(f.type) or f.name in wanted]


class _Known:
    """What the draws of the day at hand look into; units come day by day.

    Of a task, not of the process: to map files costs nothing, and nothing stays mapped behind it.
    """

    def __init__(self, recipe: Redraw) -> None:
        self._recipe = recipe
        self._dt: str | None = None
        self._catalogue: Catalogue
        self._laws: Mapping[str, Law]
        self._history: History
        self._mined: MinedItems | None = None
        if recipe.mined:
            # One task after the other: what one has read, those beside and behind it find.
            with _READING:
                self._mined = read_mined(recipe.mined, recipe.target.build_id)

    @property
    def responses(self) -> History:
        """All that users responded to around the day of the last `side`."""
        return self._history

    def few(self, dt: str, batches: Iterable[Lists]) -> Iterator[Lists]:
        """The same lists, so few at once that what their users responded to stays small: it is
        there once for each request, and one user may have half a log."""
        self._look(dt)
        for lists in batches:
            for piece in not_too_many(self._recipe.kinds, lists):
                _, length = self._history.of_users(piece)
                yield from piece.pieces(length, MOST_RESPONSES)

    def _look(self, dt: str) -> None:
        if dt != self._dt:
            own, self._dt = self._recipe.sides[dt], dt
            self._catalogue, self._history = own.catalogue(), own.history()
            self._laws = {name: own.law(name) for name in own.laws}

    def side(self, dt: str, lists: Lists) -> Side:
        self._look(dt)
        recipe, known = self._recipe, self._history
        return Side(
            catalogue=self._catalogue,
            laws=self._laws,
            history=known.before(lists, recipe.history) if recipe.history is not None else None,
            future=known.after(lists, recipe.future) if recipe.future is not None else None,
            mined=self._mined.of(lists) if self._mined else None,
        )


_READING = threading.Lock()


@functools.lru_cache(maxsize=1)
def read_mined(files: tuple[str, ...], build_id: str) -> MinedItems:
    """What the files of `mined` hold. They are the user's and may be written anew under their
    names, unlike ours: another build_id reads them again."""
    tables = [pq.read_table(file, columns=list(COLUMNS), partitioning=None) for file in files]
    return MinedItems.make(pa.concat_tables(tables))


def let_go() -> None:
    """Forget the mined items of the build that is over; all else was of its tasks alone."""
    read_mined.cache_clear()
