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
MAX_REQUESTS = 65_536  # of a batch


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
    max_rows bounds a batch, in candidates, unless one request alone is longer.
    """
    held: list[pa.RecordBatch] = []
    num_held, enough = 0, max_rows
    for batch in batches:
        if batch.num_rows == 0:
            continue
        held.append(batch)
        num_held += num_candidates(batch)
        if num_held >= enough:
            joined = _joined(held)
            starts = request_starts(joined, keys)
            cut = int(starts[-1])
            if cut:
                yield Grouped(joined.slice(0, cut), starts)
                joined = joined.slice(cut)
            held, num_held = [joined], num_candidates(joined)
            # A request longer than a batch: wait for twice as much before looking again.
            enough = max_rows if cut else max(max_rows, 2 * num_held)
    if num_held:
        joined = _joined(held)
        starts = request_starts(joined, keys)
        yield Grouped(joined, np.append(starts, joined.num_rows))


def num_candidates(batch: pa.RecordBatch) -> int:
    """Rows, or the elements of the longest list column."""
    lists = [len(c.flatten()) for c in batch.columns if pa.types.is_list(c.type)]
    return max([batch.num_rows, *lists])


def bounded(batches: Iterable[Grouped], max_rows: int) -> Iterator[Grouped]:
    """Small batches put together, large ones cut: at most about max_rows candidates each.

    max_rows bounds a batch unless one request alone is longer.
    """
    held: list[Grouped] = []
    num_held = 0
    for batch in batches:
        for piece in _pieces(batch, max_rows):
            size = num_candidates(piece.rows)
            if held and num_held + size > max_rows:
                yield _together(held)
                held, num_held = [], 0
            held.append(piece)
            num_held += size
    if held:
        yield _together(held)


def _pieces(batch: Grouped, max_rows: int) -> Iterator[Grouped]:
    size, requests = num_candidates(batch.rows), len(batch.offsets) - 1
    if size <= max_rows and requests <= MAX_REQUESTS:
        yield batch
        return
    half = requests // 2
    if size <= max_rows:
        half = MAX_REQUESTS
    if not half:
        yield batch
        return
    for first, last in ((0, half), (half, requests)):
        offsets = batch.offsets[first : last + 1]
        rows = batch.rows.slice(int(offsets[0]), int(offsets[-1] - offsets[0]))
        yield from _pieces(Grouped(rows, offsets - offsets[0]), max_rows)


def _together(batches: list[Grouped]) -> Grouped:
    if len(batches) == 1:
        return batches[0]
    starts = np.cumsum([0, *(b.rows.num_rows for b in batches)])
    offsets = [b.offsets[:-1] + start for b, start in zip(batches, starts, strict=False)]
    return Grouped(
        pa.concat_batches([b.rows for b in batches]), np.concatenate([*offsets, starts[-1:]])
    )


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
