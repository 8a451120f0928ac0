"""Rows of a positive and one negative, from whichever table holds such.

`pairwise` has both items logged in the request. `negatives` has negatives of any source; its
positive is known where they were drawn for one. Both come in the order of their request.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rankdistill.errors import ConfigError
from rankdistill.export.source import Source
from rankdistill.lists.batch import owners

# table -> the column of its negative; the positive is pos_item_id in both.
NEGATIVE = {"pairwise": "neg_item_id", "negatives": "item_id"}
EASY = ("popular", "uniform")


def read_pairs(
    source: Source, table: str, anchor: str, more: tuple[str, ...] = ()
) -> Iterator[pa.RecordBatch]:
    """Batches of request_id, split, anchor, positive, negative, and the columns `more`.

    anchor: the column that becomes `anchor`; rows without one are left out, and counted.
    positive is null in negatives that were drawn for the request as a whole; who cannot have
    that asks `refuse_without_positive` first.
    """
    columns = ["request_id", "split", anchor, "pos_item_id", NEGATIVE[table], *more]
    names = ["request_id", "split", "anchor", "positive", "negative", *more]
    # A column may be asked for twice: as the request and as the anchor.
    distinct = list(dict.fromkeys(columns))
    for batch in source.follow(source.read(table, distinct)):
        rows = pa.RecordBatch.from_arrays([batch.column(name) for name in columns], names=names)
        yield source.keep(rows, "no_user", rows["anchor"].is_valid())


def refuse_without_positive(source: Source, table: str) -> None:
    """ConfigError E0105 where a day's negatives were drawn for requests, not for positives.

    Such a negative serves every positive of its request: dealing them out is a draw, which is
    the build's to make, so that its probability is on the row. A day is of one kind: its first
    rows tell.
    """
    days = []
    for dt in source.days:
        first = next(source.read(table, ["pos_item_id"], [dt]), None)
        if first is not None and first["pos_item_id"].null_count:
            days.append(dt)
    if days:
        raise ConfigError(
            "E0105",
            f"the rows need a positive each, and {table} of {', '.join(days[:3])}"
            f"{', ...' * (len(days) > 3)} were drawn for requests as a whole",
            found="pos_item_id is null (samples.negatives.per: request)",
            help="set samples.negatives.per: positive and build again; as they are, --as easyrec "
            "and tfrecord take them",
        )


def by_positive(rows: pa.RecordBatch, offsets: np.ndarray) -> tuple[pa.RecordBatch, np.ndarray]:
    """The rows with those of one positive of a request side by side, and where each starts.

    offsets: int64 [R + 1], where each request starts. Positives stand in the order of their
    first row, negatives in that of the table. Result: rows, and starts int64 [P + 1].
    """
    codes = rows["positive"].dictionary_encode()
    request = owners(offsets)
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
