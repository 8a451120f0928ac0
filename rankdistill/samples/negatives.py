"""Negatives: items a request's positives are told apart from, easy and hard in a stated mix.

Lists and what stands beside them in; indices and probabilities out, ordered by request, then
positive, then source. `gather.negatives_table` makes the table of it.

The order of things: guards cut (`guards`), urns are filled (`urns`), each source is asked for
a number (`mix`), drawn, and the rows are dealt to the positives. All but the draw is certain
given the request, so probabilities are exact. Shapes: R requests, T rows, M sources.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rankdistill.catalogue.law import MAX_DRAW, Law
from rankdistill.lists.batch import Lists, segment_sum
from rankdistill.samples.draws import Batch, Rows, draw_rows, laws_of
from rankdistill.samples.facts import SOURCE_CODE
from rankdistill.samples.lots import Lots, below, by_hash
from rankdistill.samples.mix import Asked, ask, targets
from rankdistill.samples.negative_options import NegativesOptions
from rankdistill.samples.pairwise import num_distinct
from rankdistill.samples.positives import positive_mask
from rankdistill.samples.side import Side
from rankdistill.samples.sources import CATALOGUE, difficulty
from rankdistill.samples.urns import Urns, fill_urns


@dataclass(frozen=True)
class Negatives:
    """T rows, no item twice in a request. Indices int64 [T], -1 where there is none:

    request; pos: the positive's candidate index (per: positive); item: candidate index where
    the item was logged in the request; mined_item, catalogue_item: index among the mined items
    and in the catalogue, of an item that is not in the list one of them is there.
    source: int8 into SOURCES, the first that drew it. probability: inclusion probability of the
    row given its request, by whichever of the sources that hold its item.
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
    num = {name: asked.num[:, place] for place, name in enumerate(sources)}
    batch = Batch(lists, options, sources, num, urns, laws, side, lots)
    rows, num_collided = draw_rows(batch)
    probability, item_q, mixture_q = laws_of(batch, rows)
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
        probability /= num_positives[rows.request]
        rows, pos = rows.take(order), pos[order]
        probability, item_q, mixture_q = probability[order], item_q[order], mixture_q[order]
    codes = np.array([SOURCE_CODE[name] for name in sources], dtype=np.int8)
    return Negatives(
        rows.request,
        pos,
        rows.item,
        rows.catalogue_item,
        rows.mined_item,
        codes[rows.source],
        probability,
        item_q,
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
    rows: Rows,
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
