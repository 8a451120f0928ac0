"""Negatives: items a request's positives are told apart from, easy and hard in a stated mix.

Lists and what stands beside them in; indices and probabilities out, ordered by request, then
positive, then source. `gather.negatives_table` makes the table of it.

The order of things: guards cut (`guards`), urns are filled (`urns`), each source is asked for
a number (`mix`), drawn, and the rows are dealt to the positives. All but the draw is certain
given the request, so probabilities are exact. Shapes: R requests, T rows, M sources.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from rankdistill.catalogue.history import Keys
from rankdistill.catalogue.law import MAX_DRAW, Law, draw
from rankdistill.lists.batch import Lists, segment_sum, spans
from rankdistill.samples.facts import SOURCE_CODE
from rankdistill.samples.lots import Lots, below, by_hash, draw_uniform
from rankdistill.samples.mix import Asked, ask, targets
from rankdistill.samples.negative_options import NegativesOptions
from rankdistill.samples.pairwise import num_distinct
from rankdistill.samples.positives import positive_mask
from rankdistill.samples.side import Side, look_up
from rankdistill.samples.sources import CATALOGUE, MINED, difficulty
from rankdistill.samples.urns import Urn, Urns, fill_urns


@dataclass(frozen=True)
class Negatives:
    """T rows, no item twice in a request. Indices int64 [T], -1 where there is none:

    request; pos: the positive's candidate index (per: positive); item: candidate index where
    the item was logged in the request; mined_item, catalogue_item: index among the mined items
    and in the catalogue, of an item that is not in the list one of them is there.
    source: int8 into SOURCES. probability: inclusion probability of the row given its request.
    item_q: single-draw law of the item under its source: 1 / pool size of a pool (1 / number
    taken of `mined: top`), the catalogue's whole law (before any guard) of a catalogue source.
    mixture_q: sum n_m q_m(item) / sum n_m over what the request's sources m were asked for.
    difficulty: see `sources.difficulty`; NaN where the item was not logged. float64 [T].
    """

    request: np.ndarray
    pos: np.ndarray
    item: np.ndarray
    catalogue_item: np.ndarray
    mined_item: np.ndarray
    source: np.ndarray
    probability: np.ndarray
    item_q: np.ndarray
    mixture_q: np.ndarray
    difficulty: np.ndarray
    counts: dict[str, int]


@dataclass(frozen=True)
class _Rows:
    """Drawn rows of one or several sources; source: place in the mix's order."""

    request: np.ndarray
    source: np.ndarray
    item: np.ndarray
    catalogue_item: np.ndarray
    mined_item: np.ndarray
    probability: np.ndarray
    item_q: np.ndarray

    def take(self, rows: np.ndarray) -> _Rows:
        return _Rows(*(values[rows] for values in vars(self).values()))


def negatives(
    lists: Lists, options: NegativesOptions, seed: int, side: Side, epoch: int = 0
) -> Negatives:
    """The negatives of every request that has a positive; key (request, item)."""
    mix = options.mix_at(epoch)
    sources = tuple(mix)
    _check(options, side)
    is_positive, _ = positive_mask(lists, options)
    positives = np.flatnonzero(is_positive)
    bounds = np.searchsorted(positives, lists.offsets)
    num_positives = np.diff(bounds)
    wanted = options.num * (
        num_positives if options.per == "positive" else np.minimum(num_positives, 1)
    )
    lots = Lots(seed, epoch, lists.request_key)

    urns = fill_urns(lists, options, sources, is_positive, side)
    laws = {name: side.laws[name] for name in sources if name in CATALOGUE}
    asked = ask(targets(wanted, tuple(mix.values())), _capacity(urns, sources, laws))
    rows, num_collided = _draw(lists, options, sources, urns, asked, laws, side, lots)
    mixture_q = _mixture(rows, asked, sources, laws)
    counts = {
        "requests": lists.num_requests,
        "requests_without_positive": int((num_positives == 0).sum()),
        **_count(rows, wanted, asked, sources, num_collided, lists.num_requests),
        **urns.counts,
    }

    pos = np.full(len(rows.request), -1)
    if options.per == "positive":
        place = _deal(rows.request, num_positives, lots)
        pos = positives[bounds[rows.request] + place]
        order = np.lexsort((place, rows.request))  # stable: by source and item within
        probability = rows.probability / num_positives[rows.request]
        rows = replace(rows, probability=probability).take(order)
        pos, mixture_q = pos[order], mixture_q[order]
    codes = np.array([SOURCE_CODE[name] for name in sources], dtype=np.int8)
    return Negatives(
        rows.request,
        pos,
        rows.item,
        rows.catalogue_item,
        rows.mined_item,
        codes[rows.source],
        rows.probability,
        rows.item_q,
        mixture_q,
        _difficulty(lists, rows.item),
        counts,
    )


def _check(options: NegativesOptions, side: Side) -> None:
    """A guard or a source that is asked for and not given is a fault of ours."""
    for need in sorted(options.needs):
        assert getattr(side, need) is not None, f"{need} is needed, and not given"
    for name in set(options.sources) & {*CATALOGUE}:
        assert name in side.laws, f"no law of {name}: see negative_options.laws"


def _capacity(urns: Urns, sources: tuple[str, ...], laws: dict[str, Law]) -> np.ndarray:
    """How many different items each source holds for each request, int64 [R, M]."""
    return np.stack([_held(urns, name, laws) for name in sources], axis=1)


def _held(urns: Urns, name: str, laws: dict[str, Law]) -> np.ndarray:
    if name in urns.pools:
        return np.diff(urns.pools[name].offsets)
    law = laws[name]
    num_lost = segment_sum(law.ticks(urns.excluded) > 0, urns.excluded_offsets)
    return np.minimum(law.num_possible - num_lost, MAX_DRAW)


def _draw(
    lists: Lists,
    options: NegativesOptions,
    sources: tuple[str, ...],
    urns: Urns,
    asked: Asked,
    laws: dict[str, Law],
    side: Side,
    lots: Lots,
) -> tuple[_Rows, int]:
    """The rows of all sources by request, source, item; and how many draws hit a drawn item."""
    parts, num_collided = [], 0
    num = {name: asked.num[:, place] for place, name in enumerate(sources)}
    for place, name in enumerate(sources):
        if name not in urns.pools:
            continue
        if name == MINED and options.mined.sampling_strategy == "top":
            parts.append(_top(urns.pools[name], num[name], place))
        else:
            parts.append(_uniform(urns.pools[name], num[name], place, name, lots))
    if laws:
        part, num_collided = _from_catalogue(lists, laws, num, urns, sources, side, lots)
        parts.append(part)
    rows = _Rows(*(np.concatenate(columns) for columns in zip(*map(_columns, parts), strict=True)))
    return rows.take(np.argsort(rows.request, kind="stable")), num_collided


def _columns(rows: _Rows) -> tuple[np.ndarray, ...]:
    return tuple(vars(rows).values())


def _top(pool: Urn, num: np.ndarray, place: int) -> _Rows:
    """The first num [R] of each request's entries."""
    request = np.repeat(np.arange(len(num)), num)
    entry = spans(pool.offsets[:-1], num)
    return _pooled(pool, request, entry, place, np.ones(len(entry)), 1 / num[request])


def _uniform(pool: Urn, num: np.ndarray, place: int, name: str, lots: Lots) -> _Rows:
    """num [R] of each request's entries, uniform without replacement."""
    size, asking = np.diff(pool.offsets), np.flatnonzero(num)
    row, index = draw_uniform(lots, f"negatives.{name}", asking, 0, size[asking], num[asking])
    request = asking[row]
    entry = pool.offsets[request] + index
    return _pooled(pool, request, entry, place, num[request] / size[request], 1 / size[request])


def _pooled(
    pool: Urn,
    request: np.ndarray,
    entry: np.ndarray,
    place: int,
    probability: np.ndarray,
    item_q: np.ndarray,
) -> _Rows:
    return _Rows(
        request,
        np.full(len(entry), place),
        pool.item[entry],
        pool.catalogue_item[entry],
        pool.mined_item[entry],
        probability,
        item_q,
    )


def _from_catalogue(
    lists: Lists,
    laws: dict[str, Law],
    num: dict[str, np.ndarray],
    urns: Urns,
    sources: tuple[str, ...],
    side: Side,
    lots: Lots,
) -> tuple[_Rows, int]:
    """Independent draws of each law; an item that two of them drew is one row of the first."""
    cut = (urns.excluded_offsets, urns.excluded)
    drawn = [draw(law, lots, f"negatives.{name}", num[name], *cut) for name, law in laws.items()]
    # One sort of packed words: by request, item, law.
    packed = [
        (part.request << 32 | part.item) * len(laws) + place for place, part in enumerate(drawn)
    ]
    pair, of_law = np.divmod(np.sort(np.concatenate(packed)), len(laws))
    is_first = np.ones(len(pair), dtype=bool)
    is_first[1:] = pair[1:] != pair[:-1]
    num_collided = len(pair) - int(is_first.sum()) + sum(part.num_collided for part in drawn)
    pair, of_law = pair[is_first], of_law[is_first]
    request, item = pair >> 32, pair & 0xFFFF_FFFF

    probability, item_q = np.zeros(len(item)), np.empty(len(item))
    for place, (name, law) in enumerate(laws.items()):
        alone = law.inclusion(num[name], *cut, request, item)
        probability += (1 - probability) * alone  # 1 - (1 - p1) (1 - p2)
        own = of_law == place
        item_q[own] = law.of(item[own])
    source = np.array([sources.index(name) for name in laws])[of_law]
    logged, none = _logged(lists, request, item, urns, side), np.full(len(item), -1)
    rows = _Rows(request, source, logged, item, none, probability, item_q)
    return (rows if len(laws) == 1 else rows.take(np.lexsort((source, request)))), num_collided


def _logged(
    lists: Lists, request: np.ndarray, item: np.ndarray, urns: Urns, side: Side
) -> np.ndarray:
    """The candidate index of catalogue items that were logged in the request, else -1.

    request, item: ascending; items of the catalogue stand by key, so the keys ascend, too.
    """
    assert side.catalogue is not None
    offsets = np.searchsorted(request, np.arange(lists.num_requests + 1))
    keys = Keys(offsets, side.catalogue.key[item])
    found = look_up(keys, lists.request[urns.free], urns.free_key)
    logged = np.full(len(request), -1)
    logged[found[found >= 0]] = urns.free[found >= 0]
    return logged


def _mixture(
    rows: _Rows, asked: Asked, sources: tuple[str, ...], laws: dict[str, Law]
) -> np.ndarray:
    """sum n_m q_m(item) / sum n_m of each row, float64 [T]."""
    num = asked.num[rows.request]
    total = np.zeros(len(rows.request))
    for place, name in enumerate(sources):
        if name in laws:
            q = laws[name].of(rows.catalogue_item)
        else:
            q = np.where(rows.source == place, rows.item_q, 0.0)
        total += num[:, place] * q
    return total / num.sum(axis=1)


def _deal(request: np.ndarray, num_positives: np.ndarray, lots: Lots) -> np.ndarray:
    """The positive (0 .. P-1) of each row: in hashed order, one after the other, beginning
    with a hashed one, so that each positive is as likely as any other; int64 [T]."""
    starts = np.searchsorted(request, np.arange(len(num_positives) + 1))
    within = np.arange(len(request)) - starts[request]
    order = by_hash(lots.bits("negatives.deal", request, within, 0), request)
    turn = np.empty_like(within)
    turn[order] = within  # rows stand by request, before and after
    every = np.arange(len(num_positives))
    first = below(lots.bits("negatives.deal.first", every, 0, 0), num_positives)
    return (turn + first[request]) % num_positives[request]


def _difficulty(lists: Lists, item: np.ndarray) -> np.ndarray:
    found = np.full(len(item), np.nan)
    found[item >= 0] = difficulty(lists, item[item >= 0])
    return found


def _count(
    rows: _Rows,
    wanted: np.ndarray,
    asked: Asked,
    sources: tuple[str, ...],
    num_collided: int,
    num_requests: int,
) -> dict[str, int]:
    """What was wanted, short, filled, drawn and lost: they add up."""
    drawn = np.bincount(rows.source, minlength=len(sources))
    counts = {
        "rows": len(rows.request),
        "requests_without_row": num_requests - num_distinct(rows.request),
        "wanted": int(wanted.sum()),
        "unfilled": int(asked.unfilled.sum()),
        "collided": num_collided,
    }
    for place, name in enumerate(sources):
        for what in ("target", "short", "filled"):
            counts[f"{what}.{name}"] = int(getattr(asked, what)[:, place].sum())
        counts[f"drawn.{name}"] = int(drawn[place])
    assert asked.short.sum() == asked.filled.sum() + asked.unfilled.sum()
    assert len(rows.request) == counts["wanted"] - counts["unfilled"] - num_collided, counts
    return counts
