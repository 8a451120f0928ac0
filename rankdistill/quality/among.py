"""Which rows name an item that their request holds, too: a look-up that sorts next to nothing.

Measures look with it at what the guards promise; the guards' own look-up is `samples.side`.
Shapes: Q rows, E entries.
"""

from __future__ import annotations

import numpy as np

from rankdistill.catalogue.guide import lower_bound
from rankdistill.hashing import U64

_ODD = U64(0x9E3779B97F4A7C15)


def first_found(
    request: np.ndarray, key: np.ndarray, held_request: np.ndarray, held_key: np.ndarray
) -> np.ndarray:
    """The first entry of the same request and key, -1 where there is none; int64 [Q].

    request: int64 [Q], held_request: int64 [E]; keys: uint64, hashes of ids. In any order.
    """
    return first_since(request, key, None, held_request, held_key, None)


def first_since(
    group: np.ndarray,
    key: np.ndarray,
    since: np.ndarray | None,
    held_group: np.ndarray,
    held_key: np.ndarray,
    held_time: np.ndarray | None,
) -> np.ndarray:
    """The first entry of the same group and key whose time is at least `since`, -1 where there is
    none; int64 [Q]. Times int64 [Q] and [E], ascending in each group; None: any will do."""
    found = np.full(len(key), -1, dtype=np.int64)
    if not len(key) or not len(held_key):
        return found
    rows, held = _word(group, key), _word(held_group, held_key)
    # Almost nothing is found as a rule: two looks into small tables leave little to compare.
    row = _may_be_in(rows, held)
    entry = _may_be_in(held, rows[row])
    entry = entry[np.argsort(held[entry], kind="stable")]
    words = held[entry]
    place, end = (np.searchsorted(words, rows[row], side) for side in ("left", "right"))
    if since is not None and held_time is not None:
        place = lower_bound(held_time[entry], place, end, since[row])
    is_in = place < end
    found[row[is_in]] = entry[place[is_in]]
    return found


class Places:
    """Where each item of some lists stands: a look-up where most of what is asked for is there.

    request: int64 [E]; key: uint64 [E], no key twice in a request.
    """

    def __init__(self, request: np.ndarray, key: np.ndarray) -> None:
        self._word = _word(request, key)
        bits = max((2 * len(key)).bit_length(), 4)
        self._mask, self._shift = (1 << bits) - 1, U64(64 - bits)
        self._table = np.full(1 << bits, -1, dtype=np.int32)
        left, slot = np.arange(len(key)), self._slot(self._word)
        while len(left):  # each tries its slot, then the next one
            is_free = self._table[slot] < 0
            self._table[slot[is_free]] = left[is_free]
            is_left = self._table[slot] != left
            left, slot = left[is_left], (slot[is_left] + 1) & self._mask

    def of(self, request: np.ndarray, key: np.ndarray) -> np.ndarray:
        """The entry of each request and key [Q], -1 where there is none; int64 [Q]."""
        found = np.full(len(key), -1, dtype=np.int64)
        word = _word(request, key)
        left, slot = np.arange(len(key)), self._slot(word)
        while len(left):
            entry = self._table[slot]
            is_hit = self._word.take(entry, mode="clip") == word if len(self._word) else entry > 0
            is_hit &= entry >= 0
            found[left[is_hit]] = entry[is_hit]
            goes_on = (entry >= 0) & ~is_hit
            left, slot, word = left[goes_on], (slot[goes_on] + 1) & self._mask, word[goes_on]
        return found

    def _slot(self, word: np.ndarray) -> np.ndarray:
        return (word >> self._shift).view(np.int64)


def _word(request: np.ndarray, key: np.ndarray) -> np.ndarray:
    """One hash of both, uint64; of the keys of one request, different ones."""
    word = request.astype(U64)
    word *= _ODD
    word += key
    word *= _ODD
    return word


def _may_be_in(words: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The indices of the words that may be among `others`; none that is is left out."""
    bits = int(np.clip((8 * len(others)).bit_length(), 10, 24))
    shift = U64(64 - bits)
    is_taken = np.zeros(1 << bits, dtype=bool)
    is_taken[(others >> shift).view(np.int64)] = True
    return np.flatnonzero(is_taken.take((words >> shift).view(np.int64)))
