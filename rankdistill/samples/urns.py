"""What each request can draw negatives from once the guards have cut: pools, and a catalogue
less the guarded items.

Read by `negatives`. Shapes: N candidates, R requests, E entries of an urn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rankdistill.catalogue.history import Keys
from rankdistill.catalogue.items import Catalogue
from rankdistill.hashing import U64, xxh64
from rankdistill.lists.batch import Lists, owners
from rankdistill.samples.guards import CODE, Guarded, guard
from rankdistill.samples.negative_options import NegativesOptions
from rankdistill.samples.side import MinedKeys, Side, look_up, mined_keys
from rankdistill.samples.sources import CATALOGUE, LOGGED, MINED, pools


@dataclass(frozen=True)
class Urn:
    """A pool: the entries of request i at offsets[i] : offsets[i + 1] (int64 [R + 1]).

    item: candidate index or -1; mined_item: index into the mined items, None where the pool is
    of candidates alone. int64 [E].
    """

    offsets: np.ndarray
    item: np.ndarray
    mined_item: np.ndarray | None = None


@dataclass(frozen=True)
class Ranks:
    """The mined items of all requests; rank: the place (from 0) of each in its request's pool
    `mined`, -1 where that does not hold it; int64."""

    keys: Keys
    rank: np.ndarray

    def of(self, request: np.ndarray, key: np.ndarray) -> np.ndarray:
        """The rank of items by key, -1 where they are not in the pool; int64 [T]."""
        found, at = look_up(self.keys, request, key)
        rank = np.full(len(key), -1)
        rank[found] = self.rank[at]
        return rank


@dataclass(frozen=True)
class Urns:
    """pools: of each logged source and of mined, disjoint.

    holder: place of the source whose pool holds the candidate, -1 for none, int8 [N]; ranks: of
    mined items, None without that source. excluded: the guarded items of request i in the
    catalogue, ascending, at excluded_offsets[i] : excluded_offsets[i + 1]. key: xxh64 of the
    candidates' ids [N], 0 where nothing needs it.
    """

    pools: dict[str, Urn]
    holder: np.ndarray
    ranks: Ranks | None
    excluded_offsets: np.ndarray
    excluded: np.ndarray
    key: np.ndarray
    counts: dict[str, int]


def fill_urns(
    lists: Lists,
    options: NegativesOptions,
    sources: tuple[str, ...],
    is_positive: np.ndarray,
    side: Side,
) -> Urns:
    """The urns of a batch. An item belongs to the pool of the first source that would hold it."""
    catalogue = side.catalogue if {*sources} & {*CATALOGUE} else None
    needs_key = catalogue is not None or MINED in sources
    key, guarded = _guarded(lists, options, is_positive, side, needs_key=needs_key)
    pool = pools(lists, sources, options.tail, options.top_k)
    mined = None
    if MINED in sources:
        assert side.mined is not None
        mined = _entries(lists, key, mined_keys(side.mined))
        logged = mined.item[mined.item >= 0]
        pool[logged[pool[logged] < 0]] = sources.index(MINED)
    holder = np.where(guarded.code == 0, pool, np.int8(-1))
    urns = {
        name: _logged_urn(lists, holder == place)
        for place, name in enumerate(sources)
        if name in LOGGED
    }
    cut = _cut(lists, guarded, key, pool, mined, catalogue)
    ranks = None
    if mined is not None:
        urns[MINED], ranks = _mined_urn(mined, cut, holder == sources.index(MINED))
    excluded = _excluded(cut, lists.num_requests, catalogue)
    return Urns(urns, holder, ranks, *excluded, key, _counts(cut, guarded, urns))


def _guarded(
    lists: Lists,
    options: NegativesOptions,
    is_positive: np.ndarray,
    side: Side,
    *,
    needs_key: bool,
) -> tuple[np.ndarray, Guarded]:
    """(the candidates' keys [N], 0 where nothing needs them; what the guards cut)."""
    assert options.allow_exposed is not None, "resolve with for_student first"
    history = side.history if options.history_window is not None else None
    future = side.future if options.future_window is not None else None
    key = np.zeros(len(is_positive), dtype=U64)
    if needs_key or any(keys is not None and len(keys.key) for keys in (history, future)):
        key = xxh64(lists.candidates.column("item_id"))
    return key, guard(
        lists,
        is_positive,
        key,
        allow_exposed=options.allow_exposed,
        history=history,
        future=future,
        margin=options.margin,
    )


def _logged_urn(lists: Lists, is_in: np.ndarray) -> Urn:
    """The candidates is_in (bool [N]), in their order."""
    item = np.flatnonzero(is_in)
    return Urn(np.searchsorted(item, lists.offsets), item)


@dataclass(frozen=True)
class _Entries:
    """Mined items, as MinedKeys; request, item (candidate index or -1): int64 [E]."""

    mined: MinedKeys
    request: np.ndarray
    item: np.ndarray


def _entries(lists: Lists, key: np.ndarray, mined: MinedKeys) -> _Entries:
    candidate, at = look_up(mined.keys, lists.request, key)
    item = np.full(len(mined.row), -1)
    item[at] = candidate
    return _Entries(mined, owners(mined.keys.offsets), item)


@dataclass(frozen=True)
class _Cut:
    """The guarded items of all requests; outside: those that are no candidates, the last ones.

    request, catalogue_item (-1: not in it), code: int64 [G]; is_held: whether a pool of the mix
    would hold it, bool [G].
    """

    request: np.ndarray
    catalogue_item: np.ndarray
    code: np.ndarray
    is_held: np.ndarray
    outside: Keys


def _cut(
    lists: Lists,
    guarded: Guarded,
    key: np.ndarray,
    pool: np.ndarray,
    mined: _Entries | None,
    catalogue: Catalogue | None,
) -> _Cut:
    item, outside = np.flatnonzero(guarded.code), guarded.outside
    key = np.concatenate([key[item], outside.key])
    is_mined = np.zeros(len(outside.key), dtype=bool)
    if mined is not None:
        is_mined[look_up(mined.mined.keys, outside.request, outside.key)[0]] = True
    return _Cut(
        np.concatenate([lists.request[item], outside.request]),
        np.full(len(key), -1) if catalogue is None else catalogue.find(key),
        np.concatenate([guarded.code[item], outside.code]),
        np.concatenate([pool[item] >= 0, is_mined]),
        Keys(np.searchsorted(outside.request, np.arange(lists.num_requests + 1)), outside.key),
    )


def _mined_urn(entries: _Entries, cut: _Cut, is_held: np.ndarray) -> tuple[Urn, Ranks]:
    """The mined items that may be drawn, best first (of equal scores, by key); is_held: the
    candidates among them, bool [N]."""
    mined, request, item = entries.mined, entries.request, entries.item
    is_in = np.ones(len(item), dtype=bool)
    is_in[look_up(cut.outside, request, mined.keys.key)[0]] = False
    is_in[item >= 0] = is_held[item[item >= 0]]
    rows = np.flatnonzero(is_in)
    rows = rows[np.lexsort((mined.keys.key[rows], -mined.score[rows], request[rows]))]
    offsets = np.searchsorted(request[rows], np.arange(len(mined.keys.offsets)))
    rank = np.full(len(item), -1)
    rank[rows] = np.arange(len(rows)) - offsets[request[rows]]
    return Urn(offsets, item[rows], mined.row[rows]), Ranks(mined.keys, rank)


def _excluded(
    cut: _Cut, num_requests: int, catalogue: Catalogue | None
) -> tuple[np.ndarray, np.ndarray]:
    """(offsets [R + 1], catalogue items [E]), ascending within a request."""
    if catalogue is None:
        return np.zeros(num_requests + 1, dtype=np.int64), np.zeros(0, dtype=np.int64)
    found = np.flatnonzero(cut.catalogue_item >= 0)
    size = max(len(catalogue), 1)
    packed = np.sort(cut.request[found] * size + cut.catalogue_item[found])
    return np.searchsorted(packed, np.arange(num_requests + 1) * size), packed % size


def _counts(cut: _Cut, guarded: Guarded, urns: dict[str, Urn]) -> dict[str, int]:
    """What each guard cut of all that a source of the mix would have held; and pool entries
    whose margin could not be told."""
    is_drawable = cut.is_held | (cut.catalogue_item >= 0)
    num = np.bincount(cut.code[is_drawable], minlength=len(CODE) + 1)
    counts = {f"guarded.{name}": int(num[code]) for name, code in CODE.items()}
    counts["margin.unscored"] = 0
    if guarded.is_unmeasured.any():
        in_urns = [urn.item[urn.item >= 0] for urn in urns.values()]
        counts["margin.unscored"] = sum(int(guarded.is_unmeasured[i].sum()) for i in in_urns)
    return counts
