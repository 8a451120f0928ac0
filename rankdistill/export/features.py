"""Numeric columns of listed items, as features of a ranker.

A feature is a column of `listwise`, where features that the build joined are, or of `lists`,
where what the log mapped as item and request columns lies; the two meet by request, then by item.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa

from rankdistill.contract import table_contract
from rankdistill.engines.spill import spill
from rankdistill.errors import ConfigError, closest
from rankdistill.export.shapes import flat
from rankdistill.export.source import Source
from rankdistill.lists.batch import owners

# Ids are names, not sizes; the grade is what is to be learnt; the rest is how it was sampled.
IDS = ("request_id", "user_id", "item_id")
NEVER = (*IDS, "grade", "weight", "probability", "item_probability")


LISTS = 1024  # worked on at once


@dataclass(frozen=True)
class Feature:
    """A column. table: where it is read. of_item: a value per item, else one per request."""

    name: str
    table: str
    of_item: bool


@dataclass(frozen=True)
class Listed:
    """L lists. offsets: int64 [L + 1]; request: request_id, split [L]; item: item_id, grade [M];
    names, features: of each feature its name, and its values [M]."""

    offsets: np.ndarray
    request: pa.RecordBatch
    item: pa.RecordBatch
    names: tuple[str, ...]
    features: tuple[pa.Array, ...]


def choose(source: Source, asked: tuple[str, ...] | None) -> tuple[Feature, ...]:
    """The features asked for; otherwise all numeric ones of item and request columns of the log
    and of the feature tables that the build joined.

    Teacher scores, ranks and feedback are features only where they are asked for by name: a
    student has none of them when it serves. Raises ConfigError E0102 or E0105.
    """
    known, joined = numeric(source), materialised(source)
    if asked is None:
        named = {column["name"] for column in table_contract("lists")["columns"]}
        named |= set(source.schema("listwise").names) - set(joined)
        asked = tuple(name for name in known if name not in named)
    if not asked:
        raise ConfigError(
            "E0105",
            "a ranker needs features, and neither the log nor a joined feature table has a numeric "
            "column of items or requests",
            found=f"columns that can be named: {', '.join(known) or '(none)'}",
            help="map some under log.columns item or request, or join a table (features, "
            "materialize: true), and build again; or name columns with --features (a teacher's "
            "score is none that a student has)",
        )
    for name in asked:
        if name not in known:
            raise _no_feature(source, name, list(known))
    return tuple(known[name] for name in dict.fromkeys(asked))


def _no_feature(source: Source, name: str, known: list[str]) -> ConfigError:
    """Why `name` cannot be a feature, as far as a column has that name."""
    types = {f.name: f.type for t in _tables(source) for f in source.schema(t)}
    if name in NEVER:
        why = "an id, the grade, or how the list was sampled: a ranker must not learn from it"
    elif name in types:
        why = f"{types[name]}, and a line of libsvm holds numbers"
    else:
        near = closest(name, known)
        return ConfigError(
            "E0102",
            f'--features: "{name}" is not a numeric column of items or requests',
            found=f"known are {', '.join(known) or '(none)'}",
            help=f"--features {near}" if near else None,
        )
    return ConfigError(
        "E0105",
        f'--features: "{name}" is {why}',
        found=f"known are {', '.join(known) or '(none)'}",
        help="leave it out, or write it as numbers and build again; --as tfrecord takes text",
    )


def materialised(source: Source) -> dict[str, bool]:
    """{column of `listwise`: whether it has a value per item} of the feature tables that the days
    joined into their samples."""
    tables = [t for dt in source.days for t in source.build.days[dt].counts.get("features", ())]
    return {
        f"{table['of']}_{name}": table["of"] == "item"
        for table in tables
        if table["materialize"]
        for name in table["columns"]
    }


def not_numbers(source: Source) -> list[str]:
    """Joined features that no ranker's line can hold."""
    known, names = numeric(source), source.schema("listwise").names
    return [name for name in materialised(source) if name not in known and name in names]


def _tables(source: Source) -> list[str]:
    return [table for table in ("listwise", "lists") if table in source.build.tables]


def numeric(source: Source) -> dict[str, Feature]:
    """What can be a feature, by name."""
    found: dict[str, Feature] = {}
    of_items = materialised(source)
    for table in _tables(source):
        for field in source.schema(table):
            # A list of a user's, say, stands once for the request: no value per item.
            of_item = pa.types.is_list(field.type) and of_items.get(field.name, True)
            kind = field.type.value_type if of_item else field.type
            is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
            if (is_number or pa.types.is_boolean(kind)) and field.name not in NEVER:
                found.setdefault(field.name, Feature(field.name, table, of_item))
    return found


def listed(source: Source, features: tuple[Feature, ...], folder: Path) -> Iterator[Listed]:
    """The graded lists with their features, request by request."""
    own = [feature for feature in features if feature.table == "listwise"]
    if len(own) == len(features):
        columns = ["request_id", "split", "item_id", "grade", *(f.name for f in own)]
        batches = source.read("listwise", columns)
    else:
        days = (_joined(source, features, dt, folder) for dt in source.days)
        batches = chain.from_iterable(days)
    for rows in source.follow(batches):
        for start in range(0, rows.num_rows, LISTS):
            yield _listed(rows.slice(start, LISTS), features)


def _listed(rows: pa.RecordBatch, features: tuple[Feature, ...]) -> Listed:
    offsets, item_id = flat(rows["item_id"])
    item = pa.RecordBatch.from_pydict({"item_id": item_id, "grade": flat(rows["grade"])[1]})
    place = None
    if any(f.table == "lists" and f.of_item for f in features):
        place = places(offsets, item_id, *flat(rows["listed_item_id"]))
    request = pa.array(owners(offsets))
    columns = []
    for feature in features:
        column = rows[feature.name]
        if not feature.of_item:
            columns.append(column.take(request))
        elif feature.table == "listwise":
            columns.append(_elements(column, np.diff(offsets)))
        else:
            columns.append(_elements(column, np.diff(flat(rows["listed_item_id"])[0])).take(place))
    names = tuple(feature.name for feature in features)
    return Listed(offsets, rows.select(["request_id", "split"]), item, names, tuple(columns))


def _elements(column: pa.ListArray, lengths: np.ndarray) -> pa.Array:
    """All elements; a list that is null is one of as many nulls."""
    if not column.null_count:
        return column.flatten()
    lists = [
        values if values is not None else [None] * int(length)
        for values, length in zip(column.to_pylist(), lengths, strict=True)
    ]
    return pa.array([value for values in lists for value in values], column.type.value_type)


def places(
    offsets: np.ndarray, item_id: pa.Array, all_offsets: np.ndarray, all_item_id: pa.Array
) -> pa.Array:
    """Where each item of a list stands among all candidates of its request; both flat."""
    codes = pa.concat_arrays([item_id, all_item_id]).dictionary_encode()
    index, num = codes.indices.to_numpy(), max(1, len(codes.dictionary))

    def key(of: np.ndarray, code: np.ndarray) -> np.ndarray:
        return owners(of) * num + code

    wanted, there = key(offsets, index[: len(item_id)]), key(all_offsets, index[len(item_id) :])
    order = np.argsort(there, kind="stable")
    found = order[np.searchsorted(there, wanted, sorter=order)]
    assert np.array_equal(there[found], wanted), "a listed item that is no candidate"
    return pa.array(found)


JOIN = """
SELECT graded.*, candidates.* EXCLUDE (request_id)
FROM graded JOIN candidates USING (request_id) ORDER BY request_id
"""


def _joined(
    source: Source, features: tuple[Feature, ...], dt: str, folder: Path
) -> Iterator[pa.RecordBatch]:
    """Rows of `listwise` of one day, with the columns of `lists` beside them, by request_id."""
    of = {t: [f.name for f in features if f.table == t] for t in ("listwise", "lists")}
    graded = ["request_id", "split", "item_id", "grade", *of["listwise"]]
    candidates = ["request_id", "item_id", *of["lists"]]
    num_joined = 0
    with spill(folder) as scratch:
        scratch.add("graded", *_renamed(source, "listwise", graded, graded, dt))
        names = ["request_id", "listed_item_id", *of["lists"]]
        scratch.add("candidates", *_renamed(source, "lists", candidates, names, dt))
        for rows in scratch.rows(JOIN):
            num_joined += rows.num_rows
            yield rows
    num_rows = sum(part.num_rows for part in source.data.parts("listwise", source.build, dt))
    source.left_out["no_list"] += num_rows - num_joined


def _renamed(
    source: Source, table: str, columns: list[str], names: list[str], dt: str
) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    schema = source.schema(table)
    fields = [schema.field(c).with_name(n) for c, n in zip(columns, names, strict=True)]
    batches = source.read(table, columns, [dt])
    return pa.schema(fields), (batch.rename_columns(names) for batch in batches)
