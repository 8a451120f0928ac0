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
LARGE = 5  # of a batch of the size wanted this part is enough: copying costs more than it spares


@dataclass(frozen=True)
class Grouped:
    """rows: raw rows, request by request; offsets: int64 [R + 1], where each request starts."""

    rows: pa.RecordBatch
    offsets: np.ndarray


def ungrouped(batch: pa.RecordBatch) -> Grouped:
    """Every row is a request of its own."""
    return Grouped(batch, np.arange(batch.num_rows + 1))


def whole_requests(batches: Iterable[pa.RecordBatch], keys: tuple[str, ...]) -> Iterator[Grouped]:
    """A sorted stream, cut where the key changes, in its order; a request is never torn.

    Of each batch what holds whole requests is passed on as it lies in memory; a request that
    goes on in the next batch is put together, alone. A null key equals nothing: each of its rows
    is a request of its own.
    """
    held: list[pa.RecordBatch] = []  # the request that may go on
    for batch in batches:
        if not batch.num_rows:
            continue
        starts = np.append(request_starts(batch, keys), batch.num_rows)
        first = int(starts[1]) if held and _goes_on(held[-1], batch, keys) else 0
        if first:
            held.append(batch.slice(0, first))
            if first == batch.num_rows:
                continue
        if held:
            yield _one_request(held)
        whole = starts[first > 0 : -1]
        last = int(whole[-1])
        if last > first:
            yield Grouped(batch.slice(first, last - first), whole - first)
        held = [batch.slice(last)]
    if held:
        yield _one_request(held)


def _goes_on(held: pa.RecordBatch, batch: pa.RecordBatch, keys: tuple[str, ...]) -> bool:
    seam = pa.concat_batches([held.slice(held.num_rows - 1), batch.slice(0, 1)])
    return len(request_starts(seam, keys)) == 1


def _one_request(pieces: list[pa.RecordBatch]) -> Grouped:
    rows = pa.concat_batches(pieces)
    return Grouped(rows, np.array([0, rows.num_rows]))


def num_candidates(batch: pa.RecordBatch) -> int:
    """Rows, or the elements of the longest list column."""
    lists = [len(c.flatten()) for c in batch.columns if pa.types.is_list(c.type)]
    return max([batch.num_rows, *lists])


def bounded(
    batches: Iterable[Grouped], max_rows: int, *, in_order: bool = False
) -> Iterator[Grouped]:
    """Small batches put together, large ones cut: at most about max_rows candidates each.

    max_rows bounds a batch unless one request alone is longer. Unless they are to stay in_order,
    what is large enough is passed on as it lies in memory, before what is small and came earlier.
    """
    held: list[Grouped] = []
    num_held = 0
    for batch in batches:
        for piece in _pieces(batch, max_rows):
            size = num_candidates(piece.rows)
            if size >= max_rows // LARGE and not in_order:
                yield piece
                continue
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
