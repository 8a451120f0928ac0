"""Rows of a positive and one negative, from whichever table holds such.

`pairwise` has both items logged in the request. `negatives` has negatives of any source; its
rows count where they were drawn for a positive. Both come in the order of their request.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rankdistill.export.source import Source

# table -> the column of its negative; the positive is pos_item_id in both.
NEGATIVE = {"pairwise": "neg_item_id", "negatives": "item_id"}
EASY = ("popular", "uniform")


def read_pairs(
    source: Source, table: str, anchor: str, more: tuple[str, ...] = ()
) -> Iterator[pa.RecordBatch]:
    """Batches of request_id, split, anchor, positive, negative, and the columns `more`.

    anchor: the column that becomes `anchor`; rows without one are left out, and counted.
    positive is null in negatives that were drawn for the request as a whole.
    """
    columns = ["request_id", "split", anchor, "pos_item_id", NEGATIVE[table], *more]
    names = ["request_id", "split", "anchor", "positive", "negative", *more]
    # A column may be asked for twice: as the request and as the anchor.
    distinct = list(dict.fromkeys(columns))
    for batch in source.follow(source.read(table, distinct)):
        rows = pa.RecordBatch.from_arrays([batch.column(name) for name in columns], names=names)
        yield source.keep(rows, "no_user", rows["anchor"].is_valid())


def by_positive(rows: pa.RecordBatch, offsets: np.ndarray) -> tuple[pa.RecordBatch, np.ndarray]:
    """The rows with those of one positive of a request side by side, and where each starts.

    offsets: int64 [R + 1], where each request starts. Positives stand in the order of their
    first row, negatives in that of the table. Result: rows, and starts int64 [P + 1].
    """
    codes = rows["positive"].dictionary_encode()
    request = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    key = request * max(1, len(codes.dictionary)) + codes.indices.to_numpy()
    _, first, inverse, num = np.unique(
        key, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.argsort(first[inverse], kind="stable")
    starts = np.concatenate([[0], np.cumsum(num[np.argsort(first)])])
    return rows.take(pa.array(order)), starts


def as_text(column: pa.Array) -> pa.Array:
    """Ids as strings."""
    return pc.cast(column, pa.string())
