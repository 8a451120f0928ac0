"""The feature tables of a build: opened and bound before a row is read, then staged for the tasks.

A table that is joined is read once by the engine, whatever its format, and written as canonical
parts that every task loads; one that is left to the trainer is only checked and recorded.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from rankdistill.engines.query import Engine, Query, Row
from rankdistill.errors import ConfigError, InputError, UserError, UserErrors
from rankdistill.features.bind import BoundTable, bind_table, names_of
from rankdistill.features.join import Join, feature_fields, feature_names
from rankdistill.features.options import ContextFeatures, EntityFeatures
from rankdistill.lists.batch import Lists
from rankdistill.lists.group import Grouped
from rankdistill.log.files import LogFile, Opened, fingerprint
from rankdistill.log.lookup import key_of
from rankdistill.own_tables import Target, part_rows
from rankdistill.store.parts import Part

STAGED = "_features"  # folders of staged tables: _features_user, ...


@dataclass(frozen=True)
class OpenedTable:
    """A feature table of the configuration, at `place` there."""

    options: EntityFeatures | ContextFeatures
    opened: Opened
    bound: BoundTable
    place: str


def open_tables(
    tables: Sequence[EntityFeatures | ContextFeatures],
    engine: Engine,
    lists: Lists,
    known: frozenset[str],
) -> tuple[OpenedTable, ...]:
    """The configured tables, bound to a log with these request columns (known). Raises
    UserErrors: everything wrong with any of them."""
    found: list[OpenedTable] = []
    faults: list[UserError] = []
    for i, (options, name) in enumerate(zip(tables, names_of(tables), strict=True)):
        place = f"features.{i}"
        try:
            opened = engine.open(options)
            bound = bind_table(options, opened.schema, lists, known, name=name, where=place)
            table = OpenedTable(options, opened, bound, place)
            if options.materialize and opened.num_rows is not None:
                refuse_large(table, opened.num_rows)
            found.append(table)
        except UserErrors as more:
            faults += more.errors
        except UserError as fault:
            faults.append(fault)
    if faults:
        raise UserErrors(faults)
    return tuple(found)


def joined(tables: Iterable[OpenedTable]) -> tuple[OpenedTable, ...]:
    """Those that are joined into the samples."""
    return tuple(table for table in tables if table.options.materialize)


def with_features(
    schemas: Mapping[str, pa.Schema], tables: Iterable[OpenedTable], kinds: Iterable[str]
) -> dict[str, pa.Schema]:
    """`schemas` with the features of every sample table of `kinds`; E0103 where names clash."""
    found = dict(schemas)
    for kind in kinds:
        for table in joined(tables):
            fields = feature_fields(table.bound, kind)
            if taken := [f.name for f in fields if f.name in found[kind].names]:
                fault = ConfigError(
                    "E0103",
                    f"{table.place}: {kind} has a column {taken[0]} already",
                    found=", ".join(found[kind].names),
                    help=f"give it another name: {table.place}.columns: {{NAME: COLUMN}}",
                    key=key_of(table.place),
                )
                raise UserErrors([fault])
            found[kind] = pa.schema([*found[kind], *fields])
    return found


def refuse_large(table: OpenedTable, num_rows: int) -> None:
    """InputError E0318 where a worker may not hold so many rows."""
    bound, limit = table.bound, table.options.max_values
    num_columns = len(bound.keys) + (bound.time is not None) + len(bound.columns)
    if num_rows * num_columns <= limit:
        return
    raise InputError(
        "E0318",
        f"{table.place}: {num_rows:,} rows of {num_columns} columns are too many to be joined: "
        f"every worker would hold {num_rows * num_columns:,} values, and max_values is {limit:,}",
        found=", ".join(feature_names(bound)[:20]),
        help="name fewer columns, leave the table to the trainer (materialize: false), or raise "
        f"{table.place}.max_values where workers have the memory "
        "(some 8 bytes a number, more for text)",
        key=key_of(table.place),
    )


def table_files(tables: Iterable[OpenedTable]) -> list[LogFile]:
    """The files that decide rows: those of joined tables."""
    return [file for table in joined(tables) for file in table.opened.files]


def stage(
    tables: Iterable[OpenedTable], engine: Engine, root: str, build_id: str
) -> tuple[tuple[Join, ...], list[Part], Counter[str]]:
    """(the tables as tasks find them, their staged parts, counts of their rows)."""
    joins, parts, counts = [], [], Counter[str]()
    for table in tables:
        query = Query(table.opened, table.bound.paths, (), (), ())
        folder = f"{STAGED}_{table.bound.name}"
        target = Target(root, build_id, {})
        work = functools.partial(_write, target, folder, table.bound)
        own, found = [], Counter[str]()
        for row in engine.run(query, work, lambda done: None):
            value = json.loads(row["value"])
            if row["kind"] == "part":
                own.append(Part(**value))
            else:
                found.update(value)
        refuse_large(table, found["rows"])
        counts.update({f"features.{table.bound.name}.{name}": n for name, n in found.items()})
        parts += own
        files = tuple(sorted(f"{root}/{part.table}/{part.path}" for part in own))
        joins.append(replace(as_join(table), files=files))
    return tuple(joins), parts, counts


def as_join(table: OpenedTable) -> Join:
    """The table as tasks find it, before its rows are staged."""
    bound = table.bound
    names = feature_names(bound)
    return Join(bound.name, bound.of, bound.on, bound.time is not None, names, (), table.place)


def narrowed(table: OpenedTable, names: Collection[str]) -> OpenedTable:
    """The table with those of its features alone that the samples call one of `names`."""
    bound = table.bound
    kept = [at for at, name in enumerate(feature_names(bound)) if name in names]
    columns = tuple(bound.columns[at] for at in kept)
    types = tuple(bound.types[at] for at in kept)
    fields = [*bound.keys, *columns, *([bound.time] if bound.time else [])]
    used = {alias for field in fields for alias in field.aliases}
    paths = {alias: path for alias, path in bound.paths.items() if alias in used}
    return replace(table, bound=replace(bound, columns=columns, types=types, paths=paths))


def _write(
    target: Target, folder: str, bound: BoundTable, batches: Iterable[Grouped], task: str
) -> Iterator[Row]:
    counts: Counter[str] = Counter()
    with target.writer(task) as writer:
        for grouped in batches:
            rows, found = bound.rows(grouped.rows)
            counts.update(found)
            writer.write(folder, "all", rows)
        parts = writer.close()
    yield from part_rows(parts)
    yield {"kind": "counts", "value": json.dumps(counts)}


def table_facts(tables: Iterable[OpenedTable]) -> list[dict[str, Any]]:
    """What a trainer needs in order to find the tables, and what was joined already."""
    return [
        {
            "name": table.bound.name,
            "of": table.bound.of,
            "place": table.options.table or table.options.path,
            "format": table.options.format,
            "on": list(table.bound.on),
            "key": [_origin(table, key.aliases) for key in table.bound.keys],
            "time": table.bound.time and _origin(table, table.bound.time.aliases),
            "columns": {f.name: _origin(table, f.aliases) for f in table.bound.columns},
            "materialize": table.options.materialize,
            "fingerprint": fingerprint(table.opened.files),
        }
        for table in tables
    ]


def request_names(facts: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Columns of the samples that recorded tables gave to requests, not to items."""
    joins = [table for table in facts if table["materialize"] and table["of"] != "item"]
    return frozenset(f"{table['of']}_{name}" for table in joins for name in table["columns"])


def table_lines(tables: Iterable[OpenedTable]) -> list[str]:
    """A line for each table: its place, its key, its features, and who joins it."""
    lines = []
    for table in tables:
        bound, options = table.bound, table.options
        place = options.table or options.path
        since = "" if bound.time is None else ", the newest row at or before the request"
        what = "joined into the samples" if options.materialize else "left to the trainer"
        names = ", ".join(feature_names(bound)[:8]) + (", ..." if len(bound.columns) > 8 else "")
        place = place if isinstance(place, str) else ", ".join(place or ())
        lines.append(
            f"features  {bound.name} of {place} by {', '.join(bound.on)}{since}: {names}; {what}"
        )
    return lines


def judge_tables(counts: Mapping[str, int]) -> list[str]:
    """Warnings: rows of feature tables that nothing can meet."""
    words = {"no_key": "without a key", "no_time": "without a time that can be read"}
    return [
        f"{name.rsplit('.', 1)[0]}: {n:,} rows {words[name.rsplit('.', 1)[1]]} left out"
        for name, n in sorted(counts.items())
        if n and name.rsplit(".", 1)[1] in words
    ]


def _origin(table: OpenedTable, aliases: tuple[str, ...]) -> str:
    return ", ".join(".".join(table.bound.paths[alias]) for alias in aliases)
