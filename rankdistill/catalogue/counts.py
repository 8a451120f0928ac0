"""How often each item was logged, reached each stage and was responded to: the table `items`.

Counts of one day, from batches of lists; they add up over batches, tasks and days.
Shapes: N candidates, C items, K counts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from rankdistill.contract import arrow_schema
from rankdistill.lists.batch import STAGES, Lists
from rankdistill.lists.group import Grouped

# So many candidates are gathered before they are counted, so many partial counts before they are
# added up.
MAX_MARKED, MAX_PARTIAL = 4_000_000, 2_000_000


class Counts(NamedTuple):
    """item_id: [C] distinct; number: int64 [K, C], in the order of `count_names`."""

    item_id: pa.Array
    number: np.ndarray


def count_names(feedback: tuple[str, ...]) -> list[str]:
    """The count columns of `items`: by stage, by feedback, and the positives."""
    return [*(f"num_{stage}" for stage in STAGES), "num_positive", *(f"num_{n}" for n in feedback)]


def items_schema(item_id: pa.DataType, feedback: tuple[str, ...]) -> pa.Schema:
    """The Arrow schema of `items`."""
    own = [pa.field(f"num_{name}", pa.int64(), nullable=False) for name in feedback]
    return arrow_schema("items", {"item_id": item_id}, counts=pa.schema(own))


class Marked(NamedTuple):
    """item_id: [N]; mark: unsigned [N], bit k: whether the candidate is one of those that count
    k counts, of a stage those whose last it is."""

    item_id: pa.Array
    mark: np.ndarray


def marked(lists: Lists, is_positive: np.ndarray, *more: np.ndarray) -> Marked:
    """The candidates of one batch as they are to be counted; is_positive: bool [N]; more:
    further flags, counted last.

    num_<stage>: lists in which the item reached that stage (so num_recalled counts all);
    num_positive: in which it is a positive; num_<feedback>: in which it was responded to by at
    least the least value that is a response (above 0 where none is set).
    """
    flags = [*(lists.stage == stage for stage in STAGES.values()), is_positive]
    flags += [*(lists.hits(name) for name in lists.feedback), *more]
    mark = np.zeros(len(is_positive), dtype=np.min_scalar_type(2 ** len(flags) - 1))
    for bit, flag in enumerate(flags):
        mark |= flag.astype(mark.dtype) << mark.dtype.type(bit)
    return Marked(lists.candidates.column("item_id"), mark)


def counted(parts: list[Marked], num_counts: int) -> Counts:
    """The counts of all candidates of the parts."""
    item_id, mark, starts = _by_item(
        pa.concat_arrays([part.item_id for part in parts]),
        np.concatenate([part.mark for part in parts]),
        num_counts,
    )
    number = np.zeros((num_counts, len(starts)), dtype=np.int64)
    bounds, running = np.append(starts, len(mark)), np.zeros(len(mark) + 1, dtype=np.int64)
    for bit in range(num_counts):
        flag = mark >> mark.dtype.type(bit) & mark.dtype.type(1)
        np.cumsum(flag, out=running[1:])  # faster than reduceat where runs are short
        number[bit] = np.diff(running.take(bounds))
    # Who reached a stage: whose last it is, and all of the later ones.
    for stage in reversed(range(len(STAGES) - 1)):
        number[stage] += number[stage + 1]
    return Counts(item_id, number)


def _by_item(
    column: pa.Array, mark: np.ndarray, num_bits: int
) -> tuple[pa.Array, np.ndarray, np.ndarray]:
    """(the items [C], the marks [N] by item, where each item starts)."""
    values, dictionary = _codes(column)
    if not len(values):
        return column, mark, np.zeros(0, dtype=np.int64)
    low = int(values.min())
    if (int(values.max()) - low).bit_length() + num_bits <= 63:
        word = (values - low) << num_bits | mark.astype(np.int64)
        word.sort()  # four times as fast as an argsort
        ordered, mark = (word >> num_bits) + low, (word & (1 << num_bits) - 1).astype(mark.dtype)
    else:
        order = np.argsort(values)
        ordered, mark = values[order], mark[order]
    starts = _starts(ordered)
    items = pa.array(ordered[starts])
    return items if dictionary is None else dictionary.take(items), mark, starts


def _codes(column: pa.Array) -> tuple[np.ndarray, pa.Array | None]:
    """int64 [n] that are equal where the items are; the items by code, None: themselves."""
    if pa.types.is_integer(column.type):
        return column.to_numpy(), None
    encoded = column.dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary


def _starts(ordered: np.ndarray) -> np.ndarray:
    """Where each run of equal values begins, int64 [C]."""
    is_first = np.ones(len(ordered), dtype=bool)
    is_first[1:] = ordered[1:] != ordered[:-1]
    return np.flatnonzero(is_first)


def added(parts: list[Counts]) -> Counts:
    """One row per item of all parts, counts added."""
    if len(parts) == 1:
        return parts[0]
    values, dictionary = _codes(pa.concat_arrays([part.item_id for part in parts]))
    order = np.argsort(values)
    starts = _starts(values[order])
    if not len(starts):
        return parts[0]
    items = pa.array(values[order[starts]])
    item_id = items if dictionary is None else dictionary.take(items)
    # One count after the other: rows of all counts would be moved, not added, most of the time.
    columns = (np.concatenate(column) for column in zip(*(p.number for p in parts), strict=True))
    return Counts(item_id, np.stack([np.add.reduceat(c[order], starts) for c in columns]))


class ItemCounts:
    """The running counts of one task and day; num_more: further flags of each candidate."""

    def __init__(self, num_more: int = 0) -> None:
        self._num_more = num_more
        self._marked: list[Marked] = []
        self._parts: list[Counts] = []
        self._enough = MAX_PARTIAL

    def add(self, lists: Lists, is_positive: np.ndarray, *more: np.ndarray) -> None:
        """Count the candidates of one batch; is_positive, more: bool [N]."""
        assert len(more) == self._num_more, len(more)
        self._marked.append(marked(lists, is_positive, *more))
        if sum(len(part.mark) for part in self._marked) > MAX_MARKED:
            self._count(lists.feedback)

    def _count(self, feedback: tuple[str, ...]) -> None:
        if self._marked:
            self._parts.append(counted(self._marked, len(count_names(feedback)) + self._num_more))
            self._marked = []
        if sum(len(part.item_id) for part in self._parts) > self._enough:
            self._parts = [added(self._parts)]
            # Items that are nearly all distinct: wait for as many again.
            self._enough = max(MAX_PARTIAL, 2 * len(self._parts[0].item_id))

    def total(self, feedback: tuple[str, ...], *more: str) -> pa.RecordBatch:
        """The rows of `items`, without dt; more: the names of further flags."""
        self._count(feedback)
        item_id, number = added(self._parts)
        columns = [item_id, *(pa.array(column) for column in number)]
        return pa.RecordBatch.from_arrays(columns, ["item_id", *count_names(feedback), *more])


def segment_totals(grouped: Grouped) -> pa.RecordBatch:
    """The counts of rows that an engine has brought together by item_id."""
    starts = grouped.offsets[:-1]
    columns = [grouped.rows.column("item_id").take(pa.array(starts))]
    names = [name for name in grouped.rows.schema.names if name != "item_id"]
    for name in names:
        columns.append(pa.array(np.add.reduceat(grouped.rows.column(name).to_numpy(), starts)))
    return pa.RecordBatch.from_arrays(columns, ["item_id", *names])
