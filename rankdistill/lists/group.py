"""From a stream of rows sorted by request to batches that hold whole requests.

`Grouped` is what an engine delivers: raw source rows (aliases s0, s1, ...), the rows of a
request side by side. It is the last thing an engine has a say in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

IS_FEEDBACK = "is_feedback"


@dataclass(frozen=True)
class Grouped:
    """rows: raw rows, request by request; offsets: int64 [R + 1], where each request starts."""

    rows: pa.RecordBatch
    offsets: np.ndarray


def ungrouped(batch: pa.RecordBatch) -> Grouped:
    """Every row is a request of its own."""
    return Grouped(batch, np.arange(batch.num_rows + 1))


def whole_requests(
    batches: Iterable[pa.RecordBatch], keys: tuple[str, ...], max_rows: int
) -> Iterator[Grouped]:
    """Batches of a sorted stream, cut where the key changes; a request is never torn.

    A null key equals nothing: each of its rows is a request of its own.
    max_rows bounds a batch unless one request alone is longer.
    """
    held: list[pa.RecordBatch] = []
    num_held = 0
    for batch in batches:
        if batch.num_rows == 0:
            continue
        held.append(batch)
        num_held += batch.num_rows
        if num_held >= max_rows:
            joined = _joined(held)
            starts = request_starts(joined, keys)
            cut = int(starts[-1])
            if cut:
                yield Grouped(joined.slice(0, cut), starts)
                joined = joined.slice(cut)
            held, num_held = [joined], joined.num_rows
            # A request longer than a batch: wait for twice as much before looking again.
            max_rows = max(max_rows, 2 * num_held) if not cut else max_rows
    if num_held:
        joined = _joined(held)
        starts = request_starts(joined, keys)
        yield Grouped(joined, np.append(starts, joined.num_rows))


def request_starts(rows: pa.RecordBatch, keys: tuple[str, ...]) -> np.ndarray:
    """Indices of the rows at which a request starts, int64; the first is 0."""
    changed = np.zeros(rows.num_rows, dtype=bool)
    changed[0] = True
    for key in keys:
        column = rows.column(key)
        differs = pc.not_equal(column.slice(1), column.slice(0, rows.num_rows - 1))
        if differs.null_count:
            differs = differs.fill_null(True)
        changed[1:] |= differs.to_numpy(zero_copy_only=False)
    return np.flatnonzero(changed)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)
