"""The feature tables that the fields of a student look into: opened, checked, staged for a run.

A task of the roof: the student's room reads what is staged here, and knows no engine.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq

from rankdistill.engines.catalogue import make_engine
from rankdistill.errors import UserErrors
from rankdistill.feature_tables import OpenedTable, as_join, narrowed, open_tables, stage
from rankdistill.features.join import Join, feature_names
from rankdistill.lists.batch import Lists
from rankdistill.settings import Settings
from rankdistill.store.builds import Build
from rankdistill.store.dataset import DataSet
from rankdistill.student.fields.check import check_fields, item_types, request_types
from rankdistill.student.fields.columns import Tables
from rankdistill.student.fields.histories import COLUMNS
from rankdistill.student.fields.histories import NAME as RESPONSES
from rankdistill.student.fields.options import FieldsOptions

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
        if columns - {*user, *item, RESPONSES} and chosen.features:
            found = _opened(chosen, schema, columns - {*user, *item})
        user |= _types(found, user=True)
        if RESPONSES in build.tables:
            user.setdefault(RESPONSES, pa.list_(item["item_id"]))
        check_fields(fields, user, {**item, **_types(found)})
    except UserErrors as faults:
        raise chosen.placed(faults) from None
    joins = [as_join(table) for table in found]
    if RESPONSES in columns - {name for join in joins for name in join.names}:
        joins.append(Join(RESPONSES, "user", ("user_id",), True, (RESPONSES,), (), RESPONSES))
        return tuple(joins), functools.partial(_stage, chosen, found, (data_set, build))
    return tuple(joins), functools.partial(_stage, chosen, found, None)


def _opened(chosen: Settings, schema: pa.Schema, names: set[str]) -> list[OpenedTable]:
    """The tables that have features of these names, and these features of them alone."""
    rows = pa.RecordBatch.from_pylist([], schema=schema)
    lists = Lists.from_rows(rows, "rank")
    with closing(make_engine(chosen.engine)) as engine:
        opened = open_tables(chosen.features, engine, lists, frozenset(lists.requests.schema.names))
    few = [narrowed(table, names) for table in opened]
    return [table for table in few if table.bound.columns]


def _types(tables: Sequence[OpenedTable], *, user: bool = False) -> dict[str, pa.DataType]:
    return {
        name: kind
        for table in tables
        if (table.bound.of != "item") == user
        for name, kind in zip(feature_names(table.bound), table.bound.types, strict=True)
    }


def _stage(
    chosen: Settings,
    tables: Sequence[OpenedTable],
    responses: tuple[DataSet, Build] | None,
    folder: Path,
) -> tuple[Join, ...]:
    """responses: the build whose responses are staged, too."""
    joins: tuple[Join, ...] = ()
    if tables:
        with closing(make_engine(chosen.engine)) as engine:
            joins, _, _ = stage(tables, engine, str(folder), "staged")
    if responses is None:
        return joins
    data_set, build = responses
    batches = data_set.read(RESPONSES, build, columns=COLUMNS)
    file = str(folder / f"{RESPONSES}.parquet")
    schema = data_set.schema(RESPONSES)
    with pq.ParquetWriter(file, pa.schema([schema.field(name) for name in COLUMNS])) as writer:
        for batch in batches:
            writer.write_batch(batch)
    own = Join(RESPONSES, "user", ("user_id",), True, (RESPONSES,), (file,), RESPONSES)
    return (*joins, own)


def tables_now(chosen: Settings, fields: FieldsOptions, data_set: DataSet, build: Build) -> Tables:
    """The feature tables that these fields look into, as they are configured now; for requests
    that a run has not seen. Raises as `joined_tables`."""
    train = chosen.train.model_copy(update={"fields": fields})
    _, stage_into = joined_tables(chosen.model_copy(update={"train": train}), data_set, build)
    with TemporaryDirectory(prefix="rankdistill-features-") as folder:
        return Tables.load(stage_into(Path(folder)))
