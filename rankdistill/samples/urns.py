"""What each request can draw negatives from once the guards have cut: pools, and a catalogue
less what is excluded from it.

Read by `negatives`. Shapes: N candidates, R requests, X known items, E entries of an urn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from rankdistill.catalogue.items import Catalogue
from rankdistill.hashing import U64, xxh64
from rankdistill.lists.batch import Lists
from rankdistill.samples.guards import CODE, Guarded, guard
from rankdistill.samples.negative_options import NegativesOptions
from rankdistill.samples.side import MinedKeys, Side, entry_request, look_up, mined_keys
from rankdistill.samples.sources import CATALOGUE, LOGGED, MINED, pools


@dataclass(frozen=True)
class Known:
    """The X items that a request has to do with, each once: its N candidates, then those of the
    user's history and future, then the mined ones, that are no candidates.

    request, item (candidate index), mined_item, catalogue_item: int64 [X], -1 for none; the
    catalogue's of guarded and pooled items alone. key: uint64 [X], 0 where nothing needs it.
    guard: its first guard, 0 for none; pool: place of the source that would hold it, -1 for
    none; int8 [X]. mined_score: float64 [X].
    """

    request: np.ndarray
    item: np.ndarray
    mined_item: np.ndarray
    catalogue_item: np.ndarray
    key: np.ndarray
    guard: np.ndarray
    pool: np.ndarray
    mined_score: np.ndarray

    @property
    def is_out(self) -> np.ndarray:
        """bool [X]: guarded or in a pool, so the catalogue's sources never draw it."""
        return (self.guard > 0) | (self.pool >= 0)


@dataclass(frozen=True)
class Urn:
    """A pool: the entries of request i at offsets[i] : offsets[i + 1] (int64 [R + 1]).

    item: candidate index or -1; mined_item: index into the mined items or -1; catalogue_item:
    index into the catalogue, or -1 where it is not in it or there is none. int64 [E].
    """

    offsets: np.ndarray
    item: np.ndarray
    mined_item: np.ndarray
    catalogue_item: np.ndarray


@dataclass(frozen=True)
class Urns:
    """pools: of each logged source and of mined, disjoint.

    excluded: catalogue items that request i may not draw, ascending, at excluded_offsets[i] :
    excluded_offsets[i + 1]. free: the candidates that are not excluded, ascending, and their
    keys.
    """

    pools: dict[str, Urn]
    excluded_offsets: np.ndarray
    excluded: np.ndarray
    free: np.ndarray
    free_key: np.ndarray
    counts: dict[str, int]


def fill_urns(
    lists: Lists,
    options: NegativesOptions,
    sources: tuple[str, ...],
    is_positive: np.ndarray,
    side: Side,
) -> Urns:
    """The urns of a batch. An item belongs to the first source that would hold it."""
    assert options.allow_exposed is not None, "resolve with for_student first"
    catalogue = side.catalogue if {*sources} & {*CATALOGUE} else None
    history = side.history if options.history_window is not None else None
    future = side.future if options.future_window is not None else None
    windows = [keys for keys in (history, future) if keys is not None and len(keys.key)]
    key = np.zeros(len(is_positive), dtype=U64)
    if catalogue is not None or MINED in sources or windows:
        key = xxh64(lists.candidates.column("item_id"))
    guarded = guard(
        lists,
        is_positive,
        key,
        allow_exposed=options.allow_exposed,
        history=history,
        future=future,
        margin=options.margin,
    )
    pool = pools(lists, sources, options.tail, options.top_k)
    known = _candidates(lists, guarded, key, pool)
    if MINED in sources:
        assert side.mined is not None
        known = _with_mined(known, mined_keys(side.mined), sources.index(MINED))
    if catalogue is not None:
        known = _with_found(known, catalogue)

    urns = {
        name: _urn(known, place, lists.num_requests, is_mined=name == MINED)
        for place, name in enumerate(sources)
        if name in LOGGED or name == MINED
    }
    free = np.flatnonzero(~known.is_out[: len(key)])
    excluded = _excluded(known, lists.num_requests, catalogue)
    return Urns(urns, *excluded, free, key[free], _counts(known, guarded, urns))


def _candidates(lists: Lists, guarded: Guarded, key: np.ndarray, pool: np.ndarray) -> Known:
    """The candidates and what is guarded besides; nothing is mined or found yet."""
    outside = guarded.outside
    num, more = len(key), np.full(len(outside.key), -1)
    none = np.full(num + len(more), -1)
    return Known(
        np.concatenate([lists.request, outside.request]),
        np.concatenate([np.arange(num), more]),
        none,
        none,
        np.concatenate([key, outside.key]),
        np.concatenate([guarded.code, outside.code]),
        np.concatenate([pool, more.astype(np.int8)]),
        np.full(len(none), np.nan),
    )


def _with_mined(known: Known, mined: MinedKeys, place: int) -> Known:
    """The same with every mined entry; `place` is the source of those that no pool holds."""
    at = look_up(mined.keys, known.request, known.key)
    is_new = np.ones(len(mined.row), dtype=bool)
    is_new[at[at >= 0]] = False
    new = np.flatnonzero(is_new)
    at, none = np.concatenate([at, new]), np.full(len(new), -1)
    pool = np.concatenate([known.pool, none.astype(np.int8)])
    pool[(pool < 0) & (at >= 0)] = place
    return Known(
        np.concatenate([known.request, entry_request(mined.keys.offsets)[new]]),
        np.concatenate([known.item, none]),
        np.append(mined.row, -1)[at],  # -1, no entry, is the last
        np.concatenate([known.catalogue_item, none]),
        np.concatenate([known.key, mined.keys.key[new]]),
        np.concatenate([known.guard, np.zeros(len(new), dtype=np.int8)]),
        pool,
        np.append(mined.score, np.nan)[at],
    )


def _with_found(known: Known, catalogue: Catalogue) -> Known:
    """The same with the guarded and the pooled found in the catalogue."""
    out = np.flatnonzero(known.is_out)
    found = np.full(len(known.key), -1)
    found[out] = catalogue.find(known.key[out])
    return replace(known, catalogue_item=found)


def _urn(known: Known, place: int, num_requests: int, *, is_mined: bool) -> Urn:
    """What the source at `place` may draw: candidates in their order, mined items best first
    (of equal scores, by key)."""
    rows = np.flatnonzero((known.pool == place) & (known.guard == 0))
    if is_mined:
        rows = rows[np.lexsort((known.key[rows], -known.mined_score[rows], known.request[rows]))]
    offsets = np.searchsorted(known.request[rows], np.arange(num_requests + 1))
    return Urn(offsets, known.item[rows], known.mined_item[rows], known.catalogue_item[rows])


def _excluded(
    known: Known, num_requests: int, catalogue: Catalogue | None
) -> tuple[np.ndarray, np.ndarray]:
    """(offsets [R + 1], catalogue items [E]), ascending within a request."""
    if catalogue is None:
        return np.zeros(num_requests + 1, dtype=np.int64), np.zeros(0, dtype=np.int64)
    out = np.flatnonzero(known.catalogue_item >= 0)
    size = max(len(catalogue), 1)
    packed = np.sort(known.request[out] * size + known.catalogue_item[out])
    return np.searchsorted(packed, np.arange(num_requests + 1) * size), packed % size


def _counts(known: Known, guarded: Guarded, urns: dict[str, Urn]) -> dict[str, int]:
    """What each guard cut of all that a source of the mix would have held; and pool entries
    whose margin could not be told."""
    drawable = (known.pool >= 0) | (known.catalogue_item >= 0)
    num = np.bincount(known.guard[drawable], minlength=len(CODE) + 1)
    counts = {f"guarded.{name}": int(num[code]) for name, code in CODE.items()}
    in_urns = [urn.item[urn.item >= 0] for urn in urns.values()]
    counts["margin.unscored"] = sum(int(guarded.is_unmeasured[i].sum()) for i in in_urns)
    return counts
