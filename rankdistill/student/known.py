"""What a user is known to want, which is no negative of his. Shapes: B rows, P items of a pool."""

from __future__ import annotations

import numpy as np

from rankdistill.lists.batch import owners
from rankdistill.student.chunk import Chunk


def is_known(chunk: Chunk, rows: np.ndarray, pool: np.ndarray) -> np.ndarray:
    """bool [B, P]: the user of row b (a positive's slot) has the item of pool entry p (a slot) as
    a positive in the batch, has responded to it there, or took it before one of his requests
    there, as far as histories tell."""
    columns, taken = chunk.columns, chunk.drawn["taken"]
    user_keys, user = np.unique(columns["user_key"], return_inverse=True)
    item_keys, item = np.unique(columns["item_key"], return_inverse=True)
    found = np.zeros((len(user_keys), len(item_keys)), dtype=bool)
    known = np.union1d(rows, np.flatnonzero(columns["responded"]))
    found[user[known], item[known]] = True

    # Only what stands in the batch can be a negative.
    key = taken.values["item_key"]
    at = np.minimum(np.searchsorted(item_keys, key), max(len(item_keys) - 1, 0))
    request = owners(taken.start)
    has_slot = np.diff(chunk.offsets)[request] > 0
    there = np.flatnonzero(has_slot)[item_keys[at[has_slot]] == key[has_slot]]
    found[user[chunk.offsets[request[there]]], at[there]] = True
    return found[user[rows]][:, item[pool]]
