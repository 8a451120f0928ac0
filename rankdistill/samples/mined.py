"""Mined items of each user, from the table `mined`, for the requests of a batch.

Made by `mine-negatives`: what the student itself finds near a user and should not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from rankdistill.errors import InputError
from rankdistill.hashing import xxh64
from rankdistill.lists.batch import Lists, not_null, spans
from rankdistill.samples.side import Mined

COLUMNS = ("user_id", "item_id", "score")


@dataclass(frozen=True)
class MinedItems:
    """user: uint64 [U] distinct ascending (xxh64 of the id); those of user u at offsets[u] :
    offsets[u + 1]; item_id: [E]; score: float64 [E]."""

    user: np.ndarray
    offsets: np.ndarray
    item_id: pa.Array
    score: np.ndarray

    @classmethod
    def make(cls, mined: pa.Table) -> MinedItems:
        """From rows of `mined`, in any order; an item may be mined for several positives."""
        table = mined.select(list(COLUMNS)).combine_chunks()
        key = xxh64(table.column("user_id"))
        order = np.argsort(key, kind="stable")
        user, starts = np.unique(key[order], return_index=True)
        item_id = table.column("item_id").combine_chunks().take(pa.array(order))
        score = table.column("score").to_numpy()[order]
        return cls(user, np.append(starts, len(key)).astype(np.int64), item_id, score)

    def of(self, lists: Lists) -> Mined:
        """What was mined for the user of each request."""
        user = lists.requests.column("user_id")
        key = xxh64(user)
        at = np.minimum(np.searchsorted(self.user, key), max(len(self.user) - 1, 0))
        known = not_null(user)
        known &= (self.user[at] == key) if len(self.user) else False
        length = np.where(known, np.diff(self.offsets)[at] if len(self.user) else 0, 0)
        rows = spans(self.offsets[at], length)
        offsets = np.concatenate([[0], np.cumsum(length)])
        return Mined(offsets, self.item_id.take(pa.array(rows)), self.score[rows])


def check_mined(schema: pa.Schema, user_id: pa.DataType, item_id: pa.DataType) -> None:
    """InputError E0304 where a table is not `mined`, or not of this log's ids."""
    wanted = {"user_id": user_id, "item_id": item_id, "score": pa.float64()}
    for name, kind in wanted.items():
        found = schema.field(name).type if name in schema.names else None
        if found != kind:
            raise InputError(
                "E0304",
                f"samples.negatives.mined: {name} must be {kind}",
                found=f"{name} is {found}" if found else f"columns {', '.join(schema.names)}",
                help="give the folder that rankdistill mine-negatives wrote for this log's ids",
            )
