"""Hash draws: every random decision of a kernel, as a pure function of what is drawn for.

A draw depends on (seed, purpose, request key, i, j, epoch) alone, never on what else is in
the batch. Shapes: Q rows, each drawing from its own urn; T drawn in all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rankdistill.hashing import mix, name_key, unit
from rankdistill.lists.batch import owners, segment_sum, spans

MAX_FLOYD = 64  # its cost grows with the square of the number drawn; beyond, one sort is cheaper
_NONE = np.iinfo(np.int64).max
# Shares of a systematic draw are integers of this unit: sums over a batch stay exact.
_TICKS = 2**44
MAX_SYSTEMATIC = 2**18  # _TICKS * MAX_SYSTEMATIC < 2^63


@dataclass(frozen=True)
class Lots:
    """The hashed lots of one batch; request_key: uint64 [R]."""

    seed: int
    epoch: int
    request_key: np.ndarray

    def bits(
        self, purpose: str, request: np.ndarray, i: np.ndarray | int, j: np.ndarray | int
    ) -> np.ndarray:
        """64 hash bits for each broadcast (request, i, j)."""
        key = self.request_key[request]
        return mix(self.seed, name_key(purpose), key, i, j, self.epoch)


def below(bits: np.ndarray, bound: np.ndarray) -> np.ndarray:
    """An integer in [0, bound) from the high 32 bits (multiply-shift), int64.

    bound < 2^31. Its law differs from the uniform one by less than bound / 2^32.
    """
    high = (bits >> np.uint64(32)).view(np.int64)
    high *= bound
    high >>= 32
    return high


def draw_uniform(
    lots: Lots,
    purpose: str,
    request: np.ndarray,
    i: np.ndarray | int,
    num_available: np.ndarray,
    num_draw: np.ndarray | int,
) -> tuple[np.ndarray, np.ndarray]:
    """Uniform draws without replacement: (row [T], index [T]), ordered by row, then index.

    Row q draws min(num_draw, num_available) of the indices 0 .. num_available - 1; each is
    drawn with probability min(1, num_draw / num_available). (request, i) name the row.
    """
    num = np.asarray(np.minimum(num_draw, num_available))
    place = np.broadcast_to(np.asarray(i), request.shape)
    is_many = np.asarray(num > MAX_FLOYD)
    if not is_many.any():
        return _floyd(lots, purpose, request, place, num_available, num)

    parts = [
        (rows, draw(lots, purpose, request[rows], place[rows], num_available[rows], num[rows]))
        for rows, draw in (
            (np.flatnonzero(~is_many), _floyd),
            (np.flatnonzero(is_many), _hashed_order),
        )
    ]
    row = np.concatenate([rows[drawn[0]] for rows, drawn in parts])
    index = np.concatenate([drawn[1] for _, drawn in parts])
    order = np.argsort(row, kind="stable")
    return row[order], index[order]


def _floyd(
    lots: Lots,
    purpose: str,
    request: np.ndarray,
    i: np.ndarray,
    num_available: np.ndarray,
    num_draw: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Robert Floyd's sampling, a loop over draws: step k takes one of the first
    num_available - num_draw + k + 1 indices, or the last of them if that one is taken."""
    num_steps = int(num_draw.max(initial=0))
    bits = lots.bits(purpose, request, i, np.arange(num_steps)[:, None])
    chosen = np.empty((num_steps, len(request)), dtype=np.int64)
    last = num_available - num_draw
    for step in range(num_steps):
        pick = below(bits[step], last + 1)
        for before in chosen[:step]:
            np.copyto(pick, last, where=before == pick)
        chosen[step] = pick
        last = last + 1
    is_drawn = np.arange(num_steps) < num_draw[:, None]
    by_row = np.where(is_drawn, chosen.T, _NONE)
    by_row.sort(axis=1)
    return np.repeat(np.arange(len(request)), num_draw), by_row[is_drawn]


def _hashed_order(
    lots: Lots,
    purpose: str,
    request: np.ndarray,
    i: np.ndarray,
    num_available: np.ndarray,
    num_draw: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The num_draw indices of lowest hash."""
    row = np.repeat(np.arange(len(request)), num_available)
    starts = np.cumsum(num_available) - num_available
    index = np.arange(len(row)) - starts[row]
    order = by_hash(lots.bits(purpose, request[row], i[row], index), row)
    drawn = np.sort(order[spans(starts, num_draw)])
    return row[drawn], index[drawn]


def by_hash(bits: np.ndarray, segment: np.ndarray) -> np.ndarray:
    """The order (int64 [M]) by segment (ascending, from 0), then by hash bits, then by place.

    One sort of a packed word, ten times as fast as a lexsort; where two items of a segment
    agree in the 44 bits that fit, the lexsort decides, so the packing never shows.
    """
    if len(segment) and segment[-1] < 2**20:
        word = (segment.astype(np.uint64) << np.uint64(44)) | (bits >> np.uint64(20))
        order = np.argsort(word)
        if (np.diff(word[order]) > 0).all():
            return order
    return np.lexsort((bits, segment))


def draw_systematic(
    lots: Lots,
    purpose: str,
    offsets: np.ndarray,
    request: np.ndarray,
    i: np.ndarray,
    j: np.ndarray,
    size: np.ndarray,
    num_draw: int,
) -> np.ndarray:
    """Systematic draws with probability proportional to size: hits per item, int64 [M].

    Segment s (items offsets[s] : offsets[s + 1], all of one request, of total size > 0) gets
    num_draw hits at equal steps from one hashed offset over the cumulative sizes, its items
    in hashed order; (request, i, j) name an item. The expected hits of an item are
    num_draw * size / total, whole hits of them certain (Madow 1949).
    """
    assert 0 < num_draw <= MAX_SYSTEMATIC, num_draw
    segment = owners(offsets)
    ticks = np.rint(size / segment_sum(size, offsets)[segment] * _TICKS).astype(np.int64)

    order = by_hash(lots.bits(purpose, request, i, j), segment)
    running = np.concatenate([[0], np.cumsum(ticks[order])])  # may wrap; differences are exact
    total = (running[offsets[1:]] - running[offsets[:-1]])[segment]
    upper = running[1:] - running[offsets[:-1]][segment]
    first = request[offsets[:-1]]
    shift = unit(lots.bits(f"{purpose}.offset", first, 0, 0))
    start = (shift[segment] * total).astype(np.int64)

    hits = np.empty_like(ticks)
    steps_below = (upper * num_draw + start) // total
    hits[order] = steps_below - ((upper - ticks[order]) * num_draw + start) // total
    return hits


def draw_weighted(
    lots: Lots,
    purpose: str,
    offsets: np.ndarray,
    request: np.ndarray,
    i: np.ndarray,
    log_weight: np.ndarray,
    num_draw: int,
) -> np.ndarray:
    """Weighted draws without replacement: the drawn items' numbers, int64 [T] ascending.

    Segment s (items offsets[s] : offsets[s + 1]) gives min(num_draw, its length) items, one
    after the other, each with probability proportional to exp(log_weight) among those left:
    those whose exponential waiting times are least (Efraimidis & Spirakis 2006). (request, i)
    name an item.
    """
    segment = owners(offsets)
    with np.errstate(divide="ignore"):  # a lot of 0 waits for ever
        waiting = np.log(-np.log(unit(lots.bits(purpose, request, i, 0)))) - log_weight
    order = np.lexsort((waiting, segment))
    return np.sort(order[spans(offsets[:-1], np.minimum(num_draw, np.diff(offsets)))])
