"""The feature tables that the fields of a student look into: opened, checked, staged for a run.

A task of the roof: the student's room reads what is staged here, and knows no engine.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa

from rankdistill.engines.catalogue import make_engine
from rankdistill.errors import UserErrors
from rankdistill.feature_tables import OpenedTable, as_join, narrowed, open_tables, stage
from rankdistill.features.join import Join, feature_names
from rankdistill.lists.batch import Lists
from rankdistill.settings import Settings
from rankdistill.store.builds import Build
from rankdistill.store.dataset import DataSet
from rankdistill.student.fields.check import check_fields, item_types, request_types

Stage = Callable[[Path], tuple[Join, ...]]


def joined_tables(
    chosen: Settings, data_set: DataSet, build: Build
) -> tuple[tuple[Join, ...], Stage]:
    """(the tables that `train.fields` look into, what stages their rows into a new folder).

    Raises UserErrors: fields or tables that cannot be.
    """
    schema = data_set.schema("lists")
    log = next(iter(build.days.values())).counts["log"]
    fields = chosen.train.fields
    columns = {each.column for each in (*fields.user, *fields.item)}
    user, item = request_types(schema), item_types(schema, log["feedback"])
    found: list[OpenedTable] = []
    try:
        if columns - {*user, *item} and chosen.features:
            found = _opened(chosen, schema, columns - {*user, *item})
        check_fields(fields, {**user, **_types(found, user=True)}, {**item, **_types(found)})
    except UserErrors as faults:
        raise chosen.placed(faults) from None
    return tuple(map(as_join, found)), functools.partial(_stage, chosen, found)


def _opened(chosen: Settings, schema: pa.Schema, names: set[str]) -> list[OpenedTable]:
    """The tables that have features of these names, and these features of them alone."""
    rows = pa.RecordBatch.from_pylist([], schema=schema)
    lists = Lists.from_rows(rows, "rank")
    with closing(make_engine(chosen.engine)) as engine:
        opened = open_tables(chosen.features, engine, lists, frozenset(lists.requests.schema.names))
    few = [narrowed(table, names) for table in opened]
    return [table for table in few if table.bound.columns]


def _types(tables: Sequence[OpenedTable], *, user: bool = False) -> Mapping[str, Any]:
    return {
        name: kind
        for table in tables
        if (table.bound.of != "item") == user
        for name, kind in zip(feature_names(table.bound), table.bound.types, strict=True)
    }


def _stage(chosen: Settings, tables: Sequence[OpenedTable], folder: Path) -> tuple[Join, ...]:
    with closing(make_engine(chosen.engine)) as engine:
        joins, _, _ = stage(tables, engine, str(folder), "staged")
    return joins
