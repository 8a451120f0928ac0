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

# Partial counts of so many rows are put together before more are taken in.
MAX_PARTIAL = 2_000_000
# A word holds the counts of four things, of an item in a block of requests; an item is in a list
# once.
LANES, LANE_BITS = 4, np.uint64(16)
MAX_REQUESTS = 2**16 - 1


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


def counted(lists: Lists, is_positive: np.ndarray, *more: np.ndarray) -> Counts:
    """The counts of one batch; is_positive: bool [N]; more: further flags, counted last.

    num_<stage>: lists in which the item reached that stage (so num_recalled counts all);
    num_positive: in which it is a positive; num_<feedback>: in which it was responded to by at
    least the least value that is a response (above 0 where none is set).
    """
    blocks = range(0, max(lists.num_requests, 1), MAX_REQUESTS)
    parts = []
    for first in blocks:
        last = min(first + MAX_REQUESTS, lists.num_requests)
        flags = [is_positive, *(lists.hits(name) for name in lists.feedback), *more]
        parts.append(_block(lists, flags, *lists.offsets[[first, last]].tolist()))
    return parts[0] if len(parts) == 1 else added(parts)


def _block(lists: Lists, flags: list[np.ndarray], first: int, last: int) -> Counts:
    """The counts of candidates first : last, of at most MAX_REQUESTS lists."""
    num_counts = len(STAGES) + len(flags)
    lane = lists.stage[first:last].astype(np.uint64) - np.uint64(1)
    words = [np.where(lane < LANES, _ONE << (lane % LANES * LANE_BITS), 0).astype(np.uint64)]
    flags = [lane == LANES, *(flag[first:last] for flag in flags)]
    for start in range(0, len(flags), LANES):
        group = flags[start : start + LANES]
        shifted = (f.astype(np.uint64) << (LANE_BITS * np.uint64(n)) for n, f in enumerate(group))
        words.append(sum(shifted, start=np.zeros(last - first, dtype=np.uint64)))

    item_id, order, starts = _by_item(lists.candidates.column("item_id").slice(first, last - first))
    number = np.zeros((len(words) * LANES, len(starts)), dtype=np.int64)
    for place, word in enumerate(words):
        total = np.add.reduceat(word[order], starts) if len(starts) else word
        for n in range(LANES):
            number[place * LANES + n] = total >> (LANE_BITS * np.uint64(n)) & _LANE
    num_stages = len(STAGES)
    # Who reached a stage: whose last it is, and all of the later ones.
    for stage in reversed(range(num_stages - 1)):
        number[stage] += number[stage + 1]
    return Counts(item_id, number[:num_counts])


_ONE, _LANE = np.uint64(1), np.uint64(2**16 - 1)


def _by_item(column: pa.Array) -> tuple[pa.Array, np.ndarray, np.ndarray]:
    """(the items [C], an order of the rows [n] that brings them together, where each starts)."""
    encoded = None
    if pa.types.is_integer(column.type):
        values = column.to_numpy()
    else:
        encoded = column.dictionary_encode()
        values = encoded.indices.to_numpy()
    order = np.argsort(values)
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(values)])
    items = pa.array(ordered[starts])
    return items if encoded is None else encoded.dictionary.take(items), order, starts


def added(parts: list[Counts]) -> Counts:
    """One row per item of all parts, counts added."""
    item_id, order, starts = _by_item(pa.concat_arrays([part.item_id for part in parts]))
    if not len(starts):
        return parts[0]
    # One count after the other: rows of all counts would be moved, not added, most of the time.
    columns = (np.concatenate(column) for column in zip(*(p.number for p in parts), strict=True))
    return Counts(item_id, np.stack([np.add.reduceat(c[order], starts) for c in columns]))


class ItemCounts:
    """The running counts of one task and day."""

    def __init__(self) -> None:
        self._parts: list[Counts] = []
        self._enough = MAX_PARTIAL

    def add(self, counts: Counts) -> None:
        self._parts.append(counts)
        if sum(len(part.item_id) for part in self._parts) > self._enough:
            self._parts = [added(self._parts)]
            # Items that are nearly all distinct: wait for as many again.
            self._enough = max(MAX_PARTIAL, 2 * len(self._parts[0].item_id))

    def total(self, feedback: tuple[str, ...], *more: str) -> pa.RecordBatch:
        """The rows of `items`, without dt; more: the names of further flags."""
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
