"""The item table of the configuration: items that need not have been logged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from rankdistill.catalogue.options import ItemTable
from rankdistill.errors import InputError, UserErrors
from rankdistill.lists.group import Grouped
from rankdistill.log.canonical import evaluate, missing
from rankdistill.log.lookup import Lookup, MappedField, Path, unlike_ids
from rankdistill.log.source import Column

WHERE = "catalogue.items"


@dataclass(frozen=True)
class Listed:
    """How the item table is read. Plain data: it travels to the workers."""

    field: MappedField
    paths: dict[str, Path]


def bind_listed(options: ItemTable, schema: pa.Schema, item_id: pa.DataType) -> Listed:
    """The item table's mapping; item_id: the type of the log's ids.

    Raises UserErrors: E0102 no such column, E0304 no ids, or ids that never meet the log's.
    """
    lookup = Lookup(options, schema, where=WHERE, prefix="i")
    column = options.columns.item_id or Column(name="item_id")
    field = lookup.field("item_id", "id", column, "columns.item_id")
    if lookup.errors:
        raise UserErrors(lookup.errors)
    listed = Listed(field, lookup.paths)
    empty = pa.RecordBatch.from_arrays(
        [pa.array([], lookup.type_at(path)) for path in lookup.paths.values()],
        list(lookup.paths),
    )
    found = evaluate(field, empty)[0].type
    if found != item_id:
        types = f"{item_id} in the log, {found} in the item table"
        pair = f"{field.place} and item_id of the log"
        raise UserErrors([unlike_ids(pair, field, lookup, item_id, types)])
    return listed


def refuse_none(num_items: int | None) -> None:
    """InputError E0312 where an item table is known to hold no item."""
    if num_items == 0:
        raise InputError(
            "E0312",
            f"{WHERE}: the item table holds no item",
            help="give the table of all items, or leave catalogue.items out",
        )


def judge_listed(counts: Mapping[str, int]) -> list[str]:
    """A warning about rows of the item table that are no item; counts: items.rows, items.no_id."""
    lost = counts.get("items.no_id", 0)
    if not lost:
        return []
    return [f"{WHERE}: {lost:,} of {counts['items.rows']:,} rows without an id left out"]


def listed_counts(listed: Listed, counts: pa.Schema, raw: Grouped) -> pa.RecordBatch:
    """The listed items with counts of 0; rows without an id are left out."""
    item_id = evaluate(listed.field, raw.rows)[0]
    item_id = item_id.filter(pa.array(~missing(item_id)))
    zeros = pa.array(np.zeros(len(item_id), dtype=np.int64))
    columns = [item_id if name == "item_id" else zeros for name in counts.names]
    return pa.RecordBatch.from_arrays(columns, schema=counts)
