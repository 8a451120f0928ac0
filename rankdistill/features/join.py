"""Features beside the samples they belong to: columns added to a batch of a sample table.

A row's features depend on its ids, its request's columns and time, and the feature table alone.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa

from rankdistill.features.bind import BoundTable
from rankdistill.features.table import Features, key_of_rows, micros, read_features
from rankdistill.lists.batch import Lists

PAIRWISE, LISTWISE = "pairwise", "listwise"


@dataclass(frozen=True)
class Join:
    """A staged feature table as a task finds it. Plain data: it travels to Spark's workers.

    files: its canonical parts; on: what its keys meet; names: of its features, with their prefix.
    place: of the table in the configuration.
    """

    name: str
    of: str
    on: tuple[str, ...]
    timed: bool
    names: tuple[str, ...]
    files: tuple[str, ...]
    place: str


def feature_names(bound: BoundTable) -> tuple[str, ...]:
    """What its features are called in the samples: user_city, item_age, context_rain."""
    return tuple(f"{bound.of}_{field.name}" for field in bound.columns)


def feature_fields(bound: BoundTable, kind: str) -> list[pa.Field]:
    """The columns that `join` adds to the sample table `kind`, in this order."""
    found = list(zip(feature_names(bound), bound.types, strict=True))
    if bound.of != "item":
        return [pa.field(name, kind) for name, kind in found]
    if kind == PAIRWISE:
        return [pa.field(f"{s}_{name}", of) for s in ("pos", "neg") for name, of in found]
    if kind == LISTWISE:
        return [pa.field(name, pa.list_(of)) for name, of in found]
    return [pa.field(name, of) for name, of in found]


def join(
    joins: Sequence[Join],
    kind: str,
    batch: pa.RecordBatch,
    lists: Lists,
    request: np.ndarray,
    counts: Counter[str],
) -> pa.RecordBatch:
    """`batch` of the sample table `kind` with the features of its rows.

    request: int64 [n], the request in `lists` of each row. Counts, per feature table, what was
    looked up (rows; of items: the items of rows) and what of it has no row there.
    """
    if not joins:
        return batch
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    for own, table in zip(joins, loaded(tuple(joins)), strict=True):
        if own.of == "item":
            found = _of_items(own, table, kind, batch)
        else:
            found = _of_requests(own, table, lists, request)
        for prefix, row, offsets in found:
            counts[f"features.{own.name}.{kind}.looked_up"] += len(row)
            counts[f"features.{own.name}.{kind}.missing"] += int((row < 0).sum())
            for name, values in zip(own.names, table.take(row), strict=True):
                if offsets is not None:
                    values = pa.ListArray.from_arrays(offsets, values)
                columns[f"{prefix}{name}"] = values
    return pa.RecordBatch.from_pydict(columns)


Found = tuple[str, np.ndarray, pa.Array | None]  # prefix of the names, rows, offsets of lists


def _of_requests(own: Join, table: Features, lists: Lists, request: np.ndarray) -> list[Found]:
    key, known = key_of_rows([lists.requests.column(name) for name in own.on])
    row = table.find(key, micros(lists.requests.column("request_time")))
    return [("", np.where(known, row, -1)[request], None)]


def _of_items(own: Join, table: Features, kind: str, batch: pa.RecordBatch) -> list[Found]:
    time = micros(batch.column("request_time"))
    if kind == LISTWISE:
        items = batch.column("item_id")
        lengths = np.diff(items.offsets.to_numpy())
        row = table.find(key_of_rows([items.flatten()])[0], np.repeat(time, lengths))
        start = items.offsets.to_numpy() - items.offsets[0].as_py()
        return [("", row, pa.array(start.astype(np.int32)))]
    sides = ("pos_", "neg_") if kind == PAIRWISE else ("",)
    return [
        (side, table.find(key_of_rows([batch.column(f"{side}item_id")])[0], time), None)
        for side in sides
    ]


_LOADING = threading.Lock()


def loaded(joins: tuple[Join, ...]) -> tuple[Features, ...]:
    """The tables of a build, loaded once per process; those of an earlier build are let go."""
    with _LOADING:
        return _loaded(joins)


@lru_cache(maxsize=1)
def _loaded(joins: tuple[Join, ...]) -> tuple[Features, ...]:
    return tuple(
        read_features(j.files, len(j.on), len(j.names), timed=j.timed, place=j.place) for j in joins
    )


def let_go() -> None:
    """Forget the tables of the build that is over."""
    _loaded.cache_clear()
