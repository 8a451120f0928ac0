"""Negatives drawn from filled urns, and the law of every row.

Each source draws on its own; an item that several drew is one row, of the first of them.
Read by `negatives`. Shapes: R requests, T rows, M sources in their order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from rankdistill.catalogue.history import Keys
from rankdistill.catalogue.law import Law, draw
from rankdistill.hashing import xxh64
from rankdistill.lists.batch import Lists
from rankdistill.samples.lots import Lots, draw_uniform
from rankdistill.samples.negative_options import NegativesOptions
from rankdistill.samples.side import Side, look_up
from rankdistill.samples.sources import MINED
from rankdistill.samples.urns import Urns

_LAW_BITS = 2  # of a packed word: which of the catalogue's sources, from 1


@dataclass(frozen=True)
class Rows:
    """T rows. source: place of the source; item: candidate index; mined_item, catalogue_item; pool:
    place of the pool of the request that holds the item, drawn from it or not; int64 [T], -1
    for none. pool_p, pool_q: inclusion and single-draw law under that pool, 0 without one."""

    request: np.ndarray
    source: np.ndarray
    item: np.ndarray
    mined_item: np.ndarray
    catalogue_item: np.ndarray
    pool: np.ndarray
    pool_p: np.ndarray
    pool_q: np.ndarray

    def take(self, rows: np.ndarray) -> Rows:
        return Rows(*(values[rows] for values in vars(self).values()))

    @classmethod
    def together(cls, parts: list[Rows]) -> Rows:
        columns = zip(*(vars(part).values() for part in parts), strict=True)
        return cls(*map(np.concatenate, columns))


@dataclass(frozen=True)
class Batch:
    """What the draws of a batch share. num: asked of each source, int64 [R] each."""

    lists: Lists
    options: NegativesOptions
    sources: tuple[str, ...]
    num: dict[str, np.ndarray]
    urns: Urns
    laws: dict[str, Law]
    side: Side
    lots: Lots

    @property
    def cut(self) -> tuple[np.ndarray, np.ndarray]:
        """What the catalogue's sources may not draw, as `law.draw` takes it."""
        return self.urns.excluded_offsets, self.urns.excluded


def draw_rows(batch: Batch) -> tuple[Rows, int]:
    """The rows of all sources by request, source, item; and how many draws hit a drawn item."""
    parts = [_from_pool(batch, name) for name in batch.sources if name in batch.urns.pools]
    num_collided = 0
    if batch.laws:
        part, num_collided = _from_catalogue(batch, parts)
        parts.append(part)
    rows = Rows.together(parts)
    return rows.take(np.argsort(rows.request, kind="stable")), num_collided


def laws_of(batch: Batch, rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(probability, item_q, mixture_q) of each row, float64 [T]."""
    total = np.zeros(len(rows.request))
    for num in batch.num.values():
        total += num[rows.request]
    pool_num = np.stack(list(batch.num.values()))[rows.pool, rows.request]
    probability, item_q = rows.pool_p.copy(), rows.pool_q.copy()
    mixture = rows.pool_q * pool_num
    known = np.flatnonzero(rows.catalogue_item >= 0)
    request, item = rows.request[known], rows.catalogue_item[known]
    for name, law in batch.laws.items():
        num, q = batch.num[name], law.of(rows.catalogue_item)
        alone = law.inclusion(num, *batch.cut, request, item)
        probability[known] += (1 - probability[known]) * alone  # 1 - (1 - p1) (1 - p2)
        mixture += num[rows.request] * q
        own = rows.source == batch.sources.index(name)
        item_q[own] = q[own]
    return probability, item_q, mixture / total


def _from_pool(batch: Batch, name: str) -> Rows:
    """What a pool draws: the first of its entries (`mined: top`), or any of them."""
    pool, num = batch.urns.pools[name], batch.num[name]
    if _is_top(batch, name):
        request = np.repeat(np.arange(len(num)), num)
        rank = np.arange(len(request)) - np.repeat(np.cumsum(num) - num, num)
    else:
        size, asking = np.diff(pool.offsets), np.flatnonzero(num)
        drawn = draw_uniform(batch.lots, f"negatives.{name}", asking, 0, size[asking], num[asking])
        request, rank = asking[drawn[0]], drawn[1]
    entry, none = pool.offsets[request] + rank, np.full(len(request), -1)
    item = pool.item[entry]
    mined_item = none if pool.mined_item is None else pool.mined_item[entry]
    place = np.full(len(entry), batch.sources.index(name))
    catalogue_item = _found(batch, item, mined_item) if batch.laws else none
    law = _pool_law(batch, name, request, rank)
    return Rows(request, place, item, mined_item, catalogue_item, place, *law)


def _is_top(batch: Batch, name: str) -> bool:
    return name == MINED and batch.options.mined.sampling_strategy == "top"


def _pool_law(
    batch: Batch, name: str, request: np.ndarray, rank: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(inclusion, single-draw law) of the entries at `rank` (from 0) of the pool, float64 [T]."""
    num = batch.num[name][request]
    if _is_top(batch, name):
        is_taken = rank < num
        return is_taken.astype(np.float64), is_taken / np.maximum(num, 1)
    size = np.diff(batch.urns.pools[name].offsets)[request]
    return num / size, 1 / size


def _found(batch: Batch, item: np.ndarray, mined_item: np.ndarray) -> np.ndarray:
    """Where candidates, or else mined items, stand in the catalogue, -1 for none; int64 [T]."""
    assert batch.side.catalogue is not None
    key, is_mined = batch.urns.key[item], item < 0
    if is_mined.any():
        assert batch.side.mined is not None
        key[is_mined] = xxh64(batch.side.mined.item_id.take(pa.array(mined_item[is_mined])))
    return batch.side.catalogue.find(key)


def _from_catalogue(batch: Batch, pooled: list[Rows]) -> tuple[Rows, int]:
    """What the catalogue's laws draw that no pool drew, by request, source, item."""
    drawn = [
        draw(law, batch.lots, f"negatives.{name}", batch.num[name], *batch.cut)
        for name, law in batch.laws.items()
    ]
    # One sort of packed words: by request, item, then pools before laws.
    packed = [_packed(part.request, part.item) | place for place, part in enumerate(drawn, start=1)]
    for rows in pooled:
        is_known = rows.catalogue_item >= 0
        packed.append(_packed(rows.request[is_known], rows.catalogue_item[is_known]))
    word = np.sort(np.concatenate(packed))
    pair, of_law = word >> _LAW_BITS, word & (1 << _LAW_BITS) - 1
    is_first = np.ones(len(pair), dtype=bool)
    is_first[1:] = pair[1:] != pair[:-1]
    num_collided = len(pair) - int(is_first.sum()) + sum(part.num_collided for part in drawn)
    is_new = is_first & (of_law > 0)
    pair, of_law = pair[is_new], of_law[is_new] - 1
    source = np.array([batch.sources.index(name) for name in batch.laws])[of_law]
    rows = _held(batch, pair >> 32, pair & 0xFFFF_FFFF, source)
    if len(batch.laws) > 1:
        rows = rows.take(np.lexsort((rows.source, rows.request)))
    return rows, num_collided


def _packed(request: np.ndarray, item: np.ndarray) -> np.ndarray:
    return (request << 32 | item) << _LAW_BITS


def _held(
    batch: Batch, request: np.ndarray, catalogue_item: np.ndarray, source: np.ndarray
) -> Rows:
    """Rows of the catalogue with the pool that might have drawn them.

    request, catalogue_item: ascending; the catalogue stands by key, so the keys ascend, too.
    """
    assert batch.side.catalogue is not None
    lists, urns = batch.lists, batch.urns
    key, num = batch.side.catalogue.key[catalogue_item], len(request)
    keys = Keys(np.searchsorted(request, np.arange(lists.num_requests + 1)), key)
    candidate, at = look_up(keys, lists.request, urns.key)
    item = np.full(num, -1)
    item[at] = candidate

    pool, rank = np.full(num, -1), np.full(num, -1)
    pool[item >= 0] = urns.holder[item[item >= 0]]
    if urns.ranks is not None:
        rank = urns.ranks.of(request, key)
        pool[rank >= 0] = batch.sources.index(MINED)
    pool_p, pool_q = np.zeros(num), np.zeros(num)
    for name in urns.pools:
        rows = np.flatnonzero(pool == batch.sources.index(name))
        pool_p[rows], pool_q[rows] = _pool_law(batch, name, request[rows], rank[rows])
    return Rows(request, source, item, np.full(num, -1), catalogue_item, pool, pool_p, pool_q)
