"""What negatives are drawn from and kept from beside the lists: catalogue, histories, mined items.

The `catalogue` room makes them; the kernel gets them for the requests of its batch.
Shapes: R requests, E entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from rankdistill.catalogue.guide import lower_bound
from rankdistill.catalogue.history import Keys
from rankdistill.catalogue.items import Catalogue
from rankdistill.catalogue.law import Law
from rankdistill.hashing import U64, xxh64
from rankdistill.lists.batch import owners, spans
from rankdistill.samples.sources import CATALOGUE

_BLOCK = 2**15  # looked up at once: they stay in cache
_ODD = U64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Mined:
    """Items given for R requests: those of request i at offsets[i] : offsets[i + 1].

    item_id: [E]; score: float64 [E], higher is nearer (the student's own, say).
    """

    offsets: np.ndarray
    item_id: pa.Array
    score: np.ndarray


@dataclass(frozen=True)
class Side:
    """laws: by source, made once for a catalogue (`axis.put_laws`). history, future: what
    the user responded to within the window before and after each request."""

    catalogue: Catalogue | None = None
    laws: Mapping[str, Law] = field(default_factory=dict)
    history: Keys | None = None
    future: Keys | None = None
    mined: Mined | None = None

    def is_empty(self, sources: Iterable[str]) -> bool:
        """Whether one of the sources draws from the catalogue and it holds no item, as on the
        first day of a log."""
        return not len(self.catalogue or ()) and bool({*sources} & {*CATALOGUE})

    def take(self, requests: np.ndarray) -> Side:
        """The same for the given requests (indices), in that order."""
        history, future = (
            None if keys is None else Keys(*_taken(keys.offsets, keys.key, requests))
            for keys in (self.history, self.future)
        )
        mined = self.mined
        if mined is not None:
            offsets, rows = _taken(mined.offsets, np.arange(len(mined.score)), requests)
            mined = Mined(offsets, mined.item_id.take(pa.array(rows)), mined.score[rows])
        return Side(self.catalogue, self.laws, history, future, mined)


def _taken(
    offsets: np.ndarray, values: np.ndarray, requests: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    lengths = np.diff(offsets)[requests]
    rows = spans(offsets[:-1][requests], lengths)
    return np.concatenate([[0], np.cumsum(lengths)]), values[rows]


def look_up(keys: Keys, request: np.ndarray, key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(the indices of `key` [Q] that stand among the keys of `request` [Q], ascending; where
    each stands there), int64 [F] each."""
    if not len(keys.key):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    rows = _may_be_in(keys, request, key)
    request, key = request[rows], key[rows]
    end = keys.offsets[request + 1]
    found = lower_bound(keys.key, keys.offsets[request], end, key)
    is_in = found < end
    is_in[is_in] = keys.key[found[is_in]] == key[is_in]
    return rows[is_in], found[is_in]


def _may_be_in(keys: Keys, request: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Indices of [Q] without those that a look into a small table rules out, int64 ascending."""
    bits = int(np.clip((32 * len(keys.key)).bit_length(), 10, 24))

    def slot(request: np.ndarray, key: np.ndarray) -> np.ndarray:
        mixed = request.view(U64) * _ODD
        mixed += key
        mixed *= _ODD
        mixed >>= U64(64 - bits)
        return mixed.view(np.int64)

    is_taken = np.zeros(1 << bits, dtype=bool)
    is_taken[slot(owners(keys.offsets), keys.key)] = True
    found = []
    for start in range(0, len(key), _BLOCK):
        block = slice(start, start + _BLOCK)
        found.append(np.flatnonzero(is_taken.take(slot(request[block], key[block]))) + start)
    return np.concatenate([np.zeros(0, dtype=np.int64), *found])


@dataclass(frozen=True)
class MinedKeys:
    """Mined entries by request, then key, one of each (its best score).

    keys: of E' entries; score: float64 [E']; row: their index in `Mined`, int64 [E'].
    """

    keys: Keys
    score: np.ndarray
    row: np.ndarray


def mined_keys(mined: Mined) -> MinedKeys:
    """The entries of `mined`, whatever their order; one without a score is behind all."""
    request, key = owners(mined.offsets), xxh64(mined.item_id)
    score = np.where(np.isnan(mined.score), -np.inf, mined.score)
    order = np.lexsort((-score, key, request))
    request, key = request[order], key[order]
    is_first = np.ones(len(order), dtype=bool)
    is_first[1:] = (request[1:] != request[:-1]) | (key[1:] != key[:-1])
    counts = np.bincount(request[is_first], minlength=len(mined.offsets) - 1)
    keys = Keys(np.concatenate([[0], np.cumsum(counts)]), key[is_first])
    return MinedKeys(keys, score[order][is_first], order[is_first])
