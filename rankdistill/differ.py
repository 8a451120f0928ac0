"""`diff`: what two builds, or two data sets, have in common and what not.

Reads both sides, finds the rows that one alone has, and leaves the rest to `quality.compare`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from rankdistill.contract import table_contract
from rankdistill.engines.spill import spill
from rankdistill.errors import ConfigError, PlaceError
from rankdistill.quality.compare import Side, compared
from rankdistill.quality.measure import Gate
from rankdistill.quality.metrics import TABLE
from rankdistill.store.builds import Build
from rankdistill.store.content import ContentHash
from rankdistill.store.dataset import DataSet
from rankdistill.verdict import days_read, document_of, readable

MAX_ROWS = 20  # keys that are shown of the rows that one side alone has
COMPARED = ("lists", "pointwise", "pairwise", "listwise", "negatives", "items", "responses")
BASELINES = ("yesterday", "weekday")


@dataclass(frozen=True)
class Picked:
    """A build of a data set, and some of its days."""

    name: str
    data_set: DataSet
    build: Build
    days: tuple[str, ...]


def pick(place: str, dt: str | None = None) -> Picked:
    """ "DIR" (its current build) or "DIR@NUMBER". Raises PlaceError E0201, E0206."""
    folder, at, number = place.rpartition("@")
    if at and number.isdigit():
        data_set = DataSet.open(folder)
        build = data_set.build(int(number))
    else:
        data_set = DataSet.open(place)
        build = data_set.newest()
    return of_days(Picked(place, data_set, build, tuple(sorted(build.days))), dt)


def of_days(picked: Picked, dt: str | None) -> Picked:
    """The same with one day alone; None: with all."""
    if dt is None:
        return picked
    if dt not in picked.build.days:
        known = ", ".join(sorted(picked.build.days)[-5:])
        raise PlaceError("E0206", f"{picked.name} has no dt={dt}", found=known)
    return Picked(f"{picked.name} dt={dt}", picked.data_set, picked.build, (dt,))


def against(picked: Picked, baseline: str, dt: str | None = None) -> tuple[Picked, Picked]:
    """(what is compared with, the newest day or build): yesterday, weekday, or last:N builds ago.

    dt: the day in place of the newest, or the one day of both builds.
    Raises ConfigError E0107 for another word, PlaceError E0206 where there is no such day.
    """
    word, _, number = baseline.partition(":")
    if word == "last" and number.isdigit() and int(number) > 0:
        known = [b for b in picked.data_set.versions() if b.number <= picked.build.number]
        if len(known) <= int(number):
            held = "1 build" if len(known) == 1 else f"{len(known)} builds"
            raise PlaceError("E0206", f"{picked.name} has {held}", help="rankdistill versions")
        old = known[-1 - int(number)]
        before = Picked(f"build {old.number}", picked.data_set, old, tuple(sorted(old.days)))
        return of_days(before, dt), of_days(picked, dt)
    if baseline not in BASELINES:
        raise ConfigError(
            "E0107",
            f'--baseline "{baseline}" is unknown',
            found="known are yesterday, weekday, last:N",
            help="yesterday: the day before the newest; weekday: seven days before; last:N: N "
            "builds ago",
        )
    if not picked.days:
        raise PlaceError("E0206", f"{picked.name} has no day", help="rankdistill build")
    newest = of_days(picked, dt or picked.days[-1])
    days = tuple(day for day in picked.days if day <= newest.days[0])
    return of_days(picked, _before(days, baseline)), newest


def _before(days: tuple[str, ...], baseline: str) -> str | None:
    if baseline == "yesterday" and len(days) > 1:
        return days[-2]
    try:
        week = (date.fromisoformat(days[-1]) - timedelta(days=7)).isoformat()
    except ValueError:
        week = ""
    if baseline == "weekday" and week in days:
        return week
    raise PlaceError(
        "E0206",
        f"there is no day to compare {days[-1]} with",
        found=f"days {', '.join(days[-5:])}",
        help="--baseline last:1 compares builds",
    )


def diff(a: Picked, b: Picked, gates: Mapping[str, Gate | None]) -> dict[str, Any]:
    """What B changed against A: schema, config, counts, funnel, drift, measures, rows."""
    tables = [t for t in COMPARED if all(_has(side, t) for side in (a, b))]
    # The requests of different days are different ones: to list them says nothing.
    common = tuple(sorted({*a.days} & {*b.days}))
    one, other = (replace(side, days=common) for side in (a, b))
    unlike = [table for table in tables if common and not _is_same(one, other, table)]
    only = {table: only_in_one(one, other, table) for table in unlike}
    sides = _side(a, gates), _side(b, gates)
    with readable(b.data_set):
        return compared(*sides, only)


def only_in_one(a: Picked, b: Picked, table: str) -> dict[str, Any]:
    """How many keys of `table` one side alone has, and the first of them.

    A table of equal keys and other values (weights, say) has none, and is told all the same.
    """
    keys = table_contract(table)["key"]
    with tempfile.TemporaryDirectory() as folder, spill(Path(folder)) as scratch:
        for name, side in (("side_a", a), ("side_b", b)):
            schema = pa.schema([side.data_set.schema(table).field(key) for key in keys])
            scratch.add(f"{name}_rows", schema, _keys(side, table, schema))
            scratch.run(f"CREATE TABLE {name} AS SELECT DISTINCT * FROM {name}_rows")  # noqa: S608
        # Every name here is one of the contract's.
        names = ", ".join(f'"{key}"' for key in keys)
        # Ids of unlike type are never equal: text is compared with text.
        same = " AND ".join(
            f'CAST(l."{key}" AS VARCHAR) IS NOT DISTINCT FROM CAST(r."{key}" AS VARCHAR)'
            for key in keys
        )
        found: dict[str, Any] = {"key": keys}
        for name, left, right in (("a", "side_a", "side_b"), ("b", "side_b", "side_a")):
            lost = f"FROM {left} l WHERE NOT EXISTS (SELECT 1 FROM {right} r WHERE {same})"  # noqa: S608
            counted = next(iter(scratch.rows(f"SELECT count(*) {lost}")))
            found[f"only_{name}"] = counted.column(0)[0].as_py()
            first = f"SELECT {names} {lost} ORDER BY {names} LIMIT {MAX_ROWS}"
            found[f"examples_{name}"] = [
                row for batch in scratch.rows(first) for row in batch.to_pylist()
            ]
    return found


def _keys(side: Picked, table: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for dt in side.days:
        if table in side.build.days[dt].tables:
            yield from side.data_set.read(table, side.build, dt, schema.names)


def _is_same(a: Picked, b: Picked, table: str) -> bool:
    """Whether both sides hold the same rows: the same files, or the same content."""
    files, hashes = [], []
    for side in (a, b):
        parts = side.data_set.parts(table, side.build)
        files.append({(p.sha256, p.dt) for p in parts if p.dt in side.days})
    if files[0] == files[1]:
        return True
    for side in (a, b):
        found = [d for d in side.days if table in side.build.days[d].tables]
        of_days = (side.data_set.content_hash(table, dt, side.build) for dt in found)
        hashes.append(sum(of_days, start=ContentHash(0, 0)))
    return hashes[0] == hashes[1]


def _has(side: Picked, table: str) -> bool:
    return any(table in side.build.days[dt].tables for dt in side.days)


def _side(picked: Picked, gates: Mapping[str, Gate | None]) -> Side:
    data_set, build = picked.data_set, picked.build
    tables = [t for t in build.tables if _has(picked, t) and t != TABLE]
    rows = {
        t: sum(part.num_rows for part in data_set.parts(t, build) if part.dt in picked.days)
        for t in tables
    }
    schemas = {t: data_set.schema(t) for t in tables}
    every = days_read(data_set, build) if _has(picked, TABLE) else {}
    if not picked.days or any(dt not in every for dt in picked.days):
        return Side(picked.name, picked.days, schemas, rows)
    days = [every[dt] for dt in picked.days]
    past = [day for day in every.values() if day.dt < picked.days[0]]
    return Side(
        picked.name, picked.days, schemas, rows, days, document_of(data_set, days, past, gates)
    )
