"""What the training lists teach the fields: vocabularies, edges, means, the newest of items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rankdistill.features.table import micros
from rankdistill.lists.batch import Lists
from rankdistill.student.fields import options as chosen
from rankdistill.student.fields.coders import Coder, Hashed
from rankdistill.student.fields.columns import Items, Tables
from rankdistill.student.fields.encode import BagField, Fields, NumberField, OneField, RowField
from rankdistill.student.fields.learned import Grid, Moments
from rankdistill.student.fields.snapshot import Newest, Snapshot
from rankdistill.student.vocabulary import Counting, plain


class Nothing:
    """Of columns that teach nothing."""

    def add(self, values: pa.Array, times: np.ndarray) -> None:
        pass


class Values:
    """The vocabulary of a column, or of the values in its lists."""

    def __init__(self, separator: str | None = None) -> None:
        self.counting, self._separator = Counting(), separator

    def add(self, values: pa.Array, times: np.ndarray) -> None:
        if self._separator is not None:
            values = pc.split_pattern(values, self._separator)
        if pa.types.is_list(values.type):
            lengths = pc.fill_null(pc.list_value_length(values), 0)
            times = np.repeat(times, lengths.to_numpy(zero_copy_only=False))
            values = values.flatten()
        self.counting.add(plain(values), times)


def learner(field: chosen.OneField) -> Any:
    """What adds up a field's column: `add`(values [n], how often each stands there: int64 [n])."""
    if isinstance(field, chosen.NumberField):
        return Moments()
    if isinstance(field, chosen.QuantileField):
        return Grid()
    if isinstance(field, chosen.CodedField) and field.buckets is None:
        return Values(getattr(field, "separator", None))
    return Nothing()


def fit_fields(
    options: chosen.FieldsOptions, batches: Iterable[Lists], tables: Tables | None = None
) -> Fields:
    """The fields as the training lists, and the features of their requests, make them."""
    tables = tables or Tables()
    of_user = [learner(field) for field in options.user]
    of_item = [learner(field) for field in options.item]
    newest = Newest()
    joined = {name for join, _ in tables.of_items() for name in join.names}
    listed = [field.column for field in options.item if field.column not in joined]
    listed = list(dict.fromkeys(["item_id", *listed]))
    for lists in batches:
        columns = dict(zip(lists.requests.schema.names, lists.requests.columns, strict=True))
        columns |= tables.of_requests(lists)
        once = np.ones(lists.num_requests, dtype=np.int64)
        for field, learned in zip(options.user, of_user, strict=True):
            learned.add(columns[field.column], once)
        time = micros(lists.requests.column("request_time"))[lists.request]
        items = Items.of(lists.candidates.select(listed), time, tables)
        for each, learned in zip(options.item, of_item, strict=True):
            learned.add(items.columns[each.column], items.times)
        rows = pa.RecordBatch.from_pydict({name: items.columns[name] for name in listed})
        newest.add(rows, _last(items, time))
    return _fields(options, of_user, of_item, tables, newest.snapshot())


def _last(items: Items, time: np.ndarray) -> np.ndarray:
    """The time of each item's newest candidate, int64 [I]."""
    order = np.argsort(items.place, kind="stable")
    start = np.searchsorted(items.place[order], np.arange(len(items.first)))
    return np.maximum.reduceat(time[order], start) if len(start) else time[:0]


def _fields(
    options: chosen.FieldsOptions,
    of_user: Sequence[Any],
    of_item: Sequence[Any],
    tables: Tables,
    snapshot: Snapshot,
) -> Fields:
    """Rows of the embedding table are given out user fields first, then those of items."""
    sides: dict[str, list[OneField | None]] = {"user": [], "item": []}
    first = 0
    for side, fields, learned in (("user", options.user, of_user), ("item", options.item, of_item)):
        for field, found in zip(fields, learned, strict=True):
            made = made_field(f"{side}.{field.name}", field, found, first)
            sides[side].append(made)
            first += made.coder.size if isinstance(made, RowField) else 0
    item = tuple(each for each in sides["item"] if each is not None)
    user = tuple(
        each if each is not None else _shared(field, item)
        for each, field in zip(sides["user"], options.user, strict=True)
    )
    return Fields(user, item, first, tables, snapshot)


def made_field(
    name: str, field: chosen.OneField, found: Any, first: int
) -> RowField | NumberField | None:
    """The field after training's lists; None where its rows are another's."""
    if isinstance(field, chosen.HistoryField):
        return None
    if isinstance(field, chosen.NumberField):
        return NumberField(name, field.kind, field.column, found.standard())
    coder: Coder
    if isinstance(field, chosen.QuantileField):
        coder = found.edges(field.num)
    else:
        assert isinstance(field, chosen.CodedField)
        hashed = field.buckets
        coder = Hashed(hashed) if hashed else found.counting.vocabulary(field.min_count)
    if isinstance(field, chosen.ValuesField):
        separator, last = field.separator, field.last
        return BagField(name, field.kind, field.column, coder, first, separator, last)
    return RowField(name, field.kind, field.column, coder, first)


def _shared(field: chosen.OneField, item: Sequence[OneField]) -> BagField:
    """A history's field, over the rows of an item field."""
    assert isinstance(field, chosen.HistoryField)
    (of,) = [
        each
        for each in item
        if isinstance(each, RowField)
        and each.kind in ("id", "category")
        and each.column == field.of
    ]
    name = f"user.{field.name}"
    return BagField(name, field.kind, field.column, of.coder, of.first, last=field.last, own=False)
