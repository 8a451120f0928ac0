"""Draws from the whole catalogue, uniform or by popularity, with exact probabilities.

The laws of a day's catalogue are made once (`axis`); `draw` serves the negatives of every batch.
Shapes: C items, R requests, E excluded items, T drawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np

from rankdistill.arrays import mapped
from rankdistill.catalogue.guide import Guide
from rankdistill.catalogue.ticks import TICKS_BITS
from rankdistill.hashing import unit
from rankdistill.lists.batch import segment_sum
from rankdistill.samples.lots import Lots

MAX_DRAW = 2**18  # draws of one request: (MAX_DRAW + 1) * TICKS < 2^63
_BLOCK = 2**15  # draws and exclusions worked on at once: they stay in cache


@dataclass(frozen=True)
class Law:
    """What part of all draws each item gets, laid out as an axis of ticks in hashed order. All
    arrays are mapped; the laws of a catalogue share their axis.

    order: int32 [C], the item at each place of the axis; place: int32 [C], the reverse;
    edge: int64 [C + 1], the item at place p lies at the ticks edge[p] : edge[p + 1]; guide: over
    edge; num_possible: items that can be drawn at all (q > 0).
    """

    order: np.ndarray
    place: np.ndarray
    edge: np.ndarray
    guide: Guide
    num_possible: int

    @classmethod
    def load(cls, folder: Path, name: str) -> Law:
        """The law `name` of those that `axis.put_laws` put into the folder."""
        order, place = (mapped(folder / f"axis.{part}.npy") for part in ("order", "place"))
        edge = mapped(folder / f"law.{name}.edge.npy")
        guide = Guide.load(folder / f"law.{name}.guide.npy", edge, TICKS_BITS)
        return cls(order, place, edge, guide, int(mapped(folder / f"law.{name}.possible.npy")[0]))

    @property
    def total(self) -> int:
        """Ticks of all items."""
        return int(self.edge[-1])

    def ticks(self, item: np.ndarray) -> np.ndarray:
        """Ticks of items by index, int64 [T]."""
        return self.ticks_at(self.place.take(item))

    def ticks_at(self, place: np.ndarray) -> np.ndarray:
        """Ticks of the items at places of the axis, int64 [T]."""
        return self.edge.take(place + 1) - self.edge.take(place)

    def of(self, item: np.ndarray) -> np.ndarray:
        """q of items by index, 0 for index -1 (not in the catalogue); float64 [T]."""
        is_known = item >= 0
        q = np.zeros(len(item))
        q[is_known] = self.ticks(item[is_known]) / max(self.total, 1)
        return q

    @cached_property
    def q(self) -> np.ndarray:
        """The probability of each item in a single draw from the whole catalogue, float64 [C]."""
        return self.ticks(np.arange(len(self.place))) / max(self.total, 1)

    def inclusion(
        self,
        num_draw: np.ndarray,
        excluded_offsets: np.ndarray,
        excluded: np.ndarray,
        request: np.ndarray,
        item: np.ndarray,
    ) -> np.ndarray:
        """The probability that a draw of `request` [T] (arguments as of `draw`) holds `item` [T],
        which is not excluded there; float64 [T]."""
        left = self.total - segment_sum(self.ticks(excluded), excluded_offsets)
        return _inclusion(num_draw[request], self.ticks(item), left[request])

    def at(self, tick: np.ndarray) -> np.ndarray:
        """The place that holds each tick (int64 [T] in [0, total)), int64 [T]."""
        return self.guide.num_up_to(tick) - 1


@dataclass(frozen=True)
class Drawn:
    """T rows, no item twice in a request, ordered by request, then place on the axis.

    request: int64 [T]; item: catalogue index, int64 [T]; probability: of inclusion, float64
    [T]; num_collided: draws that hit an item once more.
    """

    request: np.ndarray
    item: np.ndarray
    probability: np.ndarray
    num_collided: int


def draw(
    law: Law,
    lots: Lots,
    purpose: str,
    num_draw: np.ndarray,
    excluded_offsets: np.ndarray,
    excluded: np.ndarray,
) -> Drawn:
    """num_draw [R] systematic draws for each request from the catalogue less its excluded items.

    num_draw: int64 [R], at most MAX_DRAW. Those excluded from request i (catalogue indices,
    distinct, in any order) stand at excluded_offsets[i] : excluded_offsets[i + 1]. The excluded
    are cut out of the axis and the rest closes up; from one hashed offset, num_draw equal steps
    hit items with probability min(1, num_draw * q / (1 - Q)), Q the excluded ones' share (Madow
    1949). Where nothing is left to draw there are no rows.
    """
    assert len(num_draw) == len(excluded_offsets) - 1 == len(lots.request_key)
    assert num_draw.min(initial=0) >= 0 and num_draw.max(initial=0) <= MAX_DRAW
    shift = unit(lots.bits(purpose, np.arange(len(num_draw)), 0, 0))
    parts = []
    for first, last in _blocks(num_draw + np.diff(excluded_offsets)):
        offsets = excluded_offsets[first : last + 1]
        cut = excluded[offsets[0] : offsets[-1]]
        part = _draw_block(law, shift[first:last], num_draw[first:last], offsets - offsets[0], cut)
        parts.append(replace(part, request=part.request + first))
    return Drawn(
        np.concatenate([part.request for part in parts]),
        np.concatenate([part.item for part in parts]),
        np.concatenate([part.probability for part in parts]),
        sum(part.num_collided for part in parts),
    )


def _blocks(size: np.ndarray) -> Iterator[tuple[int, int]]:
    """first, last + 1 of runs of requests of about _BLOCK elements, at least one run."""
    block = np.cumsum(size) // _BLOCK
    cuts = np.flatnonzero(np.diff(block)) + 1
    yield from pairwise([0, *cuts.tolist(), len(size)])


def _draw_block(
    law: Law, unit: np.ndarray, num_draw: np.ndarray, offsets: np.ndarray, excluded: np.ndarray
) -> Drawn:
    """`draw` for a few requests; unit: where in [0, 1) each request's steps begin, float64 [R]."""
    gaps = _gaps(law, offsets, excluded)
    num = np.where(gaps.left > 0, num_draw, 0)
    total = np.maximum(gaps.left, 1)
    start = (unit * total).astype(np.int64)  # below total: unit is at most 1 - 2^-53

    # Step k hits the closed-up axis at (start + k * total) // num.
    request, base = np.repeat(np.arange(len(num)), num), np.cumsum(num) - num
    num_of, total_of = np.repeat(num, num), np.repeat(total, num)
    hit = np.arange(len(request)) - np.repeat(base, num)
    hit *= total_of
    hit += np.repeat(start, num)
    hit //= num_of
    if len(excluded):
        hit += _opened(gaps, offsets, num, total, start, base, len(hit))

    place = law.at(hit)
    is_first = np.ones(len(place), dtype=bool)  # steps ascend: an item's hits are neighbours
    is_first[1:] = (place[1:] != place[:-1]) | (request[1:] != request[:-1])
    num_collided = len(place) - int(np.count_nonzero(is_first))
    if num_collided:
        place, request, num_of, total_of = (x[is_first] for x in (place, request, num_of, total_of))
    probability = _inclusion(num_of, law.ticks_at(place), total_of)
    return Drawn(request, law.order.take(place).astype(np.int64), probability, num_collided)


def _opened(
    gaps: _Gaps,
    offsets: np.ndarray,
    num: np.ndarray,
    total: np.ndarray,
    start: np.ndarray,
    base: np.ndarray,
    num_steps: int,
) -> np.ndarray:
    """How far the gaps before it push each step of a block, in ticks; int64 [num_steps]."""
    # The first step at or beyond each gap; counted over the block, they tell how many gaps
    # lie before each step.
    into = np.diff(offsets)
    later = gaps.at * np.repeat(num, into)
    later += np.repeat(total - 1 - start, into)
    later //= np.repeat(total, into)
    later += np.repeat(base, into)
    passed = np.cumsum(np.bincount(later, minlength=num_steps + 1)[:num_steps])
    return gaps.ticks_before.take(passed) - np.repeat(gaps.ticks_before[offsets[:-1]], num)


@dataclass(frozen=True)
class _Gaps:
    """Excluded items by request, then place. at: where the closed-up axis has each, int64 [E];
    ticks_before: of all gaps before it in the block, int64 [E + 1] (may wrap; differences are
    exact); left: what each request's closed-up axis measures, int64 [R]."""

    at: np.ndarray
    ticks_before: np.ndarray
    left: np.ndarray


def _gaps(law: Law, offsets: np.ndarray, excluded: np.ndarray) -> _Gaps:
    into = np.diff(offsets)
    packed = np.repeat(np.arange(len(into)) << 32, into)
    packed |= law.place.take(excluded)
    packed.sort()
    assert (packed[1:] > packed[:-1]).all(), "an item is excluded twice from a request"
    packed &= 0xFFFF_FFFF
    at = law.edge.take(packed)
    before = np.concatenate([[0], np.cumsum(law.ticks_at(packed))])
    at_start = before[offsets[:-1]]
    at -= before[:-1]
    at += np.repeat(at_start, into)
    return _Gaps(at, before, law.total - (before[offsets[1:]] - at_start))


def _inclusion(num_draw: np.ndarray, ticks: np.ndarray, left: np.ndarray) -> np.ndarray:
    return np.minimum(1.0, num_draw * ticks / np.maximum(left, 1))
