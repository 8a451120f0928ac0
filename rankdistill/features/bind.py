"""A feature table's options against its columns and the log's: how it is read, or why it cannot be.

A bound table knows its keys, its time and its features; it yields canonical rows of raw ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from rankdistill.errors import ConfigError, InputError, UserError, UserErrors, closest
from rankdistill.features.options import ContextFeatures, EntityFeatures
from rankdistill.lists.batch import Lists
from rankdistill.log.canonical import evaluate, missing
from rankdistill.log.lookup import Lookup, MappedField, Path, key_of, unlike_ids
from rankdistill.log.source import Column

NOT_KEYS = ("request_time", "split")  # columns of a request that no table is keyed by
TIME = "time"


@dataclass(frozen=True)
class BoundTable:
    """How one feature table is read. Plain data: it travels to the workers.

    name: user, item, context; user_2 for the second of a kind. on: what its keys meet, item_id
    or columns of the request. types: of the features, in the order of `columns`.
    """

    name: str
    of: str
    paths: dict[str, Path]
    on: tuple[str, ...]
    keys: tuple[MappedField, ...]
    time: MappedField | None
    columns: tuple[MappedField, ...]
    types: tuple[pa.DataType, ...]

    def rows(self, raw: pa.RecordBatch) -> tuple[pa.RecordBatch, Counter[str]]:
        """Canonical rows: k0, k1, ..., time (where there is one), c0, c1, ...; and counts.

        Rows without a key, or without a time where rows have one, are never met: left out.
        """
        columns = {f"k{i}": evaluate(key, raw)[0] for i, key in enumerate(self.keys)}
        lost = np.logical_or.reduce([missing(column) for column in columns.values()])
        counts = Counter(rows=raw.num_rows, no_key=int(lost.sum()))
        if self.time is not None:
            columns[TIME] = evaluate(self.time, raw)[0]
            timeless = missing(columns[TIME]) & ~lost
            counts["no_time"] = int(timeless.sum())
            lost |= timeless
        for i, (field, kind) in enumerate(zip(self.columns, self.types, strict=True)):
            column = evaluate(field, raw)[0]
            columns[f"c{i}"] = column if column.type == kind else column.cast(kind)
        rows = pa.RecordBatch.from_pydict(columns)
        return (rows.filter(pa.array(~lost)) if lost.any() else rows), counts


def names_of(tables: Sequence[EntityFeatures | ContextFeatures]) -> list[str]:
    """What each table is called where it is counted."""
    seen: Counter[str] = Counter()
    found = []
    for table in tables:
        seen[table.of] += 1
        found.append(table.of if seen[table.of] == 1 else f"{table.of}_{seen[table.of]}")
    return found


def bind_table(
    options: EntityFeatures | ContextFeatures,
    schema: pa.Schema,
    lists: Lists,
    known: frozenset[str],
    *,
    name: str,
    where: str,
) -> BoundTable:
    """`options`, at `where` of the configuration, bound to a table with `schema`.

    lists: of the build, none are needed: what types its ids and columns have; known: the request
    columns that the log maps. Raises UserErrors: no such column, types that cannot be, keys of
    unlike type, a user or a time that the log lacks.
    """
    lookup = Lookup(options, schema, where=where, prefix="x")
    columns = _keys(options)
    keys = tuple(lookup.field(on, "id", column, place) for on, (column, place) in columns.items())
    time = None if options.time is None else lookup.field(TIME, "time", options.time, "time")
    used = {path[0] for path in lookup.aliases}
    chosen = options.columns
    if chosen is None:
        chosen = {name: Column(name=name) for name in schema.names if name not in used}
    features = tuple(
        lookup.field(feature, "any", column, f"columns.{feature}")
        for feature, column in chosen.items()
    )
    faults = [*lookup.errors, *_unmet(options, tuple(columns), lists, known, where)]
    if faults:
        raise UserErrors(faults)
    empty = pa.RecordBatch.from_arrays(
        [pa.array([], lookup.type_at(path)) for path in lookup.paths.values()],
        list(lookup.paths),
    )
    types = tuple(evaluate(field, empty)[0].type for field in features)
    faults = _unlike(keys, empty, lookup, lists) + _unfit(features, types)
    if not features:
        text = f"{where}: the table has no column beside its key"
        faults.append(ConfigError("E0105", text, help="give a table with features"))
    if faults:
        raise UserErrors(faults)
    return BoundTable(name, options.of, lookup.paths, tuple(columns), keys, time, features, types)


def _keys(options: EntityFeatures | ContextFeatures) -> dict[str, tuple[Column, str]]:
    """What each key meets: (its column, its place)."""
    if isinstance(options, ContextFeatures):
        return {name: (column, f"key.{name}") for name, column in options.key.items()}
    own = f"{options.of}_id"
    return {own: (options.key or Column(name=own), "key")}


def _unmet(
    options: EntityFeatures | ContextFeatures,
    on: tuple[str, ...],
    lists: Lists,
    known: frozenset[str],
    where: str,
) -> list[UserError]:
    """What the log lacks that the table would meet."""
    faults: list[UserError] = []
    of_request = [n for n in lists.requests.schema.names if n in {*known, "dt"} - {*NOT_KEYS}]
    for name in on:
        if (name == "item_id" and options.of == "item") or name in of_request:
            continue
        near = closest(name, of_request)
        faults.append(
            ConfigError(
                "E0102",
                f'{where} is keyed by "{name}", which is no column of the request that is mapped',
                found=f"mapped are {', '.join(of_request)}",
                help=f'did you mean "{near}"?'
                if near
                else "map it: --set log.columns.user_id=COLUMN"
                if name == "user_id"
                else "map it under log.columns.request",
                key=key_of(f"{where}.key"),
            )
        )
    if options.time is not None and "request_time" not in known:
        text = f"{where}.time needs log.columns.request_time"
        faults.append(ConfigError("E0105", text, key=key_of(f"{where}.time")))
    return faults


def _unlike(
    keys: tuple[MappedField, ...], empty: pa.RecordBatch, lookup: Lookup, lists: Lists
) -> list[UserError]:
    """Keys that never meet those of the log."""
    faults: list[UserError] = []
    for key in keys:
        if key.column.constant is not None:
            text = f"{key.place} cannot be a constant: it tells rows apart"
            faults.append(ConfigError("E0104", text, key=key_of(key.place)))
            continue
        found = evaluate(key, empty)[0].type
        of = lists.candidates if key.name == "item_id" else lists.requests
        kind = of.schema.field(key.name).type
        own = pa.int64() if pa.types.is_integer(kind) else kind
        if own not in (pa.int64(), pa.string()):
            text = f"{key.place}: {key.name} of the log is no id; it must be integers or text"
            faults.append(InputError("E0304", text, found=str(kind), key=key_of(key.place)))
        elif found != own:
            pair = f"{key.place} and {key.name} of the log"
            types = f"{own} in the log, {found} in the feature table"
            faults.append(unlike_ids(pair, key, lookup, own, types))
    return faults


def _unfit(features: tuple[MappedField, ...], types: tuple[pa.DataType, ...]) -> list[UserError]:
    """Columns that are neither values nor lists of values."""
    faults: list[UserError] = []
    for field, kind in zip(features, types, strict=True):
        inner = kind.value_type if pa.types.is_list(kind) else kind
        if not pa.types.is_nested(inner):
            continue
        faults.append(
            InputError(
                "E0304",
                f"{field.place} must be a value or a list of values",
                found=str(kind),
                help="name its fields: {name: column.field}",
                key=key_of(field.place),
            )
        )
    return faults
