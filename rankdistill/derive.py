"""What a build makes of its own lists once they are staged: `items`, then the second pass.

Days look into earlier days, of this build or of the one it started from, never into later
ones but where a guard asks for them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import pyarrow as pa

from rankdistill.catalogue.listed import Listed, listed_counts, refuse_none
from rankdistill.catalogue.options import days_around
from rankdistill.cross_request import ItemNumbers, add_up_items, of_build
from rankdistill.day_side import DaySide, put_side, size_of
from rankdistill.engines.query import Engine, Query
from rankdistill.features.join import Join
from rankdistill.log.days import duration
from rankdistill.log.files import Opened
from rankdistill.measuring import facts_for_measures
from rankdistill.one_pass import COUNTED, Tally
from rankdistill.own_tables import Target, add_up, staged
from rankdistill.prepare import Prepared
from rankdistill.quality.across import DRAWN
from rankdistill.quality.across import TABLE as ACROSS
from rankdistill.quality.facts import Facts
from rankdistill.quality.state import States
from rankdistill.samples.negative_options import weighings
from rankdistill.second_pass import Redraw, redraw, units
from rankdistill.store.builds import Build
from rankdistill.store.dataset import DataSet
from rankdistill.store.parts import Part
from rankdistill.store.staging import Staging, new_folder, remove_folder, remove_parts
from rankdistill.windows import Around, looked_into

# The item table, the catalogue of a day, and all that its draws look into: gone with the build.
LISTED, CATALOGUE, ARRAYS = "_listed", "_catalogue", "_arrays"
HIDDEN = (COUNTED, LISTED, CATALOGUE, ACROSS, DRAWN)
WAVE_BYTES = 2**33  # days are drawn together until what they look into takes so much of the disk

# Days after a day that measures look at: negatives may be responded to later on.
MEASURED_AFTER = 7

Windows = Mapping[str, Mapping[str, int | None]]


@dataclass
class Tables:
    """Files of a table by day: of this build where it made the day, else of its base.

    own: the days that this build makes; of one whose files hold no row (any more) nothing.
    """

    data_set: DataSet
    base: Build | None
    own: frozenset[str] = frozenset()
    made: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def add(self, parts: Iterable[Part]) -> None:
        for part in parts:
            file = str(self.data_set.root / part.table / part.path)
            self.made.setdefault(part.table, {}).setdefault(part.dt, []).append(file)

    def knows(self, dt: str) -> bool:
        """Whether the day is in this build or its base."""
        return dt in self.own or (self.base is not None and dt in self.base.days)

    def of(self, table: str, days: Iterable[str]) -> list[str]:
        """The files of some days; a day that this build made without a row has none."""
        made = self.made.get(table, {})
        before = self.base.days if self.base else {}
        found = []
        for dt in days:
            if dt in made or dt in self.own:
                found += made.get(dt, [])
            elif dt in before and table in before[dt].tables:
                found += self.data_set.files(table, self.base, dt)
        return found


@dataclass(frozen=True)
class Derived:
    """parts: of visible tables; hidden: of the others; windows: dt -> day it looked into -> the
    build that had made that day (0: this one; None: no such day). states: of measures."""

    parts: list[Part]
    hidden: list[Part]
    tally: Tally
    windows: Windows
    states: States


def derive(
    prepared: Prepared,
    engine: Engine,
    data_set: DataSet,
    staging: Staging,
    parts: Sequence[Part],
    notify: Callable[..., None],
    joins: tuple[Join, ...] = (),
) -> Derived:
    """Everything of the build that comes from its own staged parts; joins: its feature tables."""
    target = Target(str(staging.root), staging.build_id, prepared.schemas)
    own = {part.dt for part in parts} | {*(prepared.files_by_day or ())}
    tables = Tables(data_set, staging.base, frozenset(own))
    tables.add(parts)
    counts, facts = counts_schema(prepared), facts_for_measures(prepared)
    numbers = ItemNumbers() if facts is not None else None
    items = [
        part
        for dt, files in sorted(tables.made.get(COUNTED, {}).items())
        for part in add_up_items(engine, target, dt, files, counts, numbers)
    ]
    tables.add(items)
    hidden = [part for part in parts if part.table in HIDDEN]
    measure = functools.partial(_measured, prepared, engine, staging, facts, numbers)
    kinds = prepared.kinds_of(2)
    if not kinds:
        return Derived(items, hidden, Tally(), {}, measure(hidden))

    days = {dt: looked_into(prepared, dt, kinds) for dt in tables.made.get("lists", {})}
    counts = looked_at(counts, kinds)
    listed = _listed(prepared, engine, target, counts)
    tables.add(listed)
    lists = tables.made.get("lists", {})
    todo = {dt: units((dt, file) for file in lists[dt]) for dt in sorted(days)}
    notify("drawing", kinds=list(kinds), days=len(days), units=sum(map(len, todo.values())))
    recipe = _recipe(prepared, target, kinds, joins)
    drawn, tally, states = [], Tally(), States()
    for sides in _waves(prepared, engine, tables, target, days, counts):
        if facts is not None and numbers is not None:
            numbers.add_catalogues(sides, facts)
        now = [unit for dt in sides for unit in todo[dt]]
        more, found, seen = redraw(
            engine,
            replace(recipe, sides=sides),
            now,
            lambda done: notify("progress", rows=done),
        )
        drawn += more
        tally.add(found)
        states.add(seen)
    hidden += [part for part in drawn if part.table in HIDDEN]
    states.add(measure(hidden))
    made = items + [part for part in drawn if part.table not in HIDDEN]
    windows = _windows(days, staging.base, tables)
    return Derived(made, hidden + listed, tally, windows, states)


def _measured(
    prepared: Prepared,
    engine: Engine,
    staging: Staging,
    facts: Facts | None,
    numbers: ItemNumbers | None,
    hidden: Sequence[Part],
) -> States:
    """What measures say of requests together; nothing where nothing is measured."""
    if facts is None or numbers is None:
        return States()
    return of_build(prepared, engine, staging.root, facts, numbers, hidden)


def _waves(
    prepared: Prepared,
    engine: Engine,
    tables: Tables,
    target: Target,
    days: Mapping[str, Around],
    counts: pa.Schema,
) -> Iterator[dict[str, DaySide]]:
    """What days look into, several at once where it is small; removed when they are drawn."""
    sides: dict[str, DaySide] = {}
    for dt, around in sorted(days.items()):
        sides[dt] = _side(prepared, engine, tables, target, dt, around, counts)
        if sum(map(size_of, sides.values())) >= WAVE_BYTES:
            yield sides
            _remove(tables, sides)
            sides = {}
    if sides:
        yield sides
        _remove(tables, sides)


def _side(
    prepared: Prepared,
    engine: Engine,
    tables: Tables,
    target: Target,
    dt: str,
    around: Around,
    counts: pa.Schema,
) -> DaySide:
    root, chosen = tables.data_set.root, prepared.kinds_of(2).get("negatives")
    measured = prepared.settings.quality.measure
    files = tables.of("items", around.items) + tables.of(LISTED, [LISTED])
    summed = add_up(engine, target, CATALOGUE, dt, files, counts) if files else []
    side = put_side(
        new_folder(root, ARRAYS, target.build_id, dt),
        [str(root / CATALOGUE / part.path) for part in summed],
        counts,
        tables.of("responses", told(around, dt, tables.knows) if measured else around.responses),
        weighings(chosen) if chosen else {},
        prepared.settings.seed,
    )
    remove_parts(root, summed)
    return side


def _remove(tables: Tables, sides: Mapping[str, DaySide]) -> None:
    for side in sides.values():
        remove_folder(tables.data_set.root, Path(side.folder))


def counts_schema(prepared: Prepared) -> pa.Schema:
    """The columns of `items` without dt; the id alone where items are not counted."""
    if prepared.catalogue is None:
        return pa.schema([("item_id", prepared.lists.candidates.schema.field("item_id").type)])
    schema = prepared.schemas["items"]
    return schema.remove(schema.get_field_index("dt"))


def looked_at(counts: pa.Schema, kinds: Mapping[str, Any]) -> pa.Schema:
    """The counts that the draws look at: an item table of millions need not carry the others."""
    names = {f"num_{name}" for chosen in kinds.values() for name in chosen.counts}
    return pa.schema([field for field in counts if field.name in {"item_id", *names}])


def told(around: Around, dt: str, knows: Callable[[str], bool]) -> list[str]:
    """The days whose responses are read: besides what the guards of `dt` reach, the days after
    it that there are, for the measures alone (so they are none of its windows)."""
    if not around.responses:
        return []
    later = takewhile(knows, days_around(dt, 0, MEASURED_AFTER, own=True))
    return list(dict.fromkeys([*around.responses, *later]))


def listed_rows(prepared: Prepared, engine: Engine, hidden: Iterable[Part]) -> dict[str, int]:
    """items.rows of the item table, items.no_id of them; nothing where none was staged."""
    staged_rows = [part.num_rows for part in hidden if part.table == LISTED]
    if prepared.listed is None or not staged_rows:
        return {}
    rows = engine.count(_items_query(*prepared.listed))[0]
    return {"items.rows": rows, "items.no_id": rows - sum(staged_rows)}


def _items_query(opened: Opened, listed: Listed) -> Query:
    return Query(opened, listed.paths, (), (), ())


def _listed(prepared: Prepared, engine: Engine, target: Target, counts: pa.Schema) -> list[Part]:
    """The configured item table as staged counts of 0."""
    if prepared.listed is None:
        return []
    opened, listed = prepared.listed
    rows = functools.partial(listed_counts, listed, counts)
    parts = staged(engine, _items_query(opened, listed), target, LISTED, LISTED, rows)
    refuse_none(sum(part.num_rows for part in parts))
    return parts


def _recipe(
    prepared: Prepared,
    target: Target,
    kinds: dict[str, Any],
    joins: tuple[Join, ...],
) -> Redraw:
    history = {duration(k.history_window) for k in kinds.values() if "history" in k.needs}
    future = {duration(k.future_window) for k in kinds.values() if "future" in k.needs}
    assert len(history) <= 1, history
    assert len(future) <= 1, future
    return Redraw(
        target,
        kinds,
        prepared.settings.seed,
        prepared.mapping.options.teacher_order,
        prepared.mapping.feedback_names,
        prepared.mapping.response,
        next(iter(history), None),
        next(iter(future), None),
        mined=tuple(prepared.mined.paths) if prepared.mined else (),
        joins=joins,
        facts=facts_for_measures(prepared),
    )


def _windows(days: Mapping[str, Around], base: Build | None, tables: Tables) -> Windows:
    builds: dict[str, int | None] = {dt: d.build for dt, d in (base.days if base else {}).items()}
    builds |= dict.fromkeys(tables.own, 0)
    return {
        dt: {day: builds.get(day) for day in sorted({*around.items, *around.responses})}
        for dt, around in days.items()
    }
