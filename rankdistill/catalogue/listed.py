"""The item table of the configuration: items that need not have been logged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from rankdistill.catalogue.options import ItemTable
from rankdistill.errors import InputError, UserErrors
from rankdistill.lists.group import Grouped
from rankdistill.log.canonical import evaluate, missing
from rankdistill.log.lookup import Lookup, MappedField, Path

WHERE = "catalogue.items"


@dataclass(frozen=True)
class Listed:
    """How the item table is read. Plain data: it travels to the workers."""

    field: MappedField
    paths: dict[str, Path]


def bind_listed(options: ItemTable, schema: pa.Schema, item_id: pa.DataType) -> Listed:
    """The item table's mapping; item_id: the type of the log's ids.

    Raises UserErrors: no such column; InputError E0304: ids of unlike type.
    """
    lookup = Lookup(options, schema, where=WHERE, prefix="i")
    field = lookup.field("item_id", "id", options.columns.item_id, "columns.item_id")
    if lookup.errors:
        raise UserErrors(lookup.errors)
    listed = Listed(field, lookup.paths)
    empty = pa.RecordBatch.from_arrays(
        [pa.array([], lookup.type_at(path)) for path in lookup.paths.values()],
        list(lookup.paths),
    )
    found = evaluate(field, empty)[0].type
    if found != item_id:
        raise InputError(
            "E0304",
            f"{WHERE}: item ids are {found}, those of the log {item_id}",
            help="write both as integers, or both as text",
        )
    return listed


def listed_counts(listed: Listed, counts: pa.Schema, raw: Grouped) -> pa.RecordBatch:
    """The listed items with counts of 0; rows without an id are left out."""
    item_id = evaluate(listed.field, raw.rows)[0]
    item_id = item_id.filter(pa.array(~missing(item_id)))
    zeros = pa.array(np.zeros(len(item_id), dtype=np.int64))
    columns = [item_id if name == "item_id" else zeros for name in counts.names]
    return pa.RecordBatch.from_arrays(columns, schema=counts)
