"""How often each item was logged, reached each stage and was responded to: the table `items`.

Counts of one day, from batches of lists; they add up over batches, tasks and days.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from rankdistill.lists.batch import STAGES, Lists
from rankdistill.lists.group import Grouped

# Partial counts of so many rows are put together before more are taken in.
MAX_PARTIAL = 2_000_000


def count_names(feedback: tuple[str, ...]) -> list[str]:
    """The count columns of `items`: by stage, by feedback, and the positives."""
    return [*(f"num_{stage}" for stage in STAGES), *(f"num_{n}" for n in feedback), "num_positive"]


def items_schema(item_id: pa.DataType, feedback: tuple[str, ...]) -> pa.Schema:
    """The Arrow schema of `items`."""
    counts = [pa.field(name, pa.int64(), nullable=False) for name in count_names(feedback)]
    dt = pa.field("dt", pa.string(), nullable=False)
    return pa.schema([pa.field("item_id", item_id, nullable=False), *counts, dt])


def counted(lists: Lists, is_positive: np.ndarray) -> pa.Table:
    """The counts of one batch, one row per item; is_positive: bool [N].

    num_<stage>: lists in which the item reached that stage (so num_recalled counts all);
    num_<feedback>: in which it was responded to by at least the least value that is a response
    (above 0 where none is set); num_positive: in which it is a positive.
    """
    encoded = lists.candidates.column("item_id").dictionary_encode()
    code, size = encoded.indices.to_numpy(), len(encoded.dictionary)
    columns = {"item_id": encoded.dictionary}
    for stage, least in STAGES.items():
        reached = code if least == 1 else code[lists.stage >= least]
        columns[f"num_{stage}"] = pa.array(np.bincount(reached, minlength=size))
    for name in lists.feedback:
        columns[f"num_{name}"] = pa.array(np.bincount(code[lists.hits(name)], minlength=size))
    columns["num_positive"] = pa.array(np.bincount(code[is_positive], minlength=size))
    return pa.table(columns)


class ItemCounts:
    """The running counts of one task and day."""

    def __init__(self) -> None:
        self._tables: list[pa.Table] = []
        self._enough = MAX_PARTIAL

    def add(self, table: pa.Table) -> None:
        self._tables.append(table)
        if sum(t.num_rows for t in self._tables) > self._enough:
            self._tables = [summed(self._tables)]
            # Items that are nearly all distinct: wait for as many again.
            self._enough = max(MAX_PARTIAL, 2 * self._tables[0].num_rows)

    def total(self) -> pa.Table:
        return summed(self._tables)


def summed(tables: list[pa.Table]) -> pa.Table:
    """One row per item of all tables, counts added; the order of rows means nothing."""
    together = pa.concat_tables(tables)
    names = together.schema.names[1:]
    added = together.group_by("item_id", use_threads=False).aggregate([(n, "sum") for n in names])
    return added.rename_columns([name.removesuffix("_sum") for name in added.schema.names]).select(
        together.schema.names
    )


def segment_totals(grouped: Grouped) -> pa.RecordBatch:
    """The same for rows that an engine has brought together by item_id."""
    starts = grouped.offsets[:-1]
    columns = [grouped.rows.column("item_id").take(pa.array(starts))]
    names = [name for name in grouped.rows.schema.names if name != "item_id"]
    for name in names:
        columns.append(pa.array(np.add.reduceat(grouped.rows.column(name).to_numpy(), starts)))
    return pa.RecordBatch.from_arrays(columns, ["item_id", *names])
