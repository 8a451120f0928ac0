"""The metrics of a build computed again from its tables alone: `check --recompute`.

The same Watch as in the build sees stored lists and samples; what the draws looked into is put
together again from the tables of the build that made the day. Counts, and what came of the rows
at the door, are not in the tables: those are taken from what the build kept.
"""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from rankdistill.arrays import mapped
from rankdistill.catalogue.options import CatalogueOptions
from rankdistill.cross_request import ItemNumbers, across, item_numbers
from rankdistill.day_side import DaySide, put_side
from rankdistill.derive import CATALOGUE, looked_at, told
from rankdistill.engines.query import Engine
from rankdistill.errors import InputError, PlaceError
from rankdistill.measuring import days_of_metrics
from rankdistill.one_pass import collect
from rankdistill.own_tables import Target, add_up
from rankdistill.quality.across import TABLE as ACROSS
from rankdistill.quality.drawn_again import COLUMNS, Foreign
from rankdistill.quality.facts import Facts
from rankdistill.quality.measures import MEASURES
from rankdistill.quality.measures.door import EXAMPLES
from rankdistill.quality.metrics import Day
from rankdistill.quality.state import Remembered, States
from rankdistill.recount_work import LISTS, Recount, item_file, work
from rankdistill.samples.catalogue import SAMPLERS
from rankdistill.store.builds import Build
from rankdistill.store.dataset import DataSet
from rankdistill.windows import days_looked_into

OF_CATALOGUE = ("Q18", "Q24")  # look into the catalogue that negatives were drawn from
OF_OTHER_DAYS = ("Q03", "Q27", "Q28")  # look at all days that were built together


@dataclass
class Recounted:
    """days: dt -> its metrics, of states computed again. skipped: dt -> measure -> why its state
    cannot be computed from the tables."""

    days: dict[str, Day] = field(default_factory=dict)
    skipped: dict[str, dict[str, str]] = field(default_factory=dict)


def recounted(
    data_set: DataSet,
    build: Build,
    engine: Engine,
    dts: Collection[str],
    stored: Mapping[str, Day],
    facts: Facts | None = None,
) -> Recounted:
    """stored: what the build kept of the days; facts: how those were built of which it kept none.

    Raises InputError E0604 where rows are not of these lists, E0601 where lists or facts lack.
    """
    found = Recounted()
    makers: dict[int, list[str]] = {}
    for dt in sorted(dts):
        makers.setdefault(build.days[dt].build, []).append(dt)
    for number, days in makers.items():
        at, is_kept = _maker(data_set, build, number)
        known = [stored[dt].facts for dt in days if dt in stored]
        own = known[0] if known else facts
        if own is None:
            raise InputError(
                "E0601",
                f"nothing tells how dt={days[0]} of {data_set.root} was built",
                help="give the config it was built with: --config FILE",
            )
        if LISTS not in at.tables:
            raise InputError(
                "E0601", f"{data_set.root} has no table lists", help="samples.lists: true"
            )
        _recount(_Maker(data_set, at, engine, own, days, is_kept), stored, found)
    return found


def _maker(data_set: DataSet, build: Build, number: int) -> tuple[Build, bool]:
    """(the build that made a day, whether it is kept); without it, the one at hand."""
    if number == build.number:
        return build, True
    try:
        return data_set.build(number), True
    except PlaceError:
        return build, False


@dataclass(frozen=True)
class _Maker:
    """A build, `days` of those that it made, and how they were built."""

    data_set: DataSet
    at: Build
    engine: Engine
    facts: Facts
    days: Sequence[str]
    is_kept: bool

    @functools.cached_property
    def kinds(self) -> dict[str, Any]:
        return {
            kind: SAMPLERS[kind].options.model_validate(options)
            for kind, options in self.facts.kinds.items()
        }

    @property
    def looking(self) -> dict[str, Any]:
        """The kinds that look into more than their own request."""
        return {kind: chosen for kind, chosen in self.kinds.items() if chosen.needs}

    @property
    def together(self) -> list[str]:
        """The days that were built together with `days`."""
        number = self.at.days[self.days[0]].build
        own = [dt for dt, day in self.at.days.items() if day.build == number]
        return sorted({*own, *self.days}) if self.is_kept else list(self.days)

    def files(self, table: str, dts: Collection[str]) -> list[str]:
        return [file for dt in dts for file in self.of(table, dt)]

    def of(self, table: str, dt: str) -> list[str]:
        """The parts of a day; none where it has none."""
        if dt not in self.at.days or table not in self.at.days[dt].tables:
            return []
        return self.data_set.files(table, self.at, dt)


def _recount(maker: _Maker, stored: Mapping[str, Day], found: Recounted) -> None:
    with tempfile.TemporaryDirectory(prefix="rankdistill-recount-") as folder:
        states = _states(maker, Path(folder))
    counts = {dt: maker.at.days[dt].counts.get("counts", {}) for dt in maker.days}
    made = days_of_metrics(maker.facts, states, counts, maker.days)
    for day in made:
        kept = stored.get(day.dt)
        if kept is not None:
            own = _with_examples(day.states, kept.states)
            day = Day(day.dt, kept.facts, kept.counts, kept.door, own)
        found.days[day.dt] = day
        found.skipped[day.dt] = _skipped(maker)


def _with_examples(
    made: Mapping[str, Remembered], kept: Mapping[str, Remembered]
) -> dict[str, Remembered]:
    """The states computed again with examples of what the door set aside, which is not in the
    tables."""
    found = dict(made)
    for name in {measure for measure, _ in EXAMPLES.values()} & kept.keys():
        own = found.get(name, Remembered())
        found[name] = Remembered(own.segments, kept[name].examples)
    return found


def _skipped(maker: _Maker) -> dict[str, str]:
    if not maker.is_kept:
        why = "the build that made the day is not kept, nor what it looked into"
        late = [m.id for m in MEASURES.values() if {*m.watch} & {*maker.looking}]
        return dict.fromkeys((*OF_CATALOGUE, *OF_OTHER_DAYS, *late), why)
    if (maker.facts.catalogue or {}).get("items"):
        return dict.fromkeys(OF_CATALOGUE, "the item table is not among the tables")
    return {}


def _states(maker: _Maker, folder: Path) -> States:
    schemas = {kind: _schema(maker.data_set, kind) for kind in maker.kinds if _has(maker, kind)}
    names = (LISTS, *schemas)
    files = {t: {dt: maker.of(t, dt) for dt in maker.together} for t in names}
    target = Target(str(folder), "recount", {})
    numbers = ItemNumbers()
    sides = dict(_sides(maker, target)) if maker.is_kept else {}
    numbers.add_catalogues(sides, maker.facts)
    early = tuple(kind for kind in schemas if kind not in maker.looking)
    recipe = Recount(target, maker.facts, files, schemas, sides, early, tuple(maker.looking))
    units = [json.dumps({"tables": tables, "dt": dt}) for tables, dt in _units(maker, schemas)]
    try:
        rows = maker.engine.each(units, functools.partial(work, recipe), lambda done: None)
        parts, _, _, states = collect(rows)
    except (Foreign, pa.ArrowInvalid) as fault:
        raise InputError(
            "E0604",
            f"the tables of {', '.join(maker.days)} are not those of one build",
            found=str(fault).split("\n")[0],
            help="build these days again with --force",
        ) from fault
    _add_items(maker, recipe, numbers)
    staged = [str(folder / p.table / p.path) for p in parts if p.table == ACROSS]
    states.add(across(maker.engine, staged, maker.facts, _ids(maker.data_set), numbers))
    return states


def _units(maker: _Maker, kinds: Collection[str]) -> Iterator[tuple[list[str], str]]:
    """(tables to be read side by side, dt), the longest first; of the days beside, lists alone
    are looked at."""
    early = [LISTS, *(kind for kind in kinds if kind not in maker.looking)]
    late = [kind for kind in kinds if kind in maker.looking]
    for dt in maker.together:
        if maker.of(LISTS, dt):
            yield early if dt in maker.days else [LISTS], dt
            if late and dt in maker.days:
                yield late, dt


def _has(maker: _Maker, kind: str) -> bool:
    return any(kind in maker.at.days[dt].tables for dt in maker.together)


def _schema(data_set: DataSet, kind: str) -> pa.Schema:
    """What is read of a kind's table."""
    schema = data_set.schema(kind)
    return pa.schema([schema.field(name) for name in COLUMNS[kind]])


def _ids(data_set: DataSet) -> dict[str, pa.DataType]:
    schema = data_set.schema(LISTS)
    item_id = schema.field("item_id").type.value_type
    return {"request_id": schema.field("request_id").type, "item_id": item_id}


def _sides(maker: _Maker, target: Target) -> Iterator[tuple[str, DaySide]]:
    """What the draws of each day looked into, laws left out: no measure looks at them."""
    if not maker.looking:
        return
    options = CatalogueOptions.model_validate(maker.facts.catalogue or {})
    items = maker.data_set.schema("items") if "items" in maker.at.tables else None
    counts = looked_at(items, maker.looking) if items else pa.schema([_item_field(maker)])
    for dt in maker.days:
        days = days_looked_into(options, dt, maker.looking)
        files = maker.files("items", days.items)
        scratch = Path(target.root)
        summed = add_up(maker.engine, target, CATALOGUE, dt, files, counts) if files else []
        place = scratch / f"side-{len(list(scratch.iterdir()))}"
        place.mkdir()
        put = [str(scratch / CATALOGUE / part.path) for part in summed]
        told_days = told(days, dt, lambda day: day in maker.at.days)
        responses = maker.files("responses", told_days)
        yield dt, put_side(place, put, counts, responses, {}, 0)


def _item_field(maker: _Maker) -> pa.Field:
    return pa.field("item_id", _ids(maker.data_set)["item_id"])


def _add_items(maker: _Maker, recipe: Recount, numbers: ItemNumbers) -> None:
    """What measures ask of the table `items`, and how many items the samples hold."""
    for dt in maker.days:
        if not maker.of("items", dt):
            continue
        for batch in maker.data_set.read("items", maker.at, dt):
            numbers.add(dt, item_numbers(batch))
        if all(kind == "negatives" for kind in maker.looking):
            places = [item_file(recipe, kind, dt) for kind in recipe.in_samples]
            keys = [mapped(place) for place in places if place.exists()]
            held = functools.reduce(np.union1d, keys) if keys else np.zeros(0)
            numbers.add(dt, {"sampled": len(held)})
